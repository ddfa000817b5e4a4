package controller

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

const (
	set      = kmsg.IncrementalAlterConfigOpSet
	del      = kmsg.IncrementalAlterConfigOpDelete
	add      = kmsg.IncrementalAlterConfigOpAppend
	subtract = kmsg.IncrementalAlterConfigOpSubtract
)

const (
	topicType  = kmsg.ConfigResourceTypeTopic
	brokerType = kmsg.ConfigResourceTypeBroker
	groupType  = kmsg.ConfigResourceTypeGroupConfig
)

func change(kind kmsg.IncrementalAlterConfigOp, name, value string) kmsg.IncrementalAlterConfigsRequestResourceConfig {
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	if c.Op, c.Name = kind, name; value != "NULL" {
		c.Value = &value
	}
	return c
}

func alter(c *Controller, t kmsg.ConfigResourceType, name string, ops ...kmsg.IncrementalAlterConfigsRequestResourceConfig) string {
	rq := kmsg.NewPtrIncrementalAlterConfigsRequest()
	rq.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: t, ResourceName: name, Configs: ops}}
	r := c.IncrementalAlterConfigs(context.Background(), rq)[0]
	return outcome(r.ErrorCode, r.ErrorMessage)
}

// Codes and messages are those of Apache Kafka 4.3.0 for the same requests, but for brokers' values: INVALID_CONFIG
// where Kafka says INVALID_REQUEST, and unknown names, which Kafka keeps.
func TestIncrementalAlterConfigs(t *testing.T) {
	c, l := cluster(t, 1)
	create(c, topic("a", 1, 1))
	for _, x := range []struct {
		kind kmsg.ConfigResourceType
		name string
		op   kmsg.IncrementalAlterConfigsRequestResourceConfig
		want string
	}{
		{topicType, "a", change(set, "retention.ms", "7"), "ok"},
		{topicType, "nope", change(set, "retention.ms", "7"), "UNKNOWN_TOPIC_OR_PARTITION The topic 'nope' does not exist."},
		{topicType, "a", change(set, "x", "7"), "INVALID_CONFIG Unknown topic config name: x"},
		{topicType, "a", change(set, "retention.ms", "NULL"), "INVALID_REQUEST Null value not supported for : retention.ms"},
		{topicType, "a", change(add, "cleanup.policy", "compact"), "ok"},
		{topicType, "a", change(add, "retention.ms", "7"), "INVALID_CONFIG Can't APPEND to key retention.ms because its type is not LIST."},
		{topicType, "a", change(9, "retention.ms", "7"), "INVALID_REQUEST Unknown operations type 9"},
		{topicType, "", change(set, "retention.ms", "7"), "INVALID_REQUEST Default topic resources are not allowed."},
		{topicType, "a/b", change(set, "retention.ms", "7"), "INVALID_TOPIC_EXCEPTION Topic name is invalid: 'a/b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"},
		{topicType, "a", change(del, "nope", "NULL"), "ok"},
		{brokerType, "", change(set, "log.retention.ms", "9000"), "ok"},
		{brokerType, "", change(set, "num.partitions", "5"), "INVALID_REQUEST Cannot update these configs dynamically: [num.partitions]"},
		{brokerType, "1", change(set, "log.retention.ms", "x"), "INVALID_CONFIG Invalid value x for configuration log.retention.ms: Not a number of type LONG"},
		{brokerType, "1", change(set, "log.cleaner.threads", "2"), "ok"},
		{brokerType, "x", change(set, "log.cleaner.threads", "2"), "INVALID_REQUEST Node id must be an integer, but it is: x"},
		{brokerType, "01", change(set, "log.cleaner.threads", "2"), "INVALID_REQUEST Node id must be an integer, but it is: 01"},
		{brokerType, "2", change(set, "log.cleaner.threads", "2"), "INVALID_REQUEST No broker 2 is registered."},
		{brokerType, "", change(set, "max.connections", " 0"), "INVALID_CONFIG Invalid max.connections 0: no client could connect any more, not even to take it back"},
		{brokerType, "1", change(set, "max.connections.per.ip", "0"), "INVALID_CONFIG Invalid max.connections.per.ip 0: no client could connect any more, not even to take it back"},
		{brokerType, "", change(set, "cordoned.log.dirs", "*"), "INVALID_REQUEST Cannot update these configs at default cluster level, broker id must be specified: [cordoned.log.dirs]"},
		{brokerType, "1", change(set, "cordoned.log.dirs", "*"), "ok"},
		{brokerType, "", change(set, "unknown.thing", "2"), "INVALID_CONFIG Unknown broker config name: unknown.thing"},
		{brokerType, "1", change(del, "nope", "NULL"), "ok"},
		{groupType, "g", change(set, "consumer.session.timeout.ms", "46000"), "ok"},
		{groupType, "g", change(set, "consumer.session.timeout.ms", "1"), "INVALID_CONFIG consumer.session.timeout.ms must be in the range 45000 to 60000 inclusive."},
		{groupType, "", change(set, "consumer.session.timeout.ms", "46000"), "INVALID_REQUEST Default group resources are not allowed."},
		{groupType, "g", change(set, "nope", "1"), "INVALID_CONFIG Unknown group config name: nope"},
		{77, "g", change(set, "nope", "1"), "INVALID_REQUEST Unknown resource type 77"},
	} {
		if got := alter(c, x.kind, x.name, x.op); got != x.want {
			t.Errorf("%v %q %s: %s\nwant %s", x.kind, x.name, x.op.Name, got, x.want)
		}
	}
	if got := alter(c, topicType, "a", change(set, "retention.ms", "7"), change(set, "retention.ms", "8")); got != "INVALID_REQUEST Error due to duplicate config keys" {
		t.Error(got)
	}
	expectConfigs(t, l.img, image.TopicResource, "a", "map[cleanup.policy:delete,compact retention.ms:7]")
	alter(c, topicType, "a", change(subtract, "cleanup.policy", "delete"), change(del, "retention.ms", "NULL"))
	expectConfigs(t, l.img, image.TopicResource, "a", "map[cleanup.policy:compact]")
	alter(c, topicType, "a", change(subtract, "cleanup.policy", "compact, delete"))
	expectConfigs(t, l.img, image.TopicResource, "a", "map[cleanup.policy:]")
}

// Configs that came by many requests were too large together for a snapshot: none could be made any more.
func TestConfigsFitASnapshot(t *testing.T) {
	c, l := cluster(t, 1)
	create(c, topic("a", 1, 1))
	padded := strings.Repeat(" ", 900<<10) + "7"
	if got := alter(c, topicType, "a", change(set, "retention.ms", padded)); got != "ok" {
		t.Fatal(got)
	}
	got := alter(c, topicType, "a", change(set, "segment.ms", padded))
	if !strings.HasPrefix(got, "INVALID_CONFIG") || !strings.Contains(got, "retention.ms") {
		t.Errorf("%q", got)
	}
	if got := alter(c, topicType, "a", change(set, "retention.ms", "7"), change(set, "segment.ms", padded)); got != "ok" {
		t.Errorf("%q", got)
	}
	if err := l.Image().Encode(io.Discard); err != nil {
		t.Error(err)
	}
	if err := checkSize(map[string]string{"x": strings.Repeat("x", 3<<20)}, map[string]string{"x": strings.Repeat("x", 2<<20)}); err != nil {
		t.Errorf("what is too large cannot become smaller: %v", err)
	}
}

func expectConfigs(t *testing.T, img *image.Image, kind image.ResourceType, name, want string) {
	t.Helper()
	if got := fmt.Sprint(img.Configs(image.Resource{Type: kind, Name: name})); got != want {
		t.Errorf("%s has %s, want %s", name, got, want)
	}
}

func TestAlterConfigsReplaces(t *testing.T) {
	c, l := cluster(t, 1)
	create(c, topic("a", 1, 1, "retention.ms", "5", "segment.ms", "6"))
	ms, one, bad := "5", "1", "x"
	send := func(validate bool, resources ...kmsg.AlterConfigsRequestResource) (results []string) {
		rq := kmsg.NewPtrAlterConfigsRequest()
		rq.Resources, rq.ValidateOnly = resources, validate
		for _, r := range c.AlterConfigs(context.Background(), rq) {
			results = append(results, outcome(r.ErrorCode, r.ErrorMessage))
		}
		return results
	}
	resource := func(name string, kv ...*string) kmsg.AlterConfigsRequestResource {
		r := kmsg.AlterConfigsRequestResource{ResourceType: topicType, ResourceName: name}
		for i := 0; i < len(kv); i += 2 {
			r.Configs = append(r.Configs, kmsg.AlterConfigsRequestResourceConfig{Name: *kv[i], Value: kv[i+1]})
		}
		return r
	}
	retention, jitter := "retention.ms", "segment.jitter.ms"
	entries := l.entries
	expect(t, send(true, resource("a", &retention, &ms)), []string{"ok"})
	expect(t, send(false, resource("a", &retention, &bad), resource("b", &jitter, &one)), []string{
		"INVALID_CONFIG Invalid value x for configuration retention.ms: Not a number of type LONG", "UNKNOWN_TOPIC_OR_PARTITION The topic 'b' does not exist."})
	expect(t, send(false, resource("a"), resource("a")), slices.Repeat([]string{"INVALID_REQUEST Each resource must appear at most once."}, 2))
	expect(t, send(false, resource("a", &retention, nil)), []string{"INVALID_REQUEST Null value not supported for : retention.ms"})
	if l.entries != entries {
		t.Error("something was changed")
	}
	expect(t, send(false, resource("a", &retention, &ms, &jitter, &one)), []string{"ok"})
	expectConfigs(t, l.img, image.TopicResource, "a", "map[retention.ms:5 segment.jitter.ms:1]")
}

// A default for all must not make invalid what some topic, group or broker has of its own.
func TestADefaultThatBreaksWhatStandsOnIt(t *testing.T) {
	c, _ := cluster(t, 1)
	create(c, topic("a", 1, 1, "max.compaction.lag.ms", "8"))
	want := "INVALID_CONFIG Topic 'a': conflict topic config setting min.compaction.lag.ms (9) > max.compaction.lag.ms (8)"
	for _, name := range []string{"", "1"} {
		if got := alter(c, brokerType, name, change(set, "log.cleaner.min.compaction.lag.ms", "9")); got != want {
			t.Errorf("%q: %s", name, got)
		}
	}
	remove(c, 6, kmsg.DeleteTopicsRequestTopic{Topic: &[]string{"a"}[0]})
	alter(c, brokerType, "1", change(set, "log.cleaner.max.compaction.lag.ms", "8"))
	if got := alter(c, brokerType, "", change(set, "log.cleaner.min.compaction.lag.ms", "9")); !strings.HasPrefix(got, "INVALID_CONFIG conflict") {
		t.Error(got)
	}
}

// Whatever is asked, in whatever order: the records of a plan are accepted by the image that it was made for, weigh no
// less than their encoding, and leave an image whose configs compile and whose partitions have leaders that are alive.
func TestPlansAreAccepted(t *testing.T) {
	cfg, err := config.CompileBroker(nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		img, next := image.Empty(), byte(0)
		apply := func(recs []image.Record) {
			size := 0
			for _, r := range recs {
				b, err := image.Append(nil, r)
				if err != nil {
					t.Fatal(err)
				}
				size += len(b)
			}
			if weigh(recs) < size {
				t.Fatalf("weighed %d, encoded %d: %+v", weigh(recs), size, recs)
			}
			after, _, err := img.Apply(img.Index()+1, recs)
			if err != nil {
				t.Fatalf("refused: %v: %+v", err, recs)
			}
			img = after
		}
		for id := range rapid.Int32Range(1, 4).Draw(t, "brokers") {
			apply([]image.Record{image.BrokerRecord{ID: image.BrokerID(id), Incarnation: uuid.UUID{1}, Fenced: rapid.Bool().Draw(t, "fenced")}})
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) { checkImage(t, img, cfg) },
			"topics": func(t *rapid.T) {
				p, recs := newTopicPlan(img, cfg), []image.Record(nil)
				grown := map[string]bool{}
				for range rapid.IntRange(1, 4).Draw(t, "items") {
					next++
					if more, err := p.create(anyTopic(t), uuid.UUID{next, 1}); expected(t, err) {
						recs = append(recs, more...)
					}
					rq := &kmsg.CreatePartitionsRequestTopic{Topic: anyName(t), Count: rapid.Int32Range(-1, 9).Draw(t, "count")}
					if grown[rq.Topic] {
						continue
					}
					if more, err := p.add(rq); expected(t, err) {
						recs, grown[rq.Topic] = append(recs, more...), true
					}
				}
				apply(recs)
			},
			"configs": func(t *rapid.T) {
				if recs, err := planAlteration(img, cfg, anyAlteration(t)); expected(t, err) {
					apply(recs)
				}
			},
			"delete": func(t *rapid.T) {
				rq, a, b := kmsg.NewPtrDeleteTopicsRequest(), anyName(t), anyName(t)
				rq.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: &a}, {Topic: &b}}
				if x, ok := img.TopicNamed(anyName(t)); ok {
					rq.Topics = append(rq.Topics, kmsg.DeleteTopicsRequestTopic{TopicID: x.ID})
				}
				var recs []image.Record
				for _, d := range planDeletion(img, true, rq) {
					if more, err := planRemoval(img, d, func(int) error { return nil }); expected(t, err) {
						recs = append(recs, more...)
					}
				}
				apply(recs)
			},
			"producer ids": func(*rapid.T) { apply([]image.Record{planProducerIDs(img, 1)}) },
		})
	})
}

// expected says that a plan was not refused; a refusal must be one that Kafka has a code for.
func expected(t *rapid.T, err error) bool {
	if err != nil && kerr.Of(err) == kerr.UnknownServerError {
		t.Fatal(err)
	}
	return err == nil
}

func checkImage(t *rapid.T, img *image.Image, cfg *config.Broker) {
	streams := map[uint64]bool{}
	for topic := range img.Topics {
		if _, err := cfg.CompileTopic(img.Configs(image.Resource{Type: image.TopicResource, Name: topic.Name})); err != nil {
			t.Fatal(err)
		}
		for _, p := range topic.Partitions {
			b, ok := img.Broker(p.Leader)
			distinct := maps.Collect(func(yield func(image.BrokerID, bool) bool) {
				for _, r := range p.Replicas {
					if !yield(r, true) {
						return
					}
				}
			})
			if !ok || b.Fenced || !slices.Contains(p.ISR, p.Leader) || len(distinct) != len(p.Replicas) || streams[p.Stream] {
				t.Fatalf("%s: %+v", topic.Name, p)
			}
			streams[p.Stream] = true
		}
	}
}

func anyName(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "a.b", "a_b", "a.b_c", "__consumer_offsets", "x/y"}).Draw(t, "name")
}

func anyConfig(t *rapid.T) (name, value string) {
	name = rapid.SampledFrom([]string{"retention.ms", "cleanup.policy", "min.compaction.lag.ms", "max.compaction.lag.ms",
		"log.cleaner.min.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms", "consumer.session.timeout.ms", "nope"}).Draw(t, "config")
	return name, rapid.SampledFrom([]string{"1", "50000", "compact", "delete,compact", "", "x"}).Draw(t, "value")
}

func anyTopic(t *rapid.T) *kmsg.CreateTopicsRequestTopic {
	name, value := anyConfig(t)
	rq := topic(anyName(t), rapid.Int32Range(-1, 4).Draw(t, "partitions"), rapid.Int16Range(-1, 4).Draw(t, "factor"))
	if rapid.Bool().Draw(t, "configured") {
		rq = topic(rq.Topic, rq.NumPartitions, rq.ReplicationFactor, name, value)
	}
	if rapid.Bool().Draw(t, "manual") {
		rq = assigned(rq.Topic, -1, -1, rapid.SliceOfN(rapid.SliceOfN(rapid.Int32Range(0, 4), 0, 3), 1, 3).Draw(t, "assignment")...)
	}
	return &rq
}

func anyAlteration(t *rapid.T) alteration {
	a := alteration{replace: rapid.Bool().Draw(t, "replace")}
	a.resource.Type = rapid.SampledFrom([]image.ResourceType{image.TopicResource, image.BrokerResource, image.GroupResource}).Draw(t, "type")
	a.resource.Name = rapid.SampledFrom([]string{"", "0", "1", "a", "b"}).Draw(t, "resource")
	for range rapid.IntRange(0, 3).Draw(t, "ops") {
		name, value := anyConfig(t)
		a.ops = append(a.ops, op{kmsg.IncrementalAlterConfigOp(rapid.Int8Range(0, 4).Draw(t, "op")), name, &value})
	}
	return a
}
