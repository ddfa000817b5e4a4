package integration

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/integration/broker"
)

// recoverNode runs chronik cluster recover on the node's directory.
func recoverNode(t *testing.T, n *broker.Broker, flags ...string) (said string, code int) {
	t.Helper()
	out, err, code := broker.Run(t, broker.Command(t, "chronik"), append([]string{"cluster", "recover", n.Dir}, flags...)...)
	return out + err, code
}

// Two of three nodes are lost after they have gone on for a while without the third. The third goes on with what it had in
// sync. Then one of the lost comes back empty, by the README's way, and the other one with its old disk; all is whole again: it is
// the same cluster, no record is missing that the third had, and what the other two had agreed on without it is nowhere.
func TestALostQuorumIsRecoveredFromTheLastNode(t *testing.T) {
	c := broker.NewCluster(t, 3, broker.SmallLog...)
	c.Start()
	first, second, last := c.Nodes[0], c.Nodes[1], c.Nodes[2]
	bench := c.Bench("produce", "--records", "20000", "--size", "100-500", "--partitions", "6", "--replication", "3",
		"--topic-config", "min.insync.replicas=2", "--topic", "ledger")
	bench.Wait()
	m := newMover(t, c, "ledger")
	createAt(t, m, "elsewhere", 1, 2)
	createAt(t, m, "fork", 2, 1, 3)
	produceTo(t, c, "fork", kgo.AllISRAcks(), "a", "b")
	c.AwaitISR("ledger", 3)
	c.AwaitISR("fork", 3)
	cluster := clusterID(t, m)

	if said, code := recoverNode(t, last, "--accept-loss"); code != 1 || !strings.Contains(said, "stop the node first") {
		t.Fatalf("of a running node: %d\n%s", code, said)
	}
	last.Kill()
	if said, code := recoverNode(t, last, "--accept-loss"); code != 1 || !strings.Contains(said, "nothing was changed: another node runs at") {
		t.Fatalf("beside a quorum: %d\n%s", code, said)
	}
	c.AwaitISR("fork", 2)
	produceTo(t, c, "fork", kgo.AllISRAcks(), "lost 1", "lost 2", "lost 3")
	createAt(t, m, "unheard", 2, 1)
	produceTo(t, c, "unheard", kgo.AllISRAcks(), "lost 4")
	first.Kill()
	second.Kill()
	if err := os.RemoveAll(first.Dir); err != nil {
		t.Fatal(err)
	}

	said, code := recoverNode(t, last)
	for _, want := range []string{": node 3 of cluster " + cluster + "\n", "  voters: 1,2,3; this node is one\n", "  7 in sync here: ", "  1 only at other nodes: ",
		": elsewhere-0\n", "- all records of the 1 partition at other nodes", "run it again with --accept-loss"} {
		if code != 1 || !strings.Contains(said, want) {
			t.Fatalf("%d, without %q:\n%s", code, want, said)
		}
	}
	if said, code := recoverNode(t, last, "--accept-loss"); code != 0 || !strings.Contains(said, "node 3 is the only voter now") {
		t.Fatalf("%d\n%s", code, said)
	}
	last.Start()
	c.AwaitLeaders("ledger", func(leader int32) bool { return leader == 3 })
	if id := clusterID(t, m); id != cluster {
		t.Errorf("it was cluster %s and is %s", cluster, id)
	}
	if out, said, code := clusterCommand(t, c, "status"); code != 1 || !strings.Contains(said, "the cluster is not well: 2 brokers are down, 1 partition has no leader, ") ||
		!strings.Contains(out, "brokers 1,2 are down") || !strings.Contains(out, ": elsewhere-0 (1 led last)\n") || !strings.Contains(out, "chronik cluster elect --unclean TOPIC") {
		t.Errorf("%d: %s%s", code, out, said)
	}
	createAt(t, m, "later", 3, 2)
	produceTo(t, c, "fork", kgo.LeaderAck(), "c")
	produceTo(t, c, "later", kgo.LeaderAck(), "d")

	first.Begin()
	second.Begin()
	second.AwaitMessage("this data directory is an older copy: its metadata log is set aside, and this node becomes another member of the cluster")
	second.AwaitMessage("ready")
	first.AwaitMessage("ready")
	for topic, replicas := range map[string]int{"ledger": 3, "fork": 3, "later": 2} {
		c.AwaitISR(topic, replicas)
	}
	if out := cli(t, c, "elect", "--unclean", "elsewhere"); !strings.Contains(out, "1 partition has another leader") {
		t.Error(out)
	}
	c.AwaitISR("elsewhere", 2)
	m.until("all three vote", func() bool { return len(m.voters()) == 3 })
	last.Kill() // the others have all of it now
	c.AwaitLeaders("ledger", func(leader int32) bool { return leader != 3 })
	again := c.Bench("consume")
	again.Wait()
	if v := benchReport(t, again).Verified; v.Acked != 20000 {
		t.Errorf("%+v", v)
	}
	for topic, want := range map[string][]string{"fork": {"a", "b", "c"}, "later": {"d"}} {
		if got := readAll(t, c, topic, len(want)); !slices.Equal(got, want) {
			t.Errorf("%s holds %q, not %q", topic, got, want)
		}
	}
	if all, err := m.admin.ListTopics(m.ctx); err != nil || all.Has("unheard") {
		t.Error("a topic that the survivor had not heard of:", err)
	}
}

// createAt makes a topic of one partition at those brokers.
func createAt(t *testing.T, m *mover, topic string, replicas ...int32) {
	t.Helper()
	rq := kmsg.NewPtrCreateTopicsRequest()
	asked := kmsg.NewCreateTopicsRequestTopic()
	asked.Topic, asked.NumPartitions, asked.ReplicationFactor = topic, -1, -1
	asked.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Replicas: replicas}}
	rq.Topics = append(rq.Topics, asked)
	m.until("topic "+topic+" is created", func() bool { // the client may still know a controller that is gone
		resp, err := rq.RequestWith(m.ctx, m.client)
		return err == nil && (resp.Topics[0].ErrorCode == 0 || errors.Is(kerr.ErrorForCode(resp.Topics[0].ErrorCode), kerr.TopicAlreadyExists))
	})
}

// topicClient is a client of the cluster that finds out soon where a topic is.
func topicClient(t *testing.T, c *broker.Cluster, o ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(strings.Split(c.Addresses(), ",")...), kgo.MetadataMinAge(50 * time.Millisecond),
		kgo.DialTimeout(time.Second)}, o...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func produceTo(t *testing.T, c *broker.Cluster, topic string, acks kgo.Acks, values ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), broker.Patience)
	defer cancel()
	client := topicClient(t, c, kgo.RequiredAcks(acks), kgo.DisableIdempotentWrite())
	for _, v := range values {
		if err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(v)}).FirstErr(); err != nil {
			t.Fatalf("produce %q to %s: %v", v, topic, err)
		}
	}
}

// readAll is the first n values of a topic, and what comes with them.
func readAll(t *testing.T, c *broker.Cluster, topic string, n int) (values []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), broker.Patience)
	defer cancel()
	client := topicClient(t, c, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	for len(values) < n && ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}

func clusterID(t *testing.T, m *mover) string {
	t.Helper()
	meta, err := m.admin.BrokerMetadata(m.ctx)
	if err != nil {
		t.Fatal(err)
	}
	return meta.Cluster
}
