package controller

import (
	"context"
	"slices"
	"time"

	"chronik/metalog/image"
)

// chores is what the controller does now and then: leaders go back to the preferred replicas, and the metadata log gets
// the voters that it should have.
type chores struct {
	balance, voters time.Time // when each is due
	index           image.Index
}

const (
	// votersInterval is how often the log's members are looked at.
	votersInterval = time.Second

	// stabilization is how long a member must have kept up before it may vote: one that comes and goes would make the
	// quorum larger without helping to reach it.
	stabilization = 10 * time.Second

	// sinceAsked is what that is where an operator asks for the vote: as long as it takes to see whether it keeps up.
	sinceAsked = 2 * votersInterval

	// maxVoters is how many servers vote at most; each record waits for more than half of them.
	maxVoters = 5

	// maxPreferred bounds how many leaders move at once, as in Kafka.
	maxPreferred = 1000

	// voterChangeTimeout bounds a change of the log's members.
	voterChangeTimeout = 5 * time.Second
)

// chore does what is due, and says when more is.
func (c *Controller) chore(t *tenure, now time.Time) (next time.Time) {
	ch := &t.chores
	interval := time.Duration(c.o.Config().LeaderImbalanceCheckSeconds) * time.Second
	if ch.balance.IsZero() {
		ch.balance, ch.voters = now.Add(interval), now.Add(votersInterval)
	}
	if !now.Before(ch.balance) {
		ch.balance = now.Add(interval)
		c.rebalance(t.ctx)
	}
	if c.o.Voters == nil {
		return ch.balance
	}
	if !now.Before(ch.voters) {
		ch.voters = now.Add(votersInterval)
		t.goal.Store(int64(ch.index))
		ch.index = c.o.Log.Image().Index()
		c.tendVoters(t, now)
	}
	return earlier(ch.balance, ch.voters)
}

func (c *Controller) rebalance(ctx context.Context) {
	cfg := c.o.Config()
	if !cfg.AutoLeaderRebalance {
		return
	}
	recs := planPreferred(c.o.Log.Image(), cfg, maxPreferred)
	if len(recs) == 0 {
		return
	}
	if _, err := c.o.Log.Propose(ctx, fitting(recs, chunkBytes)...); err != nil && ctx.Err() == nil {
		c.o.Logger.Info("leaders did not go back to the preferred replicas; they will be tried again", "partitions", len(recs), "error", err)
	}
}

// tendVoters makes one change of the log's members, if one is called for.
func (c *Controller) tendVoters(t *tenure, now time.Time) {
	servers, err := c.o.Voters.Servers()
	if err != nil {
		return
	}
	servers = slices.DeleteFunc(servers, func(s Server) bool { return !s.Voter && c.retired.has(s.ID) })
	promote, remove := planVoters(servers, func(id image.BrokerID) bool { return c.keepsUp(t, id, now, stabilization) })
	ctx, cancel := context.WithTimeout(t.ctx, voterChangeTimeout)
	defer cancel()
	switch {
	case remove != "":
		err = c.o.Voters.RemoveServer(ctx, remove)
		c.o.Logger.Info("a server of the metadata log was replaced by another one of the same node", "server", remove, "error", err)
	case promote != "":
		err = c.o.Voters.Promote(ctx, promote)
		c.o.Logger.Info("a server of the metadata log becomes a voter", "server", promote, "error", err)
	}
}

// keepsUp says whether a broker lives, and has applied the log as it grew for so long.
func (c *Controller) keepsUp(t *tenure, id image.BrokerID, now time.Time, long time.Duration) bool {
	b, ok := c.o.Log.Image().Broker(id)
	if !ok || b.Fenced {
		return false
	}
	s := &t.sessions
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.of[id]
	return of != nil && of.epoch == b.Epoch && !of.current.IsZero() && now.Sub(of.current) >= long
}
