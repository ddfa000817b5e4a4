package config

import (
	"cmp"
	"slices"
	"strconv"
)

// The catalogue follows Kafka 4.4 (TopicConfig, LogConfig, ServerLogConfigs, ServerConfigs, SocketServerConfigs,
// ReplicationConfigs, GroupCoordinatorConfig, GroupConfig, TransactionLogConfig, TransactionStateManagerConfig,
// CleanerConfig, KRaftConfigs) in names, types, defaults and valid values. A config that nothing here could honour is left
// out, so that setting it is refused instead of ignored.

const (
	maxInt  = "2147483647"
	maxLong = "9223372036854775807"

	minute = 60_000
	hour   = 60 * minute
)

// What replica.selector.class may be.
const (
	LeaderSelector    = "org.apache.kafka.common.replica.LeaderSelector"
	RackAwareSelector = "org.apache.kafka.common.replica.RackAwareReplicaSelector"
)

var compressionTypes = oneOf("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer")

var topics = newCatalogue("topic", []*Def{
	{Name: "cleanup.policy", Type: List, Default: "delete", Valid: oneOf("compact", "delete"), Importance: Medium,
		Synonyms: same("log.cleanup.policy"),
		Doc:      "What happens to old records: \"delete\" removes segments that are past the retention limits, \"compact\" keeps the newest record of each key, both together do both; empty keeps everything."},
	{Name: "compression.gzip.level", Type: Int, Default: "-1", Valid: gzipLevels, Importance: Medium,
		Synonyms: same("compression.gzip.level"),
		Doc:      "The level at which records are compressed when compression.type is gzip; -1 is the codec's own default."},
	{Name: "compression.lz4.level", Type: Int, Default: "9", Valid: between(1, 17), Importance: Medium,
		Synonyms: same("compression.lz4.level"),
		Doc:      "The level at which records are compressed when compression.type is lz4."},
	{Name: "compression.type", Type: String, Default: "producer", Valid: compressionTypes, Importance: Medium,
		Synonyms: same("compression.type"),
		Doc:      "How records are stored: \"producer\" keeps each batch as it was sent; a codec's name or \"uncompressed\" has batches that came otherwise converted."},
	{Name: "compression.zstd.level", Type: Int, Default: "3", Valid: between(-131072, 22), Importance: Medium,
		Synonyms: same("compression.zstd.level"),
		Doc:      "The level at which records are compressed when compression.type is zstd."},
	{Name: "delete.retention.ms", Type: Long, Default: "86400000", Valid: atLeast(0), Importance: Medium,
		Synonyms: same("log.cleaner.delete.retention.ms"),
		Doc:      "How long a compacted topic keeps a tombstone, and so how long a consumer that reads from the beginning may take without missing a deletion."},
	{Name: "file.delete.delay.ms", Type: Long, Default: "60000", Valid: atLeast(0), Importance: Medium,
		Synonyms: same("log.segment.delete.delay.ms"),
		Doc:      "How long a file stays on disk after it was taken out of the log."},
	{Name: "flush.messages", Type: Long, Default: maxLong, Valid: atLeast(1), Importance: Medium,
		Synonyms: same("log.flush.interval.messages"),
		Doc:      "After how many records a sync is forced. Every batch is synced before it is acknowledged unless the server was started with a weaker --wal-sync, so any value is kept."},
	{Name: "flush.ms", Type: Long, Default: maxLong, Valid: atLeast(0), Importance: Medium,
		Synonyms: same("log.flush.interval.ms", "log.flush.scheduler.interval.ms"),
		Doc:      "After what time a sync is forced. Every batch is synced before it is acknowledged unless the server was started with a weaker --wal-sync, so any value is kept."},
	{Name: "follower.replication.throttled.replicas", Type: List, Valid: throttledReplicas, Importance: Medium,
		Doc: "The replicas, as partition:broker or * for all, that follower.replication.throttled.rate holds for while they copy what they lack."},
	{Name: "leader.replication.throttled.replicas", Type: List, Valid: throttledReplicas, Importance: Medium,
		Doc: "The replicas, as partition:broker or * for all, from which leaders send out-of-sync followers no more than leader.replication.throttled.rate."},
	{Name: "index.interval.bytes", Type: Int, Default: "4096", Valid: atLeast(0), Importance: Medium,
		Synonyms: same("log.index.interval.bytes"),
		Doc:      "How many bytes of records may lie between two entries of a segment's index: less makes look-ups read less and the index larger."},
	{Name: "local.retention.bytes", Type: Long, Default: "-2", Valid: atLeast(-2), Importance: Medium,
		Synonyms: same("log.local.retention.bytes"),
		Doc:      "How much of a tiered partition stays on local disk; -2 stands for the value of retention.bytes."},
	{Name: "local.retention.ms", Type: Long, Default: "-2", Valid: atLeast(-2), Importance: Medium,
		Synonyms: same("log.local.retention.ms"),
		Doc:      "How long a tiered partition's records stay on local disk; -2 stands for the value of retention.ms."},
	{Name: "max.compaction.lag.ms", Type: Long, Default: maxLong, Valid: atLeast(1), Importance: Medium,
		Synonyms: same("log.cleaner.max.compaction.lag.ms"),
		Doc:      "How old a record of a compacted topic may grow before its segment must be compacted."},
	{Name: "max.message.bytes", Type: Int, Default: "1048588", Valid: atLeast(0), Importance: Medium,
		Synonyms: same("message.max.bytes"),
		Doc:      "The largest record batch that is accepted, after compression."},
	{Name: "message.timestamp.after.max.ms", Type: Long, Default: "3600000", Valid: atLeast(0), Importance: Medium,
		Synonyms: same("log.message.timestamp.after.max.ms"),
		Doc:      "How far a record's timestamp may lie ahead of the broker's clock before the record is refused; not looked at with LogAppendTime."},
	{Name: "message.timestamp.before.max.ms", Type: Long, Default: maxLong, Valid: atLeast(0), Importance: Medium,
		Synonyms: same("log.message.timestamp.before.max.ms"),
		Doc:      "How far a record's timestamp may lie behind the broker's clock before the record is refused; not looked at with LogAppendTime."},
	{Name: "message.timestamp.type", Type: String, Default: "CreateTime", Valid: oneOf("CreateTime", "LogAppendTime"), Importance: Medium,
		Synonyms: same("log.message.timestamp.type"),
		Doc:      "Whether a record keeps the producer's timestamp or gets the time of its append."},
	{Name: "min.cleanable.dirty.ratio", Type: Double, Default: "0.5", Valid: fraction, Importance: Medium,
		Synonyms: same("log.cleaner.min.cleanable.ratio"),
		Doc:      "What part of a compacted log must be uncompacted before it is compacted again: higher saves work, lower saves space."},
	{Name: "min.compaction.lag.ms", Type: Long, Default: "0", Valid: atLeast(0), Importance: Medium,
		Synonyms: same("log.cleaner.min.compaction.lag.ms"),
		Doc:      "How long a record of a compacted topic stays untouched, so that consumers can see every one."},
	{Name: "min.insync.replicas", Type: Int, Default: "1", Valid: atLeast(1), Importance: Medium,
		Synonyms: same("min.insync.replicas"),
		Doc:      "How many replicas must have a record on disk before a producer with acks=all is answered; with fewer in sync it gets NOT_ENOUGH_REPLICAS."},
	{Name: "preallocate", Type: Boolean, Default: "false", Importance: Medium,
		Synonyms: same("log.preallocate"),
		Doc:      "Whether a segment's file gets its full size when it is created."},
	{Name: "remote.log.copy.disable", Type: Boolean, Default: "false", Valid: only(false, noTiering), Importance: Medium,
		Doc: "Whether a tiered topic stops copying segments to remote storage."},
	{Name: "remote.log.delete.on.disable", Type: Boolean, Default: "false", Importance: Medium,
		Doc: "Whether a topic's remote data is deleted when its tiering is turned off."},
	{Name: "remote.storage.enable", Type: Boolean, Default: "false", Valid: only(false, noTiering), Importance: Medium,
		Doc: "Whether the topic's older segments move to remote storage."},
	{Name: "retention.bytes", Type: Long, Default: "-1", Importance: Medium,
		Synonyms: same("log.retention.bytes"),
		Doc:      "How large a partition may grow before its oldest segments are deleted; -1 is without limit."},
	{Name: "retention.ms", Type: Long, Default: "604800000", Valid: atLeast(-1), Importance: Medium,
		Synonyms: millis("log.retention.ms", "log.retention.minutes", "log.retention.hours"),
		Doc:      "How long records are kept; -1 is without limit."},
	{Name: "segment.bytes", Type: Int, Default: "1073741824", Valid: atLeast(1 << 20), Importance: Medium,
		Synonyms: same("log.segment.bytes"),
		Doc:      "The size at which a segment is sealed and a new one begun; retention and compaction work on sealed segments."},
	{Name: "segment.index.bytes", Type: Int, Default: "10485760", Valid: atLeast(4), Importance: Medium,
		Synonyms: same("log.index.size.max.bytes"),
		Doc:      "The size at which a segment's index makes a new segment begin."},
	{Name: "segment.jitter.ms", Type: Long, Default: "0", Valid: atLeast(0), Importance: Medium,
		Synonyms: millis("log.roll.jitter.ms", "", "log.roll.jitter.hours"),
		Doc:      "How much earlier than segment.ms a segment may be sealed, at random, so that not all are sealed at once."},
	{Name: "segment.ms", Type: Long, Default: "604800000", Valid: atLeast(1), Importance: Medium,
		Synonyms: millis("log.roll.ms", "", "log.roll.hours"),
		Doc:      "The age at which a segment is sealed even when it is not full."},
	{Name: "unclean.leader.election.enable", Type: Boolean, Default: "false", Importance: Medium,
		Synonyms: same("unclean.leader.election.enable"),
		Doc:      "Whether a replica that is not in sync may become leader when no other is left, which loses records."},
})

const noTiering = "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."

var brokers = newCatalogue("broker", slices.Concat(groupDefaults, []*Def{
	// Who the node is. The server fills these in from its own settings.
	{Name: "node.id", Type: Int, Unset: true, Valid: atLeast(0), Importance: High, Doc: "The node's number, unique in the cluster."},
	{Name: "broker.id", Type: Int, Default: "-1", Importance: High, Doc: "The node's number, under its old name."},
	{Name: "broker.rack", Type: String, Unset: true, Importance: Medium, Doc: "Where the node stands; replicas of a partition are spread over racks, and consumers may read from their own."},
	{Name: "process.roles", Type: List, Default: "broker,controller", Valid: setOf("broker", "controller"), Importance: High, Doc: "What the node does: every node is a broker, and a voter or an observer of the metadata log."},
	{Name: "listeners", Type: List, Default: "PLAINTEXT://:9092", Importance: High, Doc: "The addresses that the node listens on, as NAME://host:port."},
	{Name: "advertised.listeners", Type: List, Unset: true, Importance: High, Doc: "The addresses that clients are told, as NAME://host:port; without any, each client is told the address that it came by."},
	{Name: "listener.security.protocol.map", Type: String, Default: "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", Importance: Low, Doc: "Which security protocol each listener speaks, as NAME:PROTOCOL."},
	{Name: "inter.broker.listener.name", Type: String, Unset: true, Importance: Medium, Doc: "The listener that brokers use among each other."},
	{Name: "log.dir", Type: List, Default: "./data", Importance: High, Doc: "The data directory, when log.dirs is not set."},
	{Name: "log.dirs", Type: List, Unset: true, Importance: High, Doc: "The data directory; there is one, and its write-ahead log is shared by all partitions."},
	{Name: "cordoned.log.dirs", Type: List, Valid: setOf("*"), Importance: Medium, Dynamic: true, Doc: "Whether new partitions are kept away from the node while others can hold them (KIP-1066): * or nothing, since there is one data directory. What the node has it serves."},

	// Topics.
	{Name: "auto.create.topics.enable", Type: Boolean, Default: "true", Importance: High, Doc: "Whether asking for the metadata of a topic that does not exist creates it, if the client allows that."},
	{Name: "default.replication.factor", Type: Int, Default: "1", Valid: between(1, 32767), Importance: Medium, Doc: "How many replicas a partition gets when the request does not say: topics created automatically, or with -1."},
	{Name: "delete.topic.enable", Type: Boolean, Default: "true", Importance: High, Doc: "Whether topics can be deleted."},
	{Name: "num.partitions", Type: Int, Default: "1", Valid: atLeast(1), Importance: Medium, Doc: "How many partitions a topic gets when the request does not say."},
	{Name: "min.insync.replicas", Type: Int, Default: "1", Valid: atLeast(1), Importance: High, Dynamic: true, Doc: "The default of topics' min.insync.replicas: how many replicas must have a record on disk before acks=all is answered."},
	{Name: "unclean.leader.election.enable", Type: Boolean, Default: "false", Importance: High, Dynamic: true, Doc: "The default of topics' unclean.leader.election.enable: whether a replica that is out of sync may become leader and lose records."},
	{Name: "message.max.bytes", Type: Int, Default: "1048588", Valid: atLeast(0), Importance: High, Dynamic: true, Doc: "The default of topics' max.message.bytes: the largest record batch that is accepted, after compression."},
	{Name: "compression.type", Type: String, Default: "producer", Valid: compressionTypes, Importance: High, Dynamic: true, Doc: "The default of topics' compression.type: how records are stored."},
	{Name: "compression.gzip.level", Type: Int, Default: "-1", Valid: gzipLevels, Importance: Medium, Dynamic: true, Doc: "The default of topics' compression.gzip.level."},
	{Name: "compression.lz4.level", Type: Int, Default: "9", Valid: between(1, 17), Importance: Medium, Dynamic: true, Doc: "The default of topics' compression.lz4.level."},
	{Name: "compression.zstd.level", Type: Int, Default: "3", Valid: between(-131072, 22), Importance: Medium, Dynamic: true, Doc: "The default of topics' compression.zstd.level."},

	// Logs: what topics' configs default to.
	{Name: "log.cleanup.policy", Type: List, Default: "delete", Valid: setOf("compact", "delete"), Importance: Medium, Dynamic: true, Doc: "The default of topics' cleanup.policy: what happens to old records."},
	{Name: "log.cleaner.delete.retention.ms", Type: Long, Default: "86400000", Valid: atLeast(0), Importance: Medium, Dynamic: true, Doc: "The default of topics' delete.retention.ms: how long tombstones are kept."},
	{Name: "log.cleaner.max.compaction.lag.ms", Type: Long, Default: maxLong, Valid: atLeast(1), Importance: Medium, Dynamic: true, Doc: "The default of topics' max.compaction.lag.ms."},
	{Name: "log.cleaner.min.compaction.lag.ms", Type: Long, Default: "0", Valid: atLeast(0), Importance: Medium, Dynamic: true, Doc: "The default of topics' min.compaction.lag.ms."},
	{Name: "log.cleaner.min.cleanable.ratio", Type: Double, Default: "0.5", Valid: fraction, Importance: Medium, Dynamic: true, Doc: "The default of topics' min.cleanable.dirty.ratio."},
	{Name: "log.flush.interval.messages", Type: Long, Default: maxLong, Valid: atLeast(1), Importance: High, Dynamic: true, Doc: "The default of topics' flush.messages; batches are synced before they are acknowledged whatever it says."},
	{Name: "log.flush.interval.ms", Type: Long, Unset: true, Importance: High, Dynamic: true, Doc: "The default of topics' flush.ms; batches are synced before they are acknowledged whatever it says."},
	{Name: "log.flush.scheduler.interval.ms", Type: Long, Default: maxLong, Importance: High, Doc: "The default of log.flush.interval.ms."},
	{Name: "log.index.interval.bytes", Type: Int, Default: "4096", Valid: atLeast(0), Importance: Medium, Dynamic: true, Doc: "The default of topics' index.interval.bytes."},
	{Name: "log.index.size.max.bytes", Type: Int, Default: "10485760", Valid: atLeast(4), Importance: Medium, Dynamic: true, Doc: "The default of topics' segment.index.bytes."},
	{Name: "log.local.retention.bytes", Type: Long, Default: "-2", Valid: atLeast(-2), Importance: Medium, Dynamic: true, Doc: "The default of topics' local.retention.bytes."},
	{Name: "log.local.retention.ms", Type: Long, Default: "-2", Valid: atLeast(-2), Importance: Medium, Dynamic: true, Doc: "The default of topics' local.retention.ms."},
	{Name: "log.message.timestamp.after.max.ms", Type: Long, Default: "3600000", Valid: atLeast(0), Importance: Medium, Dynamic: true, Doc: "The default of topics' message.timestamp.after.max.ms."},
	{Name: "log.message.timestamp.before.max.ms", Type: Long, Default: maxLong, Valid: atLeast(0), Importance: Medium, Dynamic: true, Doc: "The default of topics' message.timestamp.before.max.ms."},
	{Name: "log.message.timestamp.type", Type: String, Default: "CreateTime", Valid: oneOf("CreateTime", "LogAppendTime"), Importance: Medium, Dynamic: true, Doc: "The default of topics' message.timestamp.type."},
	{Name: "log.preallocate", Type: Boolean, Default: "false", Importance: Medium, Dynamic: true, Doc: "The default of topics' preallocate."},
	{Name: "log.retention.bytes", Type: Long, Default: "-1", Importance: High, Dynamic: true, Doc: "The default of topics' retention.bytes: how large a partition may grow; -1 is without limit."},
	{Name: "log.retention.ms", Type: Long, Unset: true, Valid: unlimitedOrPositive, Importance: High, Dynamic: true, Doc: "The default of topics' retention.ms: how long records are kept; -1 is without limit. Unset, log.retention.minutes counts."},
	{Name: "log.retention.minutes", Type: Int, Unset: true, Valid: unlimitedOrPositive, Importance: High, Doc: "As log.retention.ms, in minutes. Unset, log.retention.hours counts."},
	{Name: "log.retention.hours", Type: Int, Default: "168", Valid: unlimitedOrPositive, Importance: High, Doc: "As log.retention.ms, in hours."},
	{Name: "log.roll.ms", Type: Long, Unset: true, Valid: atLeast(1), Importance: High, Dynamic: true, Doc: "The default of topics' segment.ms: the age at which a segment is sealed. Unset, log.roll.hours counts."},
	{Name: "log.roll.hours", Type: Int, Default: "168", Valid: atLeast(1), Importance: High, Doc: "As log.roll.ms, in hours."},
	{Name: "log.roll.jitter.ms", Type: Long, Unset: true, Valid: atLeast(0), Importance: High, Dynamic: true, Doc: "The default of topics' segment.jitter.ms. Unset, log.roll.jitter.hours counts."},
	{Name: "log.roll.jitter.hours", Type: Int, Default: "0", Valid: atLeast(0), Importance: High, Doc: "As log.roll.jitter.ms, in hours."},
	{Name: "log.segment.bytes", Type: Int, Default: "1073741824", Valid: atLeast(1 << 20), Importance: High, Dynamic: true, Doc: "The default of topics' segment.bytes: the size at which a segment is sealed."},
	{Name: "log.segment.delete.delay.ms", Type: Long, Default: "60000", Valid: atLeast(0), Importance: High, Dynamic: true, Doc: "The default of topics' file.delete.delay.ms."},

	// Logs: what the broker does with all of them.
	{Name: "log.cleaner.backoff.ms", Type: Long, Default: "15000", Valid: atLeast(0), Importance: Medium, Dynamic: true, Doc: "How long the cleaner rests when no log needs compaction."},
	{Name: "log.cleaner.dedupe.buffer.size", Type: Long, Default: "134217728", Valid: atLeast(1 << 20), Importance: Medium, Dynamic: true, Doc: "How much memory the cleaners may use together for the keys that they have seen."},
	{Name: "log.cleaner.enable", Type: Boolean, Default: "true", Importance: Medium, Doc: "Whether topics with cleanup.policy=compact are compacted."},
	{Name: "log.cleaner.io.max.bytes.per.second", Type: Double, Default: "1.7976931348623157E308", Importance: Medium, Dynamic: true, Doc: "How fast the cleaners may read and write together."},
	{Name: "log.cleaner.threads", Type: Int, Default: "1", Valid: atLeast(1), Importance: Medium, Dynamic: true, Doc: "How many logs are compacted at the same time."},
	{Name: "log.retention.check.interval.ms", Type: Long, Default: "300000", Valid: atLeast(1), Importance: Medium, Doc: "How often segments are looked at for deletion."},

	// Connections and requests.
	{Name: "connections.max.idle.ms", Type: Long, Default: "600000", Importance: Medium, Doc: "A connection that was idle for so long is closed; a negative value never closes any."},
	{Name: "fetch.max.bytes", Type: Int, Default: "57671680", Valid: atLeast(1024), Importance: Medium, Doc: "The most that one Fetch answer may hold, whatever the client asks for; a first batch larger than that is still sent."},
	{Name: "max.connection.creation.rate", Type: Int, Default: maxInt, Valid: atLeast(0), Importance: Medium, Dynamic: true, Doc: "How many new connections are accepted per second."},
	{Name: "max.connections", Type: Int, Default: maxInt, Valid: atLeast(0), Importance: Medium, Dynamic: true, Doc: "How many connections may be open at the same time."},
	{Name: "max.connections.per.ip", Type: Int, Default: maxInt, Valid: atLeast(0), Importance: Medium, Dynamic: true, Doc: "How many connections may be open at the same time from one address."},
	{Name: "max.incremental.fetch.session.cache.slots", Type: Int, Default: "1000", Valid: atLeast(0), Importance: Medium, Doc: "How many incremental fetch sessions (KIP-227) are kept."},
	{Name: "max.request.partition.size.limit", Type: Int, Default: "2000", Valid: atLeast(1), Importance: Medium, Doc: "How many partitions one DescribeTopicPartitions answer may hold."},
	{Name: "queued.max.requests", Type: Int, Default: "500", Valid: atLeast(1), Importance: High, Doc: "How many requests may wait before no more are read."},
	{Name: "queued.max.request.bytes", Type: Long, Default: "-1", Importance: Medium, Doc: "How many bytes of requests may wait before no more are read; -1 leaves it to the memory limit."},
	{Name: "request.timeout.ms", Type: Int, Default: "30000", Valid: atLeast(1), Importance: High, Doc: "How long this broker waits for another one's answer."},
	{Name: "socket.receive.buffer.bytes", Type: Int, Default: "102400", Valid: atLeast(-1), Importance: High, Doc: "SO_RCVBUF of the broker's sockets; -1 leaves it to the system."},
	{Name: "socket.request.max.bytes", Type: Int, Default: "104857600", Valid: atLeast(1), Importance: High, Doc: "The largest request that is read; a connection that announces a larger one is closed."},
	{Name: "socket.send.buffer.bytes", Type: Int, Default: "102400", Valid: atLeast(-1), Importance: High, Doc: "SO_SNDBUF of the broker's sockets; -1 leaves it to the system."},

	// Groups and their offsets.
	{Name: "group.initial.rebalance.delay.ms", Type: Int, Default: "3000", Valid: atLeast(0), Importance: Medium, Doc: "How long an empty classic group waits for more members before its first rebalance."},
	{Name: "group.max.session.timeout.ms", Type: Int, Default: "1800000", Valid: atLeast(0), Importance: Medium, Doc: "The longest session timeout that a member of a classic group may ask for."},
	{Name: "group.max.size", Type: Int, Default: maxInt, Valid: atLeast(1), Importance: Medium, Doc: "How many members a classic group may have."},
	{Name: "group.min.session.timeout.ms", Type: Int, Default: "6000", Valid: atLeast(0), Importance: Medium, Doc: "The shortest session timeout that a member of a classic group may ask for."},
	{Name: "offset.metadata.max.bytes", Type: Int, Default: "4096", Valid: atLeast(0), Importance: High, Doc: "The longest text that may be committed with an offset."},
	{Name: "offsets.commit.timeout.ms", Type: Int, Default: "5000", Valid: atLeast(1), Importance: High, Doc: "How long a commit may take before it fails."},
	{Name: "offsets.retention.check.interval.ms", Type: Long, Default: "600000", Valid: atLeast(1), Importance: High, Doc: "How often committed offsets are looked at for expiry."},
	{Name: "offsets.retention.minutes", Type: Int, Default: "10080", Valid: atLeast(1), Importance: High, Doc: "How long committed offsets are kept after their group became empty, or, without members, after the commit."},

	// Producers and transactions.
	{Name: "producer.id.expiration.ms", Type: Int, Default: "86400000", Valid: atLeast(1), Importance: Low, Dynamic: true, Doc: "How long a partition remembers a producer that sends nothing, to recognise what it sends twice."},
	{Name: "transaction.max.timeout.ms", Type: Int, Default: "900000", Valid: atLeast(1), Importance: High, Doc: "The longest transaction timeout that a producer may ask for."},
	{Name: "transactional.id.expiration.ms", Type: Int, Default: "604800000", Valid: atLeast(1), Importance: High, Doc: "How long a transactional id without transactions is remembered."},

	// What clients may use (KIP-13).
	{Name: "quota.window.num", Type: Int, Default: "11", Valid: atLeast(1), Importance: Low, Doc: "How many samples the rates of client quotas are measured over, with the one that is being filled: all but one of them may be used at once."},
	{Name: "quota.window.size.seconds", Type: Int, Default: "1", Valid: atLeast(1), Importance: Low, Doc: "How long such a sample is."},
	{Name: "controller.quota.window.num", Type: Int, Default: "11", Valid: atLeast(1), Importance: Low, Doc: "How many samples' worth of partitions a client with a quota may create and delete at once (controller_mutation_rate)."},
	{Name: "controller.quota.window.size.seconds", Type: Int, Default: "1", Valid: atLeast(1), Importance: Low, Doc: "How long such a sample is."},

	// Brokers among each other.
	{Name: "auto.leader.rebalance.enable", Type: Boolean, Default: "true", Importance: High, Doc: "Whether leadership goes back to the preferred replicas by itself."},
	{Name: "broker.heartbeat.interval.ms", Type: Int, Default: "250", Valid: atLeast(1), Importance: Medium, Doc: "How often a broker tells the controller that it lives."},
	{Name: "broker.session.timeout.ms", Type: Int, Default: "1500", Valid: atLeast(1), Importance: Medium, Doc: "How long a broker may be silent before the controller fences it."},
	{Name: "leader.imbalance.check.interval.seconds", Type: Long, Default: "300", Valid: atLeast(1), Importance: High, Doc: "How often the spread of leaders is looked at."},
	{Name: "follower.replication.throttled.rate", Type: Long, Default: maxLong, Valid: atLeast(0), Importance: Medium, Dynamic: true, Doc: "How many bytes a second this broker fetches for the out-of-sync replicas that topics' follower.replication.throttled.replicas name."},
	{Name: "leader.replication.throttled.rate", Type: Long, Default: maxLong, Valid: atLeast(0), Importance: Medium, Dynamic: true, Doc: "How many bytes a second this broker sends to out-of-sync followers of the replicas that topics' leader.replication.throttled.replicas name."},
	{Name: "replica.fetch.max.bytes", Type: Int, Default: "1048576", Valid: atLeast(0), Importance: Medium, Doc: "How much a follower asks for from each partition; a first batch larger than that is still sent."},
	{Name: "replica.fetch.min.bytes", Type: Int, Default: "1", Valid: atLeast(0), Importance: High, Doc: "How much a follower waits for."},
	{Name: "replica.fetch.response.max.bytes", Type: Int, Default: "10485760", Valid: atLeast(0), Importance: Medium, Doc: "How much a follower asks for in one request."},
	{Name: "replica.fetch.wait.max.ms", Type: Int, Default: "500", Valid: atLeast(0), Importance: High, Doc: "How long a follower's fetch may wait; less than replica.lag.time.max.ms."},
	{Name: "replica.selector.class", Type: String, Unset: true, Valid: oneOf(LeaderSelector, RackAwareSelector), Importance: Medium, Doc: "Whom consumers that say in which rack they are read from: without any, or with LeaderSelector, the leader; with RackAwareReplicaSelector a replica in their rack (KIP-392)."},
	{Name: "replica.lag.time.max.ms", Type: Long, Default: "30000", Valid: atLeast(1), Importance: High, Doc: "How long a follower may lag behind before it is no longer in sync."},
}))

func newCatalogue(kind string, defs []*Def) *catalogue {
	c := &catalogue{kind: kind, defs: defs, by: make(map[string]*Def, len(defs))}
	slices.SortFunc(defs, func(a, b *Def) int { return cmp.Compare(a.Name, b.Name) })
	for _, d := range defs {
		if c.by[d.Name] != nil {
			panic("config: defined twice: " + strconv.Quote(d.Name))
		}
		c.by[d.Name] = d
	}
	return c
}

func same(names ...string) (s []Synonym) {
	for _, n := range names {
		s = append(s, Synonym{Name: n})
	}
	return s
}

// millis is the synonyms of a time that brokers may be given in three units; "" where there is no such config.
func millis(ms, minutes, hours string) (s []Synonym) {
	for _, n := range []Synonym{{ms, 1}, {minutes, minute}, {hours, hour}} {
		if n.Name != "" {
			s = append(s, n)
		}
	}
	return s
}
