// Package sim runs whole nodes in one process with simulated time: what is real is everything but the network, the disk
// and the clock. See DESIGN.md.
package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"
)

// fabric is a network in memory, as TCP over packets shows it: what is sent arrives late, in order, or not before the path
// is whole again; connections end when nothing has got through for as long as keepalive waits.
type fabric struct {
	mu    sync.Mutex // guards what follows, the hosts, and what ends say of keepalive
	r     *rand.Rand
	hosts map[string]*host
	paths map[route]path
}

type route struct{ from, to string }

// path is how packets get from one host to another; the zero path loses none.
type path struct {
	cut  bool
	slow time.Duration // up to so much more than usual
}

const (
	usualDelay = 300 * time.Microsecond // of a packet, at most
	keepAlive  = 15 * time.Second       // after that silence a connection ends, as package peer has it
	resent     = 3 * time.Second        // within it a lost packet is sent again once the path is whole
	retryDial  = 250 * time.Millisecond // between the packets that ask for a connection
)

func newFabric(seed uint64) *fabric {
	return &fabric{r: rand.New(rand.NewPCG(seed, 2)), hosts: map[string]*host{}, paths: map[route]path{}}
}

// host is a machine with an address. It implements peer.Network for the process that runs there.
type host struct {
	of        *fabric
	addr      string
	off       bool
	listeners map[int]*listener
	ends      map[*end]struct{}
	port      int // the last one that was given out
}

func (f *fabric) host(addr string) *host {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := &host{of: f, addr: addr, listeners: map[int]*listener{}, ends: map[*end]struct{}{}, port: 30_000}
	f.hosts[addr] = h
	return h
}

// set changes a path. What is on its way when it is cut is lost, and sent again when it is whole.
func (f *fabric) set(from, to string, p path) {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.paths[route{from, to}]
	f.paths[route{from, to}] = p
	if was.cut != p.cut {
		f.changed(from, to)
		f.changed(to, from)
	}
}

// changed holds what is on its way or lets it go, and starts or stops keepalive's clock.
func (f *fabric) changed(from, to string) {
	for e := range f.hosts[from].ends {
		if e.remote.IP.String() == to {
			e.out.hold(f.blocked(from, to), time.Duration(f.r.Int64N(int64(resent))))
			e.watch()
		}
	}
}

func (f *fabric) blocked(from, to string) bool {
	return f.paths[route{from, to}].cut || f.hosts[from].off || f.hosts[to].off
}

// delay is of one packet.
func (f *fabric) delay(from, to string) time.Duration {
	d := 1 + f.r.Int64N(int64(usualDelay))
	if slow := f.paths[route{from, to}].slow; slow > 0 {
		d += f.r.Int64N(int64(slow))
	}
	return time.Duration(d)
}

// kill ends the process: the system closes what it had open.
func (h *host) kill() { h.end(false) }

// powerOff ends it without a word to anyone.
func (h *host) powerOff() { h.end(true) }

func (h *host) end(silent bool) {
	f := h.of
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range h.listeners {
		l.shut()
	}
	for e := range h.ends {
		e.abandon(silent)
	}
	h.ends, h.listeners = map[*end]struct{}{}, map[int]*listener{}
	if h.off = silent; silent {
		for addr := range f.hosts {
			f.changed(addr, h.addr)
		}
	}
}

// powerOn has the machine answer again: it knows nothing of the connections that others still have to it.
func (h *host) powerOn() {
	f := h.of
	f.mu.Lock()
	defer f.mu.Unlock()
	if !h.off {
		return
	}
	h.off = false
	for _, other := range f.hosts {
		for e := range other.ends {
			if e.remote.IP.String() == h.addr {
				time.AfterFunc(time.Duration(f.r.Int64N(int64(resent))), func() { e.breakOff(syscall.ECONNRESET) })
			}
		}
	}
}

func address(addr string) (*net.TCPAddr, error) {
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err == nil && (a.IP == nil || a.Port == 0) {
		err = fmt.Errorf("%s is no address with a port", addr)
	}
	return a, err
}

// Listen is peer.Network's.
func (h *host) Listen(_ context.Context, addr string) (net.Listener, error) {
	a, err := address(addr)
	if err != nil {
		return nil, err
	}
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	if h.listeners[a.Port] != nil {
		return nil, syscall.EADDRINUSE
	}
	l := &listener{of: h, addr: a, queue: make(chan net.Conn, 128), done: make(chan struct{})}
	h.listeners[a.Port] = l
	return l, nil
}

// Dial is peer.Network's.
func (h *host) Dial(ctx context.Context, addr string) (net.Conn, error) {
	to, err := address(addr)
	if err != nil {
		return nil, err
	}
	for {
		c, err := h.dial(to)
		if c != nil || err != nil {
			return c, err
		}
		select {
		case <-time.After(retryDial):
		case <-ctx.Done():
			return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: to, Err: ctx.Err()}
		}
	}
}

// dial returns nothing when nobody answers.
func (h *host) dial(to *net.TCPAddr) (net.Conn, error) {
	f := h.of
	f.mu.Lock()
	defer f.mu.Unlock()
	there := f.hosts[to.IP.String()]
	if h.off || there == nil || f.blocked(h.addr, there.addr) || f.blocked(there.addr, h.addr) {
		return nil, nil
	}
	refused := &net.OpError{Op: "dial", Net: "tcp", Addr: to, Err: syscall.ECONNREFUSED}
	l := there.listeners[to.Port]
	if l == nil {
		return nil, refused
	}
	h.port++
	a, b := newConnection(f, &net.TCPAddr{IP: net.ParseIP(h.addr), Port: h.port}, to)
	select {
	case l.queue <- b:
	default:
		return nil, refused
	}
	h.ends[a], there.ends[b] = struct{}{}, struct{}{}
	return a, nil
}

// listener is a port that a process has open.
type listener struct {
	of    *host
	addr  *net.TCPAddr
	queue chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.done:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) shut() { l.once.Do(func() { close(l.done) }) }

// Close ends the connections that nobody has accepted.
func (l *listener) Close() error {
	l.of.of.mu.Lock()
	if l.of.listeners[l.addr.Port] == l {
		delete(l.of.listeners, l.addr.Port)
	}
	l.of.of.mu.Unlock()
	l.shut()
	var err error
	for {
		select {
		case c := <-l.queue:
			err = errors.Join(err, c.Close())
		default:
			return err
		}
	}
}

func (l *listener) Addr() net.Addr { return l.addr }
