package group

import (
	"slices"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// classicProtocol is what kinds have that serve members of the classic protocol.
type classicProtocol interface {
	join(coordinator.Instant, joinRequest, *coordinator.Effects)
	sync(coordinator.Instant, syncRequest, *coordinator.Effects)
	heartbeat(now coordinator.Instant, memberID, instance string, generation int32) kerr.Code
	leave(coordinator.Instant, coordinator.Ticket, []leaver, *coordinator.Effects)
}

// join is JoinGroup. A group that has members of another protocol has none to offer; one that has none any more makes way,
// unless it is a share group (vacate).
func (m *machine) join(now coordinator.Instant, j joinRequest, fx *coordinator.Effects) {
	if !m.dead && !m.vacate(now, fx) {
		fx.Answer(j.ticket, joinRefused(j.memberID, kerr.CoordinatorNotAvailable))
		return
	}
	is, serves := m.kind.(classicProtocol)
	switch {
	case m.dead:
		fx.Answer(j.ticket, joinRefused(j.memberID, kerr.CoordinatorNotAvailable))
	case serves:
		is.join(now, j, fx)
	default:
		fx.Answer(j.ticket, joinRefused(j.memberID, kerr.InconsistentGroupProtocol))
	}
}

func (m *machine) sync(now coordinator.Instant, s syncRequest, fx *coordinator.Effects) {
	is, serves := m.kind.(classicProtocol)
	switch {
	case m.dead:
		fx.Answer(s.ticket, syncRefused(kerr.CoordinatorNotAvailable))
	case serves:
		is.sync(now, s, fx)
	default:
		fx.Answer(s.ticket, syncRefused(kerr.UnknownMemberID))
	}
}

func (m *machine) heartbeat(now coordinator.Instant, memberID, instance string, generation int32) kerr.Code {
	is, serves := m.kind.(classicProtocol)
	switch {
	case m.dead:
		return kerr.CoordinatorNotAvailable
	case serves:
		return is.heartbeat(now, memberID, instance, generation)
	}
	return kerr.UnknownMemberID
}

// leave is answered with a code for each that leaves, or with the one code of all.
func (m *machine) leave(now coordinator.Instant, t coordinator.Ticket, leavers []leaver, fx *coordinator.Effects) {
	is, serves := m.kind.(classicProtocol)
	switch {
	case m.dead:
		fx.Answer(t, kerr.CoordinatorNotAvailable)
	case serves:
		is.leave(now, t, leavers, fx)
	default:
		fx.Answer(t, slices.Repeat([]kerr.Code{kerr.UnknownMemberID}, len(leavers)))
	}
}

// What a classic group says to machine.

func (m *classicGroup) is() image.GroupKind { return image.ClassicGroup }
func (m *classicGroup) occupied() bool      { return m.state != empty }

func (m *classicGroup) summary() (state, protocolType string) {
	return m.state.String(), m.protocolType
}

func (m *classicGroup) topicsChanged(coordinator.Instant, *coordinator.Effects) {} // its leader watches them

func (m *classicGroup) stop(coordinator.Instant, *coordinator.Effects) {
	m.pending = pending{} // members that only have an id do not keep a group
	m.recordBy = never
}

func (m *classicGroup) revive(now coordinator.Instant, _ *coordinator.Effects) { m.recordLater(now) }

func (m *classicGroup) committed(now coordinator.Instant, memberID string) {
	if mem := m.byID[memberID]; mem != nil {
		mem.heard(now)
	}
}

// checkFetch lets everybody read: generations are not asked for.
func (m *classicGroup) checkFetch(string, int32) kerr.Code { return kerr.None }
