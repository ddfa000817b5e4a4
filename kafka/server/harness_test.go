package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/wire"
	"chronik/wal/arena"
)

// handlerFunc serves every version of every key that kmsg knows.
type handlerFunc func(ctx context.Context, rq *wire.Request) wire.Pending

func (h handlerFunc) Begin(ctx context.Context, rq *wire.Request) wire.Pending { return h(ctx, rq) }

func (h handlerFunc) Served(key, version int16) bool {
	rq := kmsg.RequestForKey(key)
	return rq != nil && version >= 0 && version <= rq.MaxVersion()
}

// echo answers at once, with an empty response of the right kind.
func echo(_ context.Context, rq *wire.Request) wire.Pending {
	return wire.Pending{Finish: func(_ context.Context, r *wire.Reply) error {
		r.Message(rq.Body.ResponseKind())
		return nil
	}}
}

// when answers as soon as ready is closed, or the context is done.
func when(rq *wire.Request, ready <-chan struct{}) wire.Pending {
	return wire.Pending{
		Ready: func() bool {
			select {
			case <-ready:
				return true
			default:
				return false
			}
		},
		Finish: func(ctx context.Context, r *wire.Reply) error {
			select {
			case <-ready:
			case <-ctx.Done():
				return ctx.Err()
			}
			r.Message(rq.Body.ResponseKind())
			return nil
		},
	}
}

// pipes is a listener whose connections are in memory, so that a test's clock can run ahead of them.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

func (p *pipes) dial(t *testing.T) *client {
	near, far := net.Pipe()
	p.conns <- far
	return &client{t: t, Conn: near}
}

// logged collects log lines; errors that a test did not ask for fail it.
type logged struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(b)
}

func (l *logged) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSpace(l.out.String()), "\n")
}

// harness is a running server with listeners of both kinds.
type harness struct {
	t     *testing.T
	s     *Server
	pipes *pipes
	log   *logged
	// panics is set by tests that want them.
	panics bool
	// Of the handler gated: what ends the wait, by correlation id, and how many requests have come.
	gates []chan struct{}
	begun int
}

// gated finishes a request when the test closes its gate.
func (x *harness) gated(_ context.Context, rq *wire.Request) wire.Pending {
	x.begun++
	return when(rq, x.gates[rq.CorrelationID])
}

// start serves h, or gated when it is nil.
func start(t *testing.T, h handlerFunc, change func(*Options)) *harness {
	t.Helper()
	x := &harness{t: t, pipes: newPipes(), log: &logged{}}
	for range 3 * maxBegun {
		x.gates = append(x.gates, make(chan struct{}))
	}
	if h == nil {
		h = x.gated
	}
	o := Options{
		Listeners: []Listener{{Name: "PIPE", Socket: x.pipes}},
		Handler:   h,
		Pool:      arena.New(64 << 20),
		Logger:    slog.New(slog.NewTextHandler(x.log, nil)),
	}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	x.s = s
	go func() {
		if err := s.Serve(); err != nil {
			t.Error(err)
		}
	}()
	return x
}

// tcp adds a loopback listener.
func tcp(o *Options) {
	o.Listeners = append(o.Listeners, Listener{Name: "TCP", Addr: "127.0.0.1:0"})
}

func (x *harness) dialTCP() *client {
	x.t.Helper()
	c, err := net.Dial("tcp", x.s.Addr("TCP").String())
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { c.Close() })
	return &client{t: x.t, Conn: c}
}

// stop ends the server; what it logged must hold no error but the test's own panics.
func (x *harness) stop() {
	x.t.Helper()
	if err := x.s.Shutdown(context.Background()); err != nil {
		x.t.Error(err)
	}
	for _, line := range x.log.lines() {
		if strings.Contains(line, "level=ERROR") && !x.panics {
			x.t.Error(line)
		}
	}
	if n := x.s.o.Pool.InUse(); n != 0 {
		x.t.Errorf("%d bytes of the pool are still held", n)
	}
	if n := x.wide(); n != 0 {
		x.t.Errorf("%d wide buffers are still held", n)
	}
}

// wide is how many connections have a wide buffer.
func (x *harness) wide() int64 { return x.s.o.Pool.Limit()/16/wire.WideBuffer - x.s.load.wide.Load() }

// bubble runs a test with a clock of its own; goroutines that are left at the end fail it.
func bubble(t *testing.T, h handlerFunc, change func(*Options), test func(t *testing.T, x *harness)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		x := start(t, h, change)
		test(t, x)
		x.stop()
	})
}

type client struct {
	t *testing.T
	net.Conn
}

func request(rq kmsg.Request, correlation int32) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, rq, correlation)
}

func heartbeat(correlation int32) []byte {
	rq := kmsg.NewPtrHeartbeatRequest()
	rq.Version = 4
	return request(rq, correlation)
}

// send writes without waiting for the server to read.
func (c *client) send(frames ...[]byte) {
	go c.Write(bytes.Join(frames, nil))
}

// receive reads one response and returns its correlation id and what follows.
func (c *client) receive() (int32, []byte) {
	c.t.Helper()
	id, body, err := c.tryReceive()
	if err != nil {
		c.t.Fatal(err)
	}
	return id, body
}

func (c *client) tryReceive() (int32, []byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return 0, nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		return 0, nil, err
	}
	return int32(binary.BigEndian.Uint32(b)), b[4:], nil
}

func (c *client) expect(correlations ...int32) {
	c.t.Helper()
	for _, want := range correlations {
		if got, _ := c.receive(); got != want {
			c.t.Fatalf("response to %d, want the one to %d", got, want)
		}
	}
}

// expectClosed fails when anything comes but the end.
func (c *client) expectClosed() {
	c.t.Helper()
	if b, err := io.ReadAll(c); len(b) > 0 {
		c.t.Errorf("%d bytes instead of the end: %x (%v)", len(b), b, err)
	}
}
