package controller

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// retired is the servers that an operator has taken the vote from: they do not get it back by themselves for as long as
// this node runs. Where another node controls they may: a voter that is to go for good is stopped and unregistered.
type retired struct {
	mu      sync.Mutex // guards servers
	servers map[string]bool
}

func (r *retired) set(id string, is bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.servers == nil {
		r.servers = map[string]bool{}
	}
	r.servers[id] = is
}

func (r *retired) has(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.servers[id]
}

// AddVoter answers key 80 (KIP-853): a node that follows the metadata log gets a vote. INCONSISTENT_CLUSTER_ID,
// DUPLICATE_VOTER, INVALID_REQUEST, NOT_CONTROLLER, and as in Kafka REQUEST_TIMED_OUT for a node that does not keep up: from
// its vote on it counts for the majority that every record needs, and with one that is gone there may be none any more.
// clusterID is zero when the client gave none.
func (c *Controller) AddVoter(ctx context.Context, clusterID uuid.UUID, rq *kmsg.AddRaftVoterRequest) error {
	return c.changeVoters(ctx, clusterID, func(servers []Server) error {
		s, err := planVoter(c.o.Log.Image(), servers, image.BrokerID(rq.VoterID), rq.VoterDirectoryID)
		if err != nil {
			return err
		}
		t := c.tenure.Load()
		switch {
		case t == nil:
			return kerr.NotController
		case !c.keepsUp(t, s.Node, time.Now(), sinceAsked):
			return kerr.Detail(kerr.RequestTimedOut, "Node %d has not kept up with the metadata log for %s.", s.Node, sinceAsked)
		}
		c.retired.set(s.ID, false)
		if err = c.o.Voters.Promote(ctx, s.ID); err == nil {
			c.o.Logger.Info("a server of the metadata log was made a voter on request", "server", s.ID)
		}
		return err
	})
}

// RemoveVoter answers key 81 (KIP-853): a voter goes on to follow the metadata log without a vote. INCONSISTENT_CLUSTER_ID,
// VOTER_NOT_FOUND, INVALID_REQUEST, NOT_CONTROLLER. Where it is this node, which leads, another one leads first, and is to
// be asked.
func (c *Controller) RemoveVoter(ctx context.Context, clusterID uuid.UUID, rq *kmsg.RemoveRaftVoterRequest) error {
	return c.changeVoters(ctx, clusterID, func(servers []Server) error {
		s, err := planNoVoter(c.o.Log.Image(), servers, image.BrokerID(rq.VoterID), rq.VoterDirectoryID)
		if err != nil {
			return err
		}
		if s.Node == c.o.Self {
			if err = c.o.Voters.Handover(ctx); err == nil {
				err = kerr.Detail(kerr.NotController, "Node %d led the metadata log and has handed it over: ask the controller again.", s.Node)
			}
			return err
		}
		c.retired.set(s.ID, true)
		if err = c.o.Voters.Demote(ctx, s.ID); err != nil {
			c.retired.set(s.ID, false)
			return err
		}
		c.o.Logger.Info("a server of the metadata log lost its vote on request", "server", s.ID)
		return nil
	})
}

// changeVoters runs change in its turn, with the servers that there are.
func (c *Controller) changeVoters(ctx context.Context, clusterID uuid.UUID, change func([]Server) error) error {
	if err := c.take(ctx); err != nil {
		return err
	}
	defer c.release()
	if is := c.o.Log.Image().ClusterID(); clusterID != uuid.Nil && clusterID != is {
		return kerr.InconsistentClusterID
	}
	servers := []Server{{Node: c.o.Self, Voter: true}}
	if c.o.Voters != nil {
		var err error
		if servers, err = c.o.Voters.Servers(); err != nil {
			return err
		}
	}
	return change(servers)
}

// UpdateFeatures answers key 57 (KIP-584, 778): all levels are finalised, or none. INVALID_UPDATE_VERSION, INVALID_REQUEST,
// NOT_CONTROLLER.
func (c *Controller) UpdateFeatures(ctx context.Context, rq *kmsg.UpdateFeaturesRequest) error {
	return c.carryOut(ctx, rq.ValidateOnly, 1, func(img *image.Image) planner {
		return func(int) ([]image.Record, error) { return planFeatures(img, rq) }
	})[0]
}
