package metalog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// Server is a member of the Raft cluster.
type Server struct {
	ID    string // of its directory: a new disk is another server
	Node  image.BrokerID
	Addr  string // host:port
	Voter bool
}

// changeTimeout bounds a change of the servers whose ctx does not.
const changeTimeout = 10 * time.Second

// Self is this server. Voter says whether it has a vote now.
func (l *Log) Self() Server {
	s := Server{ID: string(l.identity.serverID()), Node: l.identity.node, Addr: string(l.identity.serverID())}
	if l.net != nil {
		s.Addr = l.net.Addr()
	}
	for _, other := range l.raft.GetConfiguration().Configuration().Servers {
		s.Voter = s.Voter || string(other.ID) == s.ID && other.Suffrage == raft.Voter
	}
	return s
}

// Servers is Raft's newest configuration as this node knows it; it may not be committed yet.
func (l *Log) Servers() ([]Server, error) {
	if err := l.failure.err(); err != nil {
		return nil, err
	}
	var all []Server
	for _, s := range l.raft.GetConfiguration().Configuration().Servers {
		all = append(all, Server{string(s.ID), brokerOf(s.ID), string(s.Address), s.Suffrage == raft.Voter})
	}
	return all, nil
}

// Hint says where a server may be found, for when neither the image nor Raft's configuration knows better.
func (l *Log) Hint(id, addr string) {
	if l.book != nil {
		l.book.hear(raft.ServerID(id), addr)
	}
}

// AddServer has a server sent the log, without a vote. One that is there already gets the new address and keeps its vote.
// Another server of the same node is removed first; another node's at the same address stays, and is looked for where its
// broker is registered or where it says that it is. If that other server still answers, nothing is changed: then two nodes
// have one id, or one address (kerr.DuplicateBrokerRegistration). As all changes of the servers it works only where the log
// is led (kerr.NotController).
func (l *Log) AddServer(ctx context.Context, s Server) error {
	if s.Node == image.NoBroker || s.Node != brokerOf(raft.ServerID(s.ID)) || s.Addr == "" {
		return kerr.Detail(kerr.InvalidRequest, "%q at %q is no server of node %d", s.ID, s.Addr, s.Node)
	}
	return l.change(ctx, func(ctx context.Context, now []raft.Server) error {
		var gone, moved []raft.Server
		for _, old := range now {
			switch {
			case string(old.ID) == s.ID && string(old.Address) == s.Addr:
				return nil
			case string(old.ID) == s.ID:
			case brokerOf(old.ID) == s.Node:
				if l.answers(old) {
					return kerr.Detail(kerr.DuplicateBrokerRegistration, "server %s, which still answers, has the node id of server %s at %s", old.ID, s.ID, s.Addr)
				}
				gone = append(gone, old)
			case string(old.Address) == s.Addr:
				if l.answersAt(ctx, old.ID, s.Addr) {
					return kerr.Detail(kerr.DuplicateBrokerRegistration, "server %s still answers at %s, the address of server %s", old.ID, s.Addr, s.ID)
				}
				moved = append(moved, old)
			}
		}
		if err := l.giveWayTo(ctx, s, gone, moved); err != nil {
			return err
		}
		l.Hint(s.ID, s.Addr)
		return l.request(ctx, func(prev uint64, timeout time.Duration) raft.IndexFuture {
			return l.raft.AddNonvoter(raft.ServerID(s.ID), raft.ServerAddress(s.Addr), prev, timeout)
		})
	})
}

// answers says whether a server is there, wherever that may be.
func (l *Log) answers(s raft.Server) bool {
	if s.ID == l.identity.serverID() || l.link == nil {
		return true
	}
	return answered(l.link.streams.Dial(target(s.ID, s.Address), rpcTimeout))
}

// answersAt says whether the server is at that address.
func (l *Log) answersAt(ctx context.Context, id raft.ServerID, addr string) bool {
	if id == l.identity.serverID() || l.link == nil {
		return l.Self().Addr == addr
	}
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	return answered(l.link.streams.dial(ctx, addr, id))
}

func answered(c net.Conn, err error) bool {
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

// giveWayTo removes the servers of the same node, which are gone, and takes the address from those of other nodes, which
// have moved or will be elsewhere: Raft has no two servers at one. A server whose address is its id is found by the other
// ways of book.find.
func (l *Log) giveWayTo(ctx context.Context, s Server, gone, moved []raft.Server) error {
	for _, old := range gone {
		l.logger.Warn("metalog: a server is replaced", "node", s.Node, "old", old.ID, "new", s.ID)
		err := l.request(ctx, func(prev uint64, timeout time.Duration) raft.IndexFuture {
			return l.raft.RemoveServer(old.ID, prev, timeout)
		})
		if err != nil {
			return err
		}
	}
	for _, old := range moved {
		l.logger.Warn("metalog: another server is now where one was", "address", s.Addr, "old", old.ID, "new", s.ID)
		err := l.request(ctx, func(prev uint64, timeout time.Duration) raft.IndexFuture {
			return l.raft.AddNonvoter(old.ID, raft.ServerAddress(old.ID), prev, timeout) // a voter keeps its vote
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Promote gives a server a vote. It should have the whole log by then: every vote is counted from the next entry on.
func (l *Log) Promote(ctx context.Context, id string) error {
	return l.changeOf(ctx, id, func(s raft.Server, prev uint64, timeout time.Duration) raft.IndexFuture {
		if s.Suffrage == raft.Voter {
			return nil
		}
		return l.raft.AddVoter(s.ID, s.Address, prev, timeout)
	})
}

// Demote takes a server's vote.
func (l *Log) Demote(ctx context.Context, id string) error {
	if err := l.mayLeave(id); err != nil {
		return err
	}
	return l.changeOf(ctx, id, func(s raft.Server, prev uint64, timeout time.Duration) raft.IndexFuture {
		if s.Suffrage != raft.Voter {
			return nil
		}
		return l.raft.DemoteVoter(s.ID, prev, timeout)
	})
}

// RemoveServer ends a server's part in the log. The one that leads must hand over first. One that is not there is no error.
func (l *Log) RemoveServer(ctx context.Context, id string) error {
	if err := l.mayLeave(id); err != nil {
		return err
	}
	err := l.changeOf(ctx, id, func(s raft.Server, prev uint64, timeout time.Duration) raft.IndexFuture {
		return l.raft.RemoveServer(s.ID, prev, timeout)
	})
	if errors.Is(err, kerr.VoterNotFound) {
		return nil
	}
	return err
}

// mayLeave refuses to have a leader take its own vote: who leads without one commits by the others' votes alone.
func (l *Log) mayLeave(id string) error {
	if id == string(l.identity.serverID()) && l.lead.leads() {
		return kerr.Detail(kerr.InvalidRequest, "server %s leads the metadata log: another must lead first", id)
	}
	return nil
}

// changeOf changes one server that is there; a nil future says that there is nothing to change.
func (l *Log) changeOf(ctx context.Context, id string, request func(raft.Server, uint64, time.Duration) raft.IndexFuture) error {
	return l.change(ctx, func(ctx context.Context, now []raft.Server) error {
		i := slices.IndexFunc(now, func(s raft.Server) bool { return string(s.ID) == id })
		if i < 0 {
			return kerr.Detail(kerr.VoterNotFound, "no server %s takes part in the metadata log", id)
		}
		return l.request(ctx, func(prev uint64, timeout time.Duration) raft.IndexFuture {
			return request(now[i], prev, timeout)
		})
	})
}

// change runs one change of the servers at a time.
func (l *Log) change(ctx context.Context, fn func(ctx context.Context, now []raft.Server) error) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	select {
	case l.changing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-l.changing }()
	if !l.lead.leads() {
		return kerr.NotController
	}
	return fn(ctx, l.raft.GetConfiguration().Configuration().Servers)
}

// request has raft change its configuration, if nobody has since the one that this node's FSM saw last.
func (l *Log) request(ctx context.Context, change func(prev uint64, timeout time.Duration) raft.IndexFuture) error {
	timeout := changeTimeout
	if end, ok := ctx.Deadline(); ok {
		timeout = max(time.Until(end), time.Millisecond)
	}
	future := change(l.fsm.servers.Load(), timeout)
	if future == nil {
		return nil
	}
	err := l.failure.await(future.Error)
	switch {
	case err == nil:
		l.retime()
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return kerr.NotController
	}
	return fmt.Errorf("change the servers of the metadata log: %w", err)
}

// Handover makes another voter lead, when this node does and there is one. It returns when this node leads no more.
func (l *Log) Handover(ctx context.Context) error {
	for turn := 0; l.lead.leads() && l.otherVoters(); turn++ {
		err := l.failure.await(l.transfer(turn).Error)
		if err == nil || !l.lead.leads() {
			return nil
		}
		again := time.NewTimer(retryAfter)
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("hand over the metadata log: %w", errors.Join(err, ctx.Err()))
		case <-l.failure.happened:
			return l.failure.err()
		}
		again.Stop()
	}
	return nil
}

// transfer asks raft, which knows who has most of the log and not who is gone: first, and while no voter is silent, for its own
// choice, and else for one after the other of those that answer.
func (l *Log) transfer(turn int) raft.Future {
	heirs, silent := l.heirs()
	if len(heirs) == 0 || turn == 0 && !silent {
		return l.raft.LeadershipTransfer()
	}
	to := heirs[turn%len(heirs)]
	return l.raft.LeadershipTransferToServer(to.ID, to.Address)
}

// heirs is the other voters that have answered a heartbeat lately, and whether there are some that have not.
func (l *Log) heirs() (heirs []raft.Server, silent bool) {
	for _, s := range l.raft.GetConfiguration().Configuration().Servers {
		switch {
		case s.Suffrage != raft.Voter || s.ID == l.identity.serverID():
		case l.link.heard(s.ID):
			heirs = append(heirs, s)
		default:
			silent = true
		}
	}
	return heirs, silent
}

func (l *Log) otherVoters() bool {
	return slices.ContainsFunc(l.raft.GetConfiguration().Configuration().Servers, func(s raft.Server) bool {
		return s.Suffrage == raft.Voter && s.ID != l.identity.serverID()
	})
}
