package metalog

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"chronik/metalog/image"
)

// transport is Raft's own over the network. Servers go by their ids in it, also in votes: an address may change, and
// may come to be another's.
type transport struct {
	*raft.NetworkTransport
	streams  *streams
	self     raft.ServerID
	requests chan raft.RPC // to Raft, through pass

	raft      atomic.Pointer[raft.Raft]
	expecting atomic.Uint64           // the snapshot that Raft is about to be given, see sentSnapshot
	installed raft.Log                // index and term of the last one that it was given; pass's
	running   sync.WaitGroup          // pass, the herald's and the heir's
	last      atomic.Pointer[tenancy] // the heir's
	orphaned  chan raft.ServerID      // the heir's too
	closed    chan struct{}
	closing   sync.Once
	now       func() time.Time

	mu     sync.Mutex
	missed func(image.BrokerID)            // see Log.Missed
	peers  map[raft.ServerID]chan struct{} // those whose last heartbeat failed; closed when one gets through
	lately map[raft.ServerID]time.Time     // when they last answered one
}

var _ raft.WithPreVote = (*transport)(nil) // without it raft goes on, and a node that comes back deposes the leader

const (
	// rpcTimeout is how long Raft waits for an answer, and, for a snapshot, for each 256 KiB.
	rpcTimeout = 3 * time.Second

	// maxPool is how many connections to a peer Raft keeps.
	maxPool = 3

	// holdFor bounds how long entries wait for a peer that does not answer heartbeats.
	holdFor = 30 * time.Second

	// holdCheck is how often they look whether this server still leads.
	holdCheck = 100 * time.Millisecond
)

func newTransport(s *streams, logger hclog.Logger) *transport {
	t := &transport{
		streams: s, self: s.self, requests: make(chan raft.RPC), orphaned: make(chan raft.ServerID, 1), closed: make(chan struct{}),
		peers: map[raft.ServerID]chan struct{}{}, lately: map[raft.ServerID]time.Time{}, now: time.Now,
	}
	s.ended = t.ended
	t.NetworkTransport = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: s, MaxPool: maxPool, Timeout: rpcTimeout, Logger: logger,
		MaxRPCsInFlight: 1, // pipelining can wedge a follower (hashicorp/raft 612)
	})
	return t
}

// Consumer, LocalAddr, EncodePeer and DecodePeer are Raft's.
func (t *transport) Consumer() <-chan raft.RPC                                { return t.requests }
func (t *transport) LocalAddr() raft.ServerAddress                            { return raft.ServerAddress(t.self) }
func (t *transport) EncodePeer(id raft.ServerID, _ raft.ServerAddress) []byte { return []byte(id) }
func (t *transport) DecodePeer(b []byte) raft.ServerAddress                   { return raft.ServerAddress(b) }

// target is what streams.Dial gets.
func target(id raft.ServerID, configured raft.ServerAddress) raft.ServerAddress {
	return raft.ServerAddress(id) + " " + configured
}

// AppendEntries keeps entries for a peer that does not answer heartbeats here. Otherwise raft would wait longer after each
// failure, up to ten seconds, and a node that comes back would be that late.
func (t *transport) AppendEntries(id raft.ServerID, a raft.ServerAddress, rq *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if isHeartbeat(rq) {
		err := t.heartbeat(id, a, rq, resp)
		t.answered(id, err == nil || errors.Is(err, errLate))
		return of(id, err)
	}
	t.hold(id)
	began := t.now()
	err := t.send(id, func() error { return t.NetworkTransport.AppendEntries(id, target(id, a), rq, resp) })
	if err == nil && t.late(began) {
		resp.Term, resp.Success, err = t.again(id, a, rq.RPCHeader, rq.Term, resp.Term, resp.Success)
	}
	return of(id, err)
}

// InstallSnapshot is Raft's.
func (t *transport) InstallSnapshot(id raft.ServerID, a raft.ServerAddress, rq *raft.InstallSnapshotRequest,
	resp *raft.InstallSnapshotResponse, data io.Reader) error {
	t.hold(id)
	began := t.now()
	err := t.NetworkTransport.InstallSnapshot(id, target(id, a), rq, resp, data)
	if err == nil && t.late(began) {
		resp.Term, resp.Success, err = t.again(id, a, rq.RPCHeader, rq.Term, resp.Term, resp.Success)
	}
	return of(id, err)
}

// RequestVote, RequestPreVote and TimeoutNow are Raft's.
func (t *transport) RequestVote(id raft.ServerID, a raft.ServerAddress, rq *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return of(id, t.send(id, func() error { return t.NetworkTransport.RequestVote(id, target(id, a), rq, resp) }))
}

func (t *transport) RequestPreVote(id raft.ServerID, a raft.ServerAddress, rq *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return of(id, t.send(id, func() error { return t.NetworkTransport.RequestPreVote(id, target(id, a), rq, resp) }))
}

func (t *transport) TimeoutNow(id raft.ServerID, a raft.ServerAddress, rq *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return t.NetworkTransport.TimeoutNow(id, target(id, a), rq, resp) // once: a second one would depose whom the first had elected
}

// send repeats a request when the connection that Raft had kept for it was to a process that has ended since. Otherwise each of
// them would count as a peer that does not answer: a vote that is not had, and an election that takes a timeout longer.
func (t *transport) send(id raft.ServerID, request func() error) (err error) {
	for range maxPool + 1 {
		before := t.streams.lostTo(id)
		if err = request(); err == nil || t.streams.lostTo(id) == before {
			return err
		}
	}
	return err
}

// peerError says whom a request was for: what raft logs does not always tell.
type peerError struct {
	peer raft.ServerID
	error
}

func (e *peerError) Unwrap() error { return e.error }

func of(id raft.ServerID, err error) error {
	if err == nil {
		return nil
	}
	return &peerError{id, err}
}

// Raft takes every answer of a peer for a confirmation that this server leads, also of what was asked while the answer was
// under way. A process that was stopped meanwhile would be confirmed by a voter that has long had another leader: so an answer
// that took as long as voters wait before they elect another one confirms nothing.

func (t *transport) late(began time.Time) bool { return t.now().Sub(began) >= clusterTimeout }

var errLate = errors.New("the heartbeat was answered too late to count")

// heartbeat is an error when it was answered late.
func (t *transport) heartbeat(id raft.ServerID, a raft.ServerAddress, rq *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	began := t.now()
	err := t.send(id, func() error { return t.NetworkTransport.AppendEntries(id, target(id, a), rq, resp) })
	if err == nil && t.late(began) {
		return fmt.Errorf("%w: after %s", errLate, t.now().Sub(began).Round(time.Millisecond))
	}
	return err
}

// again asks a peer that took long to answer, as it may with much that it has to write, whether this server still leads in that
// term. It returns the answer that counts: what the peer said, or, if it knows of a newer term by now, that.
func (t *transport) again(id raft.ServerID, a raft.ServerAddress, h raft.RPCHeader, term, said uint64, success bool) (uint64, bool, error) {
	rq, resp := raft.AppendEntriesRequest{RPCHeader: h, Term: term}, raft.AppendEntriesResponse{}
	if err := t.heartbeat(id, a, &rq, &resp); err != nil {
		return said, false, err
	}
	if resp.Term > term {
		return resp.Term, false, nil
	}
	return said, success, nil
}

// isHeartbeat as raft's transport tells them from entries.
func isHeartbeat(rq *raft.AppendEntriesRequest) bool {
	return rq.PrevLogEntry == 0 && rq.PrevLogTerm == 0 && len(rq.Entries) == 0 && rq.LeaderCommitIndex == 0
}

func (t *transport) answered(id raft.ServerID, yes bool) {
	t.mu.Lock()
	if yes {
		t.lately[id] = t.now()
	}
	silent := t.peers[id]
	switch {
	case yes && silent != nil:
		close(silent)
		delete(t.peers, id)
	case !yes && silent == nil:
		t.peers[id] = make(chan struct{})
	}
	missed := t.missed
	t.mu.Unlock()
	if !yes && silent == nil && missed != nil {
		missed(brokerOf(id))
	}
}

// silent is closed when the server answers heartbeats again, and nil when it does.
func (t *transport) silent(id raft.ServerID) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.peers[id]
}

// heard says whether the server has answered the last heartbeat, and not so long ago that others would take it for gone: of a
// machine that is gone nothing comes, no error either.
func (t *transport) heard(id raft.ServerID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.peers[id] == nil && t.now().Sub(t.lately[id]) < clusterTimeout
}

func (t *transport) hold(id raft.ServerID) {
	silent := t.silent(id)
	if silent == nil {
		return
	}
	look := time.NewTicker(holdCheck)
	defer look.Stop()
	for end := time.Now().Add(holdFor); time.Now().Before(end); {
		select {
		case <-silent:
			return
		case <-t.closed:
			return
		case <-look.C:
			if r := t.raft.Load(); r != nil && r.State() != raft.Leader {
				return
			}
		}
	}
}

// start begins to pass requests to r. The only voter stands for election at once, whatever the timers of a cluster are:
// there is nobody whose heartbeat could come.
func (t *transport) start(r *raft.Raft, alone bool) {
	t.raft.Store(r)
	t.running.Go(t.watch)
	t.running.Go(func() {
		if alone {
			t.stand()
		}
		for {
			select {
			case rpc := <-t.NetworkTransport.Consumer():
				t.pass(rpc)
			case <-t.closed:
				return
			}
		}
	})
}

// pass gives Raft a request when it has answered the one before: it would take them one by one anyway.
func (t *transport) pass(rpc raft.RPC) {
	switch rq := rpc.Command.(type) {
	case *raft.InstallSnapshotRequest:
		t.passSnapshot(rpc, rq)
		return
	case *raft.AppendEntriesRequest:
		rpc.Command = t.behindSnapshot(agreed(rq))
		if early := t.tooEarly(rq); early != nil {
			rpc.RespChan <- raft.RPCResponse{Response: early}
			return
		}
	}
	if resp, ok := t.ask(rpc); ok {
		rpc.RespChan <- resp
	}
}

// behindSnapshot spares raft the look at the entry before those that it is sent, where that is the last one of a snapshot
// which took the place of the log: it would not find the entry, and ask for older ones for ever.
func (t *transport) behindSnapshot(rq *raft.AppendEntriesRequest) *raft.AppendEntriesRequest {
	if rq.PrevLogEntry == 0 || rq.PrevLogEntry != t.installed.Index || rq.PrevLogTerm != t.installed.Term {
		return rq
	}
	changed := *rq
	changed.PrevLogEntry, changed.PrevLogTerm = 0, 0
	return &changed
}

// passSnapshot refuses what this server has already. A snapshot whose leader gave up waiting, and sent it again, may be
// read from its connection much later; raft would take it, and lose what came after.
func (t *transport) passSnapshot(rpc raft.RPC, s *raft.InstallSnapshotRequest) {
	if r := t.raft.Load(); s.LastLogIndex <= r.AppliedIndex() {
		_, err := io.Copy(io.Discard, rpc.Reader)
		rpc.RespChan <- raft.RPCResponse{Response: &raft.InstallSnapshotResponse{Term: r.CurrentTerm(), Success: err == nil}, Error: err}
		return
	}
	t.expecting.Store(s.LastLogIndex)
	defer t.expecting.Store(0)
	resp, ok := t.ask(rpc)
	if !ok {
		return
	}
	if done, ok := resp.Response.(*raft.InstallSnapshotResponse); ok && done.Success {
		t.installed = raft.Log{Index: s.LastLogIndex, Term: s.LastLogTerm}
	}
	rpc.RespChan <- resp
}

// ask is false when the transport has been closed.
func (t *transport) ask(rpc raft.RPC) (raft.RPCResponse, bool) {
	answer := make(chan raft.RPCResponse, 1)
	rpc.RespChan = answer
	select {
	case t.requests <- rpc:
	case <-t.closed:
		return raft.RPCResponse{}, false
	}
	select {
	case resp := <-answer:
		return resp, true
	case <-t.closed:
		return raft.RPCResponse{}, false
	}
}

// sentSnapshot says whether the snapshot of that entry is one that a leader sends. One that this server makes ends with
// an entry that it has applied, and the other is not taken then.
func (t *transport) sentSnapshot(index uint64) bool { return t.expecting.Load() == index }

// shut closes all connections; Raft hears nothing, and says nothing, from then on.
func (t *transport) shut() (err error) {
	t.closing.Do(func() {
		close(t.closed)
		err = t.NetworkTransport.Close()
		t.CloseStreams()
	})
	return err
}

// wait returns when nothing of the transport runs any more. It is called after shut.
func (t *transport) wait() {
	t.running.Wait()
	t.streams.accepted.Wait()
}
