package image

import "github.com/google/uuid"

// Record is one change of the metadata. Kinds are numbered for ever (the table is in kinds.go); ../FORMAT.md draws them.
type Record interface{ Kind() Kind }

// Kind numbers a record's type in the log. Numbers are never reused.
type Kind uint16

// The records. Each one's comment says when Apply refuses it.
type (
	// ClusterRecord mints the cluster's id; refused when another one stands (INCONSISTENT_CLUSTER_ID).
	ClusterRecord struct{ ID uuid.UUID }

	// BrokerRecord registers a broker, or registers it anew after a restart; its epoch becomes the entry's index. The same
	// id with another incarnation is refused (DUPLICATE_BROKER_REGISTRATION) unless the broker is fenced.
	BrokerRecord struct {
		ID          BrokerID
		Incarnation uuid.UUID
		Rack        string
		Endpoints   []Endpoint
		Fenced      bool
	}

	// FenceRecord fences or unfences a broker of that epoch; refused for another epoch (STALE_BROKER_EPOCH).
	FenceRecord struct {
		ID     BrokerID
		Epoch  int64
		Fenced bool
	}

	// TopicRecord creates a topic without partitions; refused when the name or the id is taken (TOPIC_ALREADY_EXISTS).
	TopicRecord struct {
		ID       TopicID
		Name     string
		Internal bool
	}

	// PartitionRecord creates a partition (Number must be the next one, else INVALID_PARTITIONS; Stream must be >=
	// NextStream, else INVALID_UPDATE_VERSION) ...
	PartitionRecord struct {
		Topic     TopicID
		Partition Partition
	}

	// ... and PartitionChange replaces it when it still has PartitionEpoch From (else INVALID_UPDATE_VERSION); the new
	// epoch is From+1 whatever Partition.Epoch says, LeaderEpoch must not go back (FENCED_LEADER_EPOCH), and Stream must
	// stay (INVALID_REQUEST).
	PartitionChange struct {
		Topic     TopicID
		From      int32
		Partition Partition
	}

	// RemoveTopicRecord deletes a topic with its partitions, configs and committed offsets.
	RemoveTopicRecord struct{ ID TopicID }

	// ConfigRecord sets a config, or with a nil Value removes it. Setting one on a topic that is not there is refused
	// (UNKNOWN_TOPIC_OR_PARTITION): it would wait for the next topic of that name.
	ConfigRecord struct {
		Resource Resource
		Name     string
		Value    *string
	}

	// ProducerIDsRecord gives the block [Start, Start+Count) to a broker; refused when Start is not NextProducerID
	// (INVALID_UPDATE_VERSION).
	ProducerIDsRecord struct {
		Broker BrokerID
		Start  int64
		Count  int32
	}

	// FeatureRecord finalises a feature's level; 0 removes it.
	FeatureRecord struct {
		Name  string
		Level int16
	}

	// GroupRecord replaces the durable part of a group; RemoveGroupRecord removes it with its offsets.
	GroupRecord       struct{ Group Group }
	RemoveGroupRecord struct{ ID string }

	// OffsetsRecord commits offsets of one group, RemoveOffsetsRecord removes them. An offset of a topic that is not
	// there (any more) is passed over.
	OffsetsRecord struct {
		Group   string
		Offsets []PartitionOffset
	}
	RemoveOffsetsRecord struct {
		Group      string
		Partitions []TopicPartition
	}
)

// TopicPartition names a partition by its topic's id.
type TopicPartition struct {
	Topic     TopicID
	Partition int32
}

// PartitionOffset is an offset with its place.
type PartitionOffset struct {
	TopicPartition
	Offset
}
