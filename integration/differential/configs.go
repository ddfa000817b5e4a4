package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const describeConfigsKey, alterConfigsKey, incrementalAlterKey, listResourcesKey = 32, 33, 44, 74

// Kinds of config resources.
const (
	topicResource  = kmsg.ConfigResourceTypeTopic
	brokerResource = kmsg.ConfigResourceTypeBroker
	loggerResource = kmsg.ConfigResourceTypeBrokerLogger
)

func init() {
	scenarios = append(scenarios,
		scenario{"describe configs", describeConfigs},
		scenario{"alter configs", alterConfigs},
		scenario{"incremental alter configs", incrementalAlterConfigs},
		scenario{"broker configs", brokerConfigs},
		scenario{"list config resources", listConfigResources},
	)
}

func describeConfigs(s *script) {
	t := s.topic("described", 1, "retention.ms", "5000", "cleanup.policy", "compact")
	type resource = kmsg.DescribeConfigsRequestResource
	ask := func(label string, synonyms, doc bool, resources ...resource) {
		s.all(describeConfigsKey, label, func(int16) kmsg.Request {
			rq := kmsg.NewPtrDescribeConfigsRequest()
			rq.IncludeSynonyms, rq.IncludeDocumentation, rq.Resources = synonyms, doc, resources
			return rq
		})
	}
	of := func(kind kmsg.ConfigResourceType, name string, keys ...string) resource {
		return resource{ResourceType: kind, ResourceName: name, ConfigNames: keys}
	}
	ask("a topic", false, false, of(topicResource, t))
	ask("a topic with synonyms", true, false, of(topicResource, t))
	ask("a topic with documentation", false, true, of(topicResource, t, "retention.ms"))
	ask("some keys", false, false, of(topicResource, t, "retention.ms", "no.such", "segment.bytes"))
	none := of(topicResource, t)
	none.ConfigNames = []string{}
	ask("no keys", false, false, none)
	ask("unknown topic", false, false, of(topicResource, s.name("never")))
	ask("odd topics", false, false, of(topicResource, ""), of(topicResource, "a b"))
	ask("the same twice", false, false, of(topicResource, t, "retention.ms"), of(topicResource, t, "segment.bytes"))
	ask("two", false, false, of(topicResource, t, "retention.ms"), of(brokerResource, "1", "log.retention.ms", "num.partitions"))
	ask("a broker", false, false, of(brokerResource, "1"))
	ask("a broker with synonyms", true, false, of(brokerResource, "1", "log.retention.ms", "log.segment.bytes", "min.insync.replicas",
		"message.max.bytes", "compression.type", "log.cleanup.policy", "num.partitions", "node.id", "auto.create.topics.enable",
		"log.retention.hours", "unclean.leader.election.enable", "default.replication.factor", "log.dirs", "listeners"))
	ask("the default broker", true, false, of(brokerResource, ""))
	ask("another broker", false, false, of(brokerResource, "99"))
	ask("not a broker", false, false, of(brokerResource, "one"))
	ask("a broker's loggers", false, false, of(loggerResource, "2"), of(loggerResource, ""), of(loggerResource, "x"))
	ask("other kinds", false, false, of(0, "x"), of(3, "x"), of(77, "x"))
	ask("client metrics and groups", false, false, of(16, ""), of(32, ""))
	ask("a group without configs", false, false, of(32, s.name("group")))
	ask("client metrics without configs", false, false, of(16, s.name("metrics")))
	ask("nothing", false, false)
}

func alterRequest(validate bool, kind kmsg.ConfigResourceType, name string, pairs ...string) *kmsg.AlterConfigsRequest {
	rq := kmsg.NewPtrAlterConfigsRequest()
	rq.ValidateOnly = validate
	r := kmsg.AlterConfigsRequestResource{ResourceType: kind, ResourceName: name}
	for i := 0; i < len(pairs); i += 2 {
		r.Configs = append(r.Configs, kmsg.AlterConfigsRequestResourceConfig{Name: pairs[i], Value: &pairs[i+1]})
	}
	rq.Resources = append(rq.Resources, r)
	return rq
}

// overrides records what of a topic's or a broker's configs was set.
func (s *script) overrides(label string, kind kmsg.ConfigResourceType, name string) {
	rq := kmsg.NewPtrDescribeConfigsRequest()
	rq.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kind, ResourceName: name}}
	resp := s.quiet(2, rq).(*kmsg.DescribeConfigsResponse)
	var what []string
	for _, c := range resp.Resources[0].Configs {
		if c.Name == "min.insync.replicas" {
			continue // which Kafka sets for itself
		}
		if value := "null"; c.Source == kmsg.ConfigSourceDynamicTopicConfig || c.Source == kmsg.ConfigSourceDynamicBrokerConfig ||
			c.Source == kmsg.ConfigSourceDynamicDefaultBrokerConfig {
			if c.Value != nil {
				value = *c.Value
			}
			what = append(what, fmt.Sprintf("%s=%s (%d)", c.Name, value, c.Source))
		}
	}
	slices.Sort(what)
	s.note("configs after: "+label, strings.Join(what, " "))
}

func alterConfigs(s *script) {
	t := s.topic("altered", 1, "retention.ms", "5000")
	ask := func(label string, rq *kmsg.AlterConfigsRequest) {
		s.all(alterConfigsKey, label, func(int16) kmsg.Request { return rq })
		s.overrides(label, topicResource, t)
	}
	ask("another key", alterRequest(false, topicResource, t, "segment.bytes", "2000000"))
	ask("validated", alterRequest(true, topicResource, t, "segment.ms", "2000000"))
	ask("nothing", alterRequest(false, topicResource, t))
	ask("unknown key", alterRequest(false, topicResource, t, "no.such", "1"))
	ask("bad value", alterRequest(false, topicResource, t, "retention.ms", "soon"))
	ask("validated, bad value", alterRequest(true, topicResource, t, "retention.ms", "soon"))
	ask("unknown topic", alterRequest(false, topicResource, s.name("never"), "retention.ms", "1"))
	ask("odd topic", alterRequest(false, topicResource, "a b", "retention.ms", "1"))
	ask("no topic", alterRequest(false, topicResource, "", "retention.ms", "1"))
	ask("key twice", alterRequest(false, topicResource, t, "retention.ms", "1", "retention.ms", "2"))
	null := alterRequest(false, topicResource, t, "retention.ms", "1")
	null.Resources[0].Configs[0].Value = nil
	ask("null value", null)
	twice := alterRequest(false, topicResource, t, "retention.ms", "1")
	twice.Resources = append(twice.Resources, twice.Resources[0])
	ask("topic twice", twice)
	ask("a kind that is none", alterRequest(false, 77, "x", "retention.ms", "1"))
	ask("a group of no name", alterRequest(false, 32, "", "consumer.session.timeout.ms", "50000"))
	ask("a broker, validated", alterRequest(true, brokerResource, "1", "log.retention.ms", "1000"))
	ask("another broker", alterRequest(true, brokerResource, "99", "log.retention.ms", "1000"))
	ask("not a broker", alterRequest(true, brokerResource, "x", "log.retention.ms", "1000"))
	ask("a broker's read-only config", alterRequest(true, brokerResource, "1", "node.id", "3"))
	ask("a broker's unknown config", alterRequest(true, brokerResource, "1", "no.such", "3"))
	ask("a broker's bad value", alterRequest(true, brokerResource, "1", "log.retention.ms", "soon"))
}

// change is one operation of IncrementalAlterConfigs.
type change struct {
	op         kmsg.IncrementalAlterConfigOp
	key, value string
}

// Operations; DELETE has no value.
const (
	opSet      = kmsg.IncrementalAlterConfigOpSet
	opDelete   = kmsg.IncrementalAlterConfigOpDelete
	opAppend   = kmsg.IncrementalAlterConfigOpAppend
	opSubtract = kmsg.IncrementalAlterConfigOpSubtract
)

func incrementalRequest(validate bool, kind kmsg.ConfigResourceType, name string, changes ...change) *kmsg.IncrementalAlterConfigsRequest {
	rq := kmsg.NewPtrIncrementalAlterConfigsRequest()
	rq.ValidateOnly = validate
	r := kmsg.IncrementalAlterConfigsRequestResource{ResourceType: kind, ResourceName: name}
	for _, c := range changes {
		value := &c.value
		if c.value == "null" {
			value = nil
		}
		r.Configs = append(r.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: c.key, Op: c.op, Value: value})
	}
	rq.Resources = append(rq.Resources, r)
	return rq
}

func incrementalAlterConfigs(s *script) {
	t := s.topic("changed", 1, "retention.ms", "5000")
	raw := func(label string, rq *kmsg.IncrementalAlterConfigsRequest) {
		s.all(incrementalAlterKey, label, func(int16) kmsg.Request { return rq })
		s.overrides(label, topicResource, t)
	}
	ask := func(label string, changes ...change) {
		raw(label, incrementalRequest(false, topicResource, t, changes...))
	}
	ask("set", change{opSet, "segment.bytes", "2000000"})
	ask("set to the default", change{opSet, "segment.ms", "604800000"})
	ask("delete", change{opDelete, "segment.bytes", "null"})
	ask("delete what is not set", change{opDelete, "segment.bytes", "null"})
	ask("delete with a value", change{opDelete, "segment.ms", "3"})
	ask("append", change{opAppend, "cleanup.policy", "compact"})
	ask("append what is there", change{opAppend, "cleanup.policy", "compact"})
	ask("subtract", change{opSubtract, "cleanup.policy", "delete"})
	ask("subtract what is not there", change{opSubtract, "cleanup.policy", "delete"})
	ask("subtract the last", change{opSubtract, "cleanup.policy", "compact"})
	ask("append two", change{opAppend, "cleanup.policy", "compact,delete"})
	ask("append a bad item", change{opAppend, "cleanup.policy", "shred"})
	ask("append to a number", change{opAppend, "retention.ms", "1"})
	ask("subtract from a number", change{opSubtract, "retention.ms", "1"})
	ask("set null", change{opSet, "retention.ms", "null"})
	ask("append null", change{opAppend, "cleanup.policy", "null"})
	ask("set nothing", change{opSet, "cleanup.policy", ""})
	ask("unknown operation", change{9, "retention.ms", "1"})
	ask("unknown key", change{opSet, "no.such", "1"})
	ask("delete an unknown key", change{opDelete, "no.such", "null"})
	ask("no key", change{opSet, "", "1"})
	ask("bad value", change{opSet, "retention.ms", "soon"})
	ask("one good, one bad", change{opSet, "segment.bytes", "3000000"}, change{opSet, "retention.ms", "soon"})
	ask("key twice", change{opSet, "segment.bytes", "3000000"}, change{opDelete, "segment.bytes", "null"})
	ask("no changes")
	raw("validated", incrementalRequest(true, topicResource, t, change{opSet, "retention.ms", "77"}))
	raw("unknown topic", incrementalRequest(false, topicResource, s.name("never"), change{opSet, "retention.ms", "77"}))
	raw("odd topic", incrementalRequest(false, topicResource, "a b", change{opSet, "retention.ms", "77"}))
	raw("no topic", incrementalRequest(false, topicResource, "", change{opSet, "retention.ms", "77"}))
	raw("kinds that are none", incrementalRequest(false, 77, "x", change{opSet, "retention.ms", "77"}))
	raw("the unknown kind", incrementalRequest(false, 0, "x", change{opSet, "retention.ms", "77"}))
	raw("loggers", incrementalRequest(true, loggerResource, "1", change{opSet, "root", "WARN"}))
	twice := incrementalRequest(false, topicResource, t, change{opSet, "retention.ms", "77"})
	twice.Resources = append(twice.Resources, twice.Resources[0])
	raw("topic twice", twice)
	two := incrementalRequest(false, topicResource, t, change{opSet, "retention.ms", "78"})
	two.Resources = append(two.Resources, incrementalRequest(false, topicResource, s.name("never"), change{opSet, "retention.ms", "77"}).Resources...)
	raw("one good topic, one unknown", two)
	raw("no resources", kmsg.NewPtrIncrementalAlterConfigsRequest())
}

func brokerConfigs(s *script) {
	t := s.name("inherits")
	s.quiet(4, createRequest(false, newTopic(t, 1, 1)))
	ask := func(label string, name string, changes ...change) {
		s.do(label, 1, incrementalRequest(false, brokerResource, name, changes...))
		time.Sleep(300 * time.Millisecond) // Kafka's broker hears of it later
		s.overrides(label, brokerResource, "1")
		rq := kmsg.NewPtrDescribeConfigsRequest()
		rq.IncludeSynonyms = true
		rq.Resources = []kmsg.DescribeConfigsRequestResource{
			{ResourceType: topicResource, ResourceName: t, ConfigNames: []string{"segment.bytes", "retention.ms"}},
			{ResourceType: brokerResource, ResourceName: "1", ConfigNames: []string{"log.segment.bytes", "log.retention.ms"}},
			{ResourceType: brokerResource, ResourceName: "", ConfigNames: []string{"log.segment.bytes", "log.retention.ms", "log.retention.hours"}},
		}
		s.do("after: "+label, 2, rq)
	}
	ask("set on one", "1", change{opSet, "log.segment.bytes", "5000000"})
	ask("set on all", "", change{opSet, "log.segment.bytes", "6000000"})
	ask("unset on one", "1", change{opDelete, "log.segment.bytes", "null"})
	ask("retention by hours on all", "", change{opSet, "log.retention.hours", "1"})
	ask("retention on all", "", change{opSet, "log.retention.ms", "3600000"})
	ask("read-only", "1", change{opSet, "node.id", "3"})
	ask("per broker only, on all", "", change{opSet, "advertised.listeners", "PLAINTEXT://x:1"})
	ask("unknown", "1", change{opSet, "no.such", "3"})
	ask("bad value", "1", change{opSet, "log.segment.bytes", "much"})
	ask("a topic's name for it", "1", change{opSet, "segment.bytes", "5000000"})
	ask("unset on all", "", change{opDelete, "log.segment.bytes", "null"}, change{opDelete, "log.retention.ms", "null"})
	ask("another broker", "99", change{opSet, "log.segment.bytes", "5000000"})
}

func listConfigResources(s *script) {
	s.all(listResourcesKey, "default", func(int16) kmsg.Request { return kmsg.NewPtrListConfigResourcesRequest() })
	for _, kind := range []int8{4, 8, 16, 32, 77, 0} {
		s.all(listResourcesKey, fmt.Sprint("of kind ", kind), func(v int16) kmsg.Request {
			if v == 0 {
				return nil
			}
			rq := kmsg.NewPtrListConfigResourcesRequest()
			rq.ResourceTypes = []int8{kind}
			return rq
		})
	}
}
