package image

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"chronik/kafka/kerr"
)

// model is the image as anyone would write it first: maps, copied whole for every change.
type model struct {
	cluster   string
	streams   uint64
	producers int64
	brokers   map[BrokerID]Broker
	topics    map[TopicID]Topic
	configs   map[Resource]map[string]string
	features  map[string]int16
	groups    map[string]Group
	offsets   map[string]map[TopicPartition]Offset
	shares    map[string]map[TopicPartition]ShareState
	came      map[string]tenure // of each group that the tests have; nil while turns are not noted
}

func newModel() *model {
	return &model{
		streams: 1, cluster: TopicID{}.String(),
		brokers: map[BrokerID]Broker{}, topics: map[TopicID]Topic{}, configs: map[Resource]map[string]string{},
		features: map[string]int16{}, groups: map[string]Group{}, offsets: map[string]map[TopicPartition]Offset{},
		shares: map[string]map[TopicPartition]ShareState{},
	}
}

func (m *model) clone() *model {
	c := *m
	c.brokers, c.features, c.groups = maps.Clone(m.brokers), maps.Clone(m.features), maps.Clone(m.groups)
	c.topics = map[TopicID]Topic{}
	for id, t := range m.topics {
		t.Partitions = slices.Clone(t.Partitions)
		c.topics[id] = t
	}
	c.configs = map[Resource]map[string]string{}
	for r, set := range m.configs {
		c.configs[r] = maps.Clone(set)
	}
	c.came = maps.Clone(m.came)
	c.offsets = map[string]map[TopicPartition]Offset{}
	for g, set := range m.offsets {
		c.offsets[g] = maps.Clone(set)
	}
	c.shares = map[string]map[TopicPartition]ShareState{}
	for g, set := range m.shares {
		c.shares[g] = maps.Clone(set)
	}
	return &c
}

// apply is all or none, as Image.Apply.
func (m *model) apply(index Index, recs []Record) (*model, kerr.Code) {
	next := m.clone()
	for _, r := range recs {
		if code := next.one(index, r); code != kerr.None {
			return m, code
		}
	}
	for g := range next.came {
		next.came[g] = next.tenure(g, index)
	}
	return next, kerr.None
}

func (m *model) one(index Index, r Record) kerr.Code {
	switch r := r.(type) {
	case ClusterRecord:
		if m.cluster != (TopicID{}).String() && m.cluster != r.ID.String() {
			return kerr.InconsistentClusterID
		}
		m.cluster = r.ID.String()
	case BrokerRecord:
		return m.register(index, r)
	case FenceRecord:
		return m.broker(r.ID, r.Epoch, func(b *Broker) { b.Fenced = r.Fenced })
	case ControlledShutdownRecord:
		return m.broker(r.ID, r.Epoch, func(b *Broker) { b.ShuttingDown = true })
	case UnregisterBrokerRecord:
		return m.unregister(r)
	case ProducerIDsRecord:
		if r.Start != m.producers {
			return kerr.InvalidUpdateVersion
		}
		m.producers += int64(r.Count)
	case FeatureRecord:
		m.features[r.Name] = r.Level
		if r.Level == 0 {
			delete(m.features, r.Name)
		}
	case GroupRecord:
		if !m.owns(r.Group.ID, r.Owner, r.OwnerEpoch, r.OwnerSince, index) {
			return kerr.NotCoordinator
		}
		m.groups[r.Group.ID] = r.Group
	case RemoveGroupRecord:
		if !m.owns(r.ID, r.Owner, r.OwnerEpoch, r.OwnerSince, index) {
			return kerr.NotCoordinator
		}
		delete(m.groups, r.ID)
		delete(m.offsets, r.ID)
		delete(m.shares, r.ID)
	case OffsetsRecord:
		if !m.owns(r.Group, r.Owner, r.OwnerEpoch, r.OwnerSince, index) {
			return kerr.NotCoordinator
		}
		m.commit(r)
	case RemoveOffsetsRecord:
		if !m.owns(r.Group, r.Owner, r.OwnerEpoch, r.OwnerSince, index) {
			return kerr.NotCoordinator
		}
		for _, p := range r.Partitions {
			delete(m.offsets[r.Group], p)
		}
	case GroupStateRecord:
		return m.state(r, index)
	case SetShareRecord:
		return m.setShare(r, index)
	case ShareRecord:
		return m.share(r)
	default:
		return m.topic(r)
	}
	return kerr.None
}

func (m *model) commit(r OffsetsRecord) {
	for _, o := range r.Offsets {
		if _, ok := m.topics[o.Topic]; !ok {
			continue
		}
		if m.offsets[r.Group] == nil {
			m.offsets[r.Group] = map[TopicPartition]Offset{}
		}
		m.offsets[r.Group][o.TopicPartition] = o.Offset
	}
}

func (m *model) named(name string) bool {
	for _, t := range m.topics {
		if t.Name == name {
			return true
		}
	}
	return false
}

func (m *model) topic(r Record) kerr.Code {
	switch r := r.(type) {
	case TopicRecord:
		if _, ok := m.topics[r.ID]; ok || m.named(r.Name) {
			return kerr.TopicAlreadyExists
		}
		m.topics[r.ID] = Topic{ID: r.ID, Name: r.Name, Internal: r.Internal}
	case PartitionRecord:
		t, ok := m.topics[r.Topic]
		if !ok {
			return kerr.UnknownTopicID
		}
		if int(r.Partition.Number) != len(t.Partitions) {
			return kerr.InvalidPartitions
		}
		if r.Partition.Stream < m.streams {
			return kerr.InvalidUpdateVersion
		}
		m.streams = r.Partition.Stream + 1
		t.Partitions = append(t.Partitions, &r.Partition)
		m.topics[r.Topic] = t
	case PartitionChange:
		return m.change(r)
	case ISRRecord:
		return m.isr(r)
	case RemoveTopicRecord:
		t, ok := m.topics[r.ID]
		if !ok {
			return kerr.UnknownTopicID
		}
		delete(m.topics, r.ID)
		delete(m.configs, Resource{TopicResource, t.Name})
		for _, set := range m.offsets {
			maps.DeleteFunc(set, func(p TopicPartition, _ Offset) bool { return p.Topic == r.ID })
		}
		for _, set := range m.shares {
			maps.DeleteFunc(set, func(p TopicPartition, _ ShareState) bool { return p.Topic == r.ID })
		}
	case ConfigRecord:
		if r.Value == nil {
			_, had := m.configs[r.Resource][r.Name]
			delete(m.configs[r.Resource], r.Name)
			if had {
				m.configured(r)
			}
			return kerr.None
		}
		if r.Resource.Type == TopicResource && !m.named(r.Resource.Name) {
			return kerr.UnknownTopicOrPartition
		}
		if m.configs[r.Resource] == nil {
			m.configs[r.Resource] = map[string]string{}
		}
		m.configs[r.Resource][r.Name] = *r.Value
		m.configured(r)
	}
	return kerr.None
}

func (m *model) change(r PartitionChange) kerr.Code {
	t, ok := m.topics[r.Topic]
	if !ok {
		return kerr.UnknownTopicID
	}
	if int(r.Partition.Number) >= len(t.Partitions) {
		return kerr.UnknownTopicOrPartition
	}
	was := t.Partitions[r.Partition.Number]
	switch {
	case was.Epoch != r.From:
		return kerr.InvalidUpdateVersion
	case was.LeaderEpoch > r.Partition.LeaderEpoch:
		return kerr.FencedLeaderEpoch
	case was.Stream != r.Partition.Stream:
		return kerr.InvalidRequest
	}
	if least, ok := m.least(t.Name); ok && suffices(&r.Partition, least) {
		r.Partition.ELR = nil
	}
	r.Partition.Epoch = was.Epoch + 1
	deposed(was, &r.Partition)
	t.Partitions[r.Partition.Number] = &r.Partition
	return kerr.None
}

// deposed remembers the last leader for as long as there is none.
func deposed(was, is *Partition) {
	if is.LastKnownELR = was.LastKnownELR; was.Leader != NoBroker {
		is.LastKnownELR = []BrokerID{was.Leader}
	}
	if is.Leader != NoBroker {
		is.LastKnownELR = nil
	}
}

// text is all that the model holds, sorted; imageText must say the same of the image.
func (m *model) text() string {
	var all []string
	for _, b := range m.brokers {
		all = append(all, fmt.Sprintf("broker %+v", b))
	}
	partitions := 0
	for _, t := range m.topics {
		all = append(all, topicText(&t))
		partitions += len(t.Partitions)
	}
	for r, set := range m.configs {
		if len(set) > 0 {
			all = append(all, fmt.Sprintf("configs %v %v", r, set))
		}
	}
	for name, level := range m.features {
		all = append(all, fmt.Sprintf("feature %s %d", name, level))
	}
	for g, is := range m.came {
		if is.owner != NoBroker {
			all = append(all, fmt.Sprintf("coordinator of %s %+v", g, is))
		}
	}
	ids := map[string]bool{}
	for id, g := range m.groups {
		all = append(all, fmt.Sprintf("group %+v", g))
		ids[id] = true
	}
	for g, set := range m.offsets {
		for p, o := range set {
			all = append(all, fmt.Sprintf("offset %s %v %+v", g, p, o))
			ids[g] = true
		}
	}
	for g, set := range m.shares {
		for p, s := range set {
			all = append(all, fmt.Sprintf("share %s %v %+v", g, p, s))
		}
	}
	all = append(all, fmt.Sprintf("counters %s %d %d, %d topics %d partitions, groups %q",
		m.cluster, m.streams, m.producers, len(m.topics), partitions, slices.Sorted(maps.Keys(ids))))
	slices.Sort(all)
	return strings.Join(all, "\n")
}

func imageText(m *Image) string {
	var all []string
	for _, b := range m.Brokers() {
		all = append(all, fmt.Sprintf("broker %+v", *b))
	}
	for t := range m.Topics {
		all = append(all, topicText(t))
	}
	for _, kind := range []ResourceType{TopicResource, BrokerResource, GroupResource} {
		for _, r := range m.ConfigResources(kind) {
			all = append(all, fmt.Sprintf("configs %v %v", r, m.Configs(r)))
		}
	}
	m.features.Root().Walk(func(name []byte, _ int16) bool {
		all = append(all, fmt.Sprintf("feature %s %d", name, m.Feature(string(name))))
		return false
	})
	for _, g := range someNames {
		if id, since := m.CoordinatorSince(g); m.turns != nil && id != NoBroker {
			all = append(all, fmt.Sprintf("coordinator of %s %+v", g, tenure{id, Index(since)}))
		}
	}
	for _, g := range someNames {
		m.ShareStates(g, func(p TopicPartition, s *ShareState) bool {
			all = append(all, fmt.Sprintf("share %s %v %+v", g, p, *s))
			return true
		})
	}
	var ids []string
	for id := range m.Groups {
		ids = append(ids, id)
		if g, ok := m.Group(id); ok {
			all = append(all, fmt.Sprintf("group %+v", *g))
		}
		m.Offsets(id, func(t TopicID, partition int32, o Offset) bool {
			all = append(all, fmt.Sprintf("offset %s %v %+v", id, TopicPartition{t, partition}, o))
			return true
		})
	}
	all = append(all, fmt.Sprintf("counters %s %d %d, %d topics %d partitions, groups %q",
		m.ClusterID(), m.NextStream(), m.NextProducerID(), m.TopicCount(), m.PartitionCount(), ids))
	slices.Sort(all)
	return strings.Join(all, "\n")
}

func topicText(t *Topic) string {
	var b strings.Builder
	fmt.Fprintf(&b, "topic %s %s %v", t.ID, t.Name, t.Internal)
	for _, p := range slices.SortedFunc(slices.Values(t.Partitions), func(a, b *Partition) int { return cmp.Compare(a.Number, b.Number) }) {
		fmt.Fprintf(&b, " %+v", *p)
	}
	return b.String()
}
