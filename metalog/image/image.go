// Package image is the cluster's metadata as immutable values, and the records that change it. It is pure: no I/O, no
// clock, no randomness; the same records give the same image on every node. It does not know how records are agreed on.
package image

import (
	"bytes"
	"encoding/binary"

	"github.com/google/uuid"
	iradix "github.com/hashicorp/go-immutable-radix/v2"
)

// Index is the position of the log entry that an image includes.
type Index uint64

// BrokerID is Kafka's node.id; NoBroker stands for none.
type BrokerID int32

const NoBroker BrokerID = -1

// InternalListener names the endpoint of a broker by which the others reach it. It is never shown to clients.
const InternalListener = "INTERNAL"

// TopicID names a topic for ever; a topic created again under its old name has another one.
type TopicID = uuid.UUID

// Endpoint is where a broker listens. An empty Host means: tell each client the address that it reached the broker by.
type Endpoint struct {
	Name string // listener name, "PLAINTEXT"
	Host string
	Port int32
}

// Broker is a registered node.
type Broker struct {
	ID           BrokerID
	Incarnation  uuid.UUID // of its data directory
	Epoch        int64     // index of its registration
	Rack         string
	Endpoints    []Endpoint
	Features     []FeatureRange
	Fenced       bool
	Run          uuid.UUID // that registered it
	ShuttingDown bool      // in controlled shutdown: until it registers again it leads nothing and joins no ISR (KIP-841)
}

// Active says whether b may be given partitions to lead.
func (b *Broker) Active() bool { return !b.Fenced && !b.ShuttingDown }

// Endpoint is where b listens under that name.
func (b *Broker) Endpoint(name string) (Endpoint, bool) {
	for _, e := range b.Endpoints {
		if e.Name == name {
			return e, true
		}
	}
	return Endpoint{}, false
}

// FeatureRange is the levels of a feature that a broker understands.
type FeatureRange struct {
	Name     string
	Min, Max int16
}

// Topic is a topic with its partitions, in order of their numbers.
type Topic struct {
	ID         TopicID
	Name       string
	Internal   bool
	Partitions []*Partition
}

// Partition is where one partition lives and who leads it.
type Partition struct {
	Number      int32
	Stream      uint64     // of its entries in every replica's write-ahead log; never reused
	Replicas    []BrokerID // while a reassignment is on its way (KIP-455): those of its target, then those in Removing
	ISR         []BrokerID
	ELR         []BrokerID
	Adding      []BrokerID // of Replicas: those that the reassignment brings
	Removing    []BrokerID // of Replicas: those that go when all others are in sync
	Leader      BrokerID
	LeaderEpoch int32
	Epoch       int32 // PartitionEpoch: changes with every change of this value

	// LastKnownELR is who led last, while nobody leads (KIP-966, as Kafka 4 has it). No record carries it: it follows from them.
	LastKnownELR []BrokerID
}

// succeeds notes who led last, when p comes after was.
func (p *Partition) succeeds(was *Partition) {
	switch {
	case p.Leader != NoBroker:
		p.LastKnownELR = nil
	case was.Leader != NoBroker:
		p.LastKnownELR = []BrokerID{was.Leader}
	default:
		p.LastKnownELR = was.LastKnownELR
	}
}

// Reassigning says whether p's replicas are being moved.
func (p *Partition) Reassigning() bool { return len(p.Adding)+len(p.Removing) > 0 }

// Target is the replicas that p has when its reassignment is complete, Original those that it has when it is cancelled:
// all of them when none is on its way.
func (p *Partition) Target() []BrokerID   { return lacking(p.Replicas, p.Removing) }
func (p *Partition) Original() []BrokerID { return lacking(p.Replicas, p.Adding) }

// Factor is how many replicas p is sure to have while they are moved: the fewer of those before and after. No more than
// that are needed for a record to be committed, whatever min.insync.replicas says.
func (p *Partition) Factor() int { return len(p.Replicas) - max(len(p.Adding), len(p.Removing)) }

// lacking is list without the others; list itself when there are none.
func lacking(list, others []BrokerID) []BrokerID {
	for _, id := range others {
		list = without(list, id)
	}
	return list
}

// ResourceType is Kafka's ConfigResource.Type.
type ResourceType int8

const (
	TopicResource  ResourceType = 2
	BrokerResource ResourceType = 4
	GroupResource  ResourceType = 32
)

// Resource names what a config belongs to: a topic by name, a broker by number ("" is the cluster-wide default), a group.
type Resource struct {
	Type ResourceType
	Name string
}

// Group is the durable part of a group: of a classic one what Kafka's GroupMetadataValue has, of the others their State.
type Group struct {
	ID           string
	Kind         GroupKind
	ProtocolType string
	Generation   int32
	Protocol     string
	Leader       string
	StateSince   int64 // ms
	Members      []Member

	State GroupState // of all kinds but the classic one, which has the fields above instead
}

// Member is a member of a classic group as of the last completed rebalance.
type Member struct {
	ID, InstanceID, ClientID, ClientHost string
	RebalanceTimeoutMs, SessionTimeoutMs int32
	Subscription, Assignment             []byte
}

// Offset is a committed offset.
type Offset struct {
	Offset      int64
	LeaderEpoch int32
	Metadata    string
	CommittedAt int64 // ms; later or earlier for one that is to be kept for longer or less than others
}

// Image is the whole metadata as of Index. It never changes; readers may keep it as long as they like.
type Image struct{ image }

// image holds one immutable tree per kind of thing, so that an image shares with the one before it all that did not change.
type image struct {
	index          Index
	clusterID      uuid.UUID
	nextStream     uint64
	nextProducerID int64
	partitions     int

	coordinators []coordinator // follows from brokers
	turns        []turn        // by id; nil before the first record whose sender knew of them

	brokers    *iradix.Tree[*Broker]
	topicIDs   *iradix.Tree[*Topic]
	topicNames *iradix.Tree[*Topic]
	configs    *iradix.Tree[map[string]string]
	features   *iradix.Tree[int16]
	groups     *iradix.Tree[*Group]
	offsets    *iradix.Tree[*committed] // by group
	shares     *iradix.Tree[*ShareState]
}

// Empty is the image before the first record.
func Empty() *Image { return empty }

var empty = &Image{image{
	nextStream: 1,
	brokers:    iradix.New[*Broker](),
	topicIDs:   iradix.New[*Topic](),
	topicNames: iradix.New[*Topic](),
	configs:    iradix.New[map[string]string](),
	features:   iradix.New[int16](),
	groups:     iradix.New[*Group](),
	offsets:    iradix.New[*committed](),
	shares:     iradix.New[*ShareState](),
}}

// Index is that of the entry applied last, 0 for the empty image.
func (m *Image) Index() Index { return m.index }

// ClusterID is zero until it has been minted.
func (m *Image) ClusterID() uuid.UUID { return m.clusterID }

func (m *Image) Broker(id BrokerID) (*Broker, bool) { return m.brokers.Get(brokerKey(id)) }

// Brokers are all registered ones, fenced or not, by id.
func (m *Image) Brokers() []*Broker {
	list := make([]*Broker, 0, m.brokers.Len())
	m.brokers.Root().Walk(func(_ []byte, b *Broker) bool { list = append(list, b); return false })
	return list
}

func (m *Image) Topic(id TopicID) (*Topic, bool)       { return m.topicIDs.Get(id[:]) }
func (m *Image) TopicNamed(name string) (*Topic, bool) { return m.topicNames.Get([]byte(name)) }
func (m *Image) TopicCount() int                       { return m.topicIDs.Len() }
func (m *Image) PartitionCount() int                   { return m.partitions }

// Topics goes through the topics by name; it is an iter.Seq[*Topic].
func (m *Image) Topics(fn func(*Topic) bool) {
	m.topicNames.Root().Walk(func(_ []byte, t *Topic) bool { return !fn(t) })
}

// TopicsFrom is Topics from the first name that is not below name.
func (m *Image) TopicsFrom(name string, fn func(*Topic) bool) {
	it := m.topicNames.Root().Iterator()
	it.SeekLowerBound([]byte(name))
	for _, t, ok := it.Next(); ok; _, t, ok = it.Next() {
		if !fn(t) {
			return
		}
	}
}

// Configs are the dynamic configs set on r, nil when none are; the caller must not change the map.
func (m *Image) Configs(r Resource) map[string]string {
	set, _ := m.configs.Get(r.key())
	return set
}

// ConfigResources lists the resources of type t that have configs set, by name.
func (m *Image) ConfigResources(t ResourceType) []Resource {
	var list []Resource
	m.configs.Root().WalkPrefix([]byte{byte(t)}, func(key []byte, _ map[string]string) bool {
		list = append(list, resourceOf(key))
		return false
	})
	return list
}

// NextStream is the stream id that the next new partition gets, at least 1; every id below was given out, so a stream
// below it that no partition has belongs to a deleted topic.
func (m *Image) NextStream() uint64 { return m.nextStream }

// NextProducerID is the first producer id of the next block.
func (m *Image) NextProducerID() int64 { return m.nextProducerID }

// Features goes through the finalised features by name.
func (m *Image) Features(fn func(name string, level int16) bool) {
	m.features.Root().Walk(func(name []byte, level int16) bool { return !fn(string(name), level) })
}

// Feature is the finalised level of a feature, 0 when it was never set.
func (m *Image) Feature(name string) int16 {
	level, _ := m.features.Get([]byte(name))
	return level
}

func (m *Image) Group(id string) (*Group, bool) { return m.groups.Get([]byte(id)) }

// Groups goes through every id that has a Group or an offset, sorted.
func (m *Image) Groups(fn func(id string) bool) {
	groups, offsets := m.groups.Root().Iterator(), m.offsets.Root().Iterator()
	g, _, moreG := groups.Next()
	o, _, moreO := offsets.Next()
	for moreG || moreO {
		order := -1
		if !moreG {
			order = 1
		} else if moreO {
			order = bytes.Compare(g, o)
		}
		id := string(g)
		if order > 0 {
			id = string(o)
		}
		if !fn(id) {
			return
		}
		if order <= 0 {
			g, _, moreG = groups.Next()
		}
		if order >= 0 {
			o, _, moreO = offsets.Next()
		}
	}
}

// Offset is what group committed for a partition.
func (m *Image) Offset(group string, t TopicID, partition int32) (Offset, bool) {
	c, ok := m.offsets.Get([]byte(group))
	if !ok {
		return Offset{}, false
	}
	return c.get(t, partition)
}

// Offsets goes through group's committed offsets, by topic id and partition.
func (m *Image) Offsets(group string, fn func(t TopicID, partition int32, o Offset) bool) {
	if c, ok := m.offsets.Get([]byte(group)); ok {
		c.walk(fn)
	}
}

// The keys of the trees sort as what they stand for.

func brokerKey(id BrokerID) []byte {
	return binary.BigEndian.AppendUint32(nil, uint32(id)^1<<31)
}

func brokerOf(key []byte) BrokerID {
	return BrokerID(binary.BigEndian.Uint32(key) ^ 1<<31)
}

func (r Resource) key() []byte { return append([]byte{byte(r.Type)}, r.Name...) }

func resourceOf(key []byte) Resource {
	return Resource{Type: ResourceType(key[0]), Name: string(key[1:])}
}
