package controller

import (
	"context"
	"time"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// Quorum is the metadata log's members as the controller knows them. Applied is -1 and the times (ms since 1970) are -1
// of who has not been heard of.
type Quorum struct {
	Leader   image.BrokerID
	Epoch    uint64
	Index    image.Index
	Replicas []QuorumReplica
}

// QuorumReplica is one member; Directory is the incarnation of the broker of that node.
type QuorumReplica struct {
	Node                image.BrokerID
	Directory           [16]byte
	Voter               bool
	Applied             int64
	HeardAt, CaughtUpAt int64
}

// Quorum answers where the metadata log leads, NOT_CONTROLLER elsewhere.
func (c *Controller) Quorum() (q Quorum, err error) {
	t, img := c.tenure.Load(), c.o.Log.Image()
	q = Quorum{Leader: c.o.Self, Index: img.Index()}
	servers := []Server{{Node: c.o.Self, Voter: true}}
	if c.o.Voters != nil {
		if t == nil {
			return q, kerr.NotController
		}
		if servers, err = c.o.Voters.Servers(); err != nil {
			return q, err
		}
	}
	if t != nil {
		q.Epoch = t.term
		t.sessions.mu.Lock()
		defer t.sessions.mu.Unlock()
	}
	for _, s := range servers {
		r := QuorumReplica{Node: s.Node, Voter: s.Voter, Applied: -1, HeardAt: -1, CaughtUpAt: -1}
		if b, ok := img.Broker(s.Node); ok {
			r.Directory = b.Incarnation
		}
		if s.Node == c.o.Self {
			r.Applied, r.HeardAt = int64(img.Index()), time.Now().UnixMilli()
			r.CaughtUpAt = r.HeardAt
		} else if t != nil {
			t.sessions.describe(&r)
		}
		q.Replicas = append(q.Replicas, r)
	}
	return q, nil
}

// describe fills what is known by heartbeats. It needs mu.
func (s *sessions) describe(r *QuorumReplica) {
	of := s.of[r.Node]
	if of == nil || of.offset == 0 {
		return
	}
	r.Applied, r.HeardAt = of.offset, of.heard.UnixMilli()
	if !of.current.IsZero() {
		r.CaughtUpAt = r.HeardAt
	}
}

// UnregisterBroker forgets a broker that is fenced, and its server of the metadata log. BROKER_ID_NOT_REGISTERED,
// INVALID_REQUEST for one that lives.
func (c *Controller) UnregisterBroker(ctx context.Context, id image.BrokerID) error {
	if err := c.take(ctx); err != nil {
		return err
	}
	defer c.release()
	b, ok := c.o.Log.Image().Broker(id)
	if ok {
		if _, err := c.o.Log.Propose(ctx, image.UnregisterBrokerRecord{ID: id, Epoch: b.Epoch}); err != nil {
			return err
		}
	}
	removed, err := c.removeServers(ctx, id)
	if err == nil && !ok && !removed { // an attempt before this one may have come no further than the record
		return kerr.BrokerIDNotRegistered
	}
	return err
}

// removeServers takes the broker's servers out of the metadata log, and says whether there were any.
func (c *Controller) removeServers(ctx context.Context, id image.BrokerID) (any bool, err error) {
	if c.o.Voters == nil {
		return false, nil
	}
	servers, err := c.o.Voters.Servers()
	for _, s := range servers {
		if err == nil && s.Node == id {
			any, err = true, c.o.Voters.RemoveServer(ctx, s.ID)
		}
	}
	return any, err
}
