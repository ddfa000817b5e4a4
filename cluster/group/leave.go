package group

import (
	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
)

// leaver is one of the members that a LeaveGroup request names: by id, or as an administrator by instance alone.
type leaver struct{ memberID, instance string }

// leave removes members and answers with a code for each of them, or with the one code of all.
func (m *classicGroup) leave(now coordinator.Instant, t coordinator.Ticket, leavers []leaver, fx *coordinator.Effects) {
	codes := make([]kerr.Code, len(leavers))
	left := false
	for i, l := range leavers {
		codes[i] = m.leaveOne(l, fx)
		left = left || codes[i] == kerr.None
	}
	fx.Answer(t, codes)
	if !left {
		return
	}
	if m.state == preparingRebalance && m.initial && len(m.members) > 0 {
		return // the first rebalance goes on waiting for more
	}
	m.afterRemoval(now, fx)
}

func (m *classicGroup) leaveOne(l leaver, fx *coordinator.Effects) kerr.Code {
	if m.pending.drop(l.memberID) {
		return kerr.None
	}
	mem := m.byID[l.memberID]
	if l.memberID == "" && l.instance != "" {
		mem = m.static[l.instance]
	} else if code := m.checkMember(l.memberID, l.instance); code != kerr.None {
		return code
	}
	if mem == nil {
		return kerr.UnknownMemberID
	}
	m.remove(mem, fx)
	return kerr.None
}

// heartbeat keeps a member's session and tells it of a rebalance.
func (m *classicGroup) heartbeat(now coordinator.Instant, memberID, instance string, generation int32) kerr.Code {
	if code := m.checkMember(memberID, instance); code != kerr.None {
		return code
	}
	if generation != m.generation {
		return kerr.IllegalGeneration
	}
	m.byID[memberID].heard(now)
	if m.state == preparingRebalance {
		return kerr.RebalanceInProgress
	}
	return kerr.None
}
