package image

import "chronik/kafka/kerr"

// owned refuses what does not come from the group's coordinator.
func (c *change) owned(group string, owner BrokerID, epoch, from int64) error {
	if epoch < 1 {
		return nil
	}
	is := draw(c.coordinators(), group)
	if is == NoBroker || is != owner {
		return kerr.Detail(kerr.NotCoordinator, "the coordinator of group %q is broker %d", group, is)
	}
	if b, ok := c.brokers.get(brokerKey(owner)); !ok || b.Epoch != epoch {
		return kerr.Detail(kerr.NotCoordinator, "broker %d is not of epoch %d", owner, epoch)
	}
	if from < 0 {
		return nil
	}
	if at := since(c.turns(), owner, group); at != from {
		return kerr.Detail(kerr.NotCoordinator, "broker %d coordinates group %q since entry %d", owner, group, at)
	}
	return nil
}

func (c *change) group(r GroupRecord) error {
	if err := c.owned(r.Group.ID, r.Owner, r.OwnerEpoch, r.OwnerSince); err != nil {
		return err
	}
	c.noteTurns(r.OwnerEpoch, r.OwnerSince)
	g := r.Group
	c.groups.put([]byte(g.ID), &g)
	c.touchedGroups.add(g.ID)
	return nil
}

func (c *change) removeGroup(r RemoveGroupRecord) error {
	if err := c.owned(r.ID, r.Owner, r.OwnerEpoch, r.OwnerSince); err != nil {
		return err
	}
	c.noteTurns(r.OwnerEpoch, r.OwnerSince)
	key := []byte(r.ID)
	_, group := c.groups.get(key)
	_, offsets := c.offsets.get(key)
	c.forgetShares(sharePrefix(r.ID), func(string, TopicPartition) bool { return true })
	if !group && !offsets {
		return nil
	}
	c.groups.drop(key)
	c.offsets.drop(key)
	c.touchedGroups.add(r.ID)
	return nil
}

func (c *change) commitOffsets(r OffsetsRecord) error {
	if err := c.mayCommit(r); err != nil {
		return err
	}
	c.putOffsets(r)
	return nil
}

// mayCommit changes nothing.
func (c *change) mayCommit(r OffsetsRecord) error {
	if err := c.owned(r.Group, r.Owner, r.OwnerEpoch, r.OwnerSince); err != nil {
		return err
	}
	for _, o := range r.Offsets {
		if o.Partition < 0 {
			return kerr.Detail(kerr.InvalidRequest, "no partition %d", o.Partition)
		}
	}
	return nil
}

func (c *change) putOffsets(r OffsetsRecord) {
	c.noteTurns(r.OwnerEpoch, r.OwnerSince)
	was, ok := c.offsets.get([]byte(r.Group))
	if !ok {
		was = nothingCommitted
	}
	c.setOffsets(r.Group, was, was.with(r.Offsets, func(t TopicID) bool {
		_, ok := c.topicIDs.get(t[:])
		return ok
	}))
}

func (c *change) removeOffsets(r RemoveOffsetsRecord) error {
	if err := c.owned(r.Group, r.Owner, r.OwnerEpoch, r.OwnerSince); err != nil {
		return err
	}
	c.noteTurns(r.OwnerEpoch, r.OwnerSince)
	if was, ok := c.offsets.get([]byte(r.Group)); ok {
		c.setOffsets(r.Group, was, was.without(r.Partitions))
	}
	return nil
}

// forgetOffsets removes every group's offsets of a topic. It looks at all groups: an index from topics to groups would
// cost every commit a look-up and the memory of a second tree, and topics are deleted seldom.
func (c *change) forgetOffsets(t TopicID) {
	var groups []string
	c.offsets.write().Root().Walk(func(group []byte, offsets *committed) bool {
		if offsets.has(t) {
			groups = append(groups, string(group))
		}
		return false
	})
	for _, g := range groups {
		was, _ := c.offsets.get([]byte(g))
		c.setOffsets(g, was, was.withoutTopic(t))
	}
}

func (c *change) setOffsets(group string, was, is *committed) {
	if was.count == 0 && is.count == 0 {
		return
	}
	if is.count == 0 {
		c.offsets.drop([]byte(group))
	} else {
		c.offsets.put([]byte(group), is)
	}
	c.touchedGroups.add(group)
}
