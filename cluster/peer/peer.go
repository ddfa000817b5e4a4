// Package peer is the internal port of a node: connections between the nodes of a cluster. Each begins with a hello by
// which both sides prove that they have the cluster's key and says which stream it is; what then flows is the stream's
// own. It does not know what the streams carry, nor which nodes there are. It keeps strangers out; it does not hide what
// is said from who can listen on the network.
package peer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"chronik/metalog/image"
)

// Join is the stream that nodes without a cluster may use too.
const Join = "join"

const (
	maxHandshakes = 256 // when one more comes, the oldest has to go
	acceptQueue   = 64  // connections a stream that nobody has accepted yet
	logPause      = time.Second
	defaultMost   = 100 << 20
)

// keepAlive finds out within 15 seconds that a machine has gone without a word.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2500 * time.Millisecond, Count: 4}

// Options of Listen.
type Options struct {
	Bind        string // host:port to listen on
	Advertise   string // host, or host:port, that others are told; "" is derived from the listener and the machine's name
	Key         []byte // the cluster's key for this port, KeySize bytes; see DeriveKey
	Node        image.BrokerID
	MaxResponse int     // of a Client, in bytes; 0: 100 MiB
	Network     Network // nil: TCP
	Logger      *slog.Logger
}

// Network is where the port is opened and others' are dialled. Its listeners have addresses of TCP; a dial to a host on
// which nobody listens is syscall.ECONNREFUSED.
type Network interface {
	Listen(ctx context.Context, addr string) (net.Listener, error)
	Dial(ctx context.Context, addr string) (net.Conn, error)
}

// tcp is the operating system's.
type tcp struct{}

func (tcp) Listen(ctx context.Context, addr string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: keepAlive}
	return lc.Listen(ctx, "tcp", addr)
}

func (tcp) Dial(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: keepAlive}
	return d.DialContext(ctx, "tcp", addr)
}

// Net is the open internal port. All methods may be called concurrently.
type Net struct {
	o       Options
	log     *slog.Logger
	socket  net.Listener
	addr    string
	silence time.Duration // see maxSilence
	cluster atomic.Pointer[uuid.UUID]
	running sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	streams   map[string]*stream   // guarded by mu
	greeting  []net.Conn           // handshakes under way, oldest first; guarded by mu
	loggedAt  time.Time            // guarded by mu
	unlogged  int                  // guarded by mu
	clients   map[*Client]struct{} // guarded by mu
	closeOnce func() error
}

// Listen opens the port. Connections are taken from now on; those of a stream that nobody listens to are refused.
func Listen(o Options) (*Net, error) {
	if len(o.Key) != KeySize {
		return nil, fmt.Errorf("the cluster key has %d bytes, not %d", len(o.Key), KeySize)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxResponse == 0 {
		o.MaxResponse = defaultMost
	}
	if o.Network == nil {
		o.Network = tcp{}
	}
	socket, err := o.Network.Listen(context.Background(), o.Bind)
	if err != nil {
		return nil, fmt.Errorf("internal port: %w", err)
	}
	n := &Net{o: o, log: o.Logger, socket: socket, silence: maxSilence, streams: map[string]*stream{}, clients: map[*Client]struct{}{}}
	if n.addr, err = advertised(o.Advertise, socket.Addr().(*net.TCPAddr)); err != nil {
		return nil, errors.Join(fmt.Errorf("internal port: %w", err), socket.Close())
	}
	n.cluster.Store(&uuid.Nil)
	n.closeOnce = sync.OnceValue(n.shut)
	n.running.Go(n.accept)
	return n, nil
}

// advertised is what others are told to dial.
func advertised(setting string, at *net.TCPAddr) (string, error) {
	port := strconv.Itoa(at.Port)
	if host, p, err := net.SplitHostPort(setting); err == nil && host != "" {
		if p == "0" || p == "" {
			p = port
		}
		return net.JoinHostPort(host, p), nil
	}
	if setting != "" {
		return net.JoinHostPort(setting, port), nil
	}
	if !at.IP.IsUnspecified() {
		return net.JoinHostPort(at.IP.String(), port), nil
	}
	name, err := os.Hostname()
	return net.JoinHostPort(name, port), err
}

// Addr is the host:port that other nodes are told.
func (n *Net) Addr() string { return n.addr }

// SetCluster says which cluster this node belongs to. Before that only the stream Join works.
func (n *Net) SetCluster(id uuid.UUID) { n.cluster.Store(&id) }

func (n *Net) self() who { return who{*n.cluster.Load(), n.o.Node} }

// Dial opens a connection to the node at addr. What it returns is the bare connection. See the errors of this package;
// a node whose process is not there is syscall.ECONNREFUSED.
func (n *Net) Dial(ctx context.Context, addr, stream string) (net.Conn, error) {
	if stream == "" || len(stream) > maxStream {
		return nil, fmt.Errorf("%q is no name of a stream", stream)
	}
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	nc, err := n.o.Network.Dial(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("%s to the node at %s: %w", stream, addr, err)
	}
	if err := n.greet(ctx, nc, stream); err != nil {
		nc.Close()
		return nil, fmt.Errorf("%s to the node at %s: %w", stream, addr, err)
	}
	return nc, nil
}

func (n *Net) greet(ctx context.Context, nc net.Conn, stream string) error {
	deadline, _ := ctx.Deadline()
	if err := nc.SetDeadline(deadline); err != nil {
		return err
	}
	broken := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	self := n.self()
	other, err := greet(nc, n.o.Key, hello{stream: stream, who: self})
	if !broken() && ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil && !fits(stream, self.cluster, other.cluster) {
		err = notOurs(other, self)
	}
	if err != nil {
		return err
	}
	return nc.SetDeadline(time.Time{})
}

// fits says whether nodes of these clusters may use the stream with each other.
func fits(stream string, a, b uuid.UUID) bool {
	if stream == Join && (a == uuid.Nil || b == uuid.Nil) {
		return true
	}
	return a == b && a != uuid.Nil
}

// Close ends everything: the listeners of the streams, connections that nobody has accepted, and the clients.
// Connections that were handed out belong to those who have them.
func (n *Net) Close() error { return n.closeOnce() }

func (n *Net) shut() error {
	err := n.socket.Close()
	n.mu.Lock()
	n.closed = true
	for _, nc := range n.greeting {
		nc.Close()
	}
	streams, clients := n.streams, n.clients
	n.streams, n.clients = nil, nil
	n.mu.Unlock()
	for _, s := range streams {
		s.shut()
		s.drain()
	}
	for c := range clients {
		c.shut()
	}
	n.running.Wait()
	return err
}
