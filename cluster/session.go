package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/peer"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// session is this broker's with the controller: heartbeats say that it lives, and each answer lets it lead for as long as
// the controller's own clock will. That clock starts when a heartbeat arrives and this one when it is sent, so this broker
// has stopped to lead before another one begins.
type session struct {
	node *Node
	ctx  context.Context // ends with the node
	stop context.CancelFunc
	runs sync.WaitGroup

	serves chan struct{} // closed when the broker is fenced no more for the first time
	once   sync.Once
	served atomic.Bool // it was let lead once

	mu      sync.Mutex // guards what follows
	epoch   int64      // of the registration
	leaving bool
	left    chan struct{} // closed when there is nothing left that another broker could lead
}

func (n *Node) newSession(epoch int64) *session {
	s := &session{node: n, epoch: epoch, serves: make(chan struct{}), left: make(chan struct{})}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// begin sends heartbeats until close.
func (s *session) begin() { s.runs.Go(s.run) }

func (s *session) close() {
	s.stop()
	s.runs.Wait()
}

func (s *session) run() {
	said := time.Time{}
	for {
		began := time.Now()
		if err := s.beat(); err != nil && s.ctx.Err() == nil && time.Since(said) > complainEvery {
			said = time.Now()
			s.node.logger.Warn("no answer to heartbeats to the controller; without one this broker serves nothing", "controller", s.node.Meta.Leader(), "error", err)
		}
		select {
		case <-time.After(time.Until(began.Add(s.every()))):
		case <-s.ctx.Done():
			return
		}
	}
}

// complainEvery is between lines about heartbeats that are not answered.
const complainEvery = 5 * time.Second

func (s *session) every() time.Duration {
	return Millis(int64(s.node.Settings.Broker().BrokerHeartbeatIntervalMs))
}

func (s *session) length() time.Duration {
	return Millis(int64(s.node.Settings.Broker().BrokerSessionTimeoutMs))
}

// beat sends one heartbeat and does what the answer says.
func (s *session) beat() error {
	ctx, cancel := context.WithTimeout(s.ctx, s.length())
	defer cancel()
	rq, sent := s.request(), time.Now()
	resp, err := s.node.heartbeat(ctx, rq)
	if err == nil && resp.ErrorCode != 0 {
		err = kerr.Code(resp.ErrorCode)
	}
	if errors.Is(err, kerr.StaleBrokerEpoch) || errors.Is(err, kerr.BrokerIDNotRegistered) {
		return s.again(ctx)
	}
	if err != nil {
		return err
	}
	if !resp.IsFenced {
		if err := s.serve(ctx, s.node.Replicas, s.node.Meta.Sync, sent.Add(s.length())); err != nil {
			return err
		}
	}
	if resp.ShouldShutdown {
		s.depart()
	}
	return nil
}

// leases is what a session needs of replica.Manager.
type leases interface {
	Serving() bool
	Serve(until time.Time)
}

// serve lets this broker lead until then. Where it could not until now, others may have led: the controller takes it back
// when it hears of it, and that answer overtakes the records that say who leads. So this broker catches up with those first;
// else it would serve, for a moment, what it led before.
func (s *session) serve(ctx context.Context, replicas leases, sync func(context.Context) error, until time.Time) error {
	if !s.served.Load() || !replicas.Serving() {
		if err := sync(ctx); err != nil {
			return fmt.Errorf("catch up before leading: %w", err)
		}
	}
	replicas.Serve(until)
	s.served.Store(true)
	s.once.Do(func() { close(s.serves) })
	return nil
}

func (s *session) request() *kmsg.BrokerHeartbeatRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	rq := kmsg.NewPtrBrokerHeartbeatRequest()
	rq.Version = 0
	rq.BrokerID, rq.BrokerEpoch = int32(s.node.ID), s.epoch
	rq.CurrentMetadataOffset = int64(s.node.Meta.Image().Index())
	rq.WantShutdown = s.leaving
	return rq
}

// again registers a broker anew that was unregistered, or whose registration was replaced by one that it does not know of
// because the answer was lost.
func (s *session) again(ctx context.Context) error {
	epoch, err := s.node.register(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch = epoch
	return nil
}

func (s *session) depart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.left:
	default:
		close(s.left)
	}
}

// leave asks to be relieved of everything that another broker can lead, and returns when that is done or ctx ends.
func (s *session) leave(ctx context.Context) error {
	s.mu.Lock()
	s.leaving = true
	s.mu.Unlock()
	for {
		if err := s.beat(); err != nil && s.ctx.Err() != nil {
			return err
		}
		select {
		case <-s.left:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(s.every() / 10):
		}
	}
}

// heartbeat is answered by whoever leads the metadata log.
func (n *Node) heartbeat(ctx context.Context, rq *kmsg.BrokerHeartbeatRequest) (*kmsg.BrokerHeartbeatResponse, error) {
	switch leader := n.Meta.Leader(); {
	case leader == n.ID:
		return n.Controller.Heartbeat(ctx, rq), nil
	case leader == image.NoBroker || n.peers == nil:
		return nil, kerr.NotController
	default:
		return n.peers.links.heartbeat(ctx, leader, rq)
	}
}

// Live returns when the other brokers and clients may use this one; until then its leaders refuse. The internal port must be
// served.
func (n *Node) Live(ctx context.Context) error {
	if n.session == nil {
		return nil
	}
	n.session.begin()
	select {
	case <-n.session.serves:
		return nil
	case <-n.Failed():
		return n.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Leave gives what this broker leads, and the metadata log's leadership, to others that can have it, while requests are
// still served: an orderly end that clients hardly notice. What is left when ctx ends stays.
func (n *Node) Leave(ctx context.Context) error {
	if n.session == nil {
		return nil
	}
	return errors.Join(n.session.leave(ctx), n.Meta.Handover(ctx))
}

// Internal is where the other brokers' requests come in, nil for a node alone.
func (n *Node) Internal() net.Listener {
	if n.peers == nil {
		return nil
	}
	return n.peers.net.Listen(peer.Kafka)
}

// Forward sends a client's request to the broker that controls; nil for a node alone, which does.
func (n *Node) Forward() func(context.Context, image.BrokerID, *kmsg.EnvelopeRequest) (*kmsg.EnvelopeResponse, error) {
	if n.peers == nil {
		return nil
	}
	return n.peers.links.Forward
}
