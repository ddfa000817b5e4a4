package config

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"chronik/kafka/kerr"
)

func TestCompileTopicDefaults(t *testing.T) {
	got, err := compile(t, nil, nil, nil).CompileTopic(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Topic{
		DeletePolicy: true, CompressionType: "producer", DeleteRetentionMs: 24 * hour, FileDeleteDelayMs: minute,
		IndexIntervalBytes: 4096, LocalRetentionBytes: -2, LocalRetentionMs: -2, MaxCompactionLagMs: math.MaxInt64,
		MaxMessageBytes: 1048588, TimestampBeforeMaxMs: math.MaxInt64, TimestampAfterMaxMs: hour, MinCleanableDirtyRatio: 0.5,
		MinInsyncReplicas: 1, RetentionBytes: -1, RetentionMs: 168 * hour, SegmentBytes: 1 << 30, SegmentIndexBytes: 10 << 20,
		SegmentMs: 168 * hour,
	}
	if *got != want {
		t.Errorf("got  %+v\nwant %+v", *got, want)
	}
}

func TestCompileBrokerDefaults(t *testing.T) {
	b := compile(t, nil, nil, nil)
	got := fmt.Sprint(b.NumPartitions, b.DefaultReplicationFactor, b.AutoCreateTopics, b.DeleteTopics, b.FetchMaxBytes,
		b.GroupInitialRebalanceDelayMs, b.GroupMinSessionTimeoutMs, b.GroupMaxSessionTimeoutMs, b.OffsetsRetentionMs)
	if want := fmt.Sprint(1, 1, true, true, 55<<20, 3000, 6000, 1800000, 7*24*hour); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTheFinestUnitThatIsSetCounts(t *testing.T) {
	for _, c := range []struct {
		static  Static
		dynamic map[string]string
		want    int64
	}{
		{nil, nil, 168 * hour},
		{Static{"log.retention.hours": "2"}, nil, 2 * hour},
		{Static{"log.retention.hours": "2", "log.retention.minutes": "3"}, nil, 3 * minute},
		{Static{"log.retention.hours": "2", "log.retention.minutes": "3", "log.retention.ms": "4"}, nil, 4},
		{Static{"log.retention.hours": "2"}, map[string]string{"log.retention.ms": "5"}, 5},
		{Static{"log.retention.minutes": "-1"}, nil, -1},
	} {
		got, err := compile(t, c.static, c.dynamic, nil).CompileTopic(nil)
		if err != nil || got.RetentionMs != c.want {
			t.Errorf("%v %v: %d %v, want %d", c.static, c.dynamic, got.RetentionMs, err, c.want)
		}
	}
}

func TestPrecedence(t *testing.T) {
	b := compile(t, Static{"message.max.bytes": "1"}, map[string]string{"message.max.bytes": "2"}, map[string]string{"message.max.bytes": "3"})
	inherited, _ := b.CompileTopic(map[string]string{"retention.ms": "9"})
	own, _ := b.CompileTopic(map[string]string{"max.message.bytes": "4"})
	if inherited.MaxMessageBytes != 3 || inherited.RetentionMs != 9 || own.MaxMessageBytes != 4 {
		t.Errorf("%+v\n%+v", inherited, own)
	}
}

func TestCompressionLevelBelongsToTheCodec(t *testing.T) {
	b := compile(t, nil, nil, nil)
	for _, c := range []struct {
		typ, level, value string
		want              int
	}{
		{"gzip", "compression.gzip.level", "-1", 0},
		{"gzip", "compression.gzip.level", "7", 7},
		{"gzip", "compression.zstd.level", "7", 0},
		{"zstd", "compression.zstd.level", "7", 7},
		{"lz4", "compression.lz4.level", "7", 7},
		{"snappy", "compression.lz4.level", "7", 0},
	} {
		got, err := b.CompileTopic(map[string]string{"compression.type": c.typ, c.level: c.value})
		if err != nil || got.CompressionLevel != c.want {
			t.Errorf("%s with %s=%s: level %d, want %d (%v)", c.typ, c.level, c.value, got.CompressionLevel, c.want, err)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	b := compile(t, nil, nil, nil)
	_, topic := b.CompileTopic(map[string]string{"min.compaction.lag.ms": "9", "max.compaction.lag.ms": "8"})
	_, static := CompileBroker(Static{"num.partitons": "3"}, nil, nil)
	_, dynamic := CompileBroker(nil, map[string]string{"num.partitions": "3"}, nil)
	for _, c := range []struct {
		err  error
		code kerr.Code
		want string
	}{
		{topic, kerr.InvalidConfig, "conflict topic config setting min.compaction.lag.ms (9) > max.compaction.lag.ms (8)"},
		{static, kerr.InvalidConfig, "Unknown broker config name: num.partitons"},
		{dynamic, kerr.InvalidRequest, "Cannot update these configs dynamically: [num.partitions]"},
	} {
		if kerr.Of(c.err) != c.code || kerr.Message(c.err) != c.want {
			t.Errorf("got %v, want %v: %s", c.err, c.code, c.want)
		}
	}
}

// The lines for the default, and for dynamic ones, are those of Apache Kafka 4.3.0.
func TestDescribe(t *testing.T) {
	plain := compile(t, nil, nil, nil)
	set := compile(t, Static{"log.retention.hours": "24", "node.id": "7", "message.max.bytes": "5"},
		map[string]string{"log.segment.bytes": "2000000"}, map[string]string{"message.max.bytes": " 6 "})
	for _, c := range []struct {
		all        []Described
		name, want string
	}{
		{plain.DescribeTopic(nil), "segment.bytes", "1073741824 5 false [log.segment.bytes=1073741824@5]"},
		{plain.DescribeTopic(nil), "retention.ms", "604800000 5 false []"},
		{plain.DescribeTopic(map[string]string{"retention.ms": "5"}), "retention.ms", "5 1 false [retention.ms=5@1]"},
		{set.DescribeTopic(nil), "retention.ms", "86400000 4 false [log.retention.hours=24@4 log.retention.hours=168@5]"},
		{set.DescribeTopic(nil), "segment.bytes", "2000000 3 false [log.segment.bytes=2000000@3 log.segment.bytes=1073741824@5]"},
		{set.DescribeTopic(nil), "max.message.bytes", "6 2 false [message.max.bytes=6@2 message.max.bytes=5@4 message.max.bytes=1048588@5]"},
		{plain.Describe(), "log.retention.ms", "null 5 false []"},
		{plain.Describe(), "log.retention.hours", "168 5 true [log.retention.hours=168@5]"},
		{plain.Describe(), "default.replication.factor", "1 5 true [default.replication.factor=1@5]"},
		{set.Describe(), "node.id", "7 4 true [node.id=7@4]"},
		{set.Describe(), "log.retention.ms", "null 5 false []"},
		{set.DescribeDynamicDefault(), "log.segment.bytes", "2000000 3 false [log.segment.bytes=2000000@3]"},
		{plain.DescribeGroup(nil), "consumer.session.timeout.ms", "45000 5 false [group.consumer.session.timeout.ms=45000@5]"},
		{plain.DescribeGroup(map[string]string{"consumer.session.timeout.ms": "46000"}), "consumer.session.timeout.ms", "46000 8 false [consumer.session.timeout.ms=46000@8 group.consumer.session.timeout.ms=45000@5]"},
	} {
		if got := line(c.all, c.name); got != c.want {
			t.Errorf("%s: got %s\nwant %s", c.name, got, c.want)
		}
	}
	if n := len(set.DescribeDynamicDefault()); n != 1 {
		t.Errorf("%d dynamic defaults, want 1", n)
	}
}

func line(all []Described, name string) string {
	text := func(s *string) string {
		if s == nil {
			return "null"
		}
		return *s
	}
	for _, d := range all {
		if d.Name == name {
			var from []string
			for _, s := range d.Synonyms {
				from = append(from, fmt.Sprintf("%s=%s@%d", s.Name, text(s.Value), s.Source))
			}
			return fmt.Sprintf("%s %d %v [%s]", text(d.Value), d.Source, d.ReadOnly, strings.Join(from, " "))
		}
	}
	return "absent"
}
