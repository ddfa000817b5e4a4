package group

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
)

// syncRequest is SyncGroup.
type syncRequest struct {
	ticket       coordinator.Ticket
	memberID     string
	instance     string
	generation   int32
	protocolType *string // nil before version 5
	protocol     *string
	assignments  map[string][]byte // by member; only the leader's counts
}

// sync is answered with the member's assignment when the leader's sync has brought it and it will last.
func (m *classicGroup) sync(now coordinator.Instant, s syncRequest, fx *coordinator.Effects) {
	if code := m.checkSync(s); code != kerr.None {
		fx.Answer(s.ticket, syncRefused(code))
		return
	}
	mem := m.byID[s.memberID]
	m.synced(mem)
	if m.state == stable {
		fx.Answer(s.ticket, m.assignment(mem))
		return
	}
	m.answerSync(mem, syncRefused(kerr.RebalanceInProgress), fx) // of a sync that the member gave up on
	mem.sync = s.ticket
	if m.leader == mem.id && !m.storing {
		m.storeAssignments(now, s.assignments, fx)
	}
}

func (m *classicGroup) checkSync(s syncRequest) kerr.Code {
	if code := m.checkMember(s.memberID, s.instance); code != kerr.None {
		return code
	}
	switch {
	case s.generation != m.generation:
		return kerr.IllegalGeneration
	case s.protocolType != nil && *s.protocolType != m.protocolType, s.protocol != nil && *s.protocol != m.protocol:
		return kerr.InconsistentGroupProtocol
	case m.state == preparingRebalance:
		return kerr.RebalanceInProgress
	}
	return kerr.None
}

// storeAssignments makes the group stable when its record is in the log. A rebalance that begins before that has the
// last word: the record is then one of a generation that is over, as any is.
func (m *classicGroup) storeAssignments(now coordinator.Instant, assignments map[string][]byte, fx *coordinator.Effects) {
	m.storing = true
	generation := m.generation
	r := m.record(func(mem *member) []byte { return assignments[mem.id] })
	m.propose(r, fx, func(now coordinator.Instant, err error, fx *coordinator.Effects) {
		if m.state != completingRebalance || m.generation != generation {
			return
		}
		if err != nil {
			m.refuseSyncs(now, stored(err), fx)
			m.prepare(now, fx)
			return
		}
		m.storing = false
		m.enter(stable, now)
		for _, mem := range m.members {
			mem.assignment = assignments[mem.id]
			if mem.sync != 0 {
				m.answerSync(mem, m.assignment(mem), fx)
				mem.heard(now) // its session may have run out while it waited
			}
		}
	})
}

// syncExpired removes members that joined and then did not ask what for.
func (m *classicGroup) syncExpired(now coordinator.Instant, fx *coordinator.Effects) {
	for i := len(m.members) - 1; i >= 0; i-- {
		if mem := m.members[i]; mem.unsynced {
			m.remove(mem, fx)
		}
	}
	m.prepare(now, fx)
}

// synced notes that mem has asked.
func (m *classicGroup) synced(mem *member) {
	mem.unsynced = false
	for _, other := range m.members {
		if other.unsynced {
			return
		}
	}
	m.syncBy = never
}

func (m *classicGroup) refuseSyncs(now coordinator.Instant, code kerr.Code, fx *coordinator.Effects) {
	for _, mem := range m.members {
		mem.assignment = nil
		if mem.sync != 0 {
			m.answerSync(mem, syncRefused(code), fx)
			mem.heard(now)
		}
	}
}

func (m *classicGroup) answerSync(mem *member, r *kmsg.SyncGroupResponse, fx *coordinator.Effects) {
	fx.Answer(mem.sync, r)
	mem.sync = 0
}

func (m *classicGroup) assignment(mem *member) *kmsg.SyncGroupResponse {
	r := kmsg.NewPtrSyncGroupResponse()
	r.ProtocolType, r.Protocol, r.MemberAssignment = text(m.protocolType), text(m.protocol), mem.assignment
	return r
}

func (mem *member) assigned() []byte { return mem.assignment }

func syncRefused(code kerr.Code) *kmsg.SyncGroupResponse {
	r := kmsg.NewPtrSyncGroupResponse()
	r.ErrorCode = int16(code)
	return r
}

// stored is what a client is told when a record did not get into the log: to find the coordinator again and retry,
// since the outcome may be unknown. What is too large for the log will be so the next time too.
func stored(err error) kerr.Code {
	switch kerr.Of(err) {
	case kerr.None:
		return kerr.None
	case kerr.NotController, kerr.NotCoordinator:
		return kerr.NotCoordinator
	case kerr.RecordListTooLarge:
		return kerr.UnknownServerError
	}
	return kerr.CoordinatorNotAvailable
}
