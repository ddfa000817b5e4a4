// Package image is the cluster's metadata as immutable values, and the records that change it. It is pure: no I/O, no
// clock, no randomness; the same records give the same image on every node. It does not know how records are agreed on.
package image

import "github.com/google/uuid"

// Index is the position of the log entry that an image includes.
type Index uint64

// BrokerID is Kafka's node.id; NoBroker stands for none.
type BrokerID int32

const NoBroker BrokerID = -1

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
	ID          BrokerID
	Incarnation uuid.UUID // of its data directory
	Epoch       int64     // index of its registration
	Rack        string
	Endpoints   []Endpoint
	Fenced      bool
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
	Stream      uint64 // of its entries in every replica's write-ahead log; never reused
	Replicas    []BrokerID
	ISR         []BrokerID
	ELR         []BrokerID
	Adding      []BrokerID
	Removing    []BrokerID
	Leader      BrokerID
	LeaderEpoch int32
	Epoch       int32 // PartitionEpoch: changes with every change of this value
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

// Group is the durable part of a classic consumer group (GroupMetadataValue in Kafka's __consumer_offsets).
type Group struct {
	ID           string
	ProtocolType string
	Generation   int32
	Protocol     string
	Leader       string
	StateSince   int64 // ms
	Members      []Member
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
	CommittedAt int64 // ms
}

// Image is the whole metadata as of Index. It never changes; readers may keep it as long as they like.
type Image struct{ image }

// Empty is the image before the first record.
func Empty() *Image { panic("unwritten") }

func (m *Image) Index() Index                       { panic("unwritten") }
func (m *Image) ClusterID() uuid.UUID               { panic("unwritten") } // zero until minted
func (m *Image) Broker(id BrokerID) (*Broker, bool) { panic("unwritten") }
func (m *Image) Brokers() []*Broker                 { panic("unwritten") } // by id

func (m *Image) Topic(id TopicID) (*Topic, bool)              { panic("unwritten") }
func (m *Image) TopicNamed(name string) (*Topic, bool)        { panic("unwritten") }
func (m *Image) Topics(fn func(*Topic) bool)                  { panic("unwritten") } // by name; an iter.Seq[*Topic]
func (m *Image) TopicsFrom(name string, fn func(*Topic) bool) { panic("unwritten") } // names >= name
func (m *Image) TopicCount() int                              { panic("unwritten") }
func (m *Image) PartitionCount() int                          { panic("unwritten") }

// Configs are the dynamic configs set on r, nil when none are; the caller must not change the map.
func (m *Image) Configs(r Resource) map[string]string { panic("unwritten") }

// ConfigResources lists the resources of type t that have configs set, by name.
func (m *Image) ConfigResources(t ResourceType) []Resource { panic("unwritten") }

// NextStream is the stream id that the next new partition gets; every id below was given out, so a stream below it that
// no partition has belongs to a deleted topic.
func (m *Image) NextStream() uint64 { panic("unwritten") }

// NextProducerID is the first producer id of the next block.
func (m *Image) NextProducerID() int64 { panic("unwritten") }

// Feature is the finalised level of a feature, 0 when it was never set.
func (m *Image) Feature(name string) int16 { panic("unwritten") }

func (m *Image) Group(id string) (*Group, bool)                                 { panic("unwritten") }
func (m *Image) Groups(fn func(id string) bool)                                 { panic("unwritten") } // every id that has a Group or an offset, sorted
func (m *Image) Offset(group string, t TopicID, partition int32) (Offset, bool) { panic("unwritten") }
func (m *Image) Offsets(group string, fn func(t TopicID, partition int32, o Offset) bool) {
	panic("unwritten")
}

// Apply returns the image after recs, all of one log entry, and what changed; or an error (a kerr.Code) and no change
// at all. It is deterministic.
func (m *Image) Apply(index Index, recs []Record) (*Image, *Delta, error) { panic("unwritten") }

type image struct{}
