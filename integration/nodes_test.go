package integration

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/integration/broker"
)

// cli runs chronik cluster.
func cli(t *testing.T, c *broker.Cluster, args ...string) string {
	t.Helper()
	out, said, code := clusterCommand(t, c, args...)
	if code != 0 {
		t.Fatalf("chronik cluster %s ended with %d:\n%s%s", strings.Join(args, " "), code, out, said)
	}
	return out
}

func clusterCommand(t *testing.T, c *broker.Cluster, args ...string) (out, said string, code int) {
	t.Helper()
	return broker.Run(t, broker.Command(t, "chronik"), append([]string{"cluster", "--brokers", c.Addresses()}, args...)...)
}

// Whoever stops a node in order must not find errors in a log, that node's or the others'.
func TestAnOrderlyStopLogsNoErrors(t *testing.T) {
	c := broker.NewCluster(t, 3, broker.SmallLog...)
	c.Start()
	out, said, code := broker.Run(t, broker.Command(t, "chronik"), "topic", "create", "t", "--partitions", "6", "--replicas", "3", "--brokers", c.Addresses())
	if code != 0 {
		t.Fatal(out, said)
	}
	for _, n := range c.Nodes {
		c.AwaitISR("t", 3)
		n.Signal(syscall.SIGTERM)
		if code := n.Wait(); code != 0 {
			t.Errorf("it ended with %d", code)
		}
		c.AwaitLeaders("t", func(leader int32) bool { return leader >= 0 })
		for _, of := range c.Nodes {
			for line := range strings.Lines(of.Said()) {
				if strings.Contains(line, `"level":"ERROR"`) {
					t.Error(line)
				}
			}
		}
		n.Start()
	}
}

// voters is who votes on metadata.
func (m *mover) voters() (all []int32) {
	rq := kmsg.NewPtrDescribeQuorumRequest()
	rq.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{}}}}
	resp, err := rq.RequestWith(m.ctx, m.client)
	if err != nil || len(resp.Topics) == 0 {
		return nil
	}
	for _, v := range resp.Topics[0].Partitions[0].CurrentVoters {
		all = append(all, v.ReplicaID)
	}
	return all
}

// until waits for cond.
func (m *mover) until(what string, cond func() bool) {
	m.t.Helper()
	for !cond() {
		select {
		case <-m.ctx.Done():
			m.t.Fatalf("never: %s", what)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// A node comes and gets its share, another one is emptied and filled again, and the one that controls leaves for good, all
// by the command line and under load; nothing that was acknowledged is lost.
func TestNodesComeAndGo(t *testing.T) {
	c := broker.NewCluster(t, 3, broker.SmallLog...)
	c.Start()
	bench := c.Bench("both", "--duration", "25s", "--rate", "3000", "--size", "100-2000", "--clients", "2", "--partitions", "8",
		"--replication", "3", "--topic-config", "min.insync.replicas=2", "--linger", "2ms", "--topic", "ledger")
	c.AwaitISR("ledger", 3)
	c.Add(broker.SmallLog...).Start()
	m := newMover(t, c, "ledger")
	held := func(id int32) (n int) {
		all, _ := m.partitions()
		for _, p := range all {
			if slices.Contains(p.Replicas, id) {
				n++
			}
		}
		return n
	}

	if out := cli(t, c, "add", "4", "--dry-run"); !strings.Contains(out, "6 partitions change, for which 6 replicas are copied; nothing was changed") || held(4) != 0 {
		t.Errorf("dry run, and %d replicas:\n%s", held(4), out)
	}
	if out := cli(t, c, "add", "4"); held(4) != 6 || !strings.Contains(out, "6 of 6 partitions have moved\n") {
		t.Errorf("%d replicas:\n%s", held(4), out)
	}
	if out := cli(t, c, "rebalance"); !strings.Contains(out, "there is nothing to move") {
		t.Error(out)
	}
	if out := cli(t, c, "drain", "2", "--throttle", "20"); held(2) != 0 || !strings.Contains(out, "node 2 has no replicas and leads nothing\n") {
		t.Errorf("%d replicas:\n%s", held(2), out)
	}
	at := func(topic string) (ids []int32) {
		all, err := m.admin.ListTopics(m.ctx, topic)
		if err != nil {
			t.Fatal(err)
		}
		return slices.Sorted(slices.Values(all[topic].Partitions[0].Replicas))
	}
	create := func(topic string, replicas int16) {
		if _, err := m.admin.CreateTopic(m.ctx, 1, replicas, nil, topic); err != nil {
			t.Fatal(err)
		}
	}
	create("new", 3)
	create("all", 4)
	if out, _, _ := clusterCommand(t, c, "status"); !slices.Equal(at("new"), []int32{1, 3, 4}) || !slices.Equal(at("all"), []int32{1, 2, 3, 4}) || !strings.Contains(out, "broker 2 is drained: ") {
		t.Errorf("new topics are at %v and %v:\n%s", at("new"), at("all"), out)
	}
	if _, err := m.admin.DeleteTopics(m.ctx, "new", "all"); err != nil {
		t.Fatal(err)
	}
	if out := cli(t, c, "rebalance"); held(2) != 0 {
		t.Errorf("%d replicas:\n%s", held(2), out)
	}
	out := cli(t, c, "undrain", "2")
	if status, _, _ := clusterCommand(t, c, "status"); held(2) != 0 || strings.Contains(status, "is drained") {
		t.Error(out, status)
	}
	if out := cli(t, c, "add", "2"); held(2) != 6 {
		t.Errorf("%d replicas:\n%s", held(2), out)
	}

	if configs, err := m.admin.DescribeTopicConfigs(m.ctx, "ledger"); err != nil || strings.Contains(fmt.Sprint(configs), "*") {
		t.Errorf("the quota stayed: %v, %v", configs, err)
	}
	meta, err := m.admin.BrokerMetadata(m.ctx)
	if err != nil {
		t.Fatal(err)
	}
	id := meta.Controller
	leaving := broker.Start(t, broker.Command(t, "chronik"), "cluster", "--brokers", c.Addresses(), "decommission", strconv.Itoa(int(id)))
	m.until("the node has nothing and no vote", func() bool {
		voters := m.voters()
		return held(id) == 0 && len(voters) > 0 && !slices.Contains(voters, id)
	})
	gone := c.Nodes[id-1]
	gone.Signal(syscall.SIGTERM)
	gone.Wait()
	if code := leaving.Wait(); code != 0 || !strings.Contains(leaving.Out.String(), "is removed from the cluster") {
		t.Errorf("decommission ended with %d: %s%s", code, leaving.Out.String(), leaving.Said())
	}
	out, said, code := clusterCommand(t, c, "status")
	whole := strings.Contains(out, "every partition has a leader and all its replicas in sync") && code == 0
	late := strings.HasSuffix(strings.TrimSpace(said), "the cluster is not well: 1 broker has no vote yet") && code == 1 // the newcomer's comes in time
	if !strings.Contains(out, ": 3 brokers,") || !whole && !late {
		t.Errorf("%d: %s%s", code, out, said)
	}
	bench.WaitFor(2 * broker.Patience)
	r := benchReport(t, bench)
	t.Logf("%d records acknowledged, %.2f s the longest time without", r.Produce.Acked, r.Produce.LongestGap)
	if r.Produce.Acked == 0 || r.Verified.Acked != r.Produce.Acked {
		t.Errorf("%+v", r)
	}
}
