package group

import (
	"encoding/binary"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// consumerProtocol is the protocol type whose metadata the coordinator can read: topics that a member subscribes to.
const consumerProtocol = "consumer"

// groupIDNotFoundVersion of OffsetCommit is the first that says that there is no such group.
const groupIDNotFoundVersion = 9

// commitRequest is OffsetCommit with those of its partitions that may be committed.
type commitRequest struct {
	ticket     coordinator.Ticket
	version    int16
	memberID   string // "" and generation -1 for who keeps offsets only
	instance   string
	generation int32
	offsets    []image.PartitionOffset // CommittedAt is filled in
}

// commit is answered with a code when the offsets are in the log.
func (m *machine) commit(now coordinator.Instant, c commitRequest, fx *coordinator.Effects) {
	if code := m.checkCommit(c); code != kerr.None {
		fx.Answer(c.ticket, code)
		return
	}
	if mem := m.byID[c.memberID]; mem != nil {
		mem.heard(now)
	}
	if len(c.offsets) == 0 {
		fx.Answer(c.ticket, kerr.None)
		return
	}
	for i := range c.offsets {
		c.offsets[i].CommittedAt = now.Wall
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

func (m *machine) checkCommit(c commitRequest) kerr.Code {
	switch {
	case m.state == dead:
		return kerr.CoordinatorNotAvailable
	case c.generation < 0 && m.state == empty:
		return kerr.None
	case m.state == empty && !m.exists():
		if c.version >= groupIDNotFoundVersion {
			return kerr.GroupIDNotFound
		}
		return kerr.IllegalGeneration
	case c.generation < 0 && c.memberID == "" && c.instance == "":
		return kerr.UnknownMemberID // members own the partitions
	}
	if code := m.checkMember(c.memberID, c.instance); code != kerr.None {
		return code
	}
	if c.generation != m.generation {
		return kerr.IllegalGeneration
	}
	if m.state == completingRebalance {
		return kerr.RebalanceInProgress
	}
	return kerr.None
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
	switch {
	case !m.exists():
		fx.Answer(d.ticket, deletedOffsets{code: kerr.GroupIDNotFound})
		return
	case m.state != empty && m.protocolType != consumerProtocol:
		fx.Answer(d.ticket, deletedOffsets{code: kerr.NonEmptyGroup})
		return
	}
	subscribed := map[string]bool{}
	var partitions []image.TopicPartition
	for name, listed := range d.topics {
		if m.subscribes(name) {
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

func (m *machine) removeOffsets(partitions []image.TopicPartition, fx *coordinator.Effects, then func(coordinator.Instant, error, *coordinator.Effects)) {
	slices.SortFunc(partitions, func(a, b image.TopicPartition) int {
		if a.Topic == b.Topic {
			return int(a.Partition) - int(b.Partition)
		}
		return slices.Compare(a.Topic[:], b.Topic[:])
	})
	m.committing++
	owner, epoch, since := m.owner()
	fx.ProposeLow(func(now coordinator.Instant, err error, fx *coordinator.Effects) {
		m.committing--
		then(now, err, fx)
	}, image.RemoveOffsetsRecord{Group: m.id, Partitions: partitions, Owner: owner, OwnerEpoch: epoch, OwnerSince: since})
}

// deleteGroup answers with a code. A group that is being removed is dead: what is asked of it meanwhile is to be asked
// again. Members that only have an id do not keep a group.
func (m *machine) deleteGroup(now coordinator.Instant, t coordinator.Ticket, fx *coordinator.Effects) {
	switch {
	case !m.exists():
		fx.Answer(t, kerr.GroupIDNotFound)
	case m.state != empty:
		fx.Answer(t, kerr.NonEmptyGroup)
	default:
		m.die(now, t, fx)
	}
}

// die removes the group. A commit that was given up may still be on its way, and what goes ahead of commits would undo it
// only to see it come back: so something goes behind it first.
func (m *machine) die(_ coordinator.Instant, t coordinator.Ticket, fx *coordinator.Effects) {
	clear(m.pending)
	m.state, m.recordBy = dead, never
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
	m.state = empty
	m.recordLater(now)
	fx.Answer(t, stored(err))
}

// expireOffsets removes offsets that nobody has used for the retention time, and the group when it is empty and none is
// left. It leaves groups alone that have something in flight: it would undo a commit that it does not see yet.
func (m *machine) expireOffsets(now coordinator.Instant, fx *coordinator.Effects) {
	if m.committing > 0 || m.recording > 0 || len(m.pending) > 0 || !m.exists() {
		return
	}
	expired, kept := m.expired(now)
	switch {
	case m.state == empty && !kept:
		m.die(now, 0, fx)
	case len(expired) > 0:
		m.removeOffsets(expired, fx, func(coordinator.Instant, error, *coordinator.Effects) {})
	}
}

// expired lists the offsets that have expired and says whether there are others. In a group without members the time
// counts from when the last of them left, for topics that the members of a stable group do not read from the commit.
// While members of other kinds exist, or a rebalance goes on, nothing expires.
func (m *machine) expired(now coordinator.Instant) (list []image.TopicPartition, kept bool) {
	img, retention := m.image(), m.config().OffsetsRetention.Milliseconds()
	mayExpire := m.state == empty || m.state == stable && m.protocolType == consumerProtocol
	img.Offsets(m.id, func(topic image.TopicID, partition int32, o image.Offset) bool {
		since := o.CommittedAt
		if m.state == empty && m.protocolType != "" {
			// An offset that was set for an empty group would be gone at once if only the group's age counted.
			since = max(since, m.stateSince)
		}
		t, known := img.Topic(topic)
		if mayExpire && now.Wall-since >= retention && !(known && m.subscribes(t.Name)) {
			list = append(list, image.TopicPartition{Topic: topic, Partition: partition})
		} else {
			kept = true
		}
		return true
	})
	return list, kept
}

// subscribes says whether members read topic. Those whose metadata cannot be read may.
func (m *machine) subscribes(topic string) bool {
	if m.protocolType != consumerProtocol {
		return false
	}
	for _, mem := range m.members {
		for _, p := range mem.protocols {
			if m.protocol != "" && p.name != m.protocol {
				continue
			}
			if topics, ok := subscription(p.metadata); !ok || slices.Contains(topics, topic) {
				return true
			}
		}
	}
	return false
}

// subscription reads the topics from a member's metadata. They come first in every version of the format, so it is read
// as its version 0, which later versions continue (ConsumerProtocolSubscription.json).
func subscription(metadata []byte) (topics []string, ok bool) {
	if len(metadata) < 2 {
		return nil, false
	}
	v0 := slices.Clone(metadata)
	binary.BigEndian.PutUint16(v0, 0)
	s := kmsg.NewConsumerMemberMetadata()
	if err := s.ReadFrom(v0); err != nil {
		return nil, false
	}
	return s.Topics, true
}
