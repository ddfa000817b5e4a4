package metalog

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
)

// A leader whose process has ended is missed when its connections end, not when its heartbeats stay away: a voter that finds
// nobody at its address any more, and a majority in reach, stands for election at once. A leader that lives is not deposed
// by it, for it answers there; one that hangs, or whose machine is gone, is waited for as Raft does.
//
// Two that stand at once would take each other's votes, so the voters take turns, in the order of the configuration. When
// somebody stands, the others leave it to Raft what comes of it.
const (
	heirTurn  = 100 * time.Millisecond // until others hear that a voter stands
	heirDials = 200 * time.Millisecond // for all that is asked over the network before it
	heirAgain = 10 * time.Millisecond  // a process that is ending may have its port open a little longer than its connections
)

// tenancy is who led last, and in which term.
type tenancy struct {
	leader raft.ServerID
	term   uint64
}

// note remembers who leads; whoever stands for election makes raft forget it.
func (t *transport) note() {
	r := t.raft.Load()
	if _, now := r.LeaderWithID(); now != "" {
		t.last.Store(&tenancy{now, r.CurrentTerm()})
	}
}

// ended is told when a connection that another server had opened has ended.
func (t *transport) ended(from raft.ServerID) {
	select {
	case t.orphaned <- from:
	default: // it is about to be looked at anyway: a leader has several
	}
}

// watch looks after the leader whenever one of its connections has ended.
func (t *transport) watch() {
	for {
		select {
		case from := <-t.orphaned:
			if of := t.last.Load(); of != nil && of.leader == from && from != t.self {
				t.inherit(*of)
			}
		case <-t.closed:
			return
		}
	}
}

// missing says whether there is no leader but the one of before, as far as is known here.
func (t *transport) missing(before raft.ServerID) bool {
	_, now := t.raft.Load().LeaderWithID()
	return now == before || now == ""
}

// inherit stands for election if the leader has gone, in this voter's turn, unless another one does.
func (t *transport) inherit(of tenancy) {
	turn, others, gone := t.estate(of.leader)
	if !gone || !t.hasQuorum(others) {
		return
	}
	select {
	case <-time.After(time.Duration(turn) * heirTurn):
	case <-t.closed:
		return
	}
	if t.raft.Load().CurrentTerm() == of.term && t.missing(of.leader) {
		t.streams.logger.Info("the metadata log's leader has gone: standing for election", "leader", of.leader)
		t.stand()
	}
}

// stand makes Raft a candidate, without asking first whether others still hear a leader.
func (t *transport) stand() {
	now := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}}
	t.ask(raft.RPC{Command: now})
}

// estate returns this server's turn among the voters that are left, those others, and whether the leader's process is gone.
// A server without a vote does not stand.
func (t *transport) estate(leader raft.ServerID) (turn int, others []raft.Server, gone bool) {
	turn = -1
	for _, s := range t.raft.Load().GetConfiguration().Configuration().Servers { // raft's own list, which others read: it stays as it is
		switch {
		case s.Suffrage != raft.Voter:
		case s.ID == t.self:
			turn = len(others)
		case s.ID == leader:
			gone = t.isGone(s)
		default:
			others = append(others, s)
		}
	}
	return turn, others, gone && turn >= 0
}

// isGone says whether every address of the server refuses connections.
func (t *transport) isGone(s raft.Server) bool {
	ctx, cancel := context.WithTimeout(t.streams.ctx, heirDials)
	defer cancel()
	for t.missing(s.ID) {
		addrs := t.streams.book.find(s.ID, s.Address)
		refused := 0
		for _, addr := range addrs {
			err := t.visit(ctx, addr, s.ID)
			if err == nil {
				return false
			}
			if errors.Is(err, syscall.ECONNREFUSED) {
				refused++
			}
		}
		if len(addrs) > 0 && refused == len(addrs) {
			return true
		}
		select {
		case <-time.After(heirAgain):
		case <-ctx.Done():
			return false
		}
	}
	return false
}

// hasQuorum says whether enough of the others are there to elect this server. They are all voters but this one and the one
// that has gone.
func (t *transport) hasQuorum(others []raft.Server) bool {
	ctx, cancel := context.WithTimeout(t.streams.ctx, heirDials)
	defer cancel()
	there := make(chan bool, len(others))
	for _, s := range others {
		go func() {
			reached := false
			for _, addr := range t.streams.book.find(s.ID, s.Address) {
				reached = reached || t.visit(ctx, addr, s.ID) == nil
			}
			there <- reached
		}()
	}
	missing := (len(others) + 2) / 2 // to a majority of them all, with this one
	for range others {
		if <-there {
			missing--
		}
	}
	return missing <= 0
}

// visit connects to the server, and no more.
func (t *transport) visit(ctx context.Context, addr string, id raft.ServerID) error {
	c, err := t.streams.dial(ctx, addr, id)
	if err != nil {
		return err
	}
	return c.Close()
}
