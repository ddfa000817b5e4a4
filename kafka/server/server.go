// Package server is the sockets: listeners, the order of responses, back-pressure, limits and the orderly end. It reads
// requests, hands them to a wire.Handler and writes what comes back; it does not know what any request means.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"chronik/kafka/wire"
	"chronik/wal/arena"
)

// Listener is one address to serve. Its name is what Kafka calls the listener name.
type Listener struct {
	Name   string
	Addr   string       // host:port; port 0 lets the system choose
	Socket net.Listener // instead of Addr: already open
}

// Options of New. What is left zero has the default that is named here.
type Options struct {
	Listeners       []Listener
	Handler         wire.Handler
	Pool            *arena.Pool
	MaxRequestBytes int           // socket.request.max.bytes; 100 MiB
	IdleTimeout     time.Duration // connections.max.idle.ms; 10 min, negative: a connection may be idle for ever
	SendBuffer      int           // socket.send.buffer.bytes; what the system gives, less for peers that are near
	ReceiveBuffer   int           // socket.receive.buffer.bytes; what the system gives
	Limits          func() Limits // asked for each new connection, since they may change; as many as the open files allow
	Rates           Rates         // of new connections; nil: any
	Logger          *slog.Logger
}

// Limits is how many connections there may be. The limit on open files counts besides them.
type Limits struct {
	Connections      int // max.connections
	ConnectionsPerIP int // max.connections.per.ip
}

const (
	defaultMaxRequest = 100 << 20
	defaultIdle       = 10 * time.Minute
)

// Server is open from New on and serves from Serve on. All methods may be called concurrently.
type Server struct {
	o       Options
	log     *slog.Logger
	served  func(key, version int16) bool
	listen  []*listener
	clock   clock
	guard   *guard
	load    load
	ends    chatter
	ctx     context.Context // ends when the begun requests are out of time
	cancel  context.CancelFunc
	taking  context.Context // ends when no more connections are accepted
	refuse  context.CancelFunc
	accepts sync.WaitGroup
	running sync.WaitGroup // the connections

	mu      sync.Mutex
	conns   map[*conn]struct{} // guarded by mu
	closing bool               // guarded by mu; set before the listeners are closed, so that whoever finds one closed knows why
}

type listener struct {
	name string
	net.Listener
}

// New opens the listeners; connections wait in the system's queue until Serve.
func New(o Options) (*Server, error) {
	if o.MaxRequestBytes == 0 {
		o.MaxRequestBytes = defaultMaxRequest
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = defaultIdle
	}
	s := &Server{o: o, log: o.Logger, served: o.Handler.Served, conns: map[*conn]struct{}{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.clock.now.Store(1)
	s.guard = newGuard(o.Limits)
	s.load.frames.size, s.load.requests.size = o.Pool.Limit()/2, max(o.Pool.Limit()/2, modest)
	s.load.answers.size = o.Pool.Limit() / 4
	s.load.wide.Store(o.Pool.Limit() / 16 / wire.WideBuffer)
	if err := s.open(); err != nil {
		s.closeListeners()
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.taking, s.refuse = context.WithCancel(s.ctx)
	return s, nil
}

func (s *Server) open() error {
	for _, l := range s.o.Listeners {
		socket := l.Socket
		if socket == nil {
			var err error
			if socket, err = net.Listen("tcp", l.Addr); err != nil {
				return fmt.Errorf("listener %s: %w", l.Name, err)
			}
		}
		s.listen = append(s.listen, &listener{l.Name, socket})
	}
	return nil
}

// Addr is the address that the named listener is bound to, or nil.
func (s *Server) Addr(name string) net.Addr {
	for _, l := range s.listen {
		if l.name == name {
			return l.Addr()
		}
	}
	return nil
}

// Serve accepts connections until Shutdown, and returns when the last one is closed. It returns an error only when a
// listener fails for good; every connection is broken off then.
func (s *Server) Serve() error {
	failed := s.start()
	stop := make(chan struct{})
	var janitor sync.WaitGroup
	janitor.Go(func() { s.sweep(stop) })
	defer janitor.Wait()
	defer close(stop)

	var err error
	for e := range failed {
		if err == nil {
			err = e
			s.closeListeners()
		}
	}
	if err != nil {
		s.refuse()
		s.each(func(c *conn) { c.abort() })
	}
	s.running.Wait()
	return err
}

// start accepts on every listener; the channel carries what fails, and is closed when nothing is accepted any more.
func (s *Server) start() <-chan error {
	s.mu.Lock()
	defer s.mu.Unlock()
	failed := make(chan error, len(s.listen))
	if s.closing {
		close(failed)
		return failed
	}
	for _, l := range s.listen {
		s.accepts.Go(func() {
			if err := s.accept(l); err != nil {
				failed <- err
			}
		})
	}
	go func() {
		s.accepts.Wait()
		close(failed)
	}()
	return failed
}

// Shutdown stops accepting and reading, lets the requests that have begun finish and their responses leave, and closes
// the connections. When ctx ends first, the rest is broken off and ctx's error returned.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.refuse()
	s.closeListeners()
	s.accepts.Wait()
	s.each((*conn).drain)
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = ctx.Err()
		s.cancel()
		s.each(func(c *conn) { c.abort() })
		<-done
	}
	s.cancel()
	return err
}

// idleBy is the tick by which a connection that is idle from now on has been so for too long, 0 for never.
func (s *Server) idleBy() int64 {
	if s.o.IdleTimeout < 0 {
		return 0
	}
	return s.clock.after(int64(s.o.IdleTimeout / tickLength))
}

// Connections is the number of open connections.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (s *Server) closeListeners() {
	for _, l := range s.listen {
		l.Close()
	}
}

func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

func (s *Server) each(fn func(*conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		fn(c)
	}
}

// accept takes connections until the listener is closed. Running out of files, or a peer that has gone again, is no
// reason to stop.
func (s *Server) accept(l *listener) error {
	var pause time.Duration
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			s.admit(l, nc)
			s.awaitRate()
		case s.isClosing():
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("listener %s: %w", l.name, err)
		default:
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.log.Error("accept failed", "listener", l.name, "err", err, "pause", pause)
			select {
			case <-time.After(pause):
			case <-s.ctx.Done():
			}
		}
	}
}

func (s *Server) admit(l *listener, nc net.Conn) {
	peer := &wire.Peer{
		Listener: l.name, Remote: addrPort(nc.RemoteAddr()), Local: addrPort(nc.LocalAddr()),
		Principal: "User:ANONYMOUS",
	}
	if why := s.guard.enter(peer.Remote.Addr()); why != "" {
		nc.Close()
		if s.clock.every(&s.guard.logged, 1) {
			s.log.Warn("connection refused", "listener", l.name, "peer", peer.Remote, "reason", why)
		}
		return
	}
	if d := s.unserved(peer.Remote.Addr()); d > 0 {
		s.keepUnserved(nc, peer.Remote.Addr(), d)
		return
	}
	c := newConn(s, nc, peer)
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	s.running.Go(func() {
		c.serve()
		s.guard.leave(peer.Remote.Addr())
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	})
}

func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		ap := tcp.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}
