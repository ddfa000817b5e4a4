package metalog

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"syscall"
)

// fabric is a network in memory between nodes, which can be cut.
type fabric struct {
	mu    sync.Mutex
	ports map[string]*port
	cut   map[[2]string]bool // from, to
	pairs map[*link]bool
}

func newFabric() *fabric {
	return &fabric{ports: map[string]*port{}, cut: map[[2]string]bool{}, pairs: map[*link]bool{}}
}

// port is a node's Network.
type port struct {
	of        *fabric
	addr      string
	mu        sync.Mutex
	listeners map[string]*listener
}

func (f *fabric) port(addr string) *port {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &port{of: f, addr: addr, listeners: map[string]*listener{}}
	f.ports[addr] = p
	return p
}

// link is a connection, with what is on its way in buffers as the kernel has them.
type link struct {
	net.Conn
	from, to string
	of       *fabric
}

func (l *link) Close() error {
	l.of.mu.Lock()
	delete(l.of.pairs, l)
	l.of.mu.Unlock()
	return l.Conn.Close()
}

func (p *port) Addr() string { return p.addr }

func (p *port) Listen(stream string) net.Listener {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := &listener{addr: p.addr, conns: make(chan net.Conn, 16), closed: make(chan struct{})}
	p.listeners[stream] = l
	return l
}

func (p *port) Dial(_ context.Context, addr, stream string) (net.Conn, error) {
	p.of.mu.Lock()
	to, ok := p.of.ports[addr]
	cut := p.of.cut[[2]string{p.addr, addr}]
	p.of.mu.Unlock()
	if !ok || cut {
		return nil, syscall.ECONNREFUSED
	}
	to.mu.Lock()
	l := to.listeners[stream]
	to.mu.Unlock()
	if l == nil {
		return nil, syscall.ECONNREFUSED
	}
	select {
	case <-l.closed:
		return nil, syscall.ECONNREFUSED
	default:
	}
	here, there, err := socketPair()
	if err != nil {
		return nil, err
	}
	a, b := &link{here, p.addr, addr, p.of}, &link{there, p.addr, addr, p.of}
	p.of.mu.Lock()
	p.of.pairs[a], p.of.pairs[b] = true, true
	cut = p.of.cut[[2]string{p.addr, addr}] // it may have been cut since, and then nobody has ended this connection
	p.of.mu.Unlock()
	if cut {
		return nil, errors.Join(syscall.ECONNREFUSED, a.Close(), b.Close())
	}
	select {
	case l.conns <- b:
		select {
		case <-l.closed: // nobody may take it out again
			_ = l.Close()
		default:
		}
		return a, nil
	case <-l.closed:
		return nil, errors.Join(syscall.ECONNREFUSED, a.Close(), b.Close())
	}
}

// isolate cuts a node off: its connections end, and no others come.
func (f *fabric) isolate(addr string, cut bool) {
	f.mu.Lock()
	for other := range f.ports {
		if other != addr {
			f.cut[[2]string{addr, other}], f.cut[[2]string{other, addr}] = cut, cut
		}
	}
	var ended []*link
	for l := range f.pairs {
		if cut && (l.from == addr || l.to == addr) {
			ended = append(ended, l)
		}
	}
	f.mu.Unlock()
	for _, l := range ended {
		_ = l.Close() // it may have been closed
	}
}

// hangUp ends all connections; others can be opened.
func (f *fabric) hangUp() {
	f.mu.Lock()
	pairs := slices.Collect(maps.Keys(f.pairs))
	f.mu.Unlock()
	for _, l := range pairs {
		_ = l.Close() // it may have been closed
	}
}

// socketPair is a connection over loopback: in-memory pipes have no buffer, and writers would wait for readers.
func socketPair() (a, b net.Conn, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		return nil, nil, err
	}
	b, err = l.Accept()
	return a, b, err
}

type listener struct {
	addr   string
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	for {
		select {
		case c := <-l.conns:
			_ = c.Close()
		default:
			return nil
		}
	}
}

func (l *listener) Addr() net.Addr { return serverName(l.addr) }
