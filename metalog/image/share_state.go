package image

import (
	"encoding/binary"

	"chronik/kafka/kerr"
)

// ShareState is how far a share group is with a partition (KIP-932). The partition's leader decides which records are
// acquired, acknowledged and released, and has it recorded before it answers; the group's coordinator begins the state,
// sets it anew and removes it.
type ShareState struct {
	StateEpoch int32  // grows when the coordinator sets the state: what the leader decided before counts no more
	Value      []byte // only the leader understands it; the caller must not change it
}

// ShareState is group's state of a partition.
func (m *Image) ShareState(group string, p TopicPartition) (*ShareState, bool) {
	return m.shares.Get(shareKey(group, p))
}

// ShareStates goes through the partitions of which group has a state, by topic id and number, until fn returns false.
func (m *Image) ShareStates(group string, fn func(TopicPartition, *ShareState) bool) {
	m.shares.Root().WalkPrefix(sharePrefix(group), func(key []byte, s *ShareState) bool {
		_, p := shareOf(key)
		return !fn(p, s)
	})
}

func sharePrefix(group string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(group))), group...)
}

func shareKey(group string, p TopicPartition) []byte {
	return binary.BigEndian.AppendUint32(append(sharePrefix(group), p.Topic[:]...), uint32(p.Partition))
}

func shareOf(key []byte) (group string, p TopicPartition) {
	n := 4 + int(binary.BigEndian.Uint32(key))
	return string(key[4:n]), TopicPartition{TopicID(key[n : n+16]), int32(binary.BigEndian.Uint32(key[n+16:]))}
}

func (c *change) setShare(r SetShareRecord) error {
	if err := c.owned(r.Group, r.Owner, r.OwnerEpoch, r.OwnerSince); err != nil {
		return err
	}
	key := shareKey(r.Group, r.TopicPartition)
	was, ok := c.shares.get(key)
	if !r.Remove {
		if _, known := c.topicIDs.get(r.Topic[:]); !known {
			return kerr.UnknownTopicID
		}
		if ok && was.StateEpoch >= r.StateEpoch {
			return kerr.Detail(kerr.FencedStateEpoch, "the state has epoch %d", was.StateEpoch)
		}
	}
	c.noteTurns(r.OwnerEpoch, r.OwnerSince)
	switch {
	case !r.Remove:
		c.shares.put(key, &ShareState{r.StateEpoch, r.Value})
	case ok:
		c.shares.drop(key)
	default:
		return nil
	}
	c.touchedGroups.add(r.Group)
	return nil
}

func (c *change) share(r ShareRecord) error {
	t, ok := c.topicIDs.get(r.Topic[:])
	if !ok {
		return kerr.UnknownTopicID
	}
	if r.Partition < 0 || int(r.Partition) >= len(t.Partitions) {
		return kerr.UnknownTopicOrPartition
	}
	switch p := t.Partitions[r.Partition]; {
	case p.LeaderEpoch > r.LeaderEpoch:
		return kerr.FencedLeaderEpoch
	case p.Leader != r.Leader || p.LeaderEpoch != r.LeaderEpoch:
		return kerr.NotLeaderOrFollower
	}
	key := shareKey(r.Group, r.TopicPartition)
	was, ok := c.shares.get(key)
	switch {
	case !ok:
		return kerr.Detail(kerr.GroupIDNotFound, "group %q has no state of %s-%d", r.Group, t.Name, r.Partition)
	case was.StateEpoch != r.StateEpoch:
		return kerr.Detail(kerr.FencedStateEpoch, "the state has epoch %d", was.StateEpoch)
	}
	c.shares.put(key, &ShareState{r.StateEpoch, r.Value})
	c.touchedGroups.add(r.Group)
	return nil
}

// forgetShares drops the states whose group and partition gone says so of.
func (c *change) forgetShares(prefix []byte, gone func(group string, p TopicPartition) bool) {
	var keys [][]byte
	c.shares.root().WalkPrefix(prefix, func(key []byte, _ *ShareState) bool {
		if group, p := shareOf(key); gone(group, p) {
			keys = append(keys, key)
			c.touchedGroups.add(group)
		}
		return false
	})
	for _, key := range keys {
		c.shares.drop(key)
	}
}

func writeSetShare(dst []byte, r SetShareRecord) []byte {
	dst = appendTopicPartition(appendString(dst, r.Group), r.TopicPartition)
	dst = appendBool(appendString(appendInt(dst, r.StateEpoch), r.Value), r.Remove)
	return appendOwner(dst, r.Owner, r.OwnerEpoch, r.OwnerSince)
}

func readSetShare(f *fields) SetShareRecord {
	r := SetShareRecord{
		Group: f.string(), TopicPartition: readTopicPartition(f),
		StateEpoch: number[int32](f), Value: f.bytes(), Remove: f.bool(),
	}
	r.Owner, r.OwnerEpoch = readOwner(f)
	r.OwnerSince = number[int64](f)
	return r
}

func writeShare(dst []byte, r ShareRecord) []byte {
	dst = appendTopicPartition(appendString(dst, r.Group), r.TopicPartition)
	dst = appendInt(appendInt(appendInt(dst, r.StateEpoch), r.Leader), r.LeaderEpoch)
	return appendString(dst, r.Value)
}

func readShare(f *fields) ShareRecord {
	return ShareRecord{
		Group: f.string(), TopicPartition: readTopicPartition(f), StateEpoch: number[int32](f),
		Leader: number[BrokerID](f), LeaderEpoch: number[int32](f), Value: f.bytes(),
	}
}
