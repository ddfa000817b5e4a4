package peer

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// accept takes connections until the socket is closed. That files run out, or a peer has gone again, is no reason to stop.
func (n *Net) accept() {
	var pause time.Duration
	for {
		nc, err := n.socket.Accept()
		switch {
		case err == nil:
			pause = 0
			if n.begin(nc) {
				n.running.Go(func() { n.welcome(nc) })
			}
		case errors.Is(err, net.ErrClosed):
			return
		default:
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			n.log.Error("internal port: accept failed", "error", err, "pause", pause)
			time.Sleep(pause)
		}
	}
}

// begin notes a handshake. So many strangers that say nothing are not to keep the cluster's nodes out: the oldest goes.
func (n *Net) begin(nc net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		nc.Close()
		return false
	}
	if len(n.greeting) >= maxHandshakes {
		n.greeting[0].Close()
		n.greeting = slices.Delete(n.greeting, 0, 1)
	}
	n.greeting = append(n.greeting, nc)
	return true
}

func (n *Net) ended(nc net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if i := slices.Index(n.greeting, nc); i >= 0 {
		n.greeting = slices.Delete(n.greeting, i, i+1)
	}
}

// welcome is the handshake with who has dialled.
func (n *Net) welcome(nc net.Conn) {
	defer n.ended(nc)
	if err := n.admit(nc); err != nil {
		nc.Close()
		n.refused(nc, err)
	}
}

func (n *Net) admit(nc net.Conn) error {
	if err := nc.SetDeadline(time.Now().Add(helloTimeout)); err != nil {
		return err
	}
	h, transcript, err := challenge(nc, n.o.Key)
	if err != nil {
		return err
	}
	self := n.self()
	v, s := n.judge(h, self)
	if v == welcome && !s.reserve() {
		v = busy
	}
	switch err = decide(nc, n.o.Key, transcript, v, self); {
	case err != nil:
	case v == wrongCluster && self.cluster == uuid.Nil:
		err = errTooEarly
	default:
		err = v.err()
	}
	if err == nil {
		err = nc.SetDeadline(time.Time{})
	}
	if v != welcome || err != nil {
		if v == welcome {
			s.giveBack()
		}
		return fmt.Errorf("stream %q of node %d in cluster %s: %w", h.stream, h.node, h.cluster, err)
	}
	s.put(nc)
	return nil
}

// judge says whether a peer that has the key is let in, and where to.
func (n *Net) judge(h hello, self who) (verdict, *stream) {
	if !fits(h.stream, h.cluster, self.cluster) {
		return wrongCluster, nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := n.streams[h.stream]; s != nil {
		return welcome, s
	}
	return noStream, nil
}

// errTooEarly is for this node's log.
var errTooEarly = errors.New("this node does not know yet which cluster it belongs to")

// refused logs a line a second at most: anyone who reaches the port can make it do so. That others call while this node starts, or
// stops, is as it should be.
func (n *Net) refused(nc net.Conn, why error) {
	if errors.Is(why, ErrNoStream) || errors.Is(why, errTooEarly) {
		n.log.Debug("internal port: connection refused", "peer", nc.RemoteAddr(), "reason", why)
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	if now := time.Now(); now.Sub(n.loggedAt) >= logPause {
		n.log.Warn("internal port: connection refused", "peer", nc.RemoteAddr(), "reason", why, "others_since", n.unlogged)
		n.loggedAt, n.unlogged = now, 0
	} else {
		n.unlogged++
	}
}

// stream is a net.Listener for the connections of one kind.
type stream struct {
	n      *Net
	name   string
	queue  chan net.Conn
	places chan struct{} // as many as queue has room: taken before a peer is told that it is welcome
	done   chan struct{}
	shut   func()
}

// Listen returns the connections that others open for the stream. One listener a stream: a second panics. A connection
// comes without deadlines, as the bare TCP connection.
func (n *Net) Listen(name string) net.Listener {
	s := &stream{n: n, name: name, queue: make(chan net.Conn, acceptQueue), places: make(chan struct{}, acceptQueue), done: make(chan struct{})}
	s.shut = sync.OnceFunc(func() { close(s.done) })
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.closed:
		s.shut()
	case n.streams[name] != nil:
		panic(fmt.Sprintf("peer: the stream %q has a listener", name))
	default:
		n.streams[name] = s
	}
	return s
}

func (s *stream) reserve() bool {
	select {
	case s.places <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s *stream) giveBack() { <-s.places }

// put hands over a connection, for which there is room. One that comes after the listener was closed is closed.
func (s *stream) put(nc net.Conn) {
	s.queue <- nc
	select {
	case <-s.done:
		s.drain()
	default:
	}
}

func (s *stream) drain() {
	for {
		select {
		case nc := <-s.queue:
			s.giveBack()
			nc.Close()
		default:
			return
		}
	}
}

// Accept implements net.Listener.
func (s *stream) Accept() (net.Conn, error) {
	select {
	case <-s.done:
		return nil, net.ErrClosed
	default:
	}
	select {
	case nc := <-s.queue:
		s.giveBack()
		return nc, nil
	case <-s.done:
		return nil, net.ErrClosed
	}
}

// Addr implements net.Listener.
func (s *stream) Addr() net.Addr { return s.n.socket.Addr() }

// Close implements net.Listener. Connections that nobody has accepted are closed; the stream may be listened to again.
func (s *stream) Close() error {
	s.n.mu.Lock()
	if s.n.streams[s.name] == s {
		delete(s.n.streams, s.name)
	}
	s.n.mu.Unlock()
	s.shut()
	s.drain()
	return nil
}
