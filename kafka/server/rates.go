package server

import (
	"net"
	"net/netip"
	"time"
)

// Rates is asked for each new connection. It is called concurrently.
type Rates interface {
	Accepted() time.Duration                 // counts it; for so long no other one may be accepted
	Connected(from netip.Addr) time.Duration // 0, or for how long it is left unserved before it is closed
}

// awaitRate waits until the next connection may be accepted; those that come wait in the system's queue.
func (s *Server) awaitRate() {
	if s.o.Rates == nil {
		return
	}
	d := s.o.Rates.Accepted()
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.taking.Done():
	}
}

// unserved is for how long a connection from that address is to be left unserved: its peer opens too many.
func (s *Server) unserved(from netip.Addr) time.Duration {
	if s.o.Rates == nil {
		return 0
	}
	return s.o.Rates.Connected(from)
}

// keepUnserved closes a connection after a while: at once would have the peer come again at once (KIP-612).
func (s *Server) keepUnserved(nc net.Conn, from netip.Addr, d time.Duration) {
	s.running.Go(func() {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-s.taking.Done():
		}
		nc.Close()
		s.guard.leave(from)
	})
}

// silence has the peer's further requests wait: it was told to send none for so long (KIP-219).
func (c *conn) silence(d time.Duration) {
	until := time.Now().Add(d)
	for p := c.quiet.Load(); p == nil || p.Before(until); p = c.quiet.Load() {
		if c.quiet.CompareAndSwap(p, &until) {
			return
		}
	}
}

// awaitQuiet waits until the peer is heard again.
func (c *conn) awaitQuiet() error {
	for p := c.quiet.Load(); p != nil; p = c.quiet.Load() {
		d := time.Until(*p)
		if d <= 0 {
			c.quiet.CompareAndSwap(p, nil)
			continue
		}
		c.startBegun()
		c.blocked.Store(true)
		t := time.NewTimer(d)
		select {
		case <-t.C:
		case <-c.reading.Done():
		}
		t.Stop()
		c.blocked.Store(false)
		if err := c.reading.Err(); err != nil {
			return err
		}
	}
	return nil
}
