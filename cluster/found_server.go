package cluster

import (
	"log/slog"
	"time"

	"github.com/google/uuid"

	"chronik/cluster/member"
	"chronik/cluster/peer"
	"chronik/metalog"
	"chronik/metalog/image"
)

// server is a server of the metadata log's Raft.
type server = metalog.Server

var _ seat = (*metalog.Log)(nil)

// info is what this node says of itself in gossip.
func (w founders) info(s seat, incarnation uuid.UUID) member.Info {
	self := s.Self()
	if w.rejoins {
		w.expect = 0
	}
	i := member.Info{Node: self.Node, Expect: w.expect, Incarnation: incarnation, Server: self.ID, Addr: self.Addr}
	if s.Bootstrapped() {
		i.Expect, i.Cluster = 0, s.ClusterID()
	}
	return i
}

// newFounding puts founding on the internal port. locate finds a registered broker's internal address.
func newFounding(w founders, s seat, incarnation uuid.UUID, n *peer.Net, locate func(image.BrokerID) (string, bool), logger *slog.Logger) *founding {
	return &founding{
		founders: w, seat: s, incarnation: incarnation, locate: locate, ask: askOver(n), logger: logger, woken: make(chan struct{}, 1),
		gossip: func() []member.Info { return nil }, unreached: func() []string { return nil }, settle: n.SetCluster,
	}
}

// listenTo has founding hear what gossip says, and gossip told which cluster this node belongs to.
func (f *founding) listenTo(gossip *member.Members) {
	f.gossip, f.unreached = gossip.List, gossip.Unreached
	settle := f.settle
	f.settle = func(cluster uuid.UUID) {
		settle(cluster)
		if err := gossip.Update(f.info(f.seat, f.incarnation)); err != nil {
			f.logger.Warn("the other nodes are not told which cluster this node belongs to", "error", err)
		}
	}
}

// watchServers tells hint where gossip sees each server, until stop is closed: when all nodes have new addresses at once,
// nobody else knows. changed is gossip's. A node that was alone before it had a network learns the id of its cluster from
// its log, after found has returned; that is told here too.
func (f *founding) watchServers(stop, changed <-chan struct{}, hint func(id, addr string)) {
	for {
		for _, i := range f.gossip() {
			hint(i.Server, i.Addr)
		}
		var again <-chan time.Time
		if cluster := f.seat.ClusterID(); cluster == uuid.Nil {
			again = time.After(foundPause)
		} else if !f.settled.Load() {
			f.tell()
		}
		select {
		case <-changed:
		case <-again:
		case <-stop:
			return
		}
	}
}
