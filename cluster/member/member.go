// Package member finds the other nodes by gossip (hashicorp/memberlist, of which it is the only importer) and carries
// what each says of itself. It is a hint: gossip may be wrong, late, or said again by someone. It does not know who is
// alive for the cluster, which the controller decides, nor whether there is a cluster.
package member

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/memberlist"
)

const (
	firstPause    = time.Second // between attempts to reach the nodes to join; it doubles
	lastPause     = 10 * time.Second
	lookupTimeout = 5 * time.Second
	joinTimeout   = 3 * time.Second // for a node that does not answer
	spreadTimeout = time.Second     // for the last word, and for a change of what this node says of itself
	packetSize    = 1200            // fits IPv6's least MTU with what encryption and headers add
	reclaimTime   = time.Second     // after which a node that failed may come back with another address
)

// Options of Start.
type Options struct {
	Bind      string // address to listen on; "" is all
	Port      int    // TCP and UDP; 0 lets the system choose
	Advertise string // host or address that others are told; "" is Bind, or this machine's first private address
	Key       []byte // the cluster's key for gossip, 32 bytes: everything is encrypted by it
	Join      []string
	Self      Info
	Logger    *slog.Logger
}

// Members is this node's part in the gossip. All methods may be called concurrently.
type Members struct {
	o       Options
	log     *slog.Logger
	list    *memberlist.Memberlist
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup
	changed chan struct{}
	lost    chan struct{}
	renew   chan struct{}
	close   func() error

	mu     sync.Mutex      // is taken inside memberlist's own locks: nothing of memberlist is called with it
	self   Info            // guarded by mu
	others map[string]seen // by name; guarded by mu
	own    string          // where this node's own gossip comes from, and its port; guarded by mu
	port   int             // guarded by mu
	clash  time.Time       // when a conflict was last logged; guarded by mu
	failed []string        // of Join, what the last round did not reach, and why; guarded by mu
}

// seen is another node, and where its gossip comes from.
type seen struct {
	Info
	from string
}

// Start listens and begins to look for the nodes to join, which goes on for ever in the background: they may come later,
// go, and come back under other addresses.
func Start(o Options) (*Members, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if len(o.Key) != 32 {
		return nil, fmt.Errorf("gossip: the key has %d bytes, not 32", len(o.Key))
	}
	if err := o.Self.check(); err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	m := &Members{
		o: o, log: o.Logger, self: o.Self, others: map[string]seen{},
		changed: make(chan struct{}, 1), lost: make(chan struct{}, 1), renew: make(chan struct{}, 1),
	}
	m.ctx, m.stop = context.WithCancel(context.Background())
	config, err := m.config()
	if err == nil {
		m.list, err = memberlist.Create(config)
	}
	if err != nil {
		m.stop()
		return nil, fmt.Errorf("gossip: %w", err)
	}
	m.close = sync.OnceValue(m.leave)
	m.running.Go(m.look)
	m.running.Go(m.spread)
	return m, nil
}

func (m *Members) config() (*memberlist.Config, error) {
	c := memberlist.DefaultLANConfig()
	c.Name = m.o.Self.name()
	c.BindPort, c.AdvertisePort = m.o.Port, m.o.Port
	var err error
	if m.o.Bind != "" {
		if c.BindAddr, err = lookup(m.o.Bind); err != nil {
			return nil, err
		}
	}
	if m.o.Advertise != "" {
		if c.AdvertiseAddr, err = lookup(m.o.Advertise); err != nil {
			return nil, err
		}
	}
	c.SecretKey = m.o.Key
	c.GossipVerifyIncoming, c.GossipVerifyOutgoing = true, true
	c.UDPBufferSize = packetSize
	c.TCPTimeout = joinTimeout
	c.DeadNodeReclaimTime = reclaimTime
	c.Logger = log.New(&lines{to: m.log, over: m.ctx}, "", 0)
	c.Delegate, c.Events, c.Alive, c.Conflict = delegate{m}, events{m}, m, m
	return c, nil
}

// lookup returns an address of host, as memberlist wants it.
func lookup(host string) (string, error) {
	if ip := net.ParseIP(host); ip != nil {
		return host, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	ips, err := net.DefaultResolver.LookupIP(ctx, "ip", host)
	if err != nil {
		return "", err
	}
	return ips[0].String(), nil
}

// Port is the one that gossip listens on.
func (m *Members) Port() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.port
}

// List is the other nodes that are believed to be there, by node id. Nodes of another cluster are not among them.
func (m *Members) List() []Info {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]Info, 0, len(m.others))
	for _, o := range m.others {
		if m.ours(o.Info) {
			list = append(list, o.Info)
		}
	}
	slices.SortFunc(list, func(a, b Info) int { return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Server, b.Server)) })
	return list
}

// ours says whether a node could be of this one's cluster; the caller holds m.mu.
func (m *Members) ours(i Info) bool {
	return m.self.Cluster == uuid.Nil || i.Cluster == uuid.Nil || i.Cluster == m.self.Cluster
}

// Changed has a value when List may have changed since the last one was taken.
func (m *Members) Changed() <-chan struct{} { return m.changed }

// Update has the others told what this node says of itself from now on. Node and Incarnation stay as they are.
func (m *Members) Update(self Info) error {
	if err := self.check(); err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	m.mu.Lock()
	self.Node, self.Incarnation = m.self.Node, m.self.Incarnation
	m.self = self
	for _, o := range m.others {
		if !m.ours(o.Info) { // it was met before this node knew its own
			m.log.Warn("gossip: a node of another cluster is there, to which this node does not belong by its data directory",
				"node", o.Node, "address", o.Addr, "cluster", clusterName(o.Cluster), "own", clusterName(self.Cluster))
		}
	}
	m.mu.Unlock()
	hint(m.renew)
	hint(m.changed)
	return nil
}

// Close tells the others that this node goes and ends the gossip, in a few seconds at most.
func (m *Members) Close() error { return m.close() }

func (m *Members) leave() error {
	m.stop()
	m.running.Wait()
	if err := m.list.Leave(spreadTimeout); err != nil {
		m.log.Debug("gossip: the others may not know yet that this node goes", "error", err)
	}
	if err := m.list.Shutdown(); err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	return nil
}

// spread tells the others what has changed of this node.
func (m *Members) spread() {
	for {
		select {
		case <-m.renew:
			if err := m.list.UpdateNode(spreadTimeout); err != nil {
				m.log.Debug("gossip: a change of this node spreads slowly", "error", err)
			}
		case <-m.ctx.Done():
			return
		}
	}
}

// look goes on looking for the nodes to join.
func (m *Members) look() {
	pause := firstPause
	for m.ctx.Err() == nil {
		missing, failed := m.missing()
		for _, addr := range missing {
			if m.ctx.Err() != nil {
				return
			}
			if _, err := m.list.Join([]string{addr}); err != nil {
				m.log.Debug("gossip: not reached", "address", addr, "error", err)
				failed = append(failed, addr+" "+refusal(err))
			}
		}
		m.setFailed(failed)
		if len(missing) == 0 {
			pause = lastPause
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, lastPause)
		case <-m.lost:
			pause = firstPause
		case <-m.ctx.Done():
		}
	}
}

// missing is the addresses of nodes to join, as names resolve now, from which no known node comes; and the names that do
// not resolve, and why.
func (m *Members) missing() (list, unknown []string) {
	m.mu.Lock()
	known, port := map[string]bool{m.own: true}, m.port
	for o := range maps.Values(m.others) {
		known[o.from] = true
	}
	m.mu.Unlock()
	for _, target := range m.o.Join {
		addrs, err := resolve(m.ctx, target, port)
		if err != nil {
			m.log.Debug("gossip: a node to join is not found", "node", target, "error", err)
			unknown = append(unknown, fmt.Sprintf("%s is not found (%v)", target, err))
		}
		for _, a := range addrs {
			if !known[a] {
				known[a] = true
				list = append(list, a)
			}
		}
	}
	return list, unknown
}

// resolve makes host:port, or host alone, a list of addresses.
func resolve(ctx context.Context, target string, defaultPort int) ([]string, error) {
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		host, port = target, fmt.Sprint(defaultPort)
	}
	if host == "" {
		return nil, errors.New("no host")
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	ips, err := net.DefaultResolver.LookupIP(ctx, "ip", host)
	list := make([]string, 0, len(ips))
	for _, ip := range ips {
		list = append(list, net.JoinHostPort(ip.String(), port))
	}
	return list, err
}

// hint leaves a value in a channel of one.
func hint(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
