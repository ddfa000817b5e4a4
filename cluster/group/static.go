package group

import (
	"slices"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
)

// replaceStatic lets a static member in again that came back without its member id: it takes the place of old, which is
// fenced from now on (KIP-345). In a stable group nothing is rebalanced as long as the choice of protocol stays.
func (m *classicGroup) replaceStatic(now coordinator.Instant, old *member, j joinRequest, fx *coordinator.Effects) {
	leader := m.leader
	m.answerJoin(old, joinRefused(old.id, kerr.FencedInstanceID), fx)
	m.answerSync(old, syncRefused(kerr.FencedInstanceID), fx)
	mem := *old
	mem.id, mem.fresh = j.newMemberID, false
	m.substitute(old, &mem)
	m.update(&mem, j, fx)
	mem.heard(now)
	switch {
	case m.state == stable && m.selectProtocol() == m.protocol:
		m.storeStatic(now, old, &mem, leader, j.version, fx)
	case m.state == completingRebalance:
		// The leader may be working with the old id.
		m.prepare(now, fx)
	default:
		m.rebalance(now, fx)
	}
}

// storeStatic answers mem when its new id will last: had it been told one that is forgotten, it would be fenced by its
// own former self.
func (m *classicGroup) storeStatic(now coordinator.Instant, old, mem *member, leader string, version int16, fx *coordinator.Effects) {
	ticket, generation := mem.join, m.generation
	m.propose(m.record((*member).assigned), fx, func(now coordinator.Instant, err error, fx *coordinator.Effects) {
		if m.byID[mem.id] != mem || mem.join != ticket || m.state != stable || m.generation != generation {
			return // it was answered, or waits for a rebalance now
		}
		if err != nil {
			m.answerJoin(mem, joinRefused("", stored(err)), fx)
			m.substitute(mem, old)
			old.heard(now)
			return
		}
		r := m.joined(mem)
		if version >= skipAssignmentVersion {
			r.SkipAssignment = m.leader == mem.id
		} else {
			// Told that it leads, it would assign, and nobody would hear of that. The old id is not its own.
			r.LeaderID, r.Members = leader, nil
		}
		m.answerJoin(mem, r, fx)
		mem.heard(now)
	})
}

// substitute puts is in the place of was.
func (m *classicGroup) substitute(was, is *member) {
	m.members[slices.Index(m.members, was)] = is
	delete(m.byID, was.id)
	m.byID[is.id] = is
	m.static[is.instance] = is
	if m.leader == was.id {
		m.leader = is.id
	}
}
