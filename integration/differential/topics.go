package main

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const createTopicsKey, deleteTopicsKey, createPartitionsKey, metadataKey, topicPartitionsKey = 19, 20, 37, 3, 75

// scenarios, in the order in which they are played.
var scenarios []scenario

func init() {
	scenarios = append(scenarios,
		scenario{"create topics", createTopics},
		scenario{"delete topics", deleteTopics},
		scenario{"create partitions", createPartitions},
		scenario{"metadata", metadata},
		scenario{"describe topic partitions", describeTopicPartitions},
	)
}

// newTopic is a topic of a CreateTopics request: partitions and replicas are counts.
func newTopic(name string, partitions int32, replicas int16, configs ...string) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, replicas
	for i := 0; i < len(configs); i += 2 {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = configs[i], &configs[i+1]
		t.Configs = append(t.Configs, c)
	}
	return t
}

func assigned(t kmsg.CreateTopicsRequestTopic, partition int32, replicas ...int32) kmsg.CreateTopicsRequestTopic {
	a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
	a.Partition, a.Replicas = partition, replicas
	t.ReplicaAssignment = append(t.ReplicaAssignment, a)
	return t
}

func createRequest(validate bool, topics ...kmsg.CreateTopicsRequestTopic) *kmsg.CreateTopicsRequest {
	rq := kmsg.NewPtrCreateTopicsRequest()
	rq.TimeoutMillis, rq.ValidateOnly, rq.Topics = 10000, validate, topics
	return rq
}

func createTopics(s *script) {
	s.all(createTopicsKey, "counts", func(v int16) kmsg.Request {
		n := func(base string) string { return s.name(fmt.Sprintf("%s%d", base, v)) }
		return createRequest(false,
			newTopic(n("one"), 1, 1), newTopic(n("default"), -1, -1), newTopic(n("zero"), 0, 1), newTopic(n("minus"), -2, 1),
			newTopic(n("norep"), 1, 0), newTopic(n("minusrep"), 1, -2), newTopic(n("manyrep"), 1, 2), newTopic(n("defaultrep"), 2, -1))
	})
	s.all(createTopicsKey, "exists, and twice in a request", func(v int16) kmsg.Request {
		n := func(base string) string { return s.name(fmt.Sprintf("%s%d", base, v)) }
		return createRequest(false, newTopic(n("one"), 1, 1), newTopic(n("twice"), 1, 1), newTopic(n("twice"), 2, 1), newTopic(n("once"), 1, 1))
	})
	s.all(createTopicsKey, "validate only", func(v int16) kmsg.Request {
		if v == 0 {
			return nil
		}
		n := func(base string) string { return s.name(fmt.Sprintf("%s%d", base, v)) }
		return createRequest(true, newTopic(n("one"), 1, 1), newTopic(n("maybe"), 3, 1, "retention.ms", "5"), newTopic(n("toomany"), 3, 5))
	})
	s.all(createTopicsKey, "names", func(int16) kmsg.Request {
		return createRequest(false, newTopic("", 1, 1), newTopic(".", 1, 1), newTopic("..", 1, 1), newTopic("a b", 1, 1), newTopic("ü", 1, 1),
			newTopic(strings.Repeat("x", 250), 1, 1), newTopic("a/b", 1, 1))
	})
	s.all(createTopicsKey, "names that collide", func(v int16) kmsg.Request {
		n := func(base string) string { return s.name(fmt.Sprintf("c%d%s", v, base)) }
		return createRequest(false, newTopic(n("a.b"), 1, 1), newTopic(n("a_b"), 1, 1))
	})
	s.all(createTopicsKey, "collides with one that exists", func(v int16) kmsg.Request {
		n := func(base string) string { return s.name(fmt.Sprintf("d%d%s", v, base)) }
		s.quiet(4, createRequest(false, newTopic(n("a.b"), 1, 1)))
		return createRequest(false, newTopic(n("a_b"), 1, 1))
	})
	s.all(createTopicsKey, "configs", func(v int16) kmsg.Request {
		n := func(base string) string { return s.name(fmt.Sprintf("f%d%s", v, base)) }
		null := newTopic(n("null"), 1, 1)
		null.Configs = append(null.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: "retention.ms"})
		return createRequest(false, null,
			newTopic(n("good"), 1, 1, "retention.ms", "1000", "cleanup.policy", "compact,delete", "compression.type", "zstd"),
			newTopic(n("unknown"), 1, 1, "no.such", "1"), newTopic(n("word"), 1, 1, "retention.ms", "soon"),
			newTopic(n("low"), 1, 1, "segment.bytes", "1"), newTopic(n("policy"), 1, 1, "cleanup.policy", "shred"),
			newTopic(n("empty"), 1, 1, "cleanup.policy", ""), newTopic(n("codec"), 1, 1, "compression.type", "rar"),
			newTopic(n("same"), 1, 1, "retention.ms", "1", "retention.ms", "2"), newTopic(n("nothing"), 1, 1, "retention.ms", ""),
			newTopic(n("isr"), 1, 1, "min.insync.replicas", "0"), newTopic(n("isr5"), 1, 1, "min.insync.replicas", "5"),
			newTopic(n("minus"), 1, 1, "retention.ms", "-2"), newTopic(n("spaces"), 1, 1, "retention.ms", " 7 "),
			newTopic(n("caps"), 1, 1, "preallocate", "TRUE"), newTopic(n("bool"), 1, 1, "preallocate", "yes"),
			newTopic(n("local"), 1, 1, "local.retention.ms", "9", "retention.ms", "8"),
			newTopic(n("ratio"), 1, 1, "min.cleanable.dirty.ratio", "1.5"), newTopic(n("remote"), 1, 1, "remote.storage.enable", "true"),
			newTopic(n("noname"), 1, 1, "", "x"), newTopic(n("throttled"), 1, 1, "leader.replication.throttled.replicas", "x"),
			newTopic(n("format"), 1, 1, "message.format.version", "2.0"), newTopic(n("stamp"), 1, 1, "message.timestamp.type", "Never"))
	})
	s.all(createTopicsKey, "assignments", func(v int16) kmsg.Request {
		n := func(base string) string { return s.name(fmt.Sprintf("g%d%s", v, base)) }
		return createRequest(false,
			assigned(newTopic(n("good"), -1, -1), 0, 1), assigned(assigned(newTopic(n("two"), -1, -1), 1, 1), 0, 1),
			assigned(newTopic(n("counted"), 1, 1), 0, 1), assigned(newTopic(n("gap"), -1, -1), 1, 1),
			assigned(newTopic(n("stranger"), -1, -1), 0, 99), assigned(newTopic(n("none"), -1, -1), 0),
			assigned(newTopic(n("double"), -1, -1), 0, 1, 1), assigned(assigned(newTopic(n("same"), -1, -1), 0, 1), 0, 1),
			assigned(newTopic(n("minus"), -1, -1), -1, 1), assigned(newTopic(n("onlyparts"), 1, -1), 0, 1))
	})
	s.all(createTopicsKey, "no topics", func(int16) kmsg.Request { return createRequest(false) })
}

func deleteRequest(v int16, names ...string) *kmsg.DeleteTopicsRequest {
	rq := kmsg.NewPtrDeleteTopicsRequest()
	rq.TimeoutMillis = 10000
	if v < 6 {
		rq.TopicNames = names
		return rq
	}
	for _, n := range names {
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.Topic = &n
		rq.Topics = append(rq.Topics, t)
	}
	return rq
}

func deleteTopics(s *script) {
	s.each(deleteTopicsKey, func(v int16) { s.topic(fmt.Sprintf("gone%d", v), 1) })
	s.all(deleteTopicsKey, "one, unknown, odd names", func(v int16) kmsg.Request {
		return deleteRequest(v, s.name(fmt.Sprintf("gone%d", v)), s.name("never"), "", "a b")
	})
	s.each(deleteTopicsKey, func(v int16) { s.topic(fmt.Sprintf("doubly%d", v), 1) })
	s.all(deleteTopicsKey, "the same twice", func(v int16) kmsg.Request {
		n := s.name(fmt.Sprintf("doubly%d", v))
		return deleteRequest(v, n, n)
	})
	s.all(deleteTopicsKey, "gone already", func(v int16) kmsg.Request { return deleteRequest(v, s.name(fmt.Sprintf("gone%d", v))) })
	s.all(deleteTopicsKey, "nothing", func(v int16) kmsg.Request { return deleteRequest(v) })
	if s.last(deleteTopicsKey) < 6 {
		return
	}
	byID := func(id [16]byte, name *string) kmsg.DeleteTopicsRequestTopic {
		return kmsg.DeleteTopicsRequestTopic{Topic: name, TopicID: id}
	}
	ask := func(label string, topics ...kmsg.DeleteTopicsRequestTopic) {
		rq := kmsg.NewPtrDeleteTopicsRequest()
		rq.TimeoutMillis, rq.Topics = 10000, topics
		s.do(label, 6, rq)
	}
	one, two := s.topic("byid1", 1), s.topic("byid2", 1)
	ask("by id", byID(s.id(one), nil))
	ask("by unknown id", byID([16]byte{0xee}, nil))
	ask("by zero id without a name", byID([16]byte{}, nil))
	ask("by id and name", byID(s.id(two), &two))
	ask("by id twice", byID(s.id(two), nil), byID(s.id(two), nil))
	ask("by id and by name", byID(s.id(two), nil), byID([16]byte{}, &two))
}

func createPartitions(s *script) {
	one := s.topic("grow", 2)
	type more = kmsg.CreatePartitionsRequestTopic
	topic := func(name string, count int32, assignments ...[]int32) more {
		t := kmsg.NewCreatePartitionsRequestTopic()
		t.Topic, t.Count = name, count
		for _, replicas := range assignments {
			t.Assignment = append(t.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: replicas})
		}
		return t
	}
	ask := func(label string, validate bool, topics ...more) {
		s.all(createPartitionsKey, label, func(int16) kmsg.Request {
			rq := kmsg.NewPtrCreatePartitionsRequest()
			rq.TimeoutMillis, rq.ValidateOnly, rq.Topics = 10000, validate, topics
			return rq
		})
	}
	ask("same count", false, topic(one, 2))
	ask("lower", false, topic(one, 1))
	ask("zero", false, topic(one, 0))
	ask("negative", false, topic(one, -1))
	ask("unknown topic", false, topic(s.name("never"), 3), topic("", 3), topic("a b", 3))
	ask("twice", false, topic(one, 3), topic(one, 4))
	ask("validated", true, topic(one, 3))
	ask("validated, bad", true, topic(one, 2))
	ask("assigned", true, topic(one, 3, []int32{1}))
	ask("assigned to a stranger", true, topic(one, 3, []int32{99}))
	ask("too few assigned", true, topic(one, 4, []int32{1}))
	ask("too many assigned", true, topic(one, 3, []int32{1}, []int32{1}))
	ask("assigned to nobody", true, topic(one, 3, []int32{}))
	ask("assigned to one twice", true, topic(one, 3, []int32{1, 1}))
	ask("more replicas than the others", true, topic(one, 4, []int32{1}, []int32{1, 2}))
	ask("nothing", false)
	s.all(createPartitionsKey, "done", func(v int16) kmsg.Request {
		rq := kmsg.NewPtrCreatePartitionsRequest()
		rq.TimeoutMillis, rq.Topics = 10000, []more{topic(one, 3+int32(v))}
		return rq
	})
}

func metadataRequest(create bool, names ...string) *kmsg.MetadataRequest {
	rq := kmsg.NewPtrMetadataRequest()
	rq.AllowAutoTopicCreation = create
	rq.Topics = []kmsg.MetadataRequestTopic{}
	for _, n := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &n
		rq.Topics = append(rq.Topics, t)
	}
	return rq
}

func metadata(s *script) {
	a, b := s.topic("meta", 2), s.topic("meta2", 1)
	s.all(metadataKey, "topics", func(int16) kmsg.Request { return metadataRequest(false, b, a) })
	s.all(metadataKey, "the same twice", func(int16) kmsg.Request { return metadataRequest(false, a, a) })
	s.all(metadataKey, "unknown and odd names", func(v int16) kmsg.Request {
		if v < 4 {
			return nil // which always creates
		}
		return metadataRequest(false, s.name("never"), "", "a b", ".", strings.Repeat("x", 250))
	})
	s.all(metadataKey, "created", func(v int16) kmsg.Request { return metadataRequest(true, s.name(fmt.Sprintf("auto%d", v)), "a b") })
	s.all(metadataKey, "created, twice in a request", func(v int16) kmsg.Request {
		n := s.name(fmt.Sprintf("autotwice%d", v))
		return metadataRequest(true, n, n)
	})
	s.all(metadataKey, "created, a name that collides", func(v int16) kmsg.Request {
		s.topic(fmt.Sprintf("auto%d.x", v), 1)
		return metadataRequest(true, s.name(fmt.Sprintf("auto%d_x", v)))
	})
	s.all(metadataKey, "none", func(v int16) kmsg.Request {
		if v == 0 {
			return nil // where none is all
		}
		return metadataRequest(false)
	})
	s.all(metadataKey, "authorized operations", func(v int16) kmsg.Request {
		rq := metadataRequest(false, a)
		rq.IncludeClusterAuthorizedOperations, rq.IncludeTopicAuthorizedOperations = true, true
		return rq
	})
	byID := func(label string, topics ...kmsg.MetadataRequestTopic) {
		s.all(metadataKey, label, func(v int16) kmsg.Request {
			if v < 10 {
				return nil
			}
			rq := kmsg.NewPtrMetadataRequest()
			rq.Topics = topics
			return rq
		})
	}
	byID("by id", kmsg.MetadataRequestTopic{TopicID: s.id(a)})
	byID("by unknown id", kmsg.MetadataRequestTopic{TopicID: [16]byte{0xee}})
	byID("by zero id without a name", kmsg.MetadataRequestTopic{})
	byID("by id and name", kmsg.MetadataRequestTopic{TopicID: s.id(a), Topic: &b})
	byID("by id and by name", kmsg.MetadataRequestTopic{TopicID: s.id(a)}, kmsg.MetadataRequestTopic{Topic: &b})
	byID("by id twice", kmsg.MetadataRequestTopic{TopicID: s.id(a)}, kmsg.MetadataRequestTopic{TopicID: s.id(a)})
}

func describeTopicPartitions(s *script) {
	s.id(s.topic("page1", 3))
	s.topic("page2", 2)
	ask := func(label string, limit int32, cursor string, from int32, bases ...string) {
		rq := kmsg.NewPtrDescribeTopicPartitionsRequest()
		rq.ResponsePartitionLimit = limit
		for _, b := range bases {
			if !strings.HasPrefix(b, "!") {
				b = s.name(b)
			}
			rq.Topics = append(rq.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: strings.TrimPrefix(b, "!")})
		}
		if cursor != "" {
			rq.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: s.name(cursor), Partition: from}
		}
		if _, ok := s.common[topicPartitionsKey]; ok {
			s.do(label, 0, rq)
		}
	}
	ask("two", 2000, "", 0, "page2", "page1")
	ask("unknown and odd names", 2000, "", 0, "page1", "never", "!a b", "!")
	ask("the same twice", 2000, "", 0, "page1", "page1")
	ask("a page of two", 2, "", 0, "page1", "page2")
	ask("a page of three", 3, "", 0, "page1", "page2")
	ask("from a cursor", 2, "page1", 2, "page1", "page2")
	ask("from a cursor between topics", 5, "page11", 0, "page1", "page2")
	ask("from a cursor on another topic", 5, "page2", 1, "page1")
	ask("from a negative cursor", 5, "page1", -1, "page1")
	ask("from beyond the partitions", 5, "page1", 7, "page1")
	ask("a limit of nothing", 0, "", 0, "page1")
	ask("a negative limit", -1, "", 0, "page1")
	ask("all, from a cursor", 2, "page1", 1)
}
