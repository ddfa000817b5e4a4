package faults

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"chronik/integration/broker"
	"chronik/integration/faults/lan"
	"chronik/wal/campaign"
)

// Three nodes stand on hosts of their own, the clients on a fourth, and the network between them is hurt: nodes are cut
// off from others, in one direction or both, packets are lost and late. Then it is healed. What was acknowledged stays,
// nobody acknowledges or serves anything that another one leads by then, and the cluster is whole again by itself.
func TestFaultsNetwork(t *testing.T) {
	plan := campaign.Plan{Name: "network of three nodes", Unit: "faults of the network", Share: 9, Soak: 90}
	campaign.Run(t, plan, func(t *testing.T, seed uint64) campaign.Counts {
		n := newNetworkSiege(t, seed)
		n.begin()
		n.through(func() {
			for _, k := range n.dice.Perm(len(networkFaults)) {
				n.hurt(networkFaults[k])
			}
		})
		n.end()
		n.counts[plan.Unit] = int64(len(networkFaults))
		return n.counts
	})
}

// A networkSiege is a siege whose nodes are hosts 0 to 2 of a LAN; its clients are on host 3.
type networkSiege struct {
	*siege
	lan *lan.LAN
}

const clientHost = 3

func newNetworkSiege(t *testing.T, seed uint64) *networkSiege {
	t.Helper()
	net, err := lan.New(clientHost+1, seed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := net.Close(); err != nil {
			t.Error(err)
		}
	})
	dir := broker.DataDir(t)
	var dirs []string
	var sites []broker.Site
	for n, h := range net.Hosts[:clientHost] {
		dirs = append(dirs, filepath.Join(dir, fmt.Sprintf("node%d", n+1)))
		sites = append(sites, broker.Site{Host: h.Address.String(), Launch: h.Start})
	}
	c := broker.ClusterAt(t, dirs, sites, siegeFlags...)
	return &networkSiege{newSiege(t, seed, c, net.Hosts[clientHost].Dial), net}
}

// A networkFault hurts the network; it returns which node clients cannot reach, or -1.
type networkFault struct {
	name string
	hurt func(n *networkSiege) (unreachable int)
}

var cut = lan.Link{Cut: true}

var networkFaults = []networkFault{
	{"a leader cut off from its followers, in sight of clients", func(n *networkSiege) int {
		n.isolate(n.leader())
		return -1
	}},
	{"the controller cut off from the other nodes", func(n *networkSiege) int {
		n.isolate(n.controller())
		return -1
	}},
	{"a node that hears nobody", func(n *networkSiege) int {
		deaf := n.dice.IntN(clientHost)
		for other := range clientHost {
			n.lan.Set(other, deaf, cut)
		}
		return -1
	}},
	{"a node that nobody hears", func(n *networkSiege) int {
		mute := n.dice.IntN(clientHost)
		for other := range clientHost {
			n.lan.Set(mute, other, cut)
		}
		return -1
	}},
	{"one that does not hear another one", func(n *networkSiege) int {
		order := n.dice.Perm(clientHost)
		n.lan.Set(order[0], order[1], cut)
		return -1
	}},
	{"two that reach each other by the third only", func(n *networkSiege) int {
		order := n.dice.Perm(clientHost)
		n.lan.Both(order[0], order[1], cut)
		return -1
	}},
	{"a leader and the controller that do not reach each other", func(n *networkSiege) int {
		leader, controller := n.leader(), n.controller()
		if leader == controller {
			leader = (leader + 1) % clientHost
		}
		n.lan.Both(leader, controller, cut)
		return -1
	}},
	{"a leader that is gone without a word", func(n *networkSiege) int {
		gone := n.leader()
		n.isolate(gone)
		n.lan.Both(gone, clientHost, cut)
		return gone
	}},
	{"loss and delay on all links", func(n *networkSiege) int {
		k := lan.Link{Loss: 0.01 + 0.19*n.dice.Float64(), Delay: 10*time.Millisecond + time.Duration(n.dice.Int64N(int64(190*time.Millisecond)))}
		k.Vary = k.Delay / 4
		for from := range n.lan.Hosts {
			for to := range n.lan.Hosts {
				n.lan.Set(from, to, k)
			}
		}
		n.tell("%.1f %% lost, %s late", 100*k.Loss, k.Delay.Round(time.Millisecond))
		return -1
	}},
}

// isolate cuts a node off from the other nodes.
func (n *networkSiege) isolate(node int) {
	for other := range clientHost {
		n.lan.Both(node, other, cut)
	}
}

// leader is a node that leads some partition.
func (n *networkSiege) leader() int {
	m := n.metadata()
	partitions := m.Topics[n.dice.IntN(len(m.Topics))].Partitions
	return int(partitions[n.dice.IntN(len(partitions))].Leader) - 1
}

// controller is the node that leads the metadata.
func (n *networkSiege) controller() int { return int(n.metadata().ControllerID) - 1 }

// hurt has one fault last for some seconds, and heals it.
func (n *networkSiege) hurt(f networkFault) {
	n.t.Helper()
	unreachable := f.hurt(n)
	hit := n.history.now()
	d := 2*time.Second + time.Duration(n.dice.Int64N(int64(5*time.Second)))
	n.tell("%s, for %s", f.name, d.Round(time.Millisecond))
	<-time.After(d)
	n.lan.Heal()
	n.tell("healed")
	n.awaitWhole()
	n.count(f.name, 1)
	if unreachable >= 0 {
		n.gap(hit, n.cluster.Nodes[unreachable].Address())
	}
}

// gap measures how long the partitions of a leader that was gone at hit had none that acknowledges.
func (n *networkSiege) gap(hit time.Duration, gone string) {
	longest := n.history.gap(hit, gone)
	n.tell("the longest time until another leader acknowledged: %s", longest.Round(time.Millisecond))
	n.count("ms without an acknowledgement after a black hole, summed", longest.Milliseconds())
}
