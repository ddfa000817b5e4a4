package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"chronik/cluster/controller"
	"chronik/cluster/member"
	"chronik/cluster/peer"
	"chronik/metalog"
	"chronik/metalog/image"
)

// Peers is how a node meets the others of its cluster.
type Peers struct {
	Bind       string       // host:port of the internal port
	Advertise  string       // host that the others reach this node by; empty: Bind's, or the machine's name
	GossipBind string       // address
	GossipPort int          // negative: no gossip, and the nodes know each other by Voters alone
	Join       []string     // host or host:port of others' gossip
	Expect     int          // found a cluster of so many nodes; or
	Voters     []Voter      // found one of these nodes; or, without both, join one
	Key        string       // the secret that the nodes share
	Network    peer.Network // of the internal port; nil: TCP
}

// Voter is a node that founds a cluster, as the operator names it.
type Voter struct {
	Node image.BrokerID
	Addr string // host:port of its internal port
}

// peers is what a node has to do with the others of its cluster. A node alone has none.
type peers struct {
	logger  *slog.Logger
	net     *peer.Net
	members *member.Members // nil without gossip
	joins   net.Listener
	links   *links
	stop    chan struct{}
	tasks   []func() // that close waits for
}

// listenForPeers opens the internal port, before there is anything to say on it.
func listenForPeers(o Options) (*peers, error) {
	n, err := peer.Listen(peer.Options{
		Bind: o.Peers.Bind, Advertise: o.Peers.Advertise, Key: peer.DeriveKey(o.Peers.Key, peer.PurposePeer), Node: o.ID,
		Network: o.Peers.Network, Logger: o.Logger,
	})
	if err != nil {
		return nil, err
	}
	return &peers{logger: o.Logger, net: n, stop: make(chan struct{})}, nil
}

// meet finds the other nodes, founds a cluster with them or joins theirs unless this node belongs to one already, and
// returns when it knows what was agreed on there before now.
func (p *peers) meet(ctx context.Context, o Options, meta *metalog.Log, past *metalog.Run) error {
	if meta.Bootstrapped() {
		p.net.SetCluster(meta.ClusterID())
	}
	p.links = newLinks(p.net, meta.Image, o.Pool)
	configured, err := ParseClusterID(o.ClusterID)
	if err != nil {
		return err
	}
	w := founders{expect: o.Peers.Expect, voters: o.Peers.Voters, configured: configured, rejoins: past != nil}
	if past != nil && configured == uuid.Nil {
		w.configured = past.Cluster
	}
	f := newFounding(w, meta, meta.Incarnation(), p.net, p.links.locate, o.Logger)
	f.lastRun = p.links.lastRun
	var changed <-chan struct{}
	if o.Peers.GossipPort >= 0 {
		if err := p.startGossip(o, w.info(meta, meta.Incarnation())); err != nil {
			return err
		}
		f.listenTo(p.members)
		changed = p.members.Changed()
	}
	p.joins = p.net.Listen(joinStream)
	p.run(func() { f.serveJoin(p.joins) })
	if err := f.found(ctx, changed); err != nil {
		return err
	}
	p.run(func() { f.watchServers(p.stop, changed, meta.Hint) })
	return p.catchUp(ctx, meta)
}

func (p *peers) startGossip(o Options, self member.Info) (err error) {
	p.members, err = member.Start(member.Options{
		Bind: o.Peers.GossipBind, Port: o.Peers.GossipPort, Advertise: o.Peers.Advertise,
		Key: peer.DeriveKey(o.Peers.Key, peer.PurposeGossip), Join: o.Peers.Join, Self: self, Logger: o.Logger,
	})
	return err
}

// run runs fn until close.
func (p *peers) run(fn func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		fn()
	}()
	p.tasks = append(p.tasks, func() { <-ended })
}

// waitingEvery is between lines that say what a start waits for.
const waitingEvery = 5 * time.Second

// catchUp waits until the image has what was agreed on before now. More than half of the voters must be there for that.
func (p *peers) catchUp(ctx context.Context, meta *metalog.Log) error {
	ready := make(chan error, 1)
	go func() { ready <- meta.Ready(ctx) }()
	for {
		select {
		case err := <-ready:
			return err
		case <-meta.Failed():
			return meta.Err()
		case <-time.After(waitingEvery):
			servers, err := meta.Servers()
			if err != nil {
				return fmt.Errorf("servers of the metadata log: %w", err)
			}
			p.logger.Info(waitsFor(meta.Self().ID, servers), "voters", names(voting(servers)))
		}
	}
}

// waitsFor says why the node self hears nothing of what was agreed on, servers being the cluster's as far as it knows.
func waitsFor(self string, servers []metalog.Server) string {
	if len(servers) > 0 && !slices.ContainsFunc(servers, func(s metalog.Server) bool { return s.ID == self }) {
		return "waiting to be let in: this node is not one of the cluster's; if it was removed, as chronik cluster decommission does, " +
			"stop it, and empty its data directory before it joins again"
	}
	return "waiting for the other nodes: more than half of the voters must be there to agree on anything; " +
		"if so many are lost for good, see chronik cluster recover"
}

func voting(all []metalog.Server) (some []metalog.Server) {
	for _, s := range all {
		if s.Voter {
			some = append(some, s)
		}
	}
	return some
}

// quieten ends what this node says to others of its own accord; the metadata log still uses the network.
func (p *peers) quieten() (err error) {
	close(p.stop)
	if p.members != nil {
		err = p.members.Close()
	}
	if p.joins != nil {
		err = errors.Join(err, p.joins.Close())
	}
	for _, wait := range p.tasks {
		wait()
	}
	return err
}

// voters is the metadata log's servers as the controller wants to see them.
type voters struct{ *metalog.Log }

func (v voters) Servers() ([]controller.Server, error) {
	servers, err := v.Log.Servers()
	if err != nil {
		return nil, fmt.Errorf("servers of the metadata log: %w", err)
	}
	all := make([]controller.Server, len(servers))
	for i, s := range servers {
		all[i] = controller.Server{ID: s.ID, Node: s.Node, Voter: s.Voter}
	}
	return all, nil
}

// endpoint is where the other brokers reach this one.
func (p *peers) endpoint() image.Endpoint {
	host, port, err := net.SplitHostPort(p.net.Addr())
	number, numberErr := strconv.ParseInt(port, 10, 32)
	if err != nil || numberErr != nil {
		panic("cluster: the internal port's own address is none: " + p.net.Addr())
	}
	return image.Endpoint{Name: image.InternalListener, Host: host, Port: int32(number)}
}
