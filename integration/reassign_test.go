package integration

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"chronik/integration/broker"
)

// mover moves the replicas of a topic of a real cluster.
type mover struct {
	t      testing.TB
	admin  *kadm.Client
	client *kgo.Client
	ctx    context.Context
	topic  string
}

func newMover(t testing.TB, c *broker.Cluster, topic string) *mover {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(c.Addresses(), ",")...), kgo.MetadataMinAge(10*time.Millisecond),
		kgo.DialTimeout(time.Second), kgo.RequestTimeoutOverhead(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 2*broker.Patience)
	t.Cleanup(cancel)
	return &mover{t, kadm.NewClient(client), client, ctx, topic}
}

// partitions is the topic as some broker knows it, and whether each has the replicas in any order.
func (m *mover) partitions(replicas ...int32) (all kadm.PartitionDetails, there bool) {
	topics, err := m.admin.ListTopics(m.ctx, m.topic)
	all = topics[m.topic].Partitions
	there = err == nil && len(all) > 0
	for _, p := range all {
		there = there && slices.Equal(slices.Sorted(slices.Values(p.Replicas)), replicas)
	}
	return all, there
}

// move has every partition go to the replicas, whose order goes round; nil cancels.
func (m *mover) move(replicas ...int32) {
	m.t.Helper()
	for {
		all, _ := m.partitions()
		var rq kadm.AlterPartitionAssignmentsReq
		for _, p := range all {
			if replicas == nil {
				rq.CancelAssign(m.topic, p.Partition)
				continue
			}
			n := int(p.Partition) % len(replicas)
			rq.Assign(m.topic, p.Partition, slices.Concat(replicas[n:], replicas[:n]))
		}
		answer, err := m.admin.AlterPartitionAssignments(m.ctx, rq)
		if err == nil {
			err = answer.Error()
		}
		if err == nil && len(all) > 0 {
			return
		}
		select {
		case <-m.ctx.Done():
			m.t.Fatal(err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// moving is how many partitions are on their way.
func (m *mover) moving() int {
	m.t.Helper()
	all, _ := m.partitions()
	var asked kadm.TopicsSet
	for _, p := range all {
		asked.Add(m.topic, p.Partition)
	}
	list, err := m.admin.ListPartitionReassignments(m.ctx, asked)
	if err != nil {
		m.t.Fatal(err)
	}
	return len(list.Sorted())
}

// await returns when all partitions have the replicas, all of them in sync.
func (m *mover) await(replicas ...int32) {
	m.t.Helper()
	for {
		all, there := m.partitions(replicas...)
		for _, p := range all {
			there = there && p.Leader >= 0 && len(p.ISR) == len(replicas)
		}
		if there {
			return
		}
		select {
		case <-m.ctx.Done():
			m.t.Fatalf("the partitions are not at %v: %+v", replicas, all)
		case <-time.After(50 * time.Millisecond): // nothing tells a client of it
		}
	}
}

// Every replica moves to other nodes and back under load, with the controller killed on the way; a move to a node that is
// down waits and can be cancelled. No record that was acknowledged is lost or comes twice.
func TestMovingEveryPartitionUnderLoadLosesNothing(t *testing.T) {
	c := broker.NewCluster(t, 3, broker.SmallLog...)
	c.Start()
	bench := c.Bench("both", "--duration", "25s", "--rate", "5000", "--size", "100-2000", "--clients", "3", "--partitions", "8",
		"--replication", "3", "--topic-config", "min.insync.replicas=2", "--linger", "2ms", "--compression", "lz4", "--topic", "ledger")
	c.AwaitISR("ledger", 3)
	fourth := c.Add(broker.SmallLog...)
	fourth.Start()
	m := newMover(t, c, "ledger")
	m.move(2, 3, 4)
	m.await(2, 3, 4)
	m.move(1, 2, 3)
	meta, err := m.admin.BrokerMetadata(m.ctx)
	if err != nil {
		t.Fatal(err)
	}
	controller := c.Nodes[meta.Controller-1]
	controller.Kill()
	controller.Start()
	m.await(1, 2, 3)

	fourth.Kill()
	m.move(1, 2, 4)
	if n := m.moving(); n != 8 {
		t.Errorf("%d partitions are on their way to a node that is down", n)
	}
	m.move()
	m.await(1, 2, 3)
	if n := m.moving(); n != 0 {
		t.Errorf("%d partitions are on their way after they were called back", n)
	}
	fourth.Start()
	m.move(4, 3)
	m.await(3, 4)
	bench.WaitFor(2 * broker.Patience)
	r := benchReport(t, bench)
	t.Logf("%d records acknowledged, %.2f s the longest time without", r.Produce.Acked, r.Produce.LongestGap)
	if r.Produce.Acked == 0 || r.Verified.Acked != r.Produce.Acked {
		t.Errorf("%+v", r)
	}
}
