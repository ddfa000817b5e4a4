package image

import (
	"slices"

	iradix "github.com/hashicorp/go-immutable-radix/v2"

	"chronik/kafka/kerr"
)

// Apply returns the image after recs, all of one proposal in the entry at index, and what changed; or an error (a
// kerr.Code, perhaps with detail) and no change at all. It is deterministic. The new image keeps what recs point to: the
// caller must not change it afterwards.
func (m *Image) Apply(index Index, recs []Record) (*Image, *Delta, error) {
	c := begin(m, index)
	for _, r := range recs {
		if err := c.apply(r); err != nil {
			return nil, nil, err
		}
	}
	next, d := c.end(m)
	return next, d, nil
}

// change is an image being made from another one. Nobody sees it before commit, and a change that fails is dropped whole.
type change struct {
	next image // the numbers of the new image; its trees are set by commit

	brokers    edit[*Broker]
	topicIDs   edit[*Topic]
	topicNames edit[*Topic]
	configs    edit[map[string]string]
	features   edit[int16]
	groups     edit[*Group]
	offsets    edit[*committed]
	shares     edit[*ShareState]

	own map[TopicID]*Topic // copied in this change, so that it may be changed in place

	touchedTopics  touched[TopicID]
	touchedConfigs touched[Resource]
	touchedBrokers touched[BrokerID]
	touchedGroups  touched[string]
}

func begin(m *Image, index Index) *change {
	c := &change{
		next:       m.image,
		brokers:    edit[*Broker]{tree: m.brokers},
		topicIDs:   edit[*Topic]{tree: m.topicIDs},
		topicNames: edit[*Topic]{tree: m.topicNames},
		configs:    edit[map[string]string]{tree: m.configs},
		features:   edit[int16]{tree: m.features},
		groups:     edit[*Group]{tree: m.groups},
		offsets:    edit[*committed]{tree: m.offsets},
		shares:     edit[*ShareState]{tree: m.shares},
	}
	c.next.index = index
	return c
}

// end is the image that was made of m, and what is different.
func (c *change) end(m *Image) (*Image, *Delta) {
	next := c.commit()
	return next, &Delta{
		Old: m, New: next,
		Topics: c.touchedTopics.list, Configs: c.touchedConfigs.list,
		Brokers: c.touchedBrokers.list, Groups: c.touchedGroups.list,
	}
}

func (c *change) commit() *Image {
	m := &Image{c.next}
	m.brokers = c.brokers.commit()
	m.topicIDs, m.topicNames = c.topicIDs.commit(), c.topicNames.commit()
	m.configs, m.features = c.configs.commit(), c.features.commit()
	m.groups, m.offsets, m.shares = c.groups.commit(), c.offsets.commit(), c.shares.commit()
	if len(c.touchedBrokers.list) > 0 {
		m.coordinators = coordinatorsOf(m.Brokers())
		if m.turns != nil {
			m.turns = turned(m.turns, m.coordinators, m.index)
		}
	}
	return m
}

func (c *change) apply(r Record) error {
	switch r := r.(type) {
	case ClusterRecord:
		return c.cluster(r)
	case BrokerRecord:
		return c.broker(r)
	case FenceRecord:
		return c.fence(r)
	case ControlledShutdownRecord:
		return c.controlledShutdown(r)
	case UnregisterBrokerRecord:
		return c.unregisterBroker(r)
	case TopicRecord:
		return c.topic(r)
	case PartitionRecord:
		return c.partition(r)
	case PartitionChange:
		return c.changePartition(r)
	case ISRRecord:
		return c.isr(r)
	case RemoveTopicRecord:
		return c.removeTopic(r)
	case ConfigRecord:
		return c.config(r)
	case ProducerIDsRecord:
		return c.producerIDs(r)
	case FeatureRecord:
		return c.feature(r)
	case GroupRecord:
		return c.group(r)
	case RemoveGroupRecord:
		return c.removeGroup(r)
	case OffsetsRecord:
		return c.commitOffsets(r)
	case RemoveOffsetsRecord:
		return c.removeOffsets(r)
	case GroupStateRecord:
		return c.groupState(r)
	case SetShareRecord:
		return c.setShare(r)
	case ShareRecord:
		return c.share(r)
	}
	return kerr.Detail(kerr.InvalidRequest, "no metadata record: %T", r)
}

// edit is a tree under change; the transaction begins with the first write, since most changes touch one tree or two.
type edit[T any] struct {
	tree *iradix.Tree[T]
	txn  *iradix.Txn[T]
}

func (e *edit[T]) get(key []byte) (T, bool) {
	if e.txn != nil {
		return e.txn.Get(key)
	}
	return e.tree.Get(key)
}

func (e *edit[T]) root() *iradix.Node[T] {
	if e.txn != nil {
		return e.txn.Root()
	}
	return e.tree.Root()
}

func (e *edit[T]) put(key []byte, v T) { e.write().Insert(key, v) }
func (e *edit[T]) drop(key []byte)     { e.write().Delete(key) }

func (e *edit[T]) write() *iradix.Txn[T] {
	if e.txn == nil {
		e.txn = e.tree.Txn()
	}
	return e.txn
}

func (e *edit[T]) commit() *iradix.Tree[T] {
	if e.txn == nil {
		return e.tree
	}
	return e.txn.CommitOnly()
}

// touched is a list without repetitions, in order of the first mention.
type touched[T comparable] struct {
	list []T
	set  map[T]struct{}
}

// smallList is how long a list may grow before a set watches over it.
const smallList = 16

func (t *touched[T]) add(values ...T) {
	for _, v := range values {
		t.one(v)
	}
}

func (t *touched[T]) one(v T) {
	if t.set == nil && len(t.list) == smallList {
		t.set = make(map[T]struct{}, 4*smallList)
		for _, had := range t.list {
			t.set[had] = struct{}{}
		}
	}
	if t.set == nil {
		if !slices.Contains(t.list, v) {
			t.list = append(t.list, v)
		}
		return
	}
	if _, ok := t.set[v]; !ok {
		t.set[v] = struct{}{}
		t.list = append(t.list, v)
	}
}
