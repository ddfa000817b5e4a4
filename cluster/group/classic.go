package group

import (
	"math"
	"slices"
	"time"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// state is where a group stands between two generations. Kafka's names.
type state int8

const (
	empty               state = iota // no members, perhaps offsets
	preparingRebalance               // members are asked to join again
	completingRebalance              // they joined, the leader works out who gets what
	stable                           // everybody may know its assignment
)

func (s state) String() string {
	return [...]string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable"}[s]
}

const (
	// newMemberTimeout ends the waiting of a member that was never answered: it has no session yet.
	newMemberTimeout = 5 * time.Minute

	// recordRetry is how long to wait after a record failed that nobody waits for.
	recordRetry = 5 * time.Second

	never = time.Duration(math.MaxInt64)
)

// classicGroup is a group whose members assign the work themselves. Its requests are each in the file of their name.
type classicGroup struct {
	*machine
	state        state
	stateSince   int64  // ms, wall
	protocolType string // "" for a group that only keeps offsets
	protocol     string // chosen for this generation
	generation   int32
	leader       string // id of a member, "" when there is none

	members []*member // in the order in which they joined
	byID    map[string]*member
	static  map[string]*member // by group.instance.id
	pending pending            // ids given out with MEMBER_ID_REQUIRED

	// While preparingRebalance.
	joinBy    time.Duration // when the rebalance goes on without those that have not joined
	initial   bool          // the group was empty before: wait for more members even when all have joined
	grown     bool          // somebody came since joinBy was set
	delay     time.Duration // that led to joinBy
	remaining time.Duration // how often it may still be put off

	syncBy   time.Duration // when members that have not synced are removed
	recordBy time.Duration // when to try again to record that the group is empty
	storing  bool          // the leader's assignment is on its way into the log
}

// newClassicGroup is the group as the image has it. Members get a full session timeout to be heard of: they could not have
// reached a coordinator that was not there.
func newClassicGroup(shell *machine, g *image.Group, now coordinator.Instant) kind {
	m := &classicGroup{machine: shell, joinBy: never, syncBy: never, recordBy: never}
	if g == nil {
		return m
	}
	m.generation, m.protocolType, m.stateSince = g.Generation, g.ProtocolType, g.StateSince
	if len(g.Members) == 0 {
		return m
	}
	m.state, m.protocol, m.leader = stable, g.Protocol, g.Leader
	for _, is := range g.Members {
		was := memberOf(is, g.Protocol)
		was.expires = now.Up + was.session
		m.enlist(was)
	}
	return m
}

func (m *classicGroup) deadline() time.Duration {
	at := min(m.joinBy, m.syncBy, m.recordBy, m.pending.next())
	for _, mem := range m.members {
		at = min(at, mem.expires)
	}
	return at
}

// expire removes whoever was not heard of in time, and goes on with a rebalance that has waited long enough.
func (m *classicGroup) expire(now coordinator.Instant, fx *coordinator.Effects) {
	// Only a rebalance that is being prepared waits for ids that nobody joined with: the members of a group that is not need not
	// hear of a client that asked and went away.
	forgotten := m.pending.expire(now.Up)
	if m.expireSessions(now, fx) || forgotten && m.state == preparingRebalance {
		m.afterRemoval(now, fx)
	}
	if m.joinBy <= now.Up {
		m.joinExpired(now, fx)
	}
	if m.syncBy <= now.Up {
		m.syncExpired(now, fx)
	}
	if m.recordBy <= now.Up {
		m.recordEmpty(now, fx)
	}
}

func (m *classicGroup) expireSessions(now coordinator.Instant, fx *coordinator.Effects) (removed bool) {
	for _, mem := range slices.Clone(m.members) {
		if mem.expires > now.Up {
			continue
		}
		mem.expires = never
		// Whoever waits for an answer cannot send heartbeats; its session begins again with the answer.
		if mem.fresh || !mem.waits() {
			m.remove(mem, fx)
			removed = true
		}
	}
	return removed
}

func (m *classicGroup) idle() bool {
	return m.state == empty && !m.pending.any() && m.recordBy == never
}

func (m *classicGroup) enter(s state, now coordinator.Instant) {
	m.state, m.stateSince = s, now.Wall
}

func (m *classicGroup) enlist(mem *member) {
	if m.byID == nil { // not before: groups that only keep offsets come and go with every commit
		m.byID, m.static = map[string]*member{}, map[string]*member{}
	}
	m.members = append(m.members, mem)
	m.byID[mem.id] = mem
	if mem.instance != "" {
		m.static[mem.instance] = mem
	}
}

// remove takes mem out of the group; whatever it waits for is answered with UNKNOWN_MEMBER_ID, so that it joins anew if
// it is still there. The caller goes on with the rebalance.
func (m *classicGroup) remove(mem *member, fx *coordinator.Effects) {
	m.answerJoin(mem, joinRefused("", kerr.UnknownMemberID), fx)
	m.answerSync(mem, syncRefused(kerr.UnknownMemberID), fx)
	m.members = slices.DeleteFunc(m.members, func(other *member) bool { return other == mem })
	delete(m.byID, mem.id)
	if m.static[mem.instance] == mem {
		delete(m.static, mem.instance)
	}
	if m.leader == mem.id {
		m.leader = ""
		if len(m.members) > 0 {
			m.leader = m.members[0].id
		}
	}
}

// checkMember says whether the sender of a request is the member that it says it is.
func (m *classicGroup) checkMember(id, instance string) kerr.Code {
	if instance != "" {
		switch holder := m.static[instance]; {
		case holder == nil:
			return kerr.UnknownMemberID
		case holder.id != id:
			return kerr.FencedInstanceID
		}
	}
	if m.byID[id] == nil {
		return kerr.UnknownMemberID
	}
	return kerr.None
}

// record is the group as it is to last, with the members' assignments as assigned has them.
func (m *classicGroup) record(assigned func(*member) []byte) image.GroupRecord {
	g := image.Group{
		ID: m.id, ProtocolType: m.protocolType, Generation: m.generation,
		Protocol: m.protocol, Leader: m.leader, StateSince: m.stateSince,
	}
	for _, mem := range m.members {
		g.Members = append(g.Members, mem.durable(m.protocol, assigned(mem)))
	}
	owner, epoch, since := m.owner()
	return image.GroupRecord{Group: g, Owner: owner, OwnerEpoch: epoch, OwnerSince: since}
}

// propose records the group; then is told the outcome.
func (m *classicGroup) propose(r image.GroupRecord, fx *coordinator.Effects, then func(now coordinator.Instant, err error, fx *coordinator.Effects)) {
	m.recording++
	fx.Propose(func(now coordinator.Instant, err error, fx *coordinator.Effects) {
		m.recording--
		then(now, err, fx)
	}, r)
}
