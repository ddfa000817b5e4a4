package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/integration/broker"
)

// A siege is a cluster's, of three nodes, under load through faults; a seed says how it goes. In the end the ledger is held
// against what there is, the history against what was promised, and the nodes' disks against each other.
type siege struct {
	*clients
	cluster *broker.Cluster
	history *history
	commits atomic.Int64 // the last offset that was committed, of any group and partition
	story   []string
	rotten  map[string][]string // indexes that have rotted, by their node's folder: one is made again when somebody needs it
}

// siegeFlags: a record that is acknowledged is on two disks at least.
var siegeFlags = slices.Concat(broker.SmallLog, []string{"--set", "min.insync.replicas=2", "--set", fmt.Sprintf("message.max.bytes=%d", maxBatch+1<<10)})

// siegeKinds are all whose records must not be lost with one node.
var siegeKinds = []producerKind{
	{idempotent: true, acks: kgo.AllISRAcks(), lasting: true},
	{idempotent: true, acks: kgo.AllISRAcks(), lasting: true},
	{acks: kgo.AllISRAcks(), lasting: true},
}

// newSiege starts nothing yet.
func newSiege(t *testing.T, seed uint64, c *broker.Cluster, dial dialer) *siege {
	t.Helper()
	r := &siege{clients: newClients(t, seed), cluster: c, history: newHistory(), rotten: map[string][]string{}}
	r.dial = r.history.tap(dial)
	r.addresses = func() []string { return strings.Split(c.Addresses(), ",") }
	r.ended = func() <-chan struct{} { return nil } // that one ends is no reason to
	r.late = true
	r.replicas, r.most = int16(len(c.Nodes)), 2000
	// A client that waits for a node that is not heard any more waits a second, not ten.
	r.options = []kgo.Opt{
		kgo.DialTimeout(time.Second), kgo.RequestTimeoutOverhead(time.Second), kgo.ProduceRequestTimeout(2 * time.Second),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
	}
	r.crashing.Store(true) // with faults anything may be refused at any time
	t.Cleanup(func() {
		t.Logf("what happened:\n%s", strings.Join(r.story, "\n"))
	})
	return r
}

// begin returns when the cluster is there with its topics.
func (r *siege) begin() {
	r.t.Helper()
	r.cluster.Start()
	r.furnish(siegeKinds)
	r.awaitWhole()
}

func (r *siege) tell(format string, args ...any) {
	r.story = append(r.story, fmt.Sprintf("%s: "+format, append([]any{r.history.now().Round(time.Millisecond)}, args...)...))
}

// through has clients work during what happens, and judges afterwards.
func (r *siege) through(faults func()) {
	r.t.Helper()
	r.work(r.siegeWorkers(), faults)
	r.awaitWhole()
	r.verify()
	r.report(r.history.check())
}

func (r *siege) siegeWorkers() (all []worker) {
	r.t.Helper()
	for _, p := range r.lasting {
		all = append(all, worker{p.run, nil})
	}
	p := r.newProducer(producerKind{idempotent: true, acks: kgo.AllISRAcks()})
	all = append(all, worker{p.run, p.client})
	for range 2 {
		w := r.newWatcher()
		all = append(all, worker{w.run, w.client})
	}
	admin := r.newClient()
	all = append(all, worker{func(context.Context) {}, admin})
	for _, group := range groups {
		r.producers++
		c := &climber{r, r.newDice(uint64(r.producers)), kadm.NewClient(admin), group}
		all = append(all, worker{c.run, nil})
	}
	return all
}

// A climber commits ever greater offsets for a group, and looks what is committed; the history says what that may be.
type climber struct {
	siege *siege
	dice  *rand.Rand
	kadm  *kadm.Client
	group string
}

func (c *climber) run(ctx context.Context) {
	for ctx.Err() == nil {
		t := c.siege.ledger.pick(c.dice, true)
		n, at := c.dice.Int32N(c.siege.ledger.sizeOf(t)), c.siege.commits.Add(1)
		_, err := c.kadm.CommitOffsets(ctx, c.group, kadm.Offsets{t.name: {n: {
			Topic: t.name, Partition: n, At: at, LeaderEpoch: -1, Metadata: commitMetadata(at),
		}}})
		if err == nil {
			c.siege.count("offsets committed", 1)
		}
		if c.dice.IntN(3) == 0 {
			_, _ = c.kadm.FetchOffsets(ctx, c.group) // its answer is in the history
		}
		pause(ctx, time.Duration(c.dice.Int64N(int64(10*time.Millisecond))))
	}
}

// awaitWhole returns when every node says the same: that each partition has a leader, and all its replicas in sync (I16).
// Then it waits until records are acknowledged, if somebody sends some.
func (r *siege) awaitWhole() {
	r.t.Helper()
	client := r.newClient()
	defer client.Close()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	begun := time.Now()
	for {
		lacking := r.lacking(ctx, client)
		if lacking == "" {
			break
		}
		select {
		case <-ctx.Done():
			r.t.Fatalf("I16: %s after the last fault: %s", time.Since(begun).Round(time.Second), lacking)
		case <-time.After(20 * time.Millisecond): // nothing tells a client of it
		}
	}
	took := time.Since(begun)
	r.tell("whole after %s", took.Round(time.Millisecond))
	r.count("ms until whole, summed", took.Milliseconds())
}

// lacking says what is not whole.
func (r *siege) lacking(ctx context.Context, client *kgo.Client) string {
	_, lacking := r.look(ctx, client)
	return lacking
}

// look asks every node what it sees of the partitions, and says what is not whole.
func (r *siege) look(ctx context.Context, client *kgo.Client) (views []map[partitionKey]kmsg.MetadataResponseTopicPartition, lacking string) {
	for n := range r.cluster.Nodes {
		rq := kmsg.NewPtrMetadataRequest()
		ask, cancel := context.WithTimeout(ctx, 2*time.Second)
		answer, err := client.Broker(n+1).Request(ask, rq)
		cancel()
		if err != nil {
			return nil, fmt.Sprintf("node %d does not say what it sees: %v", n+1, errors.Join(err, client.Ping(ctx)))
		}
		view := map[partitionKey]kmsg.MetadataResponseTopicPartition{}
		for _, t := range answer.(*kmsg.MetadataResponse).Topics {
			for _, p := range t.Partitions {
				view[partitionKey{*t.Topic, p.Partition}] = p
			}
		}
		views = append(views, view)
	}
	return views, lackingIn(views, int(r.replicas))
}

// lackingIn says how the nodes' views of the partitions are not those of a cluster that is whole.
func lackingIn(views []map[partitionKey]kmsg.MetadataResponseTopicPartition, replicas int) string {
	if len(views[0]) == 0 {
		return "there are no partitions"
	}
	for n, view := range views {
		if len(view) != len(views[0]) {
			return fmt.Sprintf("node %d knows %d partitions, node 1 %d", n+1, len(view), len(views[0]))
		}
		for k, p := range view {
			first := views[0][k]
			slices.Sort(p.ISR)
			switch {
			case p.ErrorCode != 0 || p.Leader < 0:
				return fmt.Sprintf("node %d: %v has no leader, code %d", n+1, k, p.ErrorCode)
			case len(p.ISR) != replicas:
				return fmt.Sprintf("node %d: of %v only %v are in sync", n+1, k, p.ISR)
			case p.Leader != first.Leader || p.LeaderEpoch != first.LeaderEpoch:
				return fmt.Sprintf("nodes 1 and %d do not agree on who leads %v", n+1, k)
			}
		}
	}
	return ""
}

// metadata is asked for while the cluster is whole.
func (r *siege) metadata() *kmsg.MetadataResponse {
	r.t.Helper()
	client := r.newClient()
	defer client.Close()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	m, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, client)
	if err != nil {
		r.t.Fatal(err)
	}
	return m
}
