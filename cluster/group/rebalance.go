package group

import (
	"slices"
	"time"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
)

// rebalance begins one, or goes on with the one that is being prepared when all have joined.
func (m *classicGroup) rebalance(now coordinator.Instant, fx *coordinator.Effects) {
	if m.state == preparingRebalance {
		if !m.initial && m.allJoined() {
			m.complete(now, fx)
		}
		return
	}
	m.prepare(now, fx)
}

// afterRemoval goes on when a member is gone. A first rebalance does not wait for more members when nobody is left to
// join.
func (m *classicGroup) afterRemoval(now coordinator.Instant, fx *coordinator.Effects) {
	switch m.state {
	case stable, completingRebalance:
		m.prepare(now, fx)
	case preparingRebalance:
		if m.allJoined() {
			m.complete(now, fx)
		}
	}
}

// prepare asks everybody to join again: heartbeats and syncs answer REBALANCE_IN_PROGRESS from now on.
func (m *classicGroup) prepare(now coordinator.Instant, fx *coordinator.Effects) {
	if m.state == completingRebalance {
		m.refuseSyncs(now, kerr.RebalanceInProgress, fx)
	}
	m.syncBy, m.recordBy, m.storing = never, never, false
	for _, mem := range m.members {
		mem.unsynced = false
	}
	m.initial = m.state == empty
	m.enter(preparingRebalance, now)
	if !m.initial {
		m.joinBy = now.Up + m.rebalanceTimeout()
		m.rebalance(now, fx)
		return
	}
	m.delay, m.grown = m.config().InitialRebalanceDelay, false
	m.remaining = max(m.rebalanceTimeout()-m.delay, 0)
	m.joinBy = now.Up + m.delay
	if m.delay <= 0 {
		m.complete(now, fx)
	}
}

// joinExpired puts a first rebalance off once more if somebody came meanwhile; any other goes on with who is there.
func (m *classicGroup) joinExpired(now coordinator.Instant, fx *coordinator.Effects) {
	if !m.initial || !m.grown || m.remaining == 0 {
		m.complete(now, fx)
		return
	}
	m.grown = false
	waited := m.delay
	m.delay = min(m.config().InitialRebalanceDelay, m.remaining)
	m.remaining = max(m.remaining-waited, 0)
	m.joinBy = now.Up + m.delay
}

// complete begins the next generation with those that have joined. Static members may be away for as long as their
// session lasts (KIP-345); others are no longer members.
func (m *classicGroup) complete(now coordinator.Instant, fx *coordinator.Effects) {
	m.initial = false
	for _, mem := range slices.Clone(m.members) {
		if mem.join == 0 && mem.instance == "" {
			m.remove(mem, fx)
		}
	}
	if len(m.members) > 0 && !m.electLeader() {
		m.joinBy = now.Up + m.rebalanceTimeout() // none is there: until their sessions end
		return
	}
	m.joinBy = never
	m.generation++
	if len(m.members) == 0 {
		m.becomeEmpty(now, fx)
		return
	}
	m.protocol = m.selectProtocol()
	m.enter(completingRebalance, now)
	m.syncBy = now.Up + m.rebalanceTimeout()
	for _, mem := range m.members {
		m.answerJoin(mem, m.joined(mem), fx)
		mem.heard(now)
		mem.fresh, mem.unsynced = false, true
	}
}

func (m *classicGroup) becomeEmpty(now coordinator.Instant, fx *coordinator.Effects) {
	m.protocol, m.leader = "", ""
	m.enter(empty, now)
	m.recordEmpty(now, fx)
}

// recordEmpty tries until it has succeeded or the group has members again. Nobody waits for it: should it fail for good,
// the members of the generation before stand there again after a restart, are not heard of, and are removed once more.
func (m *classicGroup) recordEmpty(now coordinator.Instant, fx *coordinator.Effects) {
	m.recordBy = never
	generation := m.generation
	m.propose(m.record((*member).assigned), fx, func(now coordinator.Instant, err error, _ *coordinator.Effects) {
		if err != nil && m.state == empty && m.generation == generation {
			m.recordLater(now)
		}
	})
}

// recordLater keeps the machine until the image has the group as it is: one made from the image would have members or
// the generation of long ago.
func (m *classicGroup) recordLater(now coordinator.Instant) {
	g, ok := m.image().Group(m.id)
	if recorded := ok && g.Generation == m.generation && len(g.Members) == 0; !recorded && m.generation > 0 {
		m.recordBy = now.Up + recordRetry
	}
}

// electLeader makes sure that the leader has joined.
func (m *classicGroup) electLeader() bool {
	if leader := m.byID[m.leader]; leader != nil && leader.join != 0 {
		return true
	}
	i := slices.IndexFunc(m.members, func(mem *member) bool { return mem.join != 0 })
	if i < 0 {
		return false
	}
	m.leader = m.members[i].id
	return true
}

// allJoined waits for those too that were only given an id, unless nobody else is there.
func (m *classicGroup) allJoined() bool {
	if len(m.members) == 0 {
		return true
	}
	return !m.pending.any() && !slices.ContainsFunc(m.members, func(mem *member) bool { return mem.join == 0 })
}

// rebalanceTimeout is the longest that a member asked for.
func (m *classicGroup) rebalanceTimeout() (longest time.Duration) {
	for _, mem := range m.members {
		longest = max(longest, mem.rebalance)
	}
	return longest
}
