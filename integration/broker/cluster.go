package broker

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// key is what the nodes of the tests' clusters prove themselves by.
const key = "the key of a cluster that is a test"

// A Cluster is several brokers that found a cluster together.
type Cluster struct {
	t      testing.TB
	Nodes  []*Broker // node ids count from 1
	gossip []string  // host:port
	dir    string    // of what is no node's
}

// NewCluster starts nothing yet. The nodes find each other by gossip.
func NewCluster(t testing.TB, nodes int, flags ...string) *Cluster {
	t.Helper()
	dir := DataDir(t)
	dirs := make([]string, nodes)
	for n := range dirs {
		dirs[n] = filepath.Join(dir, fmt.Sprintf("node%d", n+1))
	}
	return ClusterAt(t, dirs, make([]Site, nodes), flags...)
}

// ClusterAt is NewCluster with data folders of the caller's, and with sites.
func ClusterAt(t testing.TB, dirs []string, sites []Site, flags ...string) *Cluster {
	t.Helper()
	c := &Cluster{t: t, dir: DataDir(t)}
	for n, dir := range dirs {
		c.add(dir, n+1, sites[n], append([]string{"--bootstrap-expect", strconv.Itoa(len(dirs))}, flags...))
	}
	for _, n := range c.Nodes {
		n.Flags = append(n.Flags, "--join", strings.Join(c.gossip, ","))
	}
	return c
}

// Add makes one node more, which joins the others; it is not started.
func (c *Cluster) Add(flags ...string) *Broker {
	c.t.Helper()
	id := len(c.Nodes) + 1
	n := c.add(filepath.Join(filepath.Dir(c.Nodes[0].Dir), fmt.Sprintf("node%d", id)), id, Site{}, flags)
	n.Flags = append(n.Flags, "--join", strings.Join(c.gossip[:id-1], ","))
	return n
}

func (c *Cluster) add(dir string, id int, at Site, flags []string) *Broker {
	gossip := FreePort(c.t)
	c.gossip = append(c.gossip, net.JoinHostPort(at.host(), strconv.Itoa(gossip)))
	n := At(c.t, dir, append([]string{
		"--node-id", strconv.Itoa(id), "--cluster-key", key,
		"--raft-port", strconv.Itoa(FreePort(c.t)), "--gossip-port", strconv.Itoa(gossip),
	}, flags...)...)
	n.Site = at
	c.Nodes = append(c.Nodes, n)
	return n
}

// Move has a node that is stopped come back elsewhere: at another site, and on other ports. It is told where the others are
// now; they are told nothing.
func (c *Cluster) Move(node int, to Site) {
	c.t.Helper()
	n := c.Nodes[node]
	n.Site, n.KafkaPort, n.HTTPPort = to, FreePort(c.t), FreePort(c.t)
	gossip := strconv.Itoa(FreePort(c.t))
	c.gossip[node] = net.JoinHostPort(to.host(), gossip)
	for name, value := range map[string]string{
		"--raft-port": strconv.Itoa(FreePort(c.t)), "--gossip-port": gossip, "--join": strings.Join(c.gossip, ","),
	} {
		n.Flags[slices.Index(n.Flags, name)+1] = value
	}
}

// Start starts all nodes at once and returns when each says that it is ready.
func (c *Cluster) Start() {
	c.t.Helper()
	for _, n := range c.Nodes {
		n.Begin()
	}
	for _, n := range c.Nodes {
		n.AwaitMessage("ready")
	}
}

// Addresses are where Kafka clients find the nodes, with commas between them.
func (c *Cluster) Addresses() string {
	var all []string
	for _, n := range c.Nodes {
		all = append(all, n.Address())
	}
	return strings.Join(all, ",")
}

// Bench starts chronik-bench against the cluster; what is acknowledged is kept where no node's disk is.
func (c *Cluster) Bench(subcommand string, flags ...string) *Process {
	c.t.Helper()
	return bench(c.t, subcommand, c.Addresses(), filepath.Join(c.dir, "acknowledged"), flags)
}

// AwaitISR returns when every partition of the topic has a leader and all its replicas in sync.
func (c *Cluster) AwaitISR(topic string, replicas int) {
	c.t.Helper()
	c.await(topic, fmt.Sprintf("has %d replicas in sync", replicas), func(p kadm.PartitionDetail) bool {
		return p.Leader >= 0 && len(p.ISR) == replicas
	})
}

// AwaitLeaders returns when every partition of the topic is led by one of those that may.
func (c *Cluster) AwaitLeaders(topic string, may func(leader int32) bool) {
	c.t.Helper()
	c.await(topic, "is led by another one", func(p kadm.PartitionDetail) bool { return p.Leader >= 0 && may(p.Leader) })
}

// await returns when each partition of the topic is as it is wanted.
func (c *Cluster) await(topic, what string, is func(kadm.PartitionDetail) bool) {
	c.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(c.Addresses(), ",")...), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(c.t.Context(), Patience)
	defer cancel()
	for admin := kadm.NewClient(client); ; {
		topics, err := admin.ListTopics(ctx, topic)
		whole := err == nil && len(topics[topic].Partitions) > 0
		for _, p := range topics[topic].Partitions {
			whole = whole && is(p)
		}
		if whole {
			return
		}
		select {
		case <-ctx.Done():
			c.t.Fatalf("not every partition %s: %+v, %v", what, topics, err)
		case <-time.After(20 * time.Millisecond): // nothing tells a client of it
		}
	}
}
