package group

import (
	"cmp"
	"slices"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// consumerProtocol is the protocol type whose metadata the coordinator can read: topics that a member subscribes to.
const consumerProtocol = "consumer"

// commitRequest is OffsetCommit with those of its partitions that may be committed.
type commitRequest struct {
	ticket     coordinator.Ticket
	version    int16
	memberID   string // "" and generation -1 for who keeps offsets only
	instance   string
	generation int32
	offsets    []image.PartitionOffset // CommittedAt is filled in
	longer     int64                   // ms that they are to be kept beyond offsets.retention.minutes; negative: less
}

// commit is answered with a code when the offsets are in the log.
func (m *machine) commit(now coordinator.Instant, c commitRequest, fx *coordinator.Effects) {
	code := kerr.CoordinatorNotAvailable
	if !m.dead {
		code = m.kind.checkCommit(c)
	}
	if code != kerr.None {
		fx.Answer(c.ticket, code)
		return
	}
	m.kind.committed(now, c.memberID)
	if len(c.offsets) == 0 {
		fx.Answer(c.ticket, kerr.None)
		return
	}
	for i := range c.offsets {
		c.offsets[i].CommittedAt = now.Wall + c.longer
	}
	m.committing++
	owner, epoch, since := m.owner()
	fx.ProposeLow(func(_ coordinator.Instant, err error, fx *coordinator.Effects) {
		m.committing--
		code := stored(err)
		if kerr.Of(err) == kerr.RecordListTooLarge {
			code = kerr.InvalidCommitOffsetSize
		}
		fx.Answer(c.ticket, code)
	}, image.OffsetsRecord{Group: m.id, Offsets: c.offsets, Owner: owner, OwnerEpoch: epoch, OwnerSince: since})
}

// offsetDeletion is an OffsetDelete request with those of its partitions that exist.
type offsetDeletion struct {
	ticket coordinator.Ticket
	topics map[string][]image.TopicPartition // by name
}

// deletedOffsets is the answer: the code of the whole, and the topics that stay because members read them.
type deletedOffsets struct {
	code       kerr.Code
	subscribed map[string]bool
}

func (m *machine) deleteOffsets(_ coordinator.Instant, d offsetDeletion, fx *coordinator.Effects) {
	code := kerr.GroupIDNotFound
	if m.exists() {
		code = m.kind.checkOffsetDeletion()
	}
	if code != kerr.None {
		fx.Answer(d.ticket, deletedOffsets{code: code})
		return
	}
	subscribed := map[string]bool{}
	var partitions []image.TopicPartition
	for name, listed := range d.topics {
		if m.kind.subscribes(name) {
			subscribed[name] = true
		} else {
			partitions = append(partitions, listed...)
		}
	}
	if len(partitions) == 0 {
		fx.Answer(d.ticket, deletedOffsets{subscribed: subscribed})
		return
	}
	m.removeOffsets(partitions, fx, func(_ coordinator.Instant, err error, fx *coordinator.Effects) {
		fx.Answer(d.ticket, deletedOffsets{stored(err), subscribed})
	})
}

// maxRemoved is how many offsets a record removes. The log takes no record that is larger than 1 MiB, and would refuse the same
// one again and again.
const maxRemoved = 1 << 14

// removeOffsets sends all of its records at once: what is committed from now on comes in behind the last of them. When only some
// of them come in, the next sweep removes the rest, or who was told of the failure asks again.
func (m *machine) removeOffsets(partitions []image.TopicPartition, fx *coordinator.Effects, then func(coordinator.Instant, error, *coordinator.Effects)) {
	slices.SortFunc(partitions, func(a, b image.TopicPartition) int {
		if a.Topic == b.Topic {
			return int(a.Partition) - int(b.Partition)
		}
		return slices.Compare(a.Topic[:], b.Topic[:])
	})
	lists := slices.Collect(slices.Chunk(partitions, maxRemoved))
	if len(lists) == 0 {
		lists = [][]image.TopicPartition{nil} // whoever removes nothing waits for what is before it
	}
	var failed error
	left := len(lists)
	m.committing += left
	owner, epoch, since := m.owner()
	for _, list := range lists {
		fx.ProposeLow(func(now coordinator.Instant, err error, fx *coordinator.Effects) {
			m.committing--
			failed = cmp.Or(failed, err)
			if left--; left == 0 {
				then(now, failed, fx)
			}
		}, image.RemoveOffsetsRecord{Group: m.id, Partitions: list, Owner: owner, OwnerEpoch: epoch, OwnerSince: since})
	}
}

// deleteGroup answers with a code. A group that is being removed is dead: what is asked of it meanwhile is to be asked
// again.
func (m *machine) deleteGroup(now coordinator.Instant, t coordinator.Ticket, fx *coordinator.Effects) {
	switch {
	case !m.exists():
		fx.Answer(t, kerr.GroupIDNotFound)
	case m.kind.occupied():
		fx.Answer(t, kerr.NonEmptyGroup)
	default:
		m.die(now, t, fx)
	}
}

// die removes the group. A commit that was given up may still be on its way, and what goes ahead of commits would undo it
// only to see it come back: so something goes behind it first.
func (m *machine) die(now coordinator.Instant, t coordinator.Ticket, fx *coordinator.Effects) {
	m.dead = true
	m.kind.stop(now, fx)
	m.removeOffsets(nil, fx, func(now coordinator.Instant, err error, fx *coordinator.Effects) {
		if err != nil {
			m.survive(now, t, err, fx)
			return
		}
		owner, epoch, since := m.owner()
		fx.Propose(func(now coordinator.Instant, err error, fx *coordinator.Effects) {
			if err != nil {
				m.survive(now, t, err, fx)
			} else {
				fx.Answer(t, kerr.None)
			}
		}, image.RemoveGroupRecord{ID: m.id, Owner: owner, OwnerEpoch: epoch, OwnerSince: since})
	})
}

func (m *machine) survive(now coordinator.Instant, t coordinator.Ticket, err error, fx *coordinator.Effects) {
	m.dead = false
	m.kind.revive(now, fx)
	fx.Answer(t, stored(err))
}

// expireOffsets removes offsets that nobody has used for the retention time, and the group when it is empty and none is
// left. It leaves groups alone that have something in flight: it would undo a commit that it does not see yet.
func (m *machine) expireOffsets(now coordinator.Instant, fx *coordinator.Effects) {
	from, expire := m.kind.offsetsExpire()
	if !expire || m.committing > 0 || m.recording > 0 || !m.exists() {
		return
	}
	expired, kept := m.expired(now, from)
	switch {
	case m.kind.idle() && !kept:
		m.die(now, 0, fx)
	case len(expired) > 0:
		m.removeOffsets(expired, fx, func(coordinator.Instant, error, *coordinator.Effects) {})
	}
}

// expired lists the offsets that have expired and says whether there are others.
func (m *machine) expired(now coordinator.Instant, from int64) (list []image.TopicPartition, kept bool) {
	img, retention := m.image(), m.config().OffsetsRetention.Milliseconds()
	img.Offsets(m.id, func(topic image.TopicID, partition int32, o image.Offset) bool {
		t, known := img.Topic(topic)
		if now.Wall-max(from, o.CommittedAt) >= retention && !(known && m.kind.subscribes(t.Name)) {
			list = append(list, image.TopicPartition{Topic: topic, Partition: partition})
		} else {
			kept = true
		}
		return true
	})
	return list, kept
}
