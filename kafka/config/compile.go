package config

import (
	"maps"
	"slices"

	"chronik/kafka/kerr"
)

// draft is a Topic on its way: the level counts only for the codec that is chosen in the end.
type draft struct {
	Topic
	gzip, lz4, zstd int
}

// CompileTopic checks and compiles a topic's own configs over the broker's defaults. Without overrides all topics share
// one value. The error is a kerr.InvalidConfig.
func (b *Broker) CompileTopic(overrides map[string]string) (*Topic, error) {
	if len(overrides) == 0 {
		return &b.topic.Topic, nil
	}
	t := b.topic
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		v, err := topics.parse(name, overrides[name])
		if err != nil {
			return nil, err
		}
		if set := topicFields[name]; set != nil {
			set(&t, v)
		}
	}
	return &t.Topic, t.finish()
}

func (b *Broker) compileTopicDefaults() error {
	for _, d := range topics.defs {
		if set := topicFields[d.Name]; set != nil {
			v, _ := b.inherited(d) // topics' configs all have a default
			set(&b.topic, v)
		}
	}
	return b.topic.finish()
}

// finish settles what depends on more than one config.
func (t *draft) finish() error {
	t.CompressionLevel = 0
	switch {
	case t.CompressionType == "gzip" && t.gzip != -1:
		t.CompressionLevel = t.gzip
	case t.CompressionType == "lz4":
		t.CompressionLevel = t.lz4
	case t.CompressionType == "zstd":
		t.CompressionLevel = t.zstd
	}
	if t.MinCompactionLagMs > t.MaxCompactionLagMs {
		return kerr.Detail(kerr.InvalidConfig, "conflict topic config setting min.compaction.lag.ms (%d) > max.compaction.lag.ms (%d)",
			t.MinCompactionLagMs, t.MaxCompactionLagMs)
	}
	return nil
}

var topicFields = map[string]func(*draft, value){
	"cleanup.policy": func(t *draft, v value) {
		t.CompactPolicy, t.DeletePolicy = slices.Contains(v.list, "compact"), slices.Contains(v.list, "delete")
	},
	"compression.gzip.level":                  func(t *draft, v value) { t.gzip = int(v.int) },
	"compression.lz4.level":                   func(t *draft, v value) { t.lz4 = int(v.int) },
	"compression.type":                        func(t *draft, v value) { t.CompressionType = v.text },
	"compression.zstd.level":                  func(t *draft, v value) { t.zstd = int(v.int) },
	"delete.retention.ms":                     func(t *draft, v value) { t.DeleteRetentionMs = v.int },
	"file.delete.delay.ms":                    func(t *draft, v value) { t.FileDeleteDelayMs = v.int },
	"follower.replication.throttled.replicas": func(t *draft, v value) { t.FollowersThrottled, _ = parseThrottled(v.list) },
	"leader.replication.throttled.replicas":   func(t *draft, v value) { t.LeadersThrottled, _ = parseThrottled(v.list) },
	"index.interval.bytes":                    func(t *draft, v value) { t.IndexIntervalBytes = int32(v.int) },
	"local.retention.bytes":                   func(t *draft, v value) { t.LocalRetentionBytes = v.int },
	"local.retention.ms":                      func(t *draft, v value) { t.LocalRetentionMs = v.int },
	"max.compaction.lag.ms":                   func(t *draft, v value) { t.MaxCompactionLagMs = v.int },
	"max.message.bytes":                       func(t *draft, v value) { t.MaxMessageBytes = int32(v.int) },
	"message.timestamp.after.max.ms":          func(t *draft, v value) { t.TimestampAfterMaxMs = v.int },
	"message.timestamp.before.max.ms":         func(t *draft, v value) { t.TimestampBeforeMaxMs = v.int },
	"message.timestamp.type":                  func(t *draft, v value) { t.LogAppendTime = v.text == "LogAppendTime" },
	"min.cleanable.dirty.ratio":               func(t *draft, v value) { t.MinCleanableDirtyRatio = v.double },
	"min.compaction.lag.ms":                   func(t *draft, v value) { t.MinCompactionLagMs = v.int },
	"min.insync.replicas":                     func(t *draft, v value) { t.MinInsyncReplicas = int32(v.int) },
	"preallocate":                             func(t *draft, v value) { t.Preallocate = v.bool },
	"retention.bytes":                         func(t *draft, v value) { t.RetentionBytes = v.int },
	"retention.ms":                            func(t *draft, v value) { t.RetentionMs = v.int },
	"segment.bytes":                           func(t *draft, v value) { t.SegmentBytes = int32(v.int) },
	"segment.index.bytes":                     func(t *draft, v value) { t.SegmentIndexBytes = int32(v.int) },
	"segment.jitter.ms":                       func(t *draft, v value) { t.SegmentJitterMs = v.int },
	"segment.ms":                              func(t *draft, v value) { t.SegmentMs = v.int },
	"unclean.leader.election.enable":          func(t *draft, v value) { t.UncleanLeaderElection = v.bool },
}
