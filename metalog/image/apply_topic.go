package image

import (
	"maps"
	"slices"

	"chronik/kafka/kerr"
)

func (c *change) topic(r TopicRecord) error {
	if r.ID == (TopicID{}) || r.Name == "" {
		return kerr.Detail(kerr.InvalidRequest, "a topic needs an id and a name")
	}
	if _, ok := c.topicIDs.get(r.ID[:]); ok {
		return kerr.Detail(kerr.TopicAlreadyExists, "Topic id %s is taken.", r.ID)
	}
	if _, ok := c.topicNames.get([]byte(r.Name)); ok {
		return kerr.Detail(kerr.TopicAlreadyExists, "Topic '%s' already exists.", r.Name)
	}
	c.setTopic(&Topic{ID: r.ID, Name: r.Name, Internal: r.Internal})
	return nil
}

func (c *change) partition(r PartitionRecord) error {
	t, err := c.ownTopic(r.Topic)
	if err != nil {
		return err
	}
	if int(r.Partition.Number) != len(t.Partitions) {
		return kerr.Detail(kerr.InvalidPartitions, "partition %d of '%s' is not the next one, which is %d",
			r.Partition.Number, t.Name, len(t.Partitions))
	}
	if r.Partition.Stream < c.next.nextStream {
		return kerr.Detail(kerr.InvalidUpdateVersion, "stream %d has been given out, the next one is %d",
			r.Partition.Stream, c.next.nextStream)
	}
	p := r.Partition
	p.LastKnownELR = nil
	t.Partitions = append(t.Partitions, &p)
	c.next.partitions++
	c.next.nextStream = p.Stream + 1
	return nil
}

func (c *change) changePartition(r PartitionChange) error {
	t, err := c.ownTopic(r.Topic)
	if err != nil {
		return err
	}
	p := r.Partition
	if p.Number < 0 || int(p.Number) >= len(t.Partitions) {
		return kerr.Detail(kerr.UnknownTopicOrPartition, "'%s' has no partition %d", t.Name, p.Number)
	}
	was := t.Partitions[p.Number]
	switch {
	case was.Epoch != r.From:
		return kerr.Detail(kerr.InvalidUpdateVersion, "partition epoch of %s-%d is %d, not %d", t.Name, p.Number, was.Epoch, r.From)
	case p.LeaderEpoch < was.LeaderEpoch:
		return kerr.Detail(kerr.FencedLeaderEpoch, "leader epoch of %s-%d is %d already", t.Name, p.Number, was.LeaderEpoch)
	case p.Stream != was.Stream:
		return kerr.Detail(kerr.InvalidRequest, "the stream of %s-%d is %d", t.Name, p.Number, was.Stream)
	}
	if needed, ok := c.minISR(t.Name); ok && len(p.ISR) > 0 && len(p.ISR) >= min(needed, p.Factor()) {
		p.ELR = nil // min.insync.replicas may have been lowered since this was planned, as in minISRChanged
	}
	c.replace(t, p)
	return nil
}

func (c *change) removeTopic(r RemoveTopicRecord) error {
	t, ok := c.topicIDs.get(r.ID[:])
	if !ok {
		return kerr.UnknownTopicID
	}
	c.topicIDs.drop(r.ID[:])
	c.topicNames.drop([]byte(t.Name))
	delete(c.own, r.ID)
	c.next.partitions -= len(t.Partitions)
	c.touchedTopics.add(r.ID)

	resource := Resource{TopicResource, t.Name}
	if _, ok := c.configs.get(resource.key()); ok {
		c.configs.drop(resource.key())
		c.touchedConfigs.add(resource)
	}
	c.forgetOffsets(r.ID)
	c.forgetShares(nil, func(_ string, p TopicPartition) bool { return p.Topic == r.ID })
	return nil
}

func (c *change) config(r ConfigRecord) error {
	if r.Name == "" {
		return kerr.Detail(kerr.InvalidRequest, "a config needs a name")
	}
	key := r.Resource.key()
	was, _ := c.configs.get(key)
	if r.Value == nil {
		if _, ok := was[r.Name]; !ok {
			return nil
		}
	} else if r.Resource.Type == TopicResource {
		if _, ok := c.topicNames.get([]byte(r.Resource.Name)); !ok {
			return kerr.Detail(kerr.UnknownTopicOrPartition, "no topic '%s' to configure", r.Resource.Name)
		}
	}
	set := maps.Clone(was)
	if set == nil {
		set = make(map[string]string, 1)
	}
	if r.Value != nil {
		set[r.Name] = *r.Value
	} else {
		delete(set, r.Name)
	}
	if len(set) == 0 {
		c.configs.drop(key)
	} else {
		c.configs.put(key, set)
	}
	c.touchedConfigs.add(r.Resource)
	if r.Name == minISRConfig {
		return c.minISRChanged(r.Resource)
	}
	return nil
}

// ownTopic is the topic, copied when this change has not done so yet; it counts as changed.
func (c *change) ownTopic(id TopicID) (*Topic, error) {
	if t, ok := c.own[id]; ok {
		return t, nil
	}
	t, ok := c.topicIDs.get(id[:])
	if !ok {
		return nil, kerr.UnknownTopicID
	}
	copied := *t
	copied.Partitions = slices.Clone(t.Partitions)
	c.setTopic(&copied)
	return &copied, nil
}

func (c *change) setTopic(t *Topic) {
	if c.own == nil {
		c.own = make(map[TopicID]*Topic)
	}
	c.own[t.ID] = t
	c.topicIDs.put(append([]byte(nil), t.ID[:]...), t)
	c.topicNames.put([]byte(t.Name), t)
	c.touchedTopics.add(t.ID)
}
