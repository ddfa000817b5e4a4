package faults

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/integration/broker"
	"chronik/wal/campaign"
)

// The members of a share group (KIP-932) accept, release, reject and renew what producers write, come, leave and are killed,
// while the leaders of what they read, the group's coordinator and other nodes are killed with -9 and started again. In the
// end the history is held against what share groups promise, and the group is done with every record.
func TestFaultsShareGroups(t *testing.T) {
	plan := campaign.Plan{Name: "share groups on three nodes: kill -9", Unit: "kills", Share: 12, Soak: 300}
	campaign.Run(t, plan, func(t *testing.T, seed uint64) campaign.Counts {
		const kills = 12
		r := newShareSiege(t, seed)
		r.begin()
		r.through(kills)
		r.end()
		r.counts[plan.Unit] = kills
		return r.counts
	})
}

const (
	shareGroup = "sharers"
	shareLimit = 5
	shareLock  = 2 * time.Second
)

// shareFlags: locks and sessions that end while somebody looks.
var shareFlags = slices.Concat(siegeFlags, []string{
	"--set", "group.share.min.record.lock.duration.ms=1000", "--set", fmt.Sprintf("group.share.record.lock.duration.ms=%d", shareLock.Milliseconds()),
	"--set", fmt.Sprintf("group.share.delivery.count.limit=%d", shareLimit), "--set", "group.share.assignment.interval.ms=0",
	"--set", "group.share.min.heartbeat.interval.ms=500", "--set", "group.share.heartbeat.interval.ms=500",
	"--set", "group.share.min.session.timeout.ms=6000", "--set", "group.share.session.timeout.ms=6000",
})

// A shareSiege is a siege under which a share group works.
type shareSiege struct {
	*siege
	topics   map[string]*topicLedger
	draining atomic.Bool // members accept whatever they are given
	admin    *kgo.Client
}

func newShareSiege(t *testing.T, seed uint64) *shareSiege {
	t.Helper()
	return &shareSiege{siege: newSiege(t, seed, broker.NewCluster(t, 3, shareFlags...), new(net.Dialer).DialContext), topics: map[string]*topicLedger{}}
}

// begin returns when the cluster is there, with its topics, and a group that is to begin with their first records.
func (r *shareSiege) begin() {
	r.t.Helper()
	r.siege.begin()
	for _, t := range r.ledger.topics {
		r.topics[t.name] = t
	}
	r.admin = r.newClient()
	r.t.Cleanup(r.admin.Close)
	value := "earliest"
	set := kmsg.NewPtrIncrementalAlterConfigsRequest()
	set.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{
		ResourceType: kmsg.ConfigResourceTypeGroupConfig, ResourceName: shareGroup,
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "share.auto.offset.reset", Value: &value}},
	}}
	got, err := set.RequestWith(r.t.Context(), r.admin)
	if err != nil || got.Resources[0].ErrorCode != 0 {
		r.t.Fatal(got, err)
	}
}

func (r *shareSiege) topicNames() (names []string) {
	for name := range r.topics {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// through has the group work while nodes are killed, and judges.
func (r *shareSiege) through(kills int) {
	r.t.Helper()
	all := &sharers{siege: r, dice: r.newDice(999)}
	workers := []worker{{all.run, nil}}
	for _, p := range r.lasting {
		workers = append(workers, worker{p.run, nil})
	}
	r.work(workers, func() {
		r.observe()
		for range kills {
			<-time.After(time.Duration(r.dice.Int64N(int64(3 * time.Second))))
			r.observe()
			r.kill()
			r.observe()
		}
	})
	r.draining.Store(true)
	r.verify()
	logs := r.drain()
	r.observe()
	all.end()
	r.report(r.history.check())
	r.judge(logs)
}

// kill kills the leader of some partition, the group's coordinator, or any node, and starts it again at once or later.
func (r *shareSiege) kill() {
	r.t.Helper()
	node, what := r.dice.IntN(3), "some node"
	switch r.dice.IntN(3) {
	case 0:
		t := r.metadata().Topics
		partitions := t[r.dice.IntN(len(t))].Partitions
		node, what = int(partitions[r.dice.IntN(len(partitions))].Leader)-1, "a leader"
	case 1:
		node, what = r.coordinator(), "the coordinator"
	}
	b := r.cluster.Nodes[node]
	r.tell("kill -9 of node %d, %s", node+1, what)
	r.history.died(b.Address())
	b.Kill()
	if r.dice.IntN(2) == 0 {
		<-time.After(time.Duration(r.dice.Int64N(int64(time.Second))))
	}
	b.Start()
	r.count("kill -9 of "+what, 1)
	r.awaitWhole()
}

func (r *shareSiege) coordinator() int {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	found := kadm.NewClient(r.admin).FindGroupCoordinators(ctx, shareGroup)
	if err := found.Error(); err != nil {
		r.t.Fatal(err)
	}
	return int(found[shareGroup].NodeID) - 1
}

// died notes the end of a broker.
func (h *history) died(broker string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.shares.deaths = append(h.shares.deaths, death{broker, h.now()})
}

// observe notes who leads what, if all nodes say the same.
func (r *shareSiege) observe() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	begun := r.history.now()
	views, lacking := r.look(ctx, r.admin)
	if lacking != "" {
		return
	}
	seen := leadership{interval{begun, r.history.now()}, map[partitionKey]tenure{}}
	for k, p := range views[0] {
		seen.of[k] = tenure{r.cluster.Nodes[p.Leader-1].Address(), p.LeaderEpoch}
	}
	r.history.mu.Lock()
	defer r.history.mu.Unlock()
	r.history.shares.views = append(r.history.shares.views, seen)
}

// drain waits until the group is done with every record, and returns what there is.
func (r *shareSiege) drain() map[partitionKey]extent {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	readings, _, err := r.bounds(ctx, kadm.NewClient(r.admin))
	if err != nil {
		r.t.Fatal(err)
	}
	logs := map[partitionKey]extent{}
	for _, p := range readings {
		logs[partitionKey{p.topic, p.partition}] = extent{p.start, p.end}
	}
	for {
		left, err := r.left(ctx, logs)
		if err == nil && left == "" {
			return logs
		}
		if ctx.Err() != nil {
			r.t.Fatalf("S5: the group is not done with all records after %s: %s, %v", patience, left, err)
		}
		pause(ctx, 50*time.Millisecond)
	}
}

// left says what the group is not done with.
func (r *shareSiege) left(ctx context.Context, logs map[partitionKey]extent) (string, error) {
	rq := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
	g := kmsg.NewDescribeShareGroupOffsetsRequestGroup()
	g.GroupID = shareGroup
	rq.Groups = append(rq.Groups, g)
	ask, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	got, err := rq.RequestWith(ask, r.admin)
	if err != nil {
		return "", err
	}
	begun := map[partitionKey]bool{}
	for _, t := range got.Groups[0].Topics {
		for _, p := range t.Partitions {
			k := partitionKey{t.Topic, p.Partition}
			begun[k] = true
			if p.ErrorCode != 0 || p.Lag != 0 || p.StartOffset != logs[k].end {
				return fmt.Sprintf("%v stands at %d with %d records left, of %d, code %d", k, p.StartOffset, p.Lag, logs[k].end, p.ErrorCode), nil
			}
		}
	}
	if len(begun) != len(logs) {
		return fmt.Sprintf("it has begun with %d partitions of %d, code %d", len(begun), len(logs), got.Groups[0].ErrorCode), nil
	}
	return "", nil
}

// judge holds what members saw against what share groups promise.
func (r *shareSiege) judge(logs map[partitionKey]extent) {
	r.t.Helper()
	r.history.mu.Lock()
	wrong, judged := r.history.shares.check(shareRules{shareLimit, shareLock, logs})
	for what, n := range judged {
		r.counts[what] += n
	}
	for _, s := range r.history.shares.sayings {
		if s.code == 0 {
			r.counts[saidWhat[s.kind]] += s.last - s.first + 1
		}
	}
	r.history.mu.Unlock()
	r.report(wrong)
}

var saidWhat = []string{"records told to be missing", "records accepted", "records released", "records rejected", "records renewed"}
