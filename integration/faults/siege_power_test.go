package faults

import (
	"path/filepath"
	"testing"
	"time"

	"chronik/integration/broker"
	"chronik/wal/campaign"
)

// The power of all nodes of a cluster goes, at once or one after the other, under load and while they start again. Each
// has a disk of its own, which loses what was not synced. What was acknowledged by two of them or three is there when they
// are back, and every replica has it.
func TestFaultsPowerCutsOfAClusterExt4(t *testing.T) { clusterPowerCuts(t, "ext4") }

// The same with the other file system that brokers run on.
func TestFaultsPowerCutsOfAClusterXFS(t *testing.T) { clusterPowerCuts(t, "xfs") }

func clusterPowerCuts(t *testing.T, kind string) {
	newDisk := newCuttables(t, kind)
	plan := campaign.Plan{Name: "power cuts of three nodes, " + kind, Unit: "cuts of the whole cluster", Share: 4, Soak: 60}
	campaign.Run(t, plan, func(t *testing.T, seed uint64) campaign.Counts {
		p := newPowerSiege(t, seed, newDisk)
		p.begin()
		cuts := 3 + p.dice.IntN(4)
		p.through(func() {
			for range cuts {
				<-time.After(time.Duration(p.dice.Int64N(int64(1500 * time.Millisecond))))
				p.blackout()
				p.network.restore()
				for _, n := range p.cluster.Nodes {
					n.AwaitMessage("ready")
				}
			}
		})
		p.end()
		p.counts[plan.Unit] = int64(cuts)
		return p.counts
	})
}

// A powerSiege is a siege whose nodes have disks that lose what was not synced.
type powerSiege struct {
	*siege
	network *network // between clients and nodes; load_network_test.go says why it goes first
	disks   []*cuttable
}

func newPowerSiege(t *testing.T, seed uint64, newDisk func(testing.TB) *cuttable) *powerSiege {
	t.Helper()
	p := &powerSiege{network: &network{}}
	var dirs []string
	for range 3 {
		d := newDisk(t)
		p.disks, dirs = append(p.disks, d), append(dirs, filepath.Join(d.root, "data"))
	}
	c := broker.ClusterAt(t, dirs, make([]broker.Site, len(dirs)), siegeFlags...)
	p.siege = newSiege(t, seed, c, p.network.dial)
	return p
}

// blackout takes the power from all nodes and gives it back; when it returns, they are starting. Some are cut again while
// they do.
func (p *powerSiege) blackout() {
	p.t.Helper()
	p.network.cut()
	for {
		p.cut()
		for n, d := range p.disks {
			d.restore()
			p.cluster.Nodes[n].Begin()
		}
		if p.dice.IntN(3) > 0 {
			return
		}
		after := time.Duration(p.dice.Int64N(int64(1500 * time.Millisecond)))
		p.tell("cut again %s after the start", after)
		p.count("cuts while starting", 1)
		<-time.After(after)
	}
}

// cut ends all nodes with their disks, in any order.
func (p *powerSiege) cut() {
	p.t.Helper()
	order := p.dice.Perm(len(p.disks))
	if p.dice.IntN(2) == 0 {
		p.tell("the power of all nodes goes at once")
		for _, n := range order {
			if p.dice.IntN(2) == 0 {
				p.disks[n].writeSome(p.dice)
			}
		}
		for _, n := range order {
			p.disks[n].stop(func() {})
		}
		for _, n := range order {
			p.kill(n)
		}
		return
	}
	gap := time.Duration(p.dice.Int64N(int64(2 * time.Second)))
	p.tell("the power goes, in the order of the nodes %v (from 0) and %s apart", order, gap)
	for at, n := range order {
		p.disks[n].cut(p.dice, func() {})
		p.kill(n)
		if at < len(order)-1 {
			<-time.After(gap)
		}
	}
	p.count("one after the other", 1)
}

// kill ends a node that may have ended by itself when its disk failed.
func (p *powerSiege) kill(node int) {
	n := p.cluster.Nodes[node]
	_ = n.Cmd.Process.Kill() // it may have ended
	n.Wait()
}
