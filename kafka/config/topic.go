package config

// Topic is a topic's configuration, compiled once when the metadata changes, so that no request looks a string up. Times
// are milliseconds, sizes bytes, as in Kafka's names; -1 stands for no limit where Kafka allows it.
type Topic struct {
	CompactPolicy, DeletePolicy bool   // cleanup.policy
	CompressionType             string // "producer" or a codec
	CompressionLevel            int    // of that codec; 0: its default
	DeleteRetentionMs           int64
	FileDeleteDelayMs           int64
	IndexIntervalBytes          int32
	FollowersThrottled          *Throttled
	LeadersThrottled            *Throttled
	LocalRetentionBytes         int64 // -2: as RetentionBytes
	LocalRetentionMs            int64
	MaxCompactionLagMs          int64
	MaxMessageBytes             int32
	LogAppendTime               bool // message.timestamp.type
	TimestampBeforeMaxMs        int64
	TimestampAfterMaxMs         int64
	MinCleanableDirtyRatio      float64
	MinCompactionLagMs          int64
	MinInsyncReplicas           int32
	Preallocate                 bool
	RetentionBytes              int64
	RetentionMs                 int64
	SegmentBytes                int32
	SegmentIndexBytes           int32
	SegmentMs                   int64
	SegmentJitterMs             int64
	UncleanLeaderElection       bool
}
