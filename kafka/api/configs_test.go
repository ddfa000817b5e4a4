package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
)

type resource struct {
	kind kmsg.ConfigResourceType
	name string
}

func (n *node) describeConfigs(version int16, r resource, names ...string) kmsg.DescribeConfigsResponseResource {
	n.t.Helper()
	rq := kmsg.NewPtrDescribeConfigsRequest()
	rq.Version, rq.IncludeSynonyms, rq.IncludeDocumentation = version, true, true
	one := kmsg.NewDescribeConfigsRequestResource()
	one.ResourceType, one.ResourceName, one.ConfigNames = r.kind, r.name, names
	rq.Resources = append(rq.Resources, one)
	got := ask[*kmsg.DescribeConfigsResponse](n, rq).Resources[0]
	if got.ResourceType != r.kind || got.ResourceName != r.name {
		n.t.Errorf("%+v for %+v", got, r)
	}
	return got
}

// config is one config's value with its source, and those of its synonyms.
func (n *node) config(r resource, name string) string {
	n.t.Helper()
	got := n.describeConfigs(4, r, name)
	n.code(got.ErrorCode, kerr.None)
	if len(got.Configs) != 1 {
		return "absent"
	}
	c := got.Configs[0]
	text := fmt.Sprint(*c.Value, " ", c.Source)
	for _, s := range c.ConfigSynonyms {
		text += fmt.Sprint(", ", s.Name, "=", *s.Value, " ", s.Source)
	}
	return text
}

var (
	topicT     = resource{kmsg.ConfigResourceTypeTopic, "t"}
	thisBroker = resource{kmsg.ConfigResourceTypeBroker, "1"}
	allBrokers = resource{kmsg.ConfigResourceTypeBroker, ""}
	groupG     = resource{groupResource, "g"}
)

type change struct {
	op          kmsg.IncrementalAlterConfigOp
	name, value string
}

func (n *node) alter(r resource, changes ...change) kerr.Code {
	n.t.Helper()
	rq := kmsg.NewPtrIncrementalAlterConfigsRequest()
	rq.Version = 1
	one := kmsg.NewIncrementalAlterConfigsRequestResource()
	one.ResourceType, one.ResourceName = r.kind, r.name
	for _, c := range changes {
		one.Configs = append(one.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Op: c.op, Name: c.name, Value: &c.value})
	}
	rq.Resources = append(rq.Resources, one)
	got := ask[*kmsg.IncrementalAlterConfigsResponse](n, rq).Resources[0]
	if got.ErrorCode != 0 && got.ErrorMessage == nil {
		n.t.Errorf("no message with %v", kerr.Code(got.ErrorCode))
	}
	return kerr.Code(got.ErrorCode)
}

// T39: tools look for what they know by its name, and for where a value comes from.
func TestConfigsAreDescribedWhole(t *testing.T) {
	n := start(t, nil)
	n.create("t", 1, "cleanup.policy", "compact", "retention.ms", "5000")
	for r, want := range map[resource][]string{
		topicT:     {"cleanup.policy", "max.message.bytes", "min.insync.replicas", "compression.type", "segment.bytes"},
		thisBroker: {"default.replication.factor", "num.partitions", "auto.create.topics.enable", "log.retention.ms", "node.id"},
		groupG:     {"consumer.session.timeout.ms"},
	} {
		for v := range int16(5) {
			got := n.describeConfigs(v, r)
			n.code(got.ErrorCode, kerr.None)
			for _, name := range want {
				i := slices.IndexFunc(got.Configs, func(c kmsg.DescribeConfigsResponseResourceConfig) bool { return c.Name == name })
				if i < 0 {
					t.Errorf("v%d %+v: no %s", v, r, name)
					continue
				}
				c := got.Configs[i]
				if v >= 3 && (c.Documentation == nil || c.ConfigType == 0) {
					t.Errorf("v%d %s: %+v", v, name, c)
				}
			}
		}
	}
	for name, want := range map[string]string{
		"cleanup.policy": "compact DYNAMIC_TOPIC_CONFIG, cleanup.policy=compact DYNAMIC_TOPIC_CONFIG, log.cleanup.policy=delete DEFAULT_CONFIG",
		"retention.ms":   "5000 DYNAMIC_TOPIC_CONFIG, retention.ms=5000 DYNAMIC_TOPIC_CONFIG",
		"no.such":        "absent",
	} {
		if got := n.config(topicT, name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestDescribeConfigsRefuses(t *testing.T) {
	n := start(t, nil)
	for r, want := range map[resource]string{
		{kmsg.ConfigResourceTypeTopic, "none"}:     "UNKNOWN_TOPIC_OR_PARTITION",
		{kmsg.ConfigResourceTypeTopic, "a b"}:      "INVALID_TOPIC_EXCEPTION",
		{kmsg.ConfigResourceTypeBroker, "2"}:       "INVALID_REQUEST Unexpected broker id, expected 1 or empty string, but received 2",
		{kmsg.ConfigResourceTypeBroker, "x"}:       "INVALID_REQUEST Broker id must be an integer, but it is: x",
		{kmsg.ConfigResourceTypeBrokerLogger, ""}:  "INVALID_REQUEST Broker id must not be empty",
		{kmsg.ConfigResourceTypeBrokerLogger, "2"}: "INVALID_REQUEST Unexpected broker id, expected 1 but received 2",
		{kmsg.ConfigResourceTypeBrokerLogger, "1"}: "NONE",
		{clientMetricsResource, ""}:                "INVALID_REQUEST Client metrics subscription name must not be empty",
		{clientMetricsResource, "m"}:               "NONE",
		{groupResource, ""}:                        "INVALID_REQUEST Group name must not be empty",
		{kmsg.ConfigResourceType(9), "x"}:          "INVALID_REQUEST Unexpected resource type 9 for resource x",
	} {
		got := n.describeConfigs(4, r)
		text := kerr.Code(got.ErrorCode).String()
		if got.ErrorMessage != nil {
			text += " " + *got.ErrorMessage
		}
		if !strings.HasPrefix(text, want) || len(got.Configs) > 0 {
			t.Errorf("%+v: %s, want %s", r, text, want)
		}
	}
}

func TestConfigsAreAltered(t *testing.T) {
	n := start(t, nil)
	n.create("t", 1)
	const set, remove, add, subtract = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete,
		kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract
	for _, c := range []struct {
		r       resource
		changes []change
		want    kerr.Code
		then    string // of the first config
	}{
		{topicT, []change{{set, "retention.ms", "7"}}, kerr.None, "7 DYNAMIC_TOPIC_CONFIG, retention.ms=7 DYNAMIC_TOPIC_CONFIG"},
		{topicT, []change{{set, "retention.ms", "8"}, {set, "segment.bytes", "none"}}, kerr.InvalidConfig, "7 DYNAMIC_TOPIC_CONFIG, retention.ms=7 DYNAMIC_TOPIC_CONFIG"},
		{topicT, []change{{add, "cleanup.policy", "compact"}}, kerr.None, "delete,compact DYNAMIC_TOPIC_CONFIG, cleanup.policy=delete,compact DYNAMIC_TOPIC_CONFIG, log.cleanup.policy=delete DEFAULT_CONFIG"},
		{topicT, []change{{subtract, "cleanup.policy", "delete"}}, kerr.None, "compact DYNAMIC_TOPIC_CONFIG, cleanup.policy=compact DYNAMIC_TOPIC_CONFIG, log.cleanup.policy=delete DEFAULT_CONFIG"},
		{topicT, []change{{remove, "cleanup.policy", ""}}, kerr.None, "delete DEFAULT_CONFIG, log.cleanup.policy=delete DEFAULT_CONFIG"},
		{topicT, []change{{add, "retention.ms", "1"}}, kerr.InvalidConfig, "7 DYNAMIC_TOPIC_CONFIG, retention.ms=7 DYNAMIC_TOPIC_CONFIG"},
		{allBrokers, []change{{set, "log.retention.ms", "600000"}}, kerr.None, "600000 DYNAMIC_DEFAULT_BROKER_CONFIG, log.retention.ms=600000 DYNAMIC_DEFAULT_BROKER_CONFIG"},
		{thisBroker, []change{{set, "log.retention.ms", "900000"}}, kerr.None, "900000 DYNAMIC_BROKER_CONFIG, log.retention.ms=900000 DYNAMIC_BROKER_CONFIG, log.retention.ms=600000 DYNAMIC_DEFAULT_BROKER_CONFIG"},
	} {
		if got := n.alter(c.r, c.changes...); got != c.want {
			t.Errorf("%+v: %v, want %v", c.changes, got, c.want)
		}
		if got := n.config(c.r, c.changes[0].name); !strings.HasPrefix(got, c.then) {
			t.Errorf("after %+v: %s, want %s", c.changes, got, c.then)
		}
	}
	if got := n.alter(resource{kmsg.ConfigResourceTypeTopic, "none"}, change{set, "retention.ms", "7"}); got != kerr.UnknownTopicOrPartition {
		t.Error(got)
	}
	if got := n.alter(resource{5, "x"}, change{set, "retention.ms", "7"}); got != kerr.InvalidRequest {
		t.Error(got)
	}

	// AlterConfigs takes away what it does not name.
	whole := kmsg.NewPtrAlterConfigsRequest()
	one := kmsg.NewAlterConfigsRequestResource()
	one.ResourceType, one.ResourceName = topicT.kind, topicT.name
	one.Configs = []kmsg.AlterConfigsRequestResourceConfig{{Name: "segment.bytes", Value: ptr("2000000")}}
	whole.Resources = append(whole.Resources, one)
	n.code(ask[*kmsg.AlterConfigsResponse](n, whole).Resources[0].ErrorCode, kerr.None)
	if got := n.config(topicT, "retention.ms"); !strings.HasPrefix(got, "900000 DYNAMIC_BROKER_CONFIG") {
		t.Error(got)
	}
	if got := n.config(topicT, "segment.bytes"); !strings.HasPrefix(got, "2000000 DYNAMIC_TOPIC_CONFIG") {
		t.Error(got)
	}
}

func TestListConfigResources(t *testing.T) {
	n := start(t, nil)
	n.create("t", 1)
	if got := n.alter(groupG, change{kmsg.IncrementalAlterConfigOpSet, "consumer.session.timeout.ms", "50000"}); got != kerr.None {
		t.Fatal(got)
	}
	list := func(version int16, types ...int8) string {
		rq := kmsg.NewPtrListConfigResourcesRequest()
		rq.Version, rq.ResourceTypes = version, types
		got := ask[*kmsg.ListConfigResourcesResponse](n, rq)
		if got.ErrorCode != 0 {
			return kerr.Code(got.ErrorCode).String()
		}
		var all []string
		for _, r := range got.ConfigResources {
			all = append(all, fmt.Sprint(r.Type, ":", r.Name))
		}
		return strings.Join(all, " ")
	}
	for _, c := range []struct{ got, want string }{
		{list(0), ""},
		{list(1), "32:g 8:1 4:1 2:t"},
		{list(1, 2), "2:t"},
		{list(1, 16), ""},
		{list(1, 2, 77), "UNSUPPORTED_VERSION"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}
