package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/config"
	"chronik/metalog/image"
)

// Codes and messages are those of Apache Kafka 4.3.0 for the same requests.
func TestCreateTopics(t *testing.T) {
	c, l := cluster(t, 1)
	expect(t, create(c, topic("a", 1, 1), topic("a.b", 2, -1), topic("d_", -1, -1, "retention.ms", "5")), []string{"a: ok", "a.b: ok", "d_: ok"})
	if set := l.img.Configs(image.Resource{Type: image.TopicResource, Name: "d_"}); set["retention.ms"] != "5" {
		t.Errorf("configs %v", set)
	}
	const letters = "contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
	const factor = "Replication factor must be larger than 0, or -1 to use the default value."
	const count = "Number of partitions was set to an invalid non-positive value."
	const manual = "A manual partition assignment was specified, but replication factor was not set to -1."
	for _, x := range []struct {
		rq   kmsg.CreateTopicsRequestTopic
		want string
	}{
		{topic("a_b", 1, 1), "INVALID_TOPIC_EXCEPTION Topic 'a_b' collides with existing topic: a.b"},
		{topic("a", 1, 1), "TOPIC_ALREADY_EXISTS Topic 'a' already exists."},
		{topic("", 1, 1), "INVALID_TOPIC_EXCEPTION Topic name is invalid: the empty string is not allowed"},
		{topic("..", 1, 1), "INVALID_TOPIC_EXCEPTION Topic name is invalid: '..' is not allowed"},
		{topic("é", 1, 1), "INVALID_TOPIC_EXCEPTION Topic name is invalid: 'é' " + letters},
		{topic("z", 0, 1), "INVALID_PARTITIONS " + count},
		{topic("z", -2, 1), "INVALID_PARTITIONS " + count},
		{topic("z", 1, 0), "INVALID_REPLICATION_FACTOR " + factor},
		{topic("z", 0, 0), "INVALID_REPLICATION_FACTOR " + factor},
		{topic("z", 1, 3), "INVALID_REPLICATION_FACTOR Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached because only 1 broker(s) are registered."},
		{topic("z", 10001, 1), "POLICY_VIOLATION Excessively large number of partitions per request."},
		{topic("z", 2147483647, 1), "POLICY_VIOLATION Excessively large number of partitions per request."},
		{assigned("m", 1, 1, []int32{1}), "INVALID_REQUEST " + manual},
		{assigned("m", -1, 1, []int32{1}), "INVALID_REQUEST " + manual},
		{assigned("m", 1, -1, []int32{1}), "INVALID_REQUEST A manual partition assignment was specified, but numPartitions was not set to -1."},
		{assigned("m", -1, -1, []int32{9}), "INVALID_REPLICA_ASSIGNMENT The manual partition assignment includes broker 9, but no such broker is registered."},
		{assigned("m", -1, -1, []int32{1, 1}), "INVALID_REPLICA_ASSIGNMENT The manual partition assignment includes the broker 1 more than once."},
		{assigned("m", -1, -1, []int32{}), "INVALID_REPLICA_ASSIGNMENT The manual partition assignment includes an empty replica list."},
		{topic("n", 1, 1, "retention.ms", "NULL"), "INVALID_CONFIG Null value not supported for topic configs: retention.ms"},
		{topic("n", 1, 1, "nope", "1"), "INVALID_CONFIG Unknown topic config name: nope"},
		{topic("n", 1, 1, "retention.ms", "x"), "INVALID_CONFIG Invalid value x for configuration retention.ms: Not a number of type LONG"},
		{topic("n", 1, 1, "min.compaction.lag.ms", "9", "max.compaction.lag.ms", "8"), "INVALID_CONFIG conflict topic config setting min.compaction.lag.ms (9) > max.compaction.lag.ms (8)"},
		{topic("__cluster_metadata", 1, 1), "INVALID_REQUEST Creation of internal topic __cluster_metadata is prohibited."},
		{topic("__consumer_offsets", 1, 1), "ok"},
	} {
		expect(t, create(c, x.rq), []string{x.rq.Topic + ": " + x.want})
	}
	if offsets, _ := l.img.TopicNamed("__consumer_offsets"); !offsets.Internal {
		t.Error("__consumer_offsets is not internal")
	}
	expect(t, create(c, topic("dup", 1, 1), topic("dup", 1, 1), topic("ok1", 1, 1)), []string{"ok1: ok", "dup: INVALID_REQUEST Duplicate topic name."})
	expect(t, create(c), nil)
}

func TestCreateTopicsAssigned(t *testing.T) {
	c, l := cluster(t, 3, 3)
	gap := assigned("gap", -1, -1, []int32{1}, []int32{1})
	gap.ReplicaAssignment[1].Partition = 2
	again := assigned("again", -1, -1, []int32{1}, []int32{1})
	again.ReplicaAssignment[1].Partition = 0
	expect(t, create(c, assigned("a", -1, -1, []int32{3, 2}, []int32{1, 2}), assigned("fenced", -1, -1, []int32{3}), assigned("uneven", -1, -1, []int32{1, 2}, []int32{1}), gap, again), []string{
		"a: ok",
		"fenced: INVALID_REPLICA_ASSIGNMENT All brokers specified in the manual partition assignment for partition 0 are fenced or in controlled shutdown.",
		"uneven: INVALID_REPLICA_ASSIGNMENT The manual partition assignment includes a partition with 1 replica(s), but this is not consistent with previous partitions, which have 2 replica(s).",
		"gap: INVALID_REPLICA_ASSIGNMENT partitions should be a consecutive 0-based integer sequence",
		"again: INVALID_REPLICA_ASSIGNMENT Found multiple manual partition assignments for partition 0",
	})
	a, _ := l.img.TopicNamed("a")
	if p := a.Partitions[0]; p.Leader != 2 || len(p.ISR) != 1 || len(p.Replicas) != 2 || p.LeaderEpoch != 0 || p.Epoch != 0 {
		t.Errorf("%+v", p)
	}
}

func TestCreateTopicsAnswersWhatItMade(t *testing.T) {
	c, l := cluster(t, 2)
	rq := kmsg.NewPtrCreateTopicsRequest()
	rq.Topics = []kmsg.CreateTopicsRequestTopic{topic("a", -1, -1, "retention.ms", "5"), assigned("b", -1, -1, []int32{1, 2}, []int32{2, 1})}
	rq.ValidateOnly = true
	c.CreateTopics(context.Background(), rq, nil)
	if l.img.TopicCount() != 0 {
		t.Error("a validation created topics")
	}
	rq.ValidateOnly = false
	rs := c.CreateTopics(context.Background(), rq, nil)
	a, _ := l.img.TopicNamed("a")
	if rs[0].TopicID != a.ID || rs[0].NumPartitions != 1 || rs[0].ReplicationFactor != 1 || rs[1].NumPartitions != 2 || rs[1].ReplicationFactor != 2 {
		t.Errorf("%+v", rs)
	}
	i := slices.IndexFunc(rs[0].Configs, func(x kmsg.CreateTopicsResponseTopicConfig) bool { return x.Name == "retention.ms" })
	if x := rs[0].Configs[i]; *x.Value != "5" || x.Source != 1 || x.ReadOnly {
		t.Errorf("%+v", x)
	}
}

func TestCollisions(t *testing.T) {
	c, _ := cluster(t, 1)
	long := strings.Repeat("a.", 9)
	expect(t, create(c, topic("x_y.z", 1, 1), topic(long, 1, 1), topic("p.q", 1, 1), topic("p_q", 1, 1), topic("xy", 1, 1)), []string{
		"x_y.z: ok", long + ": ok", "p.q: ok", "p_q: INVALID_TOPIC_EXCEPTION Topic 'p_q' collides with existing topic: p.q", "xy: ok",
	})
	for name, other := range map[string]string{
		"x.y_z": "x_y.z", "x_y_z": "x_y.z", "x.y.z": "x_y.z", "x_y-z": "", "x_y": "", "a" + strings.Repeat("_a", 8) + ".": long, strings.Repeat("a.", 10): "",
	} {
		want := name + ": ok"
		if other != "" {
			want = name + ": INVALID_TOPIC_EXCEPTION Topic '" + name + "' collides with existing topic: " + other
		}
		expect(t, create(c, topic(name, 1, 1)), []string{want})
	}
}

func TestPlacement(t *testing.T) {
	c, l := cluster(t, 4, 4)
	expect(t, create(c, topic("a", 18, 2), topic("wide", 1, 4), topic("wider", 1, 5)), []string{
		"a: ok", "wide: ok", "wider: INVALID_REPLICATION_FACTOR Unable to replicate the partition 5 time(s): The target replication factor of 5 cannot be reached because only 4 broker(s) are registered.",
	})
	leaders, pairs := map[image.BrokerID]int{}, map[string]int{}
	a, _ := l.img.TopicNamed("a")
	for _, p := range a.Partitions {
		leaders[p.Leader]++
		pairs[fmt.Sprint(p.Replicas)]++
	}
	if len(leaders) != 3 || leaders[1] != 6 || leaders[2] != 6 || leaders[3] != 6 || len(pairs) != 6 {
		t.Errorf("leaders %v, pairs %v", leaders, pairs)
	}
	wide, _ := l.img.TopicNamed("wide")
	if p := wide.Partitions[0]; len(p.Replicas) != 4 || len(p.ISR) != 3 || p.Replicas[3] != 4 {
		t.Errorf("%+v", p)
	}
	fenced, _ := cluster(t, 1, 1)
	expect(t, create(fenced, topic("a", 1, 1)), []string{"a: INVALID_REPLICATION_FACTOR Unable to replicate the partition 1 time(s): All brokers are currently fenced."})
}

func TestManyTopicsNeedFewEntries(t *testing.T) {
	c, l := cluster(t, 3)
	var many []kmsg.CreateTopicsRequestTopic
	for i := range 2000 {
		many = append(many, topic(fmt.Sprintf("topic-with-a-name-%d", i), 5, 3, "retention.ms", "86400000", "cleanup.policy", "compact"))
	}
	for _, r := range create(c, many...) {
		if !strings.HasSuffix(r, ": ok") {
			t.Fatal(r)
		}
	}
	expect(t, create(c, topic("one", 10_000, 3)), []string{"one: ok"})
	if l.img.PartitionCount() != 20_000 || l.entries > 6 {
		t.Errorf("%d partitions in %d entries", l.img.PartitionCount(), l.entries)
	}
	t.Logf("%d entries, the largest of %d bytes", l.entries, l.largest)
}

// A chunk that fails leaves what the ones before it made, and says so of the rest.
func TestAChunkThatFails(t *testing.T) {
	c, l := cluster(t, 1)
	var many []kmsg.CreateTopicsRequestTopic
	for i := range 10 {
		many = append(many, topic(fmt.Sprint("t", i), 1000, 1))
	}
	l.failAfter = 1
	got := create(c, many...)
	first := slices.IndexFunc(got, func(s string) bool { return !strings.HasSuffix(s, ": ok") })
	if first != l.img.TopicCount() || first < 1 {
		t.Fatalf("%d topics are there, %d said to be", l.img.TopicCount(), first)
	}
	for _, s := range got[first:] {
		if !strings.HasSuffix(s, ": UNKNOWN_SERVER_ERROR") {
			t.Error(s)
		}
	}
}

func TestDeleteTopics(t *testing.T) {
	c, l := cluster(t, 1)
	create(c, topic("a", 1, 1), topic("b", 1, 1), topic("c", 1, 1), topic("d", 1, 1))
	id := func(name string) [16]byte { x, _ := l.img.TopicNamed(name); return x.ID }
	name := func(s string) kmsg.DeleteTopicsRequestTopic { return kmsg.DeleteTopicsRequestTopic{Topic: &s} }
	a, b, both, d := id("a"), id("b"), name("c"), id("d")
	both.TopicID = id("c")
	expect(t, remove(c, 6, name("nope"), name("a"), kmsg.DeleteTopicsRequestTopic{TopicID: b}, kmsg.DeleteTopicsRequestTopic{TopicID: [16]byte{1, 2}},
		kmsg.DeleteTopicsRequestTopic{}, both, name("d"), name("d"), name("nope")), []string{
		"nope: INVALID_REQUEST Duplicate topic name.",
		"a " + uuid.UUID(a).String() + ": ok",
		"b " + uuid.UUID(b).String() + ": ok",
		"<nil> 01020000-0000-0000-0000-000000000000: UNKNOWN_TOPIC_ID This server does not host this topic ID.",
		"<nil>: INVALID_REQUEST Neither topic name nor id were specified.",
		"c " + uuid.UUID(both.TopicID).String() + ": INVALID_REQUEST You may not specify both topic name and topic id.",
		"d: INVALID_REQUEST Duplicate topic name.",
	})
	expect(t, remove(c, 6, name("gone")), []string{"gone: UNKNOWN_TOPIC_OR_PARTITION This server does not host this topic-partition."})
	if _, ok := l.img.Topic(d); !ok || l.img.TopicCount() != 2 {
		t.Errorf("%d topics are left", l.img.TopicCount())
	}
	old := kmsg.NewPtrDeleteTopicsRequest()
	old.Version, old.TopicNames = 3, []string{"c"}
	if rs := c.DeleteTopics(context.Background(), old, nil); len(rs) != 1 || rs[0].ErrorCode != 0 || *rs[0].Topic != "c" {
		t.Errorf("%+v", rs)
	}
}

func TestDeleteTopicsCanBeForbidden(t *testing.T) {
	c, _ := cluster(t, 1)
	create(c, topic("a", 1, 1))
	b := *c.o.Config()
	b.DeleteTopics = false
	c.o.Config = func() *config.Broker { return &b }
	a := "a"
	for version, want := range map[int16]string{2: "INVALID_REQUEST", 6: "TOPIC_DELETION_DISABLED"} {
		got := remove(c, version, kmsg.DeleteTopicsRequestTopic{Topic: &a})
		if !strings.Contains(got[0], ": "+want+" ") {
			t.Errorf("version %d: %s", version, got)
		}
	}
}

func remove(c *Controller, version int16, topics ...kmsg.DeleteTopicsRequestTopic) (results []string) {
	rq := kmsg.NewPtrDeleteTopicsRequest()
	rq.Version, rq.Topics = version, topics
	for _, r := range c.DeleteTopics(context.Background(), rq, nil) {
		who := "<nil>"
		if r.Topic != nil {
			who = *r.Topic
		}
		if r.TopicID != ([16]byte{}) {
			who += " " + uuid.UUID(r.TopicID).String()
		}
		results = append(results, who+": "+outcome(r.ErrorCode, r.ErrorMessage))
	}
	return results
}

func TestCreatePartitions(t *testing.T) {
	c, l := cluster(t, 2)
	create(c, assigned("a", -1, -1, []int32{1}))
	const more = "INVALID_REPLICA_ASSIGNMENT The manual partition assignment includes "
	for _, x := range []struct {
		count    int32
		assigned [][]int32
		want     string
	}{
		{1, nil, "INVALID_PARTITIONS Topic already has 1 partition(s)."},
		{0, nil, "INVALID_PARTITIONS The topic a currently has 1 partition(s); 0 would not be an increase."},
		{-1, nil, "INVALID_PARTITIONS The topic a currently has 1 partition(s); -1 would not be an increase."},
		{3, [][]int32{{1}}, "INVALID_REPLICA_ASSIGNMENT Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified."},
		{2, [][]int32{{7}}, more + "broker 7, but no such broker is registered."},
		{2, [][]int32{{1, 1}}, more + "the broker 1 more than once."},
		{2, [][]int32{{1, 2}}, more + "a partition with 2 replica(s), but this is not consistent with previous partitions, which have 1 replica(s)."},
		{2147483647, nil, "POLICY_VIOLATION Excessively large number of partitions per request."},
		{3, nil, "ok"},
		{5, [][]int32{{2}, {2}}, "ok"},
	} {
		if got := grow(c, "a", x.count, x.assigned); got[0] != "a: "+x.want {
			t.Errorf("%d %v: %s, want %s", x.count, x.assigned, got[0], x.want)
		}
	}
	a, _ := l.img.TopicNamed("a")
	if len(a.Partitions) != 5 || a.Partitions[3].Leader != 2 || a.Partitions[4].Stream != 5 {
		t.Errorf("%+v", a)
	}
	expect(t, grow(c, "nope", 3, nil), []string{"nope: UNKNOWN_TOPIC_OR_PARTITION"})
	rq := kmsg.NewPtrCreatePartitionsRequest()
	rq.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "a", Count: 6}, {Topic: "a", Count: 7}}
	if rs := c.CreatePartitions(context.Background(), rq, nil); len(rs) != 1 || *rs[0].ErrorMessage != "Duplicate topic name." {
		t.Errorf("%+v", rs)
	}
	rq.Topics, rq.ValidateOnly = rq.Topics[:1], true
	if rs := c.CreatePartitions(context.Background(), rq, nil); rs[0].ErrorCode != 0 || len(a.Partitions) != 5 {
		t.Errorf("%+v", rs)
	}
}

// A topic may come into being while a request to grow it waits for its turn: the bound must not have been looked at before.
// Without it one request takes all the memory that there is.
func TestAGrowthIsBoundedWhenItsTurnComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l := cluster(t, 1)
		if err := c.take(t.Context()); err != nil {
			t.Fatal(err)
		}
		grown := make(chan []string, 1)
		go func() { grown <- grow(c, "late", 1<<30, nil) }()
		synctest.Wait()
		late := topic("late", 1, 1)
		recs, err := newTopicPlan(l.img, c.o.Config()).create(&late, uuid.UUID{9})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.apply(recs...); err != nil {
			t.Fatal(err)
		}
		c.release()
		expect(t, <-grown, []string{"late: POLICY_VIOLATION Excessively large number of partitions per request."})
	})
}

func grow(c *Controller, name string, count int32, assigned [][]int32) (results []string) {
	rq, one := kmsg.NewPtrCreatePartitionsRequest(), kmsg.NewCreatePartitionsRequestTopic()
	one.Topic, one.Count = name, count
	for _, r := range assigned {
		one.Assignment = append(one.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: r})
	}
	rq.Topics = append(rq.Topics, one)
	for _, r := range c.CreatePartitions(context.Background(), rq, nil) {
		results = append(results, r.Topic+": "+outcome(r.ErrorCode, r.ErrorMessage))
	}
	return results
}
