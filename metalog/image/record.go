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

	// BrokerRecord registers a broker, or registers it anew after a restart; its epoch becomes the entry's index. A broker
	// that is fenced stays so; what it leads, if others have replicas of it, it leads in a new epoch. The same id with
	// another incarnation is refused (DUPLICATE_BROKER_REGISTRATION) unless the broker is fenced: it is another replica,
	// with nothing on its disk, and leaves every ISR and ELR. So is one whose directory does not know of the run that
	// registered last, which must be Run or Before: it is an older copy, and lacks what that run has acknowledged.
	BrokerRecord struct {
		ID          BrokerID
		Incarnation uuid.UUID
		Rack        string
		Endpoints   []Endpoint
		Features    []FeatureRange
		Fenced      bool
		Run         uuid.UUID // of the process, noted in its directory before it registers; zero: it keeps no note
		Before      uuid.UUID // the run that last registered, as the directory knows it; zero: none
	}

	// FenceRecord fences or unfences a broker of that epoch; refused for another epoch (STALE_BROKER_EPOCH).
	FenceRecord struct {
		ID     BrokerID
		Epoch  int64
		Fenced bool
	}

	// ControlledShutdownRecord says that a broker of that epoch is about to stop; refused as FenceRecord is.
	ControlledShutdownRecord struct {
		ID    BrokerID
		Epoch int64
	}

	// UnregisterBrokerRecord forgets a broker of that epoch, which must be fenced (else INVALID_REQUEST); whatever it had
	// is given up: it leaves every ISR and ELR. Refused for another epoch (STALE_BROKER_EPOCH).
	UnregisterBrokerRecord struct {
		ID    BrokerID
		Epoch int64
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
	// epoch is From+1 whatever Partition.Epoch says, and LastKnownELR follows from who leads; LeaderEpoch must not go back
	// (FENCED_LEADER_EPOCH), and Stream must stay (INVALID_REQUEST).
	PartitionChange struct {
		Topic     TopicID
		From      int32
		Partition Partition
	}

	// ISRRecord is a change of the ISR that the partition's leader asks for (AlterPartition; KIP-497, 841, 903, 966). From
	// is the partition epoch that it was decided by, MinISR the min.insync.replicas that the leader goes by. Refused:
	// FENCED_LEADER_EPOCH (another leader or leader epoch), INVALID_UPDATE_VERSION (another partition epoch),
	// INVALID_REQUEST (a member twice, or the leader not among them), INELIGIBLE_REPLICA (a member has no replica, is
	// fenced or shutting down, or is of another broker epoch). The ELR follows from it.
	ISRRecord struct {
		Topic       TopicID
		Partition   int32
		From        int32
		Leader      BrokerID
		LeaderEpoch int32
		MinISR      int16
		ISR         []ISRMember
	}

	// RemoveTopicRecord deletes a topic with its partitions, configs and committed offsets.
	RemoveTopicRecord struct{ ID TopicID }

	// ConfigRecord sets a config, or with a nil Value removes it. Setting one on a topic that is not there is refused
	// (UNKNOWN_TOPIC_OR_PARTITION): it would wait for the next topic of that name. With another min.insync.replicas an ELR
	// goes when the ISR that is there suffices to commit without it.
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

	// GroupRecord replaces the durable part of a classic group; RemoveGroupRecord removes a group of any kind with its offsets
	// and share states. They, and the two
	// below, come from the group's coordinator: refused (NOT_COORDINATOR) when the image's Coordinator is another broker
	// than Owner, its epoch another one than OwnerEpoch, or the group has moved since OwnerSince (CoordinatorSince), which
	// is where the sender believed it had it from. An OwnerEpoch below 1, which no broker has, is not checked at all; an
	// OwnerSince below 0 is not.
	GroupRecord struct {
		Group      Group
		Owner      BrokerID
		OwnerEpoch int64
		OwnerSince int64
	}
	RemoveGroupRecord struct {
		ID         string
		Owner      BrokerID
		OwnerEpoch int64
		OwnerSince int64
	}

	// OffsetsRecord commits offsets of one group, RemoveOffsetsRecord removes them. An offset of a topic that is not
	// there (any more) is passed over.
	OffsetsRecord struct {
		Group      string
		Offsets    []PartitionOffset
		Owner      BrokerID
		OwnerEpoch int64
		OwnerSince int64
	}
	RemoveOffsetsRecord struct {
		Group      string
		Partitions []TopicPartition
		Owner      BrokerID
		OwnerEpoch int64
		OwnerSince int64
	}

	// GroupStateRecord sets and removes entries of a group's State, in turn. A group that was of another kind is of GroupKind
	// from then on, with these entries alone; a GroupRecord makes it a classic one again. Refused as GroupRecord is, and for
	// the classic kind (INVALID_REQUEST).
	GroupStateRecord struct {
		Group      string
		GroupKind  GroupKind
		Entries    []GroupEntry
		Owner      BrokerID
		OwnerEpoch int64
		OwnerSince int64
	}

	// SetShareRecord is how the coordinator of a share group begins its state of a partition, sets it anew, or removes it.
	// Refused as GroupRecord is; UNKNOWN_TOPIC_ID; FENCED_STATE_EPOCH when there is one of StateEpoch or later ...
	SetShareRecord struct {
		Group string
		TopicPartition
		StateEpoch int32
		Value      []byte
		Remove     bool
		Owner      BrokerID
		OwnerEpoch int64
		OwnerSince int64
	}

	// ... and ShareRecord is how the partition's leader goes on with it. Refused: UNKNOWN_TOPIC_ID and
	// UNKNOWN_TOPIC_OR_PARTITION; FENCED_LEADER_EPOCH and NOT_LEADER_OR_FOLLOWER when the leader or its epoch is another one;
	// GROUP_ID_NOT_FOUND when there is no state; FENCED_STATE_EPOCH when it is of another StateEpoch.
	ShareRecord struct {
		Group string
		TopicPartition
		StateEpoch  int32
		Leader      BrokerID
		LeaderEpoch int32
		Value       []byte
	}
)

// ISRMember is a broker as of one registration.
type ISRMember struct {
	ID    BrokerID
	Epoch int64
}

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
