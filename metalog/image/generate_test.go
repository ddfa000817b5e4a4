package image

import (
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// Few names and numbers, so that records meet each other.

func anyID(t *rapid.T, label string) uuid.UUID {
	return uuid.UUID{15: byte(rapid.IntRange(1, 4).Draw(t, label))}
}

func anyName(t *rapid.T, label string) string {
	return rapid.SampledFrom(someNames).Draw(t, label)
}

var someNames = []string{"a", "b", "bb", "c"}

func anyBrokers(t *rapid.T) (ids []BrokerID) {
	for _, n := range rapid.SliceOfN(rapid.Int32Range(0, 3), 0, 3).Draw(t, "brokers") {
		ids = append(ids, BrokerID(n))
	}
	return ids
}

func small(t *rapid.T, label string) int32 { return rapid.Int32Range(0, 3).Draw(t, label) }

func anyPartition(t *rapid.T, m *Image) Partition {
	return Partition{
		Number: small(t, "number"), Stream: m.NextStream() + uint64(small(t, "stream")) - 1,
		Replicas: anyBrokers(t), ISR: anyBrokers(t), ELR: anyBrokers(t), Adding: anyBrokers(t), Removing: anyBrokers(t),
		Leader: BrokerID(small(t, "leader")) - 1, LeaderEpoch: small(t, "leaderEpoch"), Epoch: small(t, "epoch"),
	}
}

func anyTopicPartition(t *rapid.T) TopicPartition {
	return TopicPartition{anyID(t, "topic"), rapid.Int32Range(0, 40).Draw(t, "partition")}
}

func anyGroup(t *rapid.T) Group {
	g := Group{
		ID: anyName(t, "group"), ProtocolType: "consumer", Generation: small(t, "generation"),
		Protocol: anyName(t, "protocol"), Leader: anyName(t, "leader"), StateSince: rapid.Int64().Draw(t, "since"),
	}
	for range small(t, "members") {
		g.Members = append(g.Members, Member{
			ID: anyName(t, "member"), InstanceID: anyName(t, "instance"), ClientHost: "/127.0.0.1",
			SessionTimeoutMs: rapid.Int32().Draw(t, "session"), Subscription: []byte(anyName(t, "subscription")),
		})
	}
	return g
}

func anyRecord(t *rapid.T, m *Image) Record {
	switch Kind(rapid.IntRange(1, maxKind).Draw(t, "kind")) {
	case 1:
		return ClusterRecord{anyID(t, "cluster")}
	case 2:
		return BrokerRecord{
			ID: BrokerID(small(t, "broker")), Incarnation: anyID(t, "incarnation"), Rack: anyName(t, "rack"),
			Endpoints: []Endpoint{{Name: "PLAINTEXT", Host: anyName(t, "host"), Port: small(t, "port")}}, Fenced: rapid.Bool().Draw(t, "fenced"),
			Features: []FeatureRange{{anyName(t, "feature"), int16(small(t, "min")), int16(small(t, "max"))}},
			Run:      rapid.SampledFrom([]uuid.UUID{uuid.Nil, {1}, {2}}).Draw(t, "run"), Before: rapid.SampledFrom([]uuid.UUID{uuid.Nil, {1}, {2}}).Draw(t, "before"),
		}
	case 3:
		id, epoch := anyRegistered(t, m)
		return FenceRecord{id, epoch, rapid.Bool().Draw(t, "fenced")}
	case 5:
		return PartitionRecord{anyID(t, "topic"), anyPartition(t, m)}
	case 6:
		return anyChange(t, m)
	case 7:
		return RemoveTopicRecord{anyID(t, "topic")}
	case 8:
		r := ConfigRecord{Resource: Resource{rapid.SampledFrom([]ResourceType{TopicResource, BrokerResource, GroupResource}).Draw(t, "type"), anyName(t, "resource")}, Name: anyName(t, "name")}
		if rapid.IntRange(0, 2).Draw(t, "ISR") == 0 {
			r.Name, r.Resource.Name = minISRConfig, rapid.SampledFrom([]string{"", "a", "b", "bb", "c"}).Draw(t, "resource")
		}
		if rapid.Bool().Draw(t, "set") {
			value := rapid.SampledFrom([]string{"1", "2", "x"}).Draw(t, "value")
			r.Value = &value
		}
		return r
	case 9:
		return ProducerIDsRecord{BrokerID(small(t, "broker")), m.NextProducerID() + int64(small(t, "off"))/3, 1000}
	case 10:
		return FeatureRecord{anyName(t, "feature"), int16(small(t, "level"))}
	case 11:
		g := anyGroup(t)
		owner, epoch, since := anyOwner(t, m, g.ID)
		return GroupRecord{g, owner, epoch, since}
	case 12:
		g := anyName(t, "group")
		owner, epoch, since := anyOwner(t, m, g)
		return RemoveGroupRecord{g, owner, epoch, since}
	case 13:
		g := anyName(t, "group")
		owner, epoch, since := anyOwner(t, m, g)
		return OffsetsRecord{g, anyOffsets(t), owner, epoch, since}
	case 14:
		g := anyName(t, "group")
		owner, epoch, since := anyOwner(t, m, g)
		return RemoveOffsetsRecord{g, rapid.SliceOfN(rapid.Custom(anyTopicPartition), 0, 4).Draw(t, "partitions"), owner, epoch, since}
	case 15:
		return anyISR(t, m)
	case 16:
		id, epoch := anyRegistered(t, m)
		return ControlledShutdownRecord{id, epoch}
	case 17:
		id, epoch := anyRegistered(t, m)
		return UnregisterBrokerRecord{id, epoch}
	case 18:
		g := anyName(t, "group")
		owner, epoch, since := anyOwner(t, m, g)
		return GroupStateRecord{g, GroupKind(small(t, "kind")), anyEntries(t), owner, epoch, since}
	case 19:
		g := anyName(t, "group")
		owner, epoch, since := anyOwner(t, m, g)
		return SetShareRecord{g, TopicPartition{anyID(t, "topic"), small(t, "partition")}, small(t, "state"), []byte(anyName(t, "value")), small(t, "remove") == 0, owner, epoch, since}
	case 20:
		return anyShare(t, m)
	}
	return TopicRecord{anyID(t, "topic"), anyName(t, "name"), rapid.Bool().Draw(t, "internal")}
}

func anyEntries(t *rapid.T) []GroupEntry {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) GroupEntry {
		e := GroupEntry{Key: []byte(anyName(t, "key"))}
		if small(t, "set") > 0 {
			e.Value = append([]byte{}, rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "value")...)
		}
		return e
	}), 0, 4).Draw(t, "entries")
}

// anyShare mostly fits what the image holds.
func anyShare(t *rapid.T, m *Image) ShareRecord {
	r := ShareRecord{
		Group: anyName(t, "group"), TopicPartition: TopicPartition{anyID(t, "topic"), small(t, "partition")}, StateEpoch: small(t, "state"),
		Leader: BrokerID(small(t, "leader")) - 1, LeaderEpoch: small(t, "leaderEpoch"), Value: []byte(anyName(t, "value")),
	}
	if topic, ok := m.Topic(r.Topic); ok && len(topic.Partitions) > 0 && rapid.IntRange(0, 4).Draw(t, "fit") > 0 {
		p := topic.Partitions[int(r.Partition)%len(topic.Partitions)]
		r.Partition, r.Leader, r.LeaderEpoch = p.Number, p.Leader, p.LeaderEpoch
		if s, ok := m.ShareState(r.Group, r.TopicPartition); ok {
			r.StateEpoch = s.StateEpoch
		}
	}
	return r
}

func anyOffsets(t *rapid.T) []PartitionOffset {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) PartitionOffset {
		return PartitionOffset{anyTopicPartition(t), Offset{
			rapid.Int64().Draw(t, "offset"), small(t, "epoch"), anyName(t, "metadata"), rapid.Int64().Draw(t, "at"),
		}}
	}), 0, 40).Draw(t, "offsets")
}

// anyChange mostly fits what the image holds.
func anyChange(t *rapid.T, m *Image) PartitionChange {
	r := PartitionChange{Topic: anyID(t, "topic"), From: small(t, "from"), Partition: anyPartition(t, m)}
	topic, ok := m.Topic(r.Topic)
	if ok && len(topic.Partitions) > 0 && rapid.IntRange(0, 3).Draw(t, "fit") > 0 {
		was := topic.Partitions[int(r.Partition.Number)%len(topic.Partitions)]
		r.From, r.Partition.Number, r.Partition.Stream = was.Epoch, was.Number, was.Stream
	}
	return r
}

// anyRegistered is a broker and mostly the epoch that it has.
func anyRegistered(t *rapid.T, m *Image) (BrokerID, int64) {
	id := BrokerID(small(t, "broker"))
	if b, ok := m.Broker(id); ok && rapid.IntRange(0, 4).Draw(t, "fit") > 0 {
		return id, b.Epoch
	}
	return id, rapid.Int64Range(0, 10).Draw(t, "epoch")
}

// anyOwner is mostly a group's coordinator, or nobody.
func anyOwner(t *rapid.T, m *Image, group string) (id BrokerID, epoch, since int64) {
	switch rapid.IntRange(0, 7).Draw(t, "owner") {
	case 0:
		id, epoch = anyRegistered(t, m)
		return id, epoch, int64(small(t, "since"))
	case 1:
		return NoBroker, -1, -1
	case 2:
		since = -1
	case 3:
		since = rapid.Int64Range(0, 10).Draw(t, "since")
	default:
		_, since = m.CoordinatorSince(group)
	}
	b, ok := m.Broker(m.Coordinator(group))
	if !ok {
		return 0, 0, since
	}
	return b.ID, b.Epoch, since
}

// anyISR mostly fits what the image holds.
func anyISR(t *rapid.T, m *Image) ISRRecord {
	r := ISRRecord{
		Topic: anyID(t, "topic"), Partition: small(t, "number"), From: small(t, "from"),
		Leader: BrokerID(small(t, "leader")) - 1, LeaderEpoch: small(t, "leaderEpoch"), MinISR: int16(small(t, "minISR")),
	}
	topic, ok := m.Topic(r.Topic)
	if ok && len(topic.Partitions) > 0 && rapid.IntRange(0, 5).Draw(t, "fit") > 0 {
		was := topic.Partitions[int(r.Partition)%len(topic.Partitions)]
		r.Partition, r.From, r.Leader, r.LeaderEpoch = was.Number, was.Epoch, was.Leader, was.LeaderEpoch
	}
	for range small(t, "members") {
		id, epoch := anyRegistered(t, m)
		r.ISR = append(r.ISR, ISRMember{id, epoch})
	}
	return r
}
