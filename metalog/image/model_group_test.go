package image

import (
	"maps"
	"slices"

	"chronik/kafka/kerr"
)

func (m *model) state(r GroupStateRecord, index Index) kerr.Code {
	if !m.owns(r.Group, r.Owner, r.OwnerEpoch, r.OwnerSince, index) {
		return kerr.NotCoordinator
	}
	if r.GroupKind != ConsumerGroup && r.GroupKind != ShareGroup && r.GroupKind != StreamsGroup {
		return kerr.InvalidRequest
	}
	entries := map[string][]byte{}
	if was := m.groups[r.Group]; was.Kind == r.GroupKind {
		was.State.Walk(nil, func(e GroupEntry) bool { entries[string(e.Key)] = e.Value; return true })
	}
	for _, e := range r.Entries {
		if entries[string(e.Key)] = e.Value; e.Value == nil {
			delete(entries, string(e.Key))
		}
	}
	g := Group{ID: r.Group, Kind: r.GroupKind}
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		g.State = g.State.With(GroupEntry{[]byte(key), entries[key]})
	}
	m.groups[r.Group] = g
	return kerr.None
}

func (m *model) setShare(r SetShareRecord, index Index) kerr.Code {
	if !m.owns(r.Group, r.Owner, r.OwnerEpoch, r.OwnerSince, index) {
		return kerr.NotCoordinator
	}
	if r.Remove {
		delete(m.shares[r.Group], r.TopicPartition)
		return kerr.None
	}
	if _, ok := m.topics[r.Topic]; !ok {
		return kerr.UnknownTopicID
	}
	if was, ok := m.shares[r.Group][r.TopicPartition]; ok && was.StateEpoch >= r.StateEpoch {
		return kerr.FencedStateEpoch
	}
	if m.shares[r.Group] == nil {
		m.shares[r.Group] = map[TopicPartition]ShareState{}
	}
	m.shares[r.Group][r.TopicPartition] = ShareState{r.StateEpoch, r.Value}
	return kerr.None
}

func (m *model) share(r ShareRecord) kerr.Code {
	t, ok := m.topics[r.Topic]
	if !ok {
		return kerr.UnknownTopicID
	}
	if int(r.Partition) >= len(t.Partitions) {
		return kerr.UnknownTopicOrPartition
	}
	p := t.Partitions[r.Partition]
	was, ok := m.shares[r.Group][r.TopicPartition]
	switch {
	case r.LeaderEpoch < p.LeaderEpoch:
		return kerr.FencedLeaderEpoch
	case r.LeaderEpoch > p.LeaderEpoch || r.Leader != p.Leader:
		return kerr.NotLeaderOrFollower
	case !ok:
		return kerr.GroupIDNotFound
	case r.StateEpoch != was.StateEpoch:
		return kerr.FencedStateEpoch
	}
	m.shares[r.Group][r.TopicPartition] = ShareState{r.StateEpoch, r.Value}
	return kerr.None
}
