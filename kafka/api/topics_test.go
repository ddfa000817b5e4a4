package api

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/kafka/wire"
	"chronik/metalog/image"
)

func createRequest(version int16, topics ...kmsg.CreateTopicsRequestTopic) *kmsg.CreateTopicsRequest {
	rq := kmsg.NewPtrCreateTopicsRequest()
	rq.Version, rq.Topics, rq.TimeoutMillis = version, topics, 0 // as several clients send it
	return rq
}

func newTopic(name string, partitions int32, replicas int16) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, replicas
	return t
}

// What was created can be used when the answer comes, and what was deleted is gone.
func TestATopicIsThereWhenItsCreationIsAnswered(t *testing.T) {
	n := start(t, nil)
	for i := range 20 {
		name := fmt.Sprintf("t%d", i)
		created := ask[*kmsg.CreateTopicsResponse](n, createRequest(7, newTopic(name, -1, -1))).Topics[0]
		n.code(created.ErrorCode, kerr.None)
		if created.NumPartitions != 3 || created.ReplicationFactor != 1 || len(created.Configs) < 20 || created.TopicID == uuid.Nil {
			t.Fatalf("%+v", created)
		}
		rq := produceRequest(13, "", created.TopicID, 2, stamped(t, 1))
		n.code(ask[*kmsg.ProduceResponse](n, rq).Topics[0].Partitions[0].ErrorCode, kerr.None)
		n.produce(name, 0, 1)

		deletion := kmsg.NewPtrDeleteTopicsRequest()
		deletion.Version = 6
		one := kmsg.NewDeleteTopicsRequestTopic()
		if i%2 == 0 {
			one.Topic = &name
		} else {
			one.TopicID = created.TopicID
		}
		deletion.Topics = append(deletion.Topics, one)
		deleted := ask[*kmsg.DeleteTopicsResponse](n, deletion).Topics[0]
		n.code(deleted.ErrorCode, kerr.None)
		if deleted.Topic == nil || *deleted.Topic != name || deleted.TopicID != created.TopicID {
			t.Fatalf("%+v", deleted)
		}
		n.code(ask[*kmsg.ProduceResponse](n, rq).Topics[0].Partitions[0].ErrorCode, kerr.UnknownTopicID)
		again := ask[*kmsg.CreateTopicsResponse](n, createRequest(7, newTopic(name, 1, 1))).Topics[0]
		if again.ErrorCode != 0 || again.TopicID == created.TopicID {
			t.Fatalf("created again: %+v", again)
		}
	}
}

// T06: a deletion that is answered with success has happened, in every version.
func TestDeletionsOfEveryVersionDelete(t *testing.T) {
	n := start(t, nil)
	for v := range int16(7) {
		n.create("t", 1)
		rq := kmsg.NewPtrDeleteTopicsRequest()
		rq.Version, rq.TopicNames = v, []string{"t"}
		rq.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: ptr("t")}}
		n.code(ask[*kmsg.DeleteTopicsResponse](n, rq).Topics[0].ErrorCode, kerr.None)
		if _, ok := n.Meta.Image().TopicNamed("t"); ok {
			t.Errorf("v%d: it is still there", v)
		}
	}
}

// T13.
func TestCreateTopicsRefuses(t *testing.T) {
	n := start(t, nil)
	n.create("there", 1)
	n.create("a.b", 1)
	with := func(change func(*kmsg.CreateTopicsRequestTopic)) kmsg.CreateTopicsRequestTopic {
		c := newTopic("new", 1, 1)
		change(&c)
		return c
	}
	for _, c := range []struct {
		want  kerr.Code
		topic kmsg.CreateTopicsRequestTopic
	}{
		{kerr.TopicAlreadyExists, newTopic("there", 1, 1)},
		{kerr.InvalidTopicException, newTopic("", 1, 1)},
		{kerr.InvalidTopicException, newTopic(".", 1, 1)},
		{kerr.InvalidTopicException, newTopic("..", 1, 1)},
		{kerr.InvalidTopicException, newTopic(strings.Repeat("n", 250), 1, 1)},
		{kerr.InvalidTopicException, newTopic("a_b", 1, 1)},
		{kerr.InvalidPartitions, newTopic("new", 0, 1)},
		{kerr.InvalidPartitions, newTopic("new", -2, 1)},
		{kerr.PolicyViolation, newTopic("new", math.MaxInt32, 1)},
		{kerr.InvalidReplicationFactor, newTopic("new", 1, 0)},
		{kerr.InvalidReplicationFactor, newTopic("new", 1, 2)},
		{kerr.InvalidConfig, with(func(c *kmsg.CreateTopicsRequestTopic) {
			c.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "retention.ms", Value: ptr("soon")}}
		})},
		{kerr.InvalidConfig, with(func(c *kmsg.CreateTopicsRequestTopic) {
			c.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "retention.ms"}}
		})},
		{kerr.InvalidConfig, with(func(c *kmsg.CreateTopicsRequestTopic) {
			c.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "no.such", Value: ptr("1")}}
		})},
		{kerr.InvalidRequest, with(func(c *kmsg.CreateTopicsRequestTopic) {
			c.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Replicas: []int32{self}}}
		})},
		{kerr.InvalidReplicaAssignment, with(func(c *kmsg.CreateTopicsRequestTopic) {
			c.NumPartitions, c.ReplicationFactor = -1, -1
			c.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Replicas: []int32{99}}}
		})},
	} {
		got := ask[*kmsg.CreateTopicsResponse](n, createRequest(5, c.topic)).Topics[0]
		if kerr.Code(got.ErrorCode) != c.want || got.ErrorMessage == nil || got.NumPartitions != -1 || len(got.Configs) != 0 {
			t.Errorf("%+v: %v %+v", c.topic, kerr.Code(got.ErrorCode), got)
		}
	}
	twice := ask[*kmsg.CreateTopicsResponse](n, createRequest(5, newTopic("x", 1, 1), newTopic("x", 1, 1)))
	if len(twice.Topics) != 1 || kerr.Code(twice.Topics[0].ErrorCode) != kerr.InvalidRequest {
		t.Errorf("%+v", twice)
	}
	if n.Meta.Image().TopicCount() != 2 {
		t.Error("something was created")
	}
}

// T13: a null where an array must be is an empty one, and a wild length closes the connection; neither takes memory.
func TestNullArraysInCreateTopics(t *testing.T) {
	n := start(t, nil)
	rq := createRequest(0, newTopic("t", 1, 1))
	frame := kmsg.NewRequestFormatter().AppendRequest(nil, rq, 1)
	at := len(frame) - 12 // before the length of the configs and the timeout
	for _, length := range []uint32{math.MaxUint32, math.MaxInt32, 1 << 20} {
		wild := bytes.Clone(frame)
		binary.BigEndian.PutUint32(wild[at:], length)
		f, err := wire.NewFrames(bytes.NewReader(wild), n.pool, 1<<20).Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got, err := wire.Decode(f, n.broker.Served, nil, &n.peer, "")
		if length == math.MaxUint32 && err == nil {
			b, err := n.raw(t.Context(), pending{got, n.broker.Begin(t.Context(), got)})
			if err != nil {
				t.Fatal(err)
			}
			n.code(n.decode(rq, b).(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode, kerr.None)
			continue
		}
		if err == nil {
			t.Errorf("a length of %d was taken", int32(length))
		}
		f.Release()
	}
}

func TestCreatePartitions(t *testing.T) {
	n := start(t, nil)
	n.create("t", 2)
	for _, c := range []struct {
		topic string
		count int32
		check bool
		want  kerr.Code
	}{
		{"t", 2, false, kerr.InvalidPartitions},
		{"t", 1, false, kerr.InvalidPartitions},
		{"none", 3, false, kerr.UnknownTopicOrPartition},
		{"t", 4, true, kerr.None},
		{"t", 3, false, kerr.None},
	} {
		rq := kmsg.NewPtrCreatePartitionsRequest()
		rq.Version, rq.ValidateOnly = 3, c.check
		topic := kmsg.NewCreatePartitionsRequestTopic()
		topic.Topic, topic.Count = c.topic, c.count
		rq.Topics = append(rq.Topics, topic)
		n.code(ask[*kmsg.CreatePartitionsResponse](n, rq).Topics[0].ErrorCode, c.want)
	}
	n.produce("t", 2, 1)
	if created, _ := n.Meta.Image().TopicNamed("t"); len(created.Partitions) != 3 {
		t.Errorf("%d partitions", len(created.Partitions))
	}
}

// T09.
func TestMetadata(t *testing.T) {
	n := start(t, nil)
	id := n.create("a", 2)
	n.create("b", 1)
	topics := func(rq *kmsg.MetadataRequest) (all []string) {
		for _, got := range ask[*kmsg.MetadataResponse](n, rq).Topics {
			name := "null"
			if got.Topic != nil {
				name = *got.Topic
			}
			all = append(all, fmt.Sprintf("%s:%d:%v", name, len(got.Partitions), kerr.Code(got.ErrorCode)))
		}
		return all
	}
	request := func(version int16, names ...string) *kmsg.MetadataRequest {
		rq := kmsg.NewPtrMetadataRequest()
		rq.Version = version
		for _, name := range names {
			rq.Topics = append(rq.Topics, kmsg.MetadataRequestTopic{Topic: &name})
		}
		return rq
	}
	all := []string{"a:2:NONE", "b:1:NONE"}
	n.equal("v0, none named", topics(request(0)), all)
	n.equal("v1, null", topics(request(1)), all)
	none := request(1)
	none.Topics = []kmsg.MetadataRequestTopic{}
	n.equal("v1, none named", topics(none), nil)
	n.equal("no leave to create", topics(request(4, "c", "a")), []string{"c:0:UNKNOWN_TOPIC_OR_PARTITION", "a:2:NONE"})
	n.equal("an invalid name", topics(request(4, "c d")), []string{"c d:0:INVALID_TOPIC_EXCEPTION"})
	n.equal("before v4 there is leave", topics(request(3, "c")), []string{"c:3:NONE"})
	byID := request(12)
	byID.Topics = []kmsg.MetadataRequestTopic{{TopicID: id}, {TopicID: uuid.New()}}
	n.equal("by id", topics(byID), []string{"a:2:NONE", "null:0:UNKNOWN_TOPIC_ID"})
	byID.Version = 10
	n.equal("by id, before the name may be null", topics(byID)[1:], []string{":0:UNKNOWN_TOPIC_ID"})

	rq := request(8)
	rq.IncludeClusterAuthorizedOperations, rq.IncludeTopicAuthorizedOperations = true, true
	got := ask[*kmsg.MetadataResponse](n, rq)
	if got.ControllerID != self || got.AuthorizedOperations != clusterOperations || got.Topics[0].AuthorizedOperations != topicOperations {
		t.Errorf("%+v", got)
	}
	p := got.Topics[0].Partitions[1]
	if p.Leader != self || p.LeaderEpoch != 0 || len(p.Replicas) != 1 || len(p.ISR) != 1 {
		t.Errorf("%+v", p)
	}
}

// T17: without a setting, clients are told the address that they came by.
func TestClientsAreToldAnAddressThatTheyCanReach(t *testing.T) {
	b := &Broker{Self: self}
	for _, c := range []struct{ host, local, want string }{
		{"", "192.0.2.7:9092", "192.0.2.7"},
		{"", "[::ffff:192.0.2.7]:9092", "192.0.2.7"},
		{"", "[2001:db8::7]:9092", "2001:db8::7"},
		{"", "[fe80::7%eth0]:9092", "fe80::7"},
		{"broker.example", "192.0.2.7:9092", "broker.example"},
	} {
		n := &image.Broker{Endpoints: []image.Endpoint{{Name: "OTHER", Host: "x", Port: 1}, {Name: "PLAINTEXT", Host: c.host}}}
		host, port := b.endpoint(n, &wire.Peer{Listener: "PLAINTEXT", Local: netip.MustParseAddrPort(c.local)})
		if host != c.want || port != 9092 {
			t.Errorf("%+v: %s:%d", c, host, port)
		}
	}
}

func TestDescribeTopicPartitionsByPages(t *testing.T) {
	n := start(t, nil)
	n.create("a", 2)
	n.create("b", 3)
	n.create("c", 1)
	page := func(limit int32, cursor string, partition int32, names ...string) string {
		rq := kmsg.NewPtrDescribeTopicPartitionsRequest()
		rq.ResponsePartitionLimit = limit
		if cursor != "" {
			rq.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: cursor, Partition: partition}
		}
		for _, name := range names {
			rq.Topics = append(rq.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: name})
		}
		got := ask[*kmsg.DescribeTopicPartitionsResponse](n, rq)
		var out []string
		for _, t := range got.Topics {
			s := *t.Topic
			if t.ErrorCode != 0 {
				s += ":" + kerr.Code(t.ErrorCode).String()
			}
			for _, p := range t.Partitions {
				s += fmt.Sprint(" ", p.Partition)
			}
			out = append(out, s)
		}
		if got.NextCursor != nil {
			out = append(out, fmt.Sprintf("-> %s %d", got.NextCursor.Topic, got.NextCursor.Partition))
		}
		return strings.Join(out, ", ")
	}
	for _, c := range []struct{ got, want string }{
		{page(2000, "", 0), "a 0 1, b 0 1 2, c 0"},
		{page(0, "", 0), "a 0, -> a 1"},
		{page(2, "", 0), "a 0 1, -> b 0"},
		{page(3, "", 0), "a 0 1, b 0, -> b 1"},
		{page(3, "b", 1), "b 1 2, c 0"},
		{page(2, "b", 1), "b 1 2, -> c 0"},
		{page(2000, "b", 9), "b, c 0"},
		{page(2000, "", 0, "c", "none", "a", "a", "x y"), "a 0 1, c 0, none:UNKNOWN_TOPIC_OR_PARTITION, x y:INVALID_TOPIC_EXCEPTION"},
		{page(2, "", 0, "c", "a"), "a 0 1, -> c 0"},
		{page(2, "c", 0, "c", "a"), "c 0"},
		{page(2, "b", 0, "c", "a"), "c:INVALID_REQUEST, a:INVALID_REQUEST"},
		{page(2, "c", -1, "c"), "c:INVALID_REQUEST"},
	} {
		if c.got != c.want {
			t.Errorf("%s\nwant %s", c.got, c.want)
		}
	}
}
