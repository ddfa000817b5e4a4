package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/kafka/quota"
	"chronik/kafka/wire"
	"chronik/metalog/image"
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

// holdTo gives the node quotas whose clock stands still.
func (n *node) holdTo(quotas ...string) {
	n.t.Helper()
	at := time.Now()
	n.broker.Quotas = quota.New(n.Settings.Broker, func() time.Time { return at })
	n.Meta.Watch(n.broker.Quotas)
	for i := 0; i < len(quotas); i += 2 {
		n.setQuotas(quotas[i], quotas[i+1])
	}
}

// held asks a request and returns for how long its client is not heard.
func (n *node) held(rq kmsg.Request) time.Duration {
	n.t.Helper()
	p := n.begin(n.t.Context(), rq)
	defer p.rq.Release()
	r := wire.NewReply(p.rq)
	defer r.Release()
	if err := p.Finish(n.t.Context(), r); err != nil {
		n.t.Fatal(err)
	}
	return r.Held()
}

func TestProducersAreHeldBack(t *testing.T) {
	n := start(t, nil)
	id := n.create("t", 1)
	n.holdTo("client-id=tester", "producer_byte_rate=10")
	got := ask[*kmsg.ProduceResponse](n, produceRequest(9, "t", id, 0, stamped(t, 1)))
	n.code(got.Topics[0].Partitions[0].ErrorCode, kerr.None)
	second := produceRequest(9, "t", id, 0, stamped(t, 1))
	if held := n.held(second); held < 5*time.Second {
		t.Errorf("held for %v after some 240 bytes at 10 a second", held)
	}
	unanswered := produceRequest(9, "t", id, 0, stamped(t, 1))
	unanswered.Acks = 0
	if held := n.held(unanswered); held < 10*time.Second {
		t.Errorf("held for %v without an answer", held)
	}
	if held := n.held(kmsg.NewPtrMetadataRequest()); held != 0 {
		t.Errorf("what writes nothing is held for %v", held)
	}
}

func TestConsumersAreHeldBack(t *testing.T) {
	n := start(t, nil)
	id := n.create("t", 1)
	for range 100 {
		n.produce("t", 0, 1)
	}
	size := len(stamped(t, 1))
	n.holdTo("user=ANONYMOUS", fmt.Sprint("consumer_byte_rate=", size))
	rq := fetchRequest(12, "t", id, 0)
	rq.MinBytes, rq.MaxWaitMillis = 1<<20, 600_000 // more than there may be in one answer: it must not be waited for
	got := ask[*kmsg.FetchResponse](n, rq)
	if records := len(got.Topics[0].Partitions[0].RecordBatches); records != 10*size || got.ThrottleMillis != 0 {
		t.Errorf("%d bytes at once, held for %d ms; want a window's, %d", records, got.ThrottleMillis, 10*size)
	}
	got = ask[*kmsg.FetchResponse](n, rq)
	if records := len(got.Topics[0].Partitions[0].RecordBatches); records != size || got.ThrottleMillis != 1000 {
		t.Errorf("%d bytes, held for %d ms; want a second's, %d", records, got.ThrottleMillis, size)
	}
}

// Members of a share group read as much as others, and were not held back.
func TestShareConsumersAreHeldBack(t *testing.T) {
	n := start(t, map[string]string{"group.share.assignment.interval.ms": "0"})
	id := n.create("t", 1)
	for range 100 {
		n.produce("t", 0, 1)
	}
	a := n.joinShare("a", id)
	size := len(stamped(t, 1))
	n.holdTo("user=ANONYMOUS", fmt.Sprint("consumer_byte_rate=", size))
	rq := kmsg.NewPtrShareFetchRequest()
	rq.Version, rq.GroupID, rq.MemberID, rq.MaxRecords, rq.BatchSize = 2, ptr("s"), &a.name, 1000, 1000
	rq.MaxBytes, rq.MinBytes, rq.MaxWaitMillis = 1<<20, 1<<20, 600_000 // more than there may be in one answer: it must not be waited for
	rq.Topics = []kmsg.ShareFetchRequestTopic{{TopicID: id, Partitions: make([]kmsg.ShareFetchRequestTopicPartition, 1)}}
	got := ask[*kmsg.ShareFetchResponse](n, rq)
	n.code(got.ErrorCode, kerr.None)
	if records := len(got.Topics[0].Partitions[0].Records); records != 10*size || got.ThrottleMillis != 0 {
		t.Errorf("%d bytes at once, held for %d ms; want a window's, %d", records, got.ThrottleMillis, 10*size)
	}
	rq.ShareSessionEpoch = 1
	got = ask[*kmsg.ShareFetchResponse](n, rq)
	if records := len(got.Topics[0].Partitions[0].Records); records != size || got.ThrottleMillis != 1000 {
		t.Errorf("%d bytes, held for %d ms; want a second's, %d", records, got.ThrottleMillis, size)
	}
}

// Who has no quota waits for what it has asked for, also where that is more than one answer holds, and also where others have one.
func TestTheQuotaOfOneMustNotHurryAnother(t *testing.T) {
	n := start(t, map[string]string{"group.share.assignment.interval.ms": "0"})
	id := n.create("t", 1)
	n.produce("t", 0, 1)
	a := n.joinShare("a", id)
	n.holdTo("client-id=other", "consumer_byte_rate=1")
	stopping := make(chan struct{})
	close(stopping)
	n.broker.Draining = stopping // ends every wait

	rq := fetchRequest(12, "t", id, 0)
	rq.MaxBytes, rq.MinBytes, rq.MaxWaitMillis = 1<<20, 1<<21, 600_000
	p := n.begin(t.Context(), rq)
	if p.Ready() {
		t.Error("the fetch does not wait")
	}
	answerTo[*kmsg.FetchResponse](n, rq, p)

	shared := kmsg.NewPtrShareFetchRequest()
	shared.Version, shared.GroupID, shared.MemberID, shared.MaxRecords, shared.BatchSize = 2, ptr("s"), &a.name, 1000, 1000
	shared.MaxBytes, shared.MinBytes, shared.MaxWaitMillis = 1<<20, 1<<21, 600_000
	shared.Topics = []kmsg.ShareFetchRequestTopic{{TopicID: id, Partitions: make([]kmsg.ShareFetchRequestTopicPartition, 1)}}
	got := ask[*kmsg.ShareFetchResponse](n, shared)
	n.code(got.ErrorCode, kerr.None)
	if records := len(got.Topics[0].Partitions[0].Records); records != 0 {
		t.Errorf("%d bytes of the share fetch that ought to wait", records)
	}
}

func TestPartitionsBeyondTheQuotaAreRefused(t *testing.T) {
	n := start(t, nil)
	n.holdTo("user=<default>", "controller_mutation_rate=1")
	n.create("t", 20) // 11 may be made at once, and what begins within that is made whole
	refused := func(rq kmsg.Request, code func(kmsg.Response) int16) {
		t.Helper()
		resp := ask[kmsg.Response](n, rq)
		ms, _ := resp.(kmsg.ThrottleResponse).Throttle()
		if got := kerr.Code(code(resp)); got != kerr.ThrottlingQuotaExceeded || ms != 9000 {
			t.Errorf("%T: %v, held for %d ms", resp, got, ms)
		}
	}
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Version, create.Topics = 7, []kmsg.CreateTopicsRequestTopic{{Topic: "new", NumPartitions: 1, ReplicationFactor: 1}}
	refused(create, func(r kmsg.Response) int16 { return r.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode })
	more := kmsg.NewPtrCreatePartitionsRequest()
	more.Version, more.Topics = 3, []kmsg.CreatePartitionsRequestTopic{{Topic: "t", Count: 21}}
	refused(more, func(r kmsg.Response) int16 { return r.(*kmsg.CreatePartitionsResponse).Topics[0].ErrorCode })
	remove := kmsg.NewPtrDeleteTopicsRequest()
	remove.Version, remove.Topics = 6, []kmsg.DeleteTopicsRequestTopic{{Topic: ptr("t")}}
	refused(remove, func(r kmsg.Response) int16 { return r.(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode })

	// Clients of before do not know the code: what they ask for is done, and they wait for longer.
	create.Version = 5
	old := ask[*kmsg.CreateTopicsResponse](n, create)
	if old.Topics[0].ErrorCode != 0 || old.ThrottleMillis != 10_000 {
		t.Errorf("%v, held for %d ms", kerr.Code(old.Topics[0].ErrorCode), old.ThrottleMillis)
	}
}

// KIP-599: a topic that is made because a client asks for it is the client's change, too.
func TestTopicsThatAreMadeUnaskedCountAsChanges(t *testing.T) {
	n := start(t, map[string]string{"num.partitions": "8", "auto.create.topics.enable": "true"})
	n.holdTo("user=<default>", "controller_mutation_rate=1")
	wanted := func(name string) kerr.Code {
		rq := kmsg.NewPtrMetadataRequest()
		rq.Version, rq.AllowAutoTopicCreation, rq.Topics = 9, true, []kmsg.MetadataRequestTopic{{Topic: &name}}
		return kerr.Code(ask[*kmsg.MetadataResponse](n, rq).Topics[0].ErrorCode)
	}
	var got []string
	for _, name := range []string{"a", "b", "c", "a"} { // 11 may be made at once, and what begins within that is made whole
		got = append(got, name+" "+wanted(name).String())
	}
	n.equal("topics", got, []string{"a NONE", "b NONE", "c UNKNOWN_TOPIC_OR_PARTITION", "a NONE"})
}

// What others make of the time that requests take is not known beforehand, only that it is counted.
func TestRequestsThatTakeLongAreHeldBack(t *testing.T) {
	n := start(t, map[string]string{"quota.window.num": "1"})
	n.holdTo("client-id=tester", "request_percentage=0.0001")
	rq := kmsg.NewPtrDescribeConfigsRequest()
	rq.Resources = append(rq.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: "1"})
	if held := n.held(rq); held <= 0 || held > time.Second {
		t.Errorf("held for %v", held)
	}
}

func TestOtherBrokersHaveNoQuotas(t *testing.T) {
	n := start(t, nil)
	id := n.create("t", 1)
	n.holdTo("user=<default>", "consumer_byte_rate=1 request_percentage=0.001")
	n.peer.Listener = image.InternalListener
	if held := n.held(fetchRequest(12, "t", id, 0)); held != 0 {
		t.Errorf("held for %v", held)
	}
}
