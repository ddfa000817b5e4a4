package config

import (
	"maps"
	"slices"
	"strings"

	"chronik/kafka/kerr"
)

// Static is the broker configs that a node was started with. What the server sets by itself (node.id, listeners, log.dirs)
// belongs here too, so that it is described like the rest.
type Static map[string]string

// Broker is a broker's configuration, compiled once when it changes: read its fields, it never changes. Times are
// milliseconds, sizes bytes.
type Broker struct {
	AutoCreateTopics         bool
	DefaultReplicationFactor int16
	DeleteTopics             bool
	NumPartitions            int32

	LogCleanerBackoffMs         int64
	LogCleanerDedupeBufferSize  int64
	LogCleanerEnable            bool
	LogCleanerIOMaxBytes        float64 // per second
	LogCleanerThreads           int32
	LogRetentionCheckIntervalMs int64

	ConnectionsMaxIdleMs     int64 // negative: never
	FetchMaxBytes            int32
	MaxConnectionRate        int32 // new ones per second
	MaxConnections           int32
	MaxConnectionsPerIP      int32
	MaxFetchSessions         int32
	MaxDescribedPartitions   int32 // of one DescribeTopicPartitions answer
	QueuedMaxRequests        int32
	QueuedMaxRequestBytes    int64 // -1: no limit of its own
	RequestTimeoutMs         int32
	SocketReceiveBufferBytes int32 // -1: the system's
	SocketRequestMaxBytes    int32
	SocketSendBufferBytes    int32 // -1: the system's

	GroupInitialRebalanceDelayMs    int32
	GroupMaxSessionTimeoutMs        int32
	GroupMaxSize                    int32
	GroupMinSessionTimeoutMs        int32
	OffsetMetadataMaxBytes          int32
	OffsetsCommitTimeoutMs          int32
	OffsetsRetentionCheckIntervalMs int64
	OffsetsRetentionMs              int64

	ConsumerAssignors    []string // that members may ask for; the first is the default
	ConsumerDowngrade    bool     // a consumer group with members may become a classic one
	ConsumerUpgrade      bool     // and the other way round
	ConsumerGroupMaxSize int32
	ShareGroupMaxSize    int32
	ShareMaxSessions     int32
	StreamsGroupMaxSize  int32

	ProducerIDExpirationMs    int64
	TransactionMaxTimeoutMs   int32
	TransactionalIDExpiration int64

	QuotaWindowSamples           int32
	QuotaWindowSeconds           int32
	ControllerQuotaWindowSamples int32
	ControllerQuotaWindowSeconds int32

	AutoLeaderRebalance          bool
	BrokerHeartbeatIntervalMs    int32
	BrokerSessionTimeoutMs       int32
	LeaderImbalanceCheckSeconds  int64
	FollowerThrottledRate        int64 // bytes per second; so is the next
	LeaderThrottledRate          int64
	ReplicaFetchMaxBytes         int32
	ReplicaFetchMinBytes         int32
	ReplicaFetchResponseMaxBytes int32
	ReplicaFetchWaitMaxMs        int32
	ReplicaLagTimeMaxMs          int64
	RackAwareReads               bool // replica.selector.class

	layers [3]layer // in order of precedence
	topic  draft    // what topics' configs default to
	group  Group    // what groups' configs default to
}

// layer is where values come from, below a resource's own ones.
type layer struct {
	source Source
	values map[string]string
}

// CompileBroker checks and compiles a broker's configs: its own dynamic ones before the cluster's dynamic default, before
// static, before Kafka's defaults. The error, a kerr.InvalidConfig, names the first config that is wrong.
func CompileBroker(static Static, dynamicDefault, dynamicBroker map[string]string) (*Broker, error) {
	b := &Broker{layers: [3]layer{
		{DynamicBroker, maps.Clone(dynamicBroker)},
		{DynamicDefaultBroker, maps.Clone(dynamicDefault)},
		{StaticBroker, maps.Clone(static)},
	}}
	for _, l := range b.layers {
		if err := l.check(); err != nil {
			return nil, err
		}
	}
	for _, d := range brokers.defs {
		if set := brokerFields[d.Name]; set != nil {
			v, _ := b.effective(d)
			set(b, v)
		}
	}
	if err := b.compileTopicDefaults(); err != nil {
		return nil, err
	}
	return b, b.compileGroupDefaults()
}

// With is what the same static configs give below other dynamic ones.
func (b *Broker) With(dynamicDefault, dynamicBroker map[string]string) (*Broker, error) {
	return CompileBroker(b.layers[2].values, dynamicDefault, dynamicBroker)
}

// CheckDynamic refuses, besides what CheckBroker does, what can't be altered while a broker runs; that is a
// kerr.InvalidRequest, as Kafka has it.
func CheckDynamic(name, value string) error {
	if d, ok := brokers.by[name]; ok && !d.Dynamic {
		return kerr.Detail(kerr.InvalidRequest, "Cannot update these configs dynamically: [%s]", name)
	}
	return CheckBroker(name, value)
}

func (l layer) check() error {
	for _, name := range slices.Sorted(maps.Keys(l.values)) {
		check := CheckDynamic
		if l.source == StaticBroker {
			check = CheckBroker
		}
		if err := check(name, l.values[name]); err != nil {
			return err
		}
	}
	return nil
}

// effective is the value of one broker config by itself, without its synonyms; ok is false when it is null.
func (b *Broker) effective(d *Def) (v value, ok bool) {
	raw, ok := b.raw(d.Name)
	if !ok {
		raw, ok = d.Default, !d.Unset
	}
	if ok {
		v, _ = d.parse(raw) // checked before
	}
	return v, ok
}

func (b *Broker) raw(name string) (string, bool) {
	for _, l := range b.layers {
		if raw, ok := l.values[name]; ok {
			return raw, true
		}
	}
	return "", false
}

// inherited is the value that a topic's or a group's config has when it is not set: that of the first synonym that has
// one, in the config's own unit; ok is false when it is null.
func (b *Broker) inherited(d *Def) (v value, ok bool) {
	for _, s := range d.Synonyms {
		if v, ok := b.effective(brokers.by[s.Name]); ok {
			if v.kind == List && d.Type == String { // of the names that there may be, the first
				v.text = v.list[0]
			}
			v.kind = d.Type
			if s.Millis != 0 && v.int > 0 {
				v.int *= s.Millis
			}
			return v, true
		}
	}
	if !d.Unset {
		v, _ = d.parse(d.Default) // in the catalogue's test
	}
	return v, !d.Unset
}

func (b *Broker) setMigration(policy string) {
	b.ConsumerDowngrade = policy == "downgrade" || policy == "bidirectional"
	b.ConsumerUpgrade = policy == "upgrade" || policy == "bidirectional"
}

var brokerFields = map[string]func(*Broker, value){
	"auto.create.topics.enable":  func(b *Broker, v value) { b.AutoCreateTopics = v.bool },
	"default.replication.factor": func(b *Broker, v value) { b.DefaultReplicationFactor = int16(v.int) },
	"delete.topic.enable":        func(b *Broker, v value) { b.DeleteTopics = v.bool },
	"num.partitions":             func(b *Broker, v value) { b.NumPartitions = int32(v.int) },

	"log.cleaner.backoff.ms":              func(b *Broker, v value) { b.LogCleanerBackoffMs = v.int },
	"log.cleaner.dedupe.buffer.size":      func(b *Broker, v value) { b.LogCleanerDedupeBufferSize = v.int },
	"log.cleaner.enable":                  func(b *Broker, v value) { b.LogCleanerEnable = v.bool },
	"log.cleaner.io.max.bytes.per.second": func(b *Broker, v value) { b.LogCleanerIOMaxBytes = v.double },
	"log.cleaner.threads":                 func(b *Broker, v value) { b.LogCleanerThreads = int32(v.int) },
	"log.retention.check.interval.ms":     func(b *Broker, v value) { b.LogRetentionCheckIntervalMs = v.int },

	"connections.max.idle.ms":                   func(b *Broker, v value) { b.ConnectionsMaxIdleMs = v.int },
	"fetch.max.bytes":                           func(b *Broker, v value) { b.FetchMaxBytes = int32(v.int) },
	"max.connection.creation.rate":              func(b *Broker, v value) { b.MaxConnectionRate = int32(v.int) },
	"max.connections":                           func(b *Broker, v value) { b.MaxConnections = int32(v.int) },
	"max.connections.per.ip":                    func(b *Broker, v value) { b.MaxConnectionsPerIP = int32(v.int) },
	"max.incremental.fetch.session.cache.slots": func(b *Broker, v value) { b.MaxFetchSessions = int32(v.int) },
	"max.request.partition.size.limit":          func(b *Broker, v value) { b.MaxDescribedPartitions = int32(v.int) },
	"queued.max.requests":                       func(b *Broker, v value) { b.QueuedMaxRequests = int32(v.int) },
	"queued.max.request.bytes":                  func(b *Broker, v value) { b.QueuedMaxRequestBytes = v.int },
	"request.timeout.ms":                        func(b *Broker, v value) { b.RequestTimeoutMs = int32(v.int) },
	"socket.receive.buffer.bytes":               func(b *Broker, v value) { b.SocketReceiveBufferBytes = int32(v.int) },
	"socket.request.max.bytes":                  func(b *Broker, v value) { b.SocketRequestMaxBytes = int32(v.int) },
	"socket.send.buffer.bytes":                  func(b *Broker, v value) { b.SocketSendBufferBytes = int32(v.int) },

	"group.initial.rebalance.delay.ms":    func(b *Broker, v value) { b.GroupInitialRebalanceDelayMs = int32(v.int) },
	"group.max.session.timeout.ms":        func(b *Broker, v value) { b.GroupMaxSessionTimeoutMs = int32(v.int) },
	"group.max.size":                      func(b *Broker, v value) { b.GroupMaxSize = int32(v.int) },
	"group.min.session.timeout.ms":        func(b *Broker, v value) { b.GroupMinSessionTimeoutMs = int32(v.int) },
	"group.consumer.assignors":            func(b *Broker, v value) { b.ConsumerAssignors = v.list },
	"group.consumer.max.size":             func(b *Broker, v value) { b.ConsumerGroupMaxSize = int32(v.int) },
	"group.consumer.migration.policy":     func(b *Broker, v value) { b.setMigration(strings.ToLower(v.text)) },
	"group.share.max.share.sessions":      func(b *Broker, v value) { b.ShareMaxSessions = int32(v.int) },
	"group.share.max.size":                func(b *Broker, v value) { b.ShareGroupMaxSize = int32(v.int) },
	"group.streams.max.size":              func(b *Broker, v value) { b.StreamsGroupMaxSize = int32(v.int) },
	"offset.metadata.max.bytes":           func(b *Broker, v value) { b.OffsetMetadataMaxBytes = int32(v.int) },
	"offsets.commit.timeout.ms":           func(b *Broker, v value) { b.OffsetsCommitTimeoutMs = int32(v.int) },
	"offsets.retention.check.interval.ms": func(b *Broker, v value) { b.OffsetsRetentionCheckIntervalMs = v.int },
	"offsets.retention.minutes":           func(b *Broker, v value) { b.OffsetsRetentionMs = v.int * minute },

	"producer.id.expiration.ms":      func(b *Broker, v value) { b.ProducerIDExpirationMs = v.int },
	"transaction.max.timeout.ms":     func(b *Broker, v value) { b.TransactionMaxTimeoutMs = int32(v.int) },
	"transactional.id.expiration.ms": func(b *Broker, v value) { b.TransactionalIDExpiration = v.int },

	"quota.window.num":                     func(b *Broker, v value) { b.QuotaWindowSamples = int32(v.int) },
	"quota.window.size.seconds":            func(b *Broker, v value) { b.QuotaWindowSeconds = int32(v.int) },
	"controller.quota.window.num":          func(b *Broker, v value) { b.ControllerQuotaWindowSamples = int32(v.int) },
	"controller.quota.window.size.seconds": func(b *Broker, v value) { b.ControllerQuotaWindowSeconds = int32(v.int) },

	"auto.leader.rebalance.enable":            func(b *Broker, v value) { b.AutoLeaderRebalance = v.bool },
	"broker.heartbeat.interval.ms":            func(b *Broker, v value) { b.BrokerHeartbeatIntervalMs = int32(v.int) },
	"broker.session.timeout.ms":               func(b *Broker, v value) { b.BrokerSessionTimeoutMs = int32(v.int) },
	"leader.imbalance.check.interval.seconds": func(b *Broker, v value) { b.LeaderImbalanceCheckSeconds = v.int },
	"follower.replication.throttled.rate":     func(b *Broker, v value) { b.FollowerThrottledRate = v.int },
	"leader.replication.throttled.rate":       func(b *Broker, v value) { b.LeaderThrottledRate = v.int },
	"replica.fetch.max.bytes":                 func(b *Broker, v value) { b.ReplicaFetchMaxBytes = int32(v.int) },
	"replica.fetch.min.bytes":                 func(b *Broker, v value) { b.ReplicaFetchMinBytes = int32(v.int) },
	"replica.fetch.response.max.bytes":        func(b *Broker, v value) { b.ReplicaFetchResponseMaxBytes = int32(v.int) },
	"replica.fetch.wait.max.ms":               func(b *Broker, v value) { b.ReplicaFetchWaitMaxMs = int32(v.int) },
	"replica.selector.class":                  func(b *Broker, v value) { b.RackAwareReads = v.text == RackAwareSelector },
	"replica.lag.time.max.ms":                 func(b *Broker, v value) { b.ReplicaLagTimeMaxMs = v.int },
}
