package config

import (
	"reflect"
	"strings"
	"testing"

	"chronik/kafka/kerr"
)

func TestCompileGroupDefaults(t *testing.T) {
	b := compile(t, nil, nil, nil)
	want := Group{
		Consumer: ConsumerGroup{AssignmentIntervalMs: 1000, HeartbeatIntervalMs: 5000, SessionTimeoutMs: 45000},
		Share: ShareGroup{AssignmentIntervalMs: 1000, AutoOffsetReset: ResetLatest, DeliveryCountLimit: 5, HeartbeatIntervalMs: 5000,
			PartitionMaxRecordLocks: 2000, RecordLockDurationMs: 30000, RenewAcknowledge: true, SessionTimeoutMs: 45000},
		Streams: StreamsGroup{AssignmentIntervalMs: 1000, Assignor: "sticky", HeartbeatIntervalMs: 5000, InitialRebalanceDelayMs: 3000,
			SessionTimeoutMs: 45000},
	}
	if got, err := b.CompileGroup(nil); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v %v\nwant %+v", got, err, want)
	}
	if !b.ConsumerUpgrade || !b.ConsumerDowngrade || len(b.ConsumerAssignors) != 2 || b.ConsumerAssignors[0] != "uniform" {
		t.Errorf("%+v", b)
	}
	if b.ShareGroupMaxSize != 200 || b.ShareMaxSessions != 2000 || b.StreamsGroupMaxSize != 1<<31-1 {
		t.Errorf("%+v", b)
	}
}

// The messages are those of Apache Kafka 4.4.0.
func TestCompileGroup(t *testing.T) {
	b := compile(t, nil, nil, nil)
	for _, c := range []struct{ configs, problem string }{
		{"consumer.session.timeout.ms=50000 consumer.heartbeat.interval.ms=15000", ""},
		{"consumer.heartbeat.interval.ms=1", "consumer.heartbeat.interval.ms must be in the range 5000 to 15000 inclusive."},
		{"consumer.session.timeout.ms=100000", "consumer.session.timeout.ms must be in the range 45000 to 60000 inclusive."},
		{"streams.num.standby.replicas=2", ""},
		{"streams.num.standby.replicas=3", "streams.num.standby.replicas must be less than or equal to 2"},
		{"share.delivery.count.limit=11", "share.delivery.count.limit must be in the range 2 to 10 inclusive."},
		{"share.record.lock.duration.ms=500", "Invalid value 500 for configuration share.record.lock.duration.ms: Value must be at least 1000"},
		{"share.isolation.level=READ_COMMITTED", "Invalid value READ_COMMITTED for configuration share.isolation.level: String must be one of: read_committed, read_uncommitted"},
		{"streams.rack.aware.assignment.tags=a,a", "streams.rack.aware.assignment.tags must not contain duplicate tag keys."},
		{"share.auto.offset.reset=x", "Invalid value x for configuration share.auto.offset.reset: The value must be either 'earliest', 'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'."},
		{"nope=1", "Unknown group config name: nope"},
	} {
		configs := map[string]string{}
		for _, kv := range strings.Fields(c.configs) {
			name, v, _ := strings.Cut(kv, "=")
			configs[name] = v
		}
		_, err := b.CompileGroup(configs)
		if got := kerr.Message(err); got != c.problem || err != nil && kerr.Of(err) != kerr.InvalidConfig {
			t.Errorf("%s: %v, want %q", c.configs, err, c.problem)
		}
	}
}

func TestGroupDefaultsThatNoGroupCouldRunWith(t *testing.T) {
	for _, c := range []struct{ configs, problem string }{
		{"group.consumer.min.session.timeout.ms=70000", "group.consumer.max.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms"},
		{"group.streams.num.standby.replicas=3", "group.streams.num.standby.replicas must be less than or equal to group.streams.max.standby.replicas"},
		{"group.consumer.session.timeout.ms=5000", "group.consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms"},
		{"group.consumer.min.session.timeout.ms=100 group.consumer.session.timeout.ms=5000", "group.consumer.heartbeat.interval.ms must be less than group.consumer.session.timeout.ms"},
		{"group.consumer.assignors=", "Configuration 'group.consumer.assignors' must not be empty. Valid values include: any non-empty value"},
		{"group.consumer.assignors=range,range", "Configuration 'group.consumer.assignors' values must not be duplicated."},
		{"group.share.max.share.sessions=199", "group.share.max.share.sessions must be greater than or equal to group.share.max.size"},
		{"group.consumer.migration.policy=x", "Invalid value x for configuration group.consumer.migration.policy: String must be one of (case insensitive): DISABLED, DOWNGRADE, UPGRADE, BIDIRECTIONAL"},
		{"group.consumer.migration.policy=Upgrade group.consumer.assignors=range", ""},
	} {
		static := Static{}
		for _, kv := range strings.Fields(c.configs) {
			name, v, _ := strings.Cut(kv, "=")
			static[name] = v
		}
		b, err := CompileBroker(static, nil, nil)
		if kerr.Message(err) != c.problem {
			t.Errorf("%s: %v, want %q", c.configs, err, c.problem)
		}
		if err == nil && (!b.ConsumerUpgrade || b.ConsumerDowngrade || b.ConsumerAssignors[0] != "range") {
			t.Errorf("%+v", b)
		}
	}
}

// A broker that starts with narrower bounds must not lose the groups that were configured before (KIP-1240).
func TestWhatTheBoundsNoLongerAllowIsTheNearestThatTheyDo(t *testing.T) {
	b := compile(t, Static{"group.share.max.delivery.count.limit": "7", "group.consumer.max.session.timeout.ms": "50000",
		"group.streams.max.heartbeat.interval.ms": "50000", "group.streams.min.session.timeout.ms": "20000"}, nil, nil)
	g := b.Group(map[string]string{"share.delivery.count.limit": "10", "consumer.session.timeout.ms": "60000", "share.isolation.level": "nonsense",
		"streams.session.timeout.ms": "30000", "streams.heartbeat.interval.ms": "30000", "share.auto.offset.reset": "earliest"})
	if g.Share.DeliveryCountLimit != 7 || g.Consumer.SessionTimeoutMs != 50000 || g.Share.ReadCommitted || g.Share.AutoOffsetReset != ResetEarliest {
		t.Errorf("%+v", g)
	}
	if g.Streams.SessionTimeoutMs != 45000 || g.Streams.HeartbeatIntervalMs != 5000 {
		t.Errorf("a session that is not longer than a heartbeat's interval is not the default: %+v", g.Streams)
	}
}

func TestOffsetReset(t *testing.T) {
	const bad = OffsetReset(-9)
	for _, c := range []struct {
		text string
		want OffsetReset
	}{
		{"latest", ResetLatest}, {"earliest", ResetEarliest}, {"LATEST", bad}, {"none", bad},
		{"by_duration:P1D", 24 * hour}, {"by_duration:PT0S", 0}, {"by_duration:pt1.5s", 1500}, {"by_duration:P1DT2H3M4S", 26*hour + 3*minute + 4000},
		{"by_duration:PT-1H61M", minute}, {"by_duration:-PT-1S", 1000}, {"by_duration:PT-0.5S", bad},
		{"by_duration:-P1D", bad}, {"by_duration:P1Y", bad}, {"by_duration:", bad}, {"by_duration:P", bad}, {"by_duration:P1DT", bad},
		{"by_duration:PT1H2D", bad}, {"by_duration:P99999999999999D", bad}, {"P1D", bad},
	} {
		got, ok := parseOffsetReset(c.text)
		if !ok {
			got = bad
		}
		if got != c.want {
			t.Errorf("%s: %d, want %d", c.text, got, c.want)
		}
	}
}
