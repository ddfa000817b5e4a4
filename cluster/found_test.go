package cluster

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"chronik/cluster/member"
	"chronik/metalog"
	"chronik/metalog/image"
	"chronik/wal/campaign"
)

// plan is what one schedule is about.
type plan struct {
	founders, joiners int
	voters            bool // named, rather than found by gossip
	configured        bool
	spare             int // more nodes that expect as many: only safety is promised then
}

func (w *world) build(p plan) {
	config := founders{expect: p.founders}
	if p.configured {
		config.configured = uuid.MustParse("33333333-3333-4333-8333-333333333333")
	}
	if p.voters {
		config.expect = 0
		for i := range p.founders {
			config.voters = append(config.voters, Voter{image.BrokerID(i + 1), fmt.Sprintf("n%d:9192", i+1)})
		}
	}
	for range p.founders + p.spare {
		w.add(config)
	}
	config.expect = 0
	for range p.joiners {
		w.add(config)
	}
}

func planOf(seed uint64) plan {
	return plan{
		founders: []int{3, 5, 1, 3}[seed%4], joiners: int(seed / 4 % 2),
		voters: seed/8%2 == 1, configured: seed/16%2 == 1,
	}
}

// run is one schedule: the nodes start in any order, bad times, and then good ones.
func (w *world) run(p plan, events int) {
	w.build(p)
	w.chaos, w.wipes = true, p.spare == 0
	for range events {
		w.event()
		if w.t.Failed() {
			return
		}
	}
	if p.spare > 0 {
		return
	}
	w.heal()
	settled := w.settleAll(40)
	w.check()
	if w.t.Failed() {
		return
	}
	for _, n := range w.nodes {
		d := n.dir
		switch {
		case !settled && !n.life.done:
			w.t.Errorf("node %d belongs to no cluster in the end: %s", n.number, n.life.said)
		case d.begun == nil && !w.servers[d.id]:
			w.t.Errorf("node %d believes that it belongs to the cluster, and nobody has added it", n.number)
		}
	}
}

// glance is fewer schedules under the race detector, which finds nothing in them: they run on one goroutine.
func glance() int {
	if testing.Short() {
		return 1000
	}
	return 10_000
}

// Any number of crashes, losses, delays, partitions and lost disks: never two clusters, and in good times one.
func TestFoundingSchedules(t *testing.T) {
	campaign.Run(t, campaign.Plan{Name: "founding a cluster", Unit: "schedules", Glance: glance(), Share: 200_000, Soak: 2_000_000},
		func(t *testing.T, seed uint64) campaign.Counts {
			counts := campaign.Counts{"schedules": 0}
			for i := range uint64(1000) {
				w := newWorld(t, seed*1000+i)
				p := planOf(seed*1000 + i)
				if w.run(p, 60); t.Failed() {
					t.Fatalf("schedule %d of the seed, %+v", i, p)
				}
				counts["schedules"]++
				counts["crashes"] += int64(w.crashes)
				counts["joins"] += int64(len(w.servers))
			}
			return counts
		})
}

// More nodes than are expected, in halves: whatever happens, there are not two clusters.
func TestFoundingWithSpareNodes(t *testing.T) {
	campaign.Run(t, campaign.Plan{Name: "founding a cluster, with spare nodes", Unit: "schedules", Glance: glance(), Share: 100_000, Soak: 1_000_000},
		func(t *testing.T, seed uint64) campaign.Counts {
			counts := campaign.Counts{"schedules": 1000}
			for i := range uint64(1000) {
				w := newWorld(t, seed*1000+i)
				if w.run(plan{founders: 3, spare: 1 + int(i%2), configured: i/2%2 == 1}, 100); t.Failed() {
					t.Fatalf("schedule %d of the seed", i)
				}
				if w.founded() != nil {
					counts["foundings"]++
				}
			}
			return counts
		})
}

// The worlds must notice what is wrong with a product.
func TestFoundingSchedulesCanFail(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector")
	}
	for name, c := range map[string]struct {
		wrong wrong
		plan  plan
	}{
		"promises are lost":           {wrong{losesPromises: true}, plan{founders: 3, spare: 2}},
		"promises are exchanged":      {wrong{exchangesPromises: true}, plan{founders: 3, spare: 2}},
		"one promise is not waited":   {wrong{skipsOne: true}, plan{founders: 3}},
		"a set cluster id is a proof": {wrong{believesIDs: true}, plan{founders: 3, spare: 2, configured: true}},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20_000) {
				inner := &testing.T{}
				w := newWorld(inner, seed)
				w.wrong = c.wrong
				if w.run(c.plan, 100); inner.Failed() {
					return
				}
			}
			t.Error("nothing was noticed in 20,000 schedules")
		})
	}
}

// In good times every order of starts ends in one cluster, with each founder in its first configuration.
func TestEveryOrderOfStarts(t *testing.T) {
	for _, p := range []plan{{founders: 3}, {founders: 3, voters: true}, {founders: 5}, {founders: 5, voters: true}} {
		orders(p.founders, func(order []int) {
			w := newWorld(t, 1)
			w.build(p)
			for _, i := range order {
				w.nodes[i].start()
				for _, j := range order {
					w.nodes[j].step()
				}
			}
			if !w.settleAll(3) {
				t.Errorf("%+v, started in the order %v: no cluster", p, order)
			}
			for _, n := range w.nodes {
				if n.dir.begun == nil || len(n.dir.begun.Set) != p.founders {
					t.Errorf("%+v, started in the order %v: node %d is not a founder", p, order, n.number)
				}
			}
		})
	}
}

// orders calls fn with each order of n things.
func orders(n int, fn func([]int)) {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	var from func(int)
	from = func(k int) {
		if k == n {
			fn(order)
			return
		}
		for i := k; i < n; i++ {
			order[k], order[i] = order[i], order[k]
			from(k + 1)
			order[k], order[i] = order[i], order[k]
		}
	}
	from(0)
}

// What operators read must name what is wrong and what to do.
func TestWhatIsWaitedFor(t *testing.T) {
	other := uuid.MustParse("44444444-4444-4444-8444-444444444444")
	for _, c := range []struct {
		name  string
		build func(*world)
		node  int
		want  []string
	}{
		{"too few", func(w *world) {
			w.build(plan{founders: 3})
			w.nodes[0].start()
			w.nodes[1].start()
		}, 1, []string{"2 of 3 nodes found: waiting for 1 more", "node 1 (n1:9192)", "node 2 (n2:9192)"}},
		{"too many", func(w *world) {
			w.build(plan{founders: 3, spare: 1})
			w.startAll()
		}, 1, []string{"4 nodes found, and bootstrap-expect is 3", "node 4 (n4:9192)"}},
		{"the others expect another number", func(w *world) {
			w.add(founders{expect: 3})
			w.add(founders{expect: 5})
			w.startAll()
		}, 1, []string{"node 2 (n2:9192) has bootstrap-expect 5 and this one 3"}},
		{"two nodes have one id", func(w *world) {
			w.build(plan{founders: 3})
			w.nodes[2].number = 2
			w.nodes[2].moves = 7
			w.startAll()
		}, 1, []string{"two nodes have the node-id 2, n2:9192 and n2-7:9192"}},
		{"a join-only node", func(w *world) {
			w.add(founders{})
			w.startAll()
		}, 1, []string{"this one founds none", "bootstrap-expect or initial-voters"}},
		{"a join-only node that reaches nobody", func(w *world) {
			w.add(founders{})
			w.nodes[0].unreached = []string{"n2:7946 does not answer", "n3 is not found (no such host)"}
			w.startAll()
		}, 1, []string{"; of join, n2:7946 does not answer; n3 is not found"}},
		{"a founder that reaches nobody", func(w *world) {
			w.build(plan{founders: 3})
			w.nodes[0].unreached = []string{"n2:7946 does not answer"}
			w.nodes[0].start()
		}, 1, []string{"1 of 3 nodes found", "; of join, n2:7946 does not answer"}},
		{"a voter is down", func(w *world) {
			w.build(plan{founders: 3, voters: true})
			w.nodes[0].start()
			w.nodes[1].start()
		}, 1, []string{"node 3 at n3:9192 does not answer"}},
		{"the voters are named differently", func(w *world) {
			w.build(plan{founders: 3, voters: true})
			w.nodes[1].config.voters = []Voter{{1, "n1:9192"}, {2, "n2:9192"}, {4, "n4:9192"}}
			w.startAll()
		}, 1, []string{"node 2 (n2:9192) says", "its initial-voters are others", "node 4 (n4:9192)"}},
		{"a voter's address is another node's", func(w *world) {
			w.build(plan{founders: 3, voters: true})
			for _, n := range w.nodes {
				n.config.voters = []Voter{{1, "n1:9192"}, {2, "n3:9192"}, {3, "n2:9192"}}
			}
			w.startAll()
		}, 1, []string{"the node at n3:9192 is node 3, not node 2"}},
		{"cluster ids differ", func(w *world) {
			w.build(plan{founders: 3})
			w.nodes[1].config.configured = other
			w.startAll()
		}, 1, []string{"node 2 (n2:9192) has another cluster-id than this one", FormatClusterID(other)}},
		{"a stale directory with another promise", func(w *world) {
			w.build(plan{founders: 3})
			w.nodes[1].dir.promised = &pact{other, []server{{ID: "2@x", Node: 2, Addr: "old2:1", Voter: true}, {ID: "9@x", Node: 9, Addr: "old9:1", Voter: true}}}
			w.startAll()
		}, 1, []string{"has promised to found the cluster " + FormatClusterID(other), "node 9 (old9:1)", "empty the data directories"}},
		{"the same, where it is", func(w *world) {
			w.build(plan{founders: 3})
			w.nodes[1].dir.promised = &pact{other, []server{{ID: "2@x", Node: 1, Addr: "old1:1", Voter: true}, {ID: "9@x", Node: 9, Addr: "old9:1", Voter: true}}}
			w.startAll()
		}, 2, []string{"this node has promised to found the cluster " + FormatClusterID(other), "node 9 (old9:1)"}},
		{"a copied directory", func(w *world) {
			w.build(plan{founders: 3, voters: true})
			w.nodes[1].dir = w.nodes[0].dir
			w.startAll()
		}, 1, []string{"its data directory is a copy"}},
		{"another cluster than the one that is set", func(w *world) {
			w.build(plan{founders: 1, joiners: 1})
			w.nodes[1].config.configured = other
			w.startAll()
			w.nodes[0].step()
		}, 2, []string{"cluster-id is " + FormatClusterID(other) + " here"}},
		{"a cluster without a leader", func(w *world) {
			w.build(plan{founders: 3, joiners: 1})
			w.startAll()
			w.settleAll(3)
			w.nodes[3].crash()
			w.nodes[3].wipe()
			w.nodes[3].start()
			w.nodes[0].crash()
			w.nodes[1].crash()
		}, 4, []string{"has not let this node in yet", "are most of its voters running?"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 1)
			c.build(w)
			n := w.nodes[c.node-1]
			n.step()
			for _, want := range c.want {
				if !strings.Contains(n.life.said, want) {
					t.Errorf("node %d says %q, which lacks %q", c.node, n.life.said, want)
				}
			}
			if n.life.done {
				t.Error("and it belongs to a cluster")
			}
		})
	}
}

func (w *world) startAll() {
	for _, n := range w.nodes {
		n.start()
	}
}

// A disk that is lost after the founding comes back as another server, also when it was the founder's.
func TestALostDiskJoins(t *testing.T) {
	for _, p := range []plan{{founders: 3}, {founders: 3, voters: true}, {founders: 3, configured: true}} {
		for lost := range 3 {
			w := newWorld(t, 1)
			w.build(p)
			w.startAll()
			if !w.settleAll(3) {
				t.Fatal("no cluster")
			}
			n := w.nodes[lost]
			n.crash()
			n.wipe()
			n.start()
			w.settleAll(3)
			if n.dir.begun != nil || n.dir.joined != w.founded().Cluster || !w.servers[n.dir.id] {
				t.Errorf("%+v, disk of node %d: %+v", p, lost+1, n.dir)
			}
		}
	}
}

// The founder's new disk finds the cluster that the initial voters have founded, though there is no gossip and one of them is
// away.
func TestALostDiskJoinsWhileAnotherNodeIsAway(t *testing.T) {
	for away := 1; away < 5; away++ {
		w := newWorld(t, 1)
		w.build(plan{founders: 5, voters: true})
		w.startAll()
		if !w.settleAll(3) {
			t.Fatal("no cluster")
		}
		w.nodes[away].crash()
		n := w.nodes[0]
		n.crash()
		n.wipe()
		n.start()
		n.life.founding.gossip = func() []member.Info { return nil }
		if n.step(); !n.life.done || n.dir.joined != w.founded().Cluster {
			t.Errorf("without node %d: %s", away+1, n.life.said)
		}
	}
}

// A node that was removed, and starts on its old disk, must not be told to have a quorum recovered that is there.
func TestARemovedNodeIsNotToldToRecoverTheQuorum(t *testing.T) {
	others := []metalog.Server{{ID: "1@a", Node: 1, Voter: true}, {ID: "2@b", Node: 2, Voter: true}}
	if got := waitsFor("4@d", others); !strings.Contains(got, "removed") || strings.Contains(got, "recover") {
		t.Errorf("a removed node says %q", got)
	}
	if got := waitsFor("2@b", others); !strings.Contains(got, "chronik cluster recover") {
		t.Errorf("a voter says %q", got)
	}
}

// Three nodes that are started one after the other warned of each other's absence.
func TestAStartDoesNotWarnOfNodesThatAreStartedAMomentLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		f := &founding{logger: slog.New(slog.NewTextHandler(&out, nil)), began: time.Now()}
		f.say("waiting for 2")
		f.say("waiting for 1")
		if strings.Count(out.String(), "level=INFO") != 2 || strings.Contains(out.String(), "WARN") {
			t.Error(out.String())
		}
		<-time.After(sayPause)
		f.say("waiting for 1")
		if strings.Count(out.String(), "level=WARN") != 1 {
			t.Error(out.String())
		}
	})
}
