package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
)

// Entities are written "user=alice client-id=<default>", quotas "producer_byte_rate=1000 request_percentage=-".

func parts(text string) [][2]string {
	var all [][2]string
	for _, field := range strings.Fields(text) {
		name, value, _ := strings.Cut(field, "=")
		all = append(all, [2]string{name, value})
	}
	return all
}

func entityName(name string) *string {
	if name == "<default>" {
		return nil
	}
	return &name
}

func quotaEntry(entity, quotas string) kmsg.AlterClientQuotasRequestEntry {
	e := kmsg.NewAlterClientQuotasRequestEntry()
	for _, p := range parts(entity) {
		e.Entity = append(e.Entity, kmsg.AlterClientQuotasRequestEntryEntity{Type: p[0], Name: entityName(p[1])})
	}
	for _, q := range parts(quotas) {
		op := kmsg.AlterClientQuotasRequestEntryOp{Key: q[0], Remove: q[1] == "-"}
		if !op.Remove {
			fmt.Sscan(q[1], &op.Value)
		}
		e.Ops = append(e.Ops, op)
	}
	return e
}

func (n *node) alterQuotas(validateOnly bool, entries ...kmsg.AlterClientQuotasRequestEntry) []kmsg.AlterClientQuotasResponseEntry {
	n.t.Helper()
	rq := kmsg.NewPtrAlterClientQuotasRequest()
	rq.Version, rq.ValidateOnly, rq.Entries = 1, validateOnly, entries
	return ask[*kmsg.AlterClientQuotasResponse](n, rq).Entries
}

func (n *node) setQuotas(entity, quotas string) {
	n.t.Helper()
	n.code(n.alterQuotas(false, quotaEntry(entity, quotas))[0].ErrorCode, kerr.None)
}

// quotas describes what matches: a component is "user=alice", "user=<default>" or "user=*".
func (n *node) quotas(strict bool, components string) string {
	n.t.Helper()
	rq := kmsg.NewPtrDescribeClientQuotasRequest()
	rq.Version, rq.Strict = 1, strict
	for _, c := range parts(components) {
		one := kmsg.DescribeClientQuotasRequestComponent{EntityType: c[0], Match: entityName(c[1])}
		switch c[1] {
		case "*":
			one.MatchType, one.Match = 2, nil
		case "<default>":
			one.MatchType = 1
		}
		rq.Components = append(rq.Components, one)
	}
	got := ask[*kmsg.DescribeClientQuotasResponse](n, rq)
	if got.ErrorCode != 0 {
		return fmt.Sprint(kerr.Code(got.ErrorCode), " ", *got.ErrorMessage)
	}
	var text []string
	for _, e := range got.Entries {
		var one []string
		for _, p := range e.Entity {
			name := "<default>"
			if p.Name != nil {
				name = *p.Name
			}
			one = append(one, p.Type+"="+name)
		}
		for _, v := range e.Values {
			one = append(one, fmt.Sprint(v.Key, "=", v.Value))
		}
		text = append(text, strings.Join(one, " "))
	}
	return strings.Join(text, "; ")
}

func TestClientQuotas(t *testing.T) {
	n := start(t, nil)
	n.setQuotas("user=alice", "producer_byte_rate=1000 consumer_byte_rate=2000")
	n.setQuotas("user=<default>", "request_percentage=12.5")
	n.setQuotas("client-id=app user=alice", "producer_byte_rate=5")
	n.setQuotas("client-id=<default>", "controller_mutation_rate=0.5")
	n.setQuotas("ip=192.0.2.1", "connection_creation_rate=7")
	n.setQuotas("user=alice", "producer_byte_rate=1500 consumer_byte_rate=- request_percentage=-")
	n.setQuotas("client-id=gone", "producer_byte_rate=1")
	n.setQuotas("client-id=gone", "producer_byte_rate=-")
	n.code(n.alterQuotas(true, quotaEntry("user=bob", "producer_byte_rate=1"))[0].ErrorCode, kerr.None)
	for _, c := range []struct {
		strict             bool
		components, quotas string
	}{
		{false, "user=alice", "user=alice producer_byte_rate=1500; user=alice client-id=app producer_byte_rate=5"},
		{true, "user=alice", "user=alice producer_byte_rate=1500"},
		{false, "user=*", "user=<default> request_percentage=12.5; user=alice producer_byte_rate=1500; user=alice client-id=app producer_byte_rate=5"},
		{true, "user=<default>", "user=<default> request_percentage=12.5"},
		{true, "client-id=*", "client-id=<default> controller_mutation_rate=0.5"},
		{true, "user=* client-id=app", "user=alice client-id=app producer_byte_rate=5"},
		{false, "ip=*", "ip=192.0.2.1 connection_creation_rate=7"},
		{false, "ip=", ""},
		{true, "", ""},
		{false, "user=nobody", ""},
		{false, "ip=* user=*", "INVALID_REQUEST Invalid entity filter component combination. IP filter component should not be used with user or clientId filter component."},
		{false, "user=* user=a", "INVALID_REQUEST Entity type user cannot appear more than once in the filter."},
		{false, "topic=a", "UNSUPPORTED_VERSION Unsupported entity type topic"},
	} {
		if got := n.quotas(c.strict, c.components); got != c.quotas {
			t.Errorf("%s, strict %v:\n got %s\nwant %s", c.components, c.strict, got, c.quotas)
		}
	}
}

// The messages are Kafka's.
func TestClientQuotasThatAreRefused(t *testing.T) {
	n := start(t, nil)
	for _, c := range []struct{ entity, quotas, problem string }{
		{"", "producer_byte_rate=1", "Invalid empty client quota entity"},
		{"group=a", "producer_byte_rate=1", "Unhandled client quota entity type: group"},
		{"user=", "producer_byte_rate=1", "Empty user not supported"},
		{"user=a user=b", "producer_byte_rate=1", "Invalid client quota entity, duplicate entity entry user"},
		{"ip=192.0.2.1 user=a", "producer_byte_rate=1", "Invalid quota entity combination, IP entity should not be combined with User or ClientId"},
		{"ip=some.host", "connection_creation_rate=1", "some.host is not a valid IP"},
		{"ip=192.0.2.1", "producer_byte_rate=1", "Invalid configuration key producer_byte_rate"},
		{"user=a", "connection_creation_rate=1", "Invalid configuration key connection_creation_rate"},
		{"user=a", "producer_byte_rate=0", "Quota producer_byte_rate must be greater than 0"},
		{"user=a", "producer_byte_rate=1.5", "producer_byte_rate cannot be a fractional value."},
		{"user=a", "producer_byte_rate=1e19", "Proposed value for producer_byte_rate is too large for a LONG."},
		{"ip=<default>", "connection_creation_rate=3e9", "Proposed value for connection_creation_rate is too large for an INT."},
		{"user=a", "producer_byte_rate=1 producer_byte_rate=2", "Duplicate quota key producer_byte_rate"},
		{"user=a", "producer_byte_rate=1 consumer_byte_rate=-1", "Quota consumer_byte_rate must be greater than 0"},
	} {
		got := n.alterQuotas(false, quotaEntry(c.entity, c.quotas))[0]
		if kerr.Code(got.ErrorCode) != kerr.InvalidRequest || *got.ErrorMessage != c.problem {
			t.Errorf("%s %s: %v %s, want %s", c.entity, c.quotas, kerr.Code(got.ErrorCode), *got.ErrorMessage, c.problem)
		}
	}
	twice := n.alterQuotas(false, quotaEntry("user=a client-id=b", "producer_byte_rate=1"), quotaEntry("client-id=b user=a", "producer_byte_rate=2"))
	for _, e := range twice {
		n.code(e.ErrorCode, kerr.InvalidRequest)
	}
	if got := n.quotas(false, ""); got != "" {
		t.Errorf("what was refused is set: %s", got)
	}
}
