package group

import (
	"slices"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// consumerCommitVersion of OffsetCommit is the first that members of KIP-848 may use.
const consumerCommitVersion = 9

// checkCommit lets members commit at the epoch that they were told last, and of what they have had since before an earlier one
// also at that: the commit may have been on its way when the epoch changed (KIP-1251). Anybody may in a group without members.
func (g *consumerGroup) checkCommit(c commitRequest) kerr.Code {
	mem := g.members[c.memberID]
	switch {
	case c.generation < 0 && !g.occupied():
		return kerr.None
	case mem == nil:
		return kerr.UnknownMemberID
	case mem.classic == nil && c.version < consumerCommitVersion:
		return kerr.UnsupportedVersion
	}
	if c.generation < mem.epoch && mem.hadSince(c.offsets, c.generation) {
		return kerr.None
	}
	return mem.checkOffsetEpoch(c.generation)
}

func (mem *consumer) hadSince(offsets []image.PartitionOffset, epoch int32) bool {
	return !slices.ContainsFunc(offsets, func(o image.PartitionOffset) bool {
		since, has := mem.granted[o.TopicPartition]
		return !has || since > epoch
	})
}

func (mem *consumer) checkOffsetEpoch(epoch int32) kerr.Code {
	switch {
	case epoch == mem.epoch:
		return kerr.None
	case mem.classic != nil:
		return kerr.IllegalGeneration
	}
	return kerr.StaleMemberEpoch
}

func (g *consumerGroup) committed(coordinator.Instant, string) {} // only heartbeats keep a session

func (g *consumerGroup) checkFetch(memberID string, epoch int32) kerr.Code {
	mem := g.members[memberID]
	if mem == nil {
		return kerr.UnknownMemberID
	}
	return mem.checkOffsetEpoch(epoch)
}

func (g *consumerGroup) checkOffsetDeletion() kerr.Code { return kerr.None }

func (g *consumerGroup) subscribes(topic string) bool {
	for _, mem := range g.members {
		if g.subscribed(mem, topic) {
			return true
		}
	}
	return false
}

func (g *consumerGroup) subscribed(mem *consumer, topic string) bool {
	_, found := slices.BinarySearch(mem.topics, topic)
	return found || mem.pattern != "" && g.matches(mem.pattern, topic)
}

func (g *consumerGroup) matches(pattern, topic string) bool {
	if names, known := g.patterns.names[pattern]; known {
		_, found := slices.BinarySearch(names, topic)
		return found
	}
	expression, err := compilePattern(pattern)
	return err == nil && expression.MatchString(topic)
}

func (g *consumerGroup) offsetsExpire() (since int64, expire bool) { return g.at.since, true }
