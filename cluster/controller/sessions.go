package controller

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// sessions is who was heard of when, as the leading controller knows it. They begin with its tenure: a broker that the
// last controller heard of a moment ago has a full session to find the new one.
type sessions struct {
	mu     sync.Mutex // guards all below
	of     map[image.BrokerID]*session
	passed chan struct{} // closed and replaced whenever the controller has acted
}

// session is what the controller knows of one registration of a broker.
type session struct {
	epoch        int64
	heard        time.Time
	offset       int64     // the newest metadata that it has applied
	current      time.Time // since when it has applied what is a moment old; zero: it has not
	wantFence    bool
	wantShutdown bool
	mayShutdown  bool // there is nothing left that another broker could lead
	refused      bool // nobody listens where it should
	probing      bool
	missed       bool // it is to be looked for before it has been silent for long
}

// Heartbeat answers key 63 where the metadata log leads, NOT_CONTROLLER elsewhere: BROKER_ID_NOT_REGISTERED,
// STALE_BROKER_EPOCH. It waits a little for what the broker asks for, to be fenced no more or to shut down: until the
// controller has acted on it, or ctx ends.
func (c *Controller) Heartbeat(ctx context.Context, rq *kmsg.BrokerHeartbeatRequest) *kmsg.BrokerHeartbeatResponse {
	resp := rq.ResponseKind().(*kmsg.BrokerHeartbeatResponse)
	ctx, cancel := context.WithTimeout(ctx, c.sessionTimeout()/3)
	defer cancel()
	if err := c.heard(rq); err != nil {
		resp.ErrorCode = int16(kerr.Of(err))
		return resp
	}
	for {
		passed, done := c.status(rq, resp)
		if done || resp.ErrorCode != 0 {
			return resp
		}
		select {
		case <-passed:
		case <-ctx.Done():
			return resp
		}
	}
}

// heard notes a heartbeat, and has the controller act when it asks for something.
func (c *Controller) heard(rq *kmsg.BrokerHeartbeatRequest) error {
	t := c.tenure.Load()
	if t == nil {
		return kerr.NotController
	}
	b, err := registered(c.o.Log.Image(), rq)
	if err != nil {
		return err
	}
	s := &t.sessions
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.get(b, time.Now())
	of.heard, of.refused = time.Now(), false
	of.offset = max(of.offset, rq.CurrentMetadataOffset)
	of.wantFence, of.wantShutdown = rq.WantFence, of.wantShutdown || rq.WantShutdown
	if of.offset < t.goal.Load() {
		of.current = time.Time{}
	} else if of.current.IsZero() {
		of.current = of.heard
	}
	if b.Fenced && !of.wantFence && of.offset >= b.Epoch || of.wantFence && !b.Fenced || of.wantShutdown && !of.mayShutdown {
		t.poke()
	}
	return nil
}

func registered(img *image.Image, rq *kmsg.BrokerHeartbeatRequest) (*image.Broker, error) {
	b, ok := img.Broker(image.BrokerID(rq.BrokerID))
	switch {
	case !ok:
		return nil, kerr.BrokerIDNotRegistered
	case b.Epoch != rq.BrokerEpoch:
		return nil, kerr.StaleBrokerEpoch
	}
	return b, nil
}

// status fills the answer, says whether it is what the broker waits for, and gives what to wait on if not.
func (c *Controller) status(rq *kmsg.BrokerHeartbeatRequest, resp *kmsg.BrokerHeartbeatResponse) (passed <-chan struct{}, done bool) {
	t := c.tenure.Load()
	if t == nil {
		resp.ErrorCode = int16(kerr.NotController)
		return nil, true
	}
	s := &t.sessions
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := registered(c.o.Log.Image(), rq)
	if err != nil {
		resp.ErrorCode = int16(kerr.Of(err))
		return nil, true
	}
	of := s.get(b, time.Now())
	resp.IsCaughtUp, resp.IsFenced = of.offset >= b.Epoch, b.Fenced
	resp.ShouldShutdown = of.mayShutdown
	switch {
	case of.wantShutdown:
		done = of.mayShutdown
	case of.wantFence:
		done = b.Fenced
	default:
		done = !b.Fenced || !resp.IsCaughtUp
	}
	return s.passed, done
}

// get is the session of b's registration, begun now if there is none. It needs mu.
func (s *sessions) get(b *image.Broker, now time.Time) *session {
	of := s.of[b.ID]
	if of == nil || of.epoch != b.Epoch {
		of = &session{epoch: b.Epoch, heard: now}
		s.of[b.ID] = of
	}
	return of
}

// forgive moves every session by the time that this process did not run: nobody could be heard of in it.
func (s *sessions) forgive(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range s.of {
		of.heard = of.heard.Add(d)
	}
}

func (s *sessions) pass() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.passed)
	s.passed = make(chan struct{})
}

// sessionTimeout is broker.session.timeout.ms.
func (c *Controller) sessionTimeout() time.Duration {
	return time.Duration(c.o.Config().BrokerSessionTimeoutMs) * time.Millisecond
}

// silence is after what time of silence a broker is looked for. Half a session is several heartbeats.
func (c *Controller) silence() time.Duration {
	return min(2*time.Duration(c.o.Config().BrokerHeartbeatIntervalMs)*time.Millisecond, c.sessionTimeout()/2)
}

// Missed is told when the metadata log's leader gets no answer from a broker: it is looked for at once.
func (c *Controller) Missed(id image.BrokerID) {
	t := c.tenure.Load()
	if t == nil {
		return
	}
	s := &t.sessions
	s.mu.Lock()
	defer s.mu.Unlock()
	if of := s.of[id]; of != nil {
		of.missed = true
		t.poke()
	}
}

// probe tries to connect to a silent broker. Where nobody listens nobody lives, and the session ends at once; anything
// else says nothing, and it runs on.
func (c *Controller) probe(t *tenure, b *image.Broker) {
	ctx, cancel := context.WithTimeout(t.ctx, c.sessionTimeout()/3)
	defer cancel()
	begun := time.Now()
	gone := c.hasGone(ctx, b)
	s := &t.sessions
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.of[b.ID]
	if of == nil || of.epoch != b.Epoch {
		return
	}
	of.probing = false
	if gone && !of.heard.After(begun) { // else it lives since
		of.refused = true
		t.poke()
	}
}

// probeAgain is between two attempts: a process that is ending may have its port open for a little longer.
const probeAgain = 20 * time.Millisecond

// hasGone says whether nobody listens where the broker should.
func (c *Controller) hasGone(ctx context.Context, b *image.Broker) bool {
	for {
		err := c.o.Probe(ctx, b)
		if err == nil || errors.Is(err, syscall.ECONNREFUSED) {
			return err != nil
		}
		select {
		case <-time.After(probeAgain):
		case <-ctx.Done():
			return false
		}
	}
}
