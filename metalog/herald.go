package metalog

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// herald tells the other servers at once of an entry that is committed. Raft tells them with the next entry, or after 50
// to 100 ms when none comes; until then they lack what somebody was promised. It tells them also when the next entry is on
// its way already: of that they hear when it is on the leader's disk, and look at it when it is on their own. What it sends
// is what raft would: no entries, behind the one that is committed. It is true for ever of that entry's term, in which this
// server led, so it does no harm when it arrives late.
type herald struct {
	raft *raft.Raft
	link *transport

	mu    sync.Mutex
	last  raft.Log // index and term of the newest committed entry
	tells map[raft.ServerID]struct{}
}

// A server that has not got the entry itself yet is told again.
const (
	tellTries = 10
	tellAgain = 5 * time.Millisecond
)

func newHerald(r *raft.Raft, t *transport) *herald {
	return &herald{raft: r, link: t, tells: map[raft.ServerID]struct{}{}}
}

// committed is called by the batcher only. The goroutines that it starts end with the transport at the latest.
func (h *herald) committed(index, term uint64) {
	servers := h.raft.GetConfiguration().Configuration().Servers
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = raft.Log{Index: index, Term: term}
	for _, s := range servers {
		if _, told := h.tells[s.ID]; told || s.ID == h.link.self {
			continue // who is being told hears of this one next
		}
		h.tells[s.ID] = struct{}{}
		h.link.running.Go(func() { h.tell(s) })
	}
}

// tell goes on until the server knows of the newest entry, or cannot be told.
func (h *herald) tell(s raft.Server) {
	for told := (raft.Log{}); ; {
		h.mu.Lock()
		next := h.last
		if next.Index == told.Index {
			delete(h.tells, s.ID)
			h.mu.Unlock()
			return
		}
		h.mu.Unlock()
		h.tellOf(s, next)
		told = next
	}
}

func (h *herald) tellOf(s raft.Server, entry raft.Log) {
	again := time.NewTicker(tellAgain)
	defer again.Stop()
	for range tellTries {
		known, err := h.link.tell(s, entry)
		if known || err != nil {
			return
		}
		select {
		case <-again.C:
		case <-h.link.closed:
			return
		}
	}
}

// tell is false when the server has not got the entry, or knows another leader. One that does not answer heartbeats is
// not waited for.
func (t *transport) tell(s raft.Server, entry raft.Log) (known bool, err error) {
	if t.silent(s.ID) != nil {
		return true, nil
	}
	rq := &raft.AppendEntriesRequest{
		RPCHeader: t.header(),
		Term:      entry.Term, PrevLogEntry: entry.Index, PrevLogTerm: entry.Term, LeaderCommitIndex: entry.Index,
	}
	var resp raft.AppendEntriesResponse
	err = t.NetworkTransport.AppendEntries(s.ID, target(s.ID, s.Address), rq, &resp)
	return resp.Success || resp.Term > entry.Term, err
}

func (t *transport) header() raft.RPCHeader {
	return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(t.self), Addr: t.EncodePeer(t.self, "")}
}

// tooEarly answers in raft's place, which would warn of it, where nothing is sent but that an entry is committed which is
// not here yet.
func (t *transport) tooEarly(rq *raft.AppendEntriesRequest) *raft.AppendEntriesResponse {
	r := t.raft.Load()
	last := r.LastIndex()
	if len(rq.Entries) > 0 || rq.PrevLogEntry != rq.LeaderCommitIndex || rq.PrevLogEntry <= last {
		return nil
	}
	return &raft.AppendEntriesResponse{
		RPCHeader: t.header(),
		Term:      r.CurrentTerm(), LastLog: last, NoRetryBackoff: true,
	}
}
