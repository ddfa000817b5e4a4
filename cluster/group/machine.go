package group

import (
	"time"

	"chronik/cluster/coordinator"
	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// env is what a machine may ask besides its own state.
type env struct {
	image  func() *image.Image
	config func() Config
	group  func(id string) config.Group

	shared bool // see Options
	self   image.BrokerID
	serves func() bool
}

// machine is one group id. What depends on how the members share the work is its kind's; offsets, deletion and the way into
// the log are the same for all. Members' timeouts are told in Instant.Up.
type machine struct {
	env
	id    string
	since int64 // when this broker's tenure of the group began
	kind  kind

	topicChanges int // how often it heard of some

	dead       bool // being removed: what is asked meanwhile is to be asked again
	committing int  // offset commits and removals in flight
	recording  int  // records of the group itself in flight
}

// kind is a protocol by which members share the work, with the state of a group of it; doc.go says how to add one. Its
// methods decide by the state, the request, the time, the image and the configuration alone.
type kind interface {
	is() image.GroupKind
	summary() (state, protocolType string) // as ListGroups shows them
	occupied() bool                        // has members: it cannot be deleted
	idle() bool                            // the image holds all that there is to know, and no timeout runs

	deadline() time.Duration                                 // when expire is due, by Instant.Up, or never
	expire(now coordinator.Instant, fx *coordinator.Effects) // what was not heard of in time goes
	topicsChanged(coordinator.Instant, *coordinator.Effects) // topics came, grew or went, or a config of the group's changed
	stop(now coordinator.Instant, fx *coordinator.Effects)   // the group is being removed ...
	revive(now coordinator.Instant, fx *coordinator.Effects) // ... and then was not

	checkCommit(c commitRequest) kerr.Code              // whether the sender may commit
	committed(now coordinator.Instant, memberID string) // one of whose commits was taken
	checkFetch(memberID string, epoch int32) kerr.Code  // whether a member that says that it is one may read offsets
	checkOffsetDeletion() kerr.Code                     // whether offsets may be deleted at all
	subscribes(topic string) bool                       // whether its offsets of topic are in use

	// offsetsExpire says whether offsets of topics that nobody subscribes to do after their retention, and with the last of
	// them an empty group. The time counts from since if that is later than the commit.
	offsetsExpire() (since int64, expire bool)
}

// kinds make a group of a kind: as g in the image has it, or a new one when g is nil.
var kinds = [...]func(m *machine, g *image.Group, now coordinator.Instant) kind{
	image.ClassicGroup:  newClassicGroup,
	image.ConsumerGroup: newConsumerGroup,
	image.ShareGroup:    newShareGroup,
	image.StreamsGroup:  newStreamsGroup,
}

// newMachine is the group as the image has it; one that is not there is an empty classic group.
func newMachine(e env, id string, since int64, now coordinator.Instant) *machine {
	m := &machine{env: e, id: id, since: since}
	m.restore(now)
	return m
}

// restore forgets all that the image does not have.
func (m *machine) restore(now coordinator.Instant) {
	is := image.ClassicGroup
	g, ok := m.image().Group(m.id)
	if ok && int(g.Kind) < len(kinds) && kinds[g.Kind] != nil {
		is = g.Kind
	} else {
		g = nil
	}
	m.kind = kinds[is](m, g, now)
}

// become makes the group one of another kind. It is so in memory at once; the new kind's first record makes it last.
func (m *machine) become(is kind, now coordinator.Instant, fx *coordinator.Effects) {
	m.kind.stop(now, fx)
	m.kind = is
}

// Deadline is the runtime's question when to call Expire.
func (m *machine) Deadline() (time.Duration, bool) {
	if m.dead {
		return never, false
	}
	at := m.kind.deadline()
	return at, at != never
}

// Expire is what the runtime calls then.
func (m *machine) Expire(now coordinator.Instant, fx *coordinator.Effects) {
	if !m.dead {
		m.kind.expire(now, fx)
	}
}

// Idle is the runtime's question whether it may forget the machine.
func (m *machine) Idle() bool { return m.dead || m.kind.idle() }

func (m *machine) topicsChanged(now coordinator.Instant, fx *coordinator.Effects) {
	m.topicChanges++
	if !m.dead {
		m.kind.topicsChanged(now, fx)
	}
}

// exists says whether there is such a group, for those who ask and do not join.
func (m *machine) exists() bool {
	if m.dead {
		return false
	}
	if !m.kind.idle() {
		return true
	}
	_, ok := m.image().Group(m.id)
	return ok || m.hasOffsets()
}

func (m *machine) hasOffsets() (found bool) {
	m.image().Offsets(m.id, func(image.TopicID, int32, image.Offset) bool {
		found = true
		return false
	})
	return found
}
