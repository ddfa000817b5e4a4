package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
)

const (
	memberIDRequiredVersion = 4 // KIP-394
	skipAssignmentVersion   = 9 // KIP-814
)

// joinRequest is JoinGroup.
type joinRequest struct {
	ticket       coordinator.Ticket
	version      int16
	from         Client
	memberID     string // "" for a new member
	newMemberID  string // the id that a new member gets
	instance     string
	protocolType string
	protocols    []protocol
	session      time.Duration
	rebalance    time.Duration
}

// join is answered when the rebalance that it leads to has gathered its members.
func (m *classicGroup) join(now coordinator.Instant, j joinRequest, fx *coordinator.Effects) {
	switch {
	case j.memberID != "" && !m.exists():
		fx.Answer(j.ticket, joinRefused(j.memberID, kerr.UnknownMemberID))
	case !m.accepts(j.memberID):
		fx.Answer(j.ticket, joinRefused("", kerr.GroupMaxSizeReached))
		if mem := m.byID[j.memberID]; mem != nil {
			m.remove(mem, fx)
			m.afterRemoval(now, fx)
		}
	case !m.supports(j.protocolType, j.protocols):
		fx.Answer(j.ticket, joinRefused(j.memberID, kerr.InconsistentGroupProtocol))
	case j.memberID == "":
		m.joinNew(now, j, fx)
	default:
		m.joinKnown(now, j, fx)
	}
}

// accepts counts those that have joined again while a rebalance is being prepared, so that a group that is larger than
// allowed (the limit was lowered) loses those that come last; then it counts the members.
func (m *classicGroup) accepts(memberID string) bool {
	limit := m.config().MaxSize
	mem := m.byID[memberID]
	switch m.state {
	case preparingRebalance:
		joined := 0
		for _, other := range m.members {
			if other.join != 0 {
				joined++
			}
		}
		return mem != nil && mem.join != 0 || joined < limit
	case completingRebalance, stable:
		return mem != nil || len(m.members) < limit
	}
	return true
}

func (m *classicGroup) joinNew(now coordinator.Instant, j joinRequest, fx *coordinator.Effects) {
	if j.instance != "" {
		if old := m.static[j.instance]; old != nil {
			m.replaceStatic(now, old, j, fx)
			return
		}
	} else if j.version >= memberIDRequiredVersion {
		m.pending.add(j.newMemberID, now.Up+j.session)
		fx.Answer(j.ticket, joinRefused(j.newMemberID, kerr.MemberIDRequired))
		return
	}
	m.addMember(now, j.newMemberID, j, fx)
}

func (m *classicGroup) joinKnown(now coordinator.Instant, j joinRequest, fx *coordinator.Effects) {
	if j.instance == "" && m.pending.drop(j.memberID) {
		m.addMember(now, j.memberID, j, fx)
		return
	}
	if code := m.checkMember(j.memberID, j.instance); code != kerr.None {
		fx.Answer(j.ticket, joinRefused(j.memberID, code))
		return
	}
	mem := m.byID[j.memberID]
	// A leader that joins again wants a rebalance although nothing about it changed: partitions were added, say. Others
	// may not have received the answer to their join.
	again := m.state == preparingRebalance || m.state == stable && m.leader == mem.id || !mem.matches(j.protocols)
	if !again {
		fx.Answer(j.ticket, m.joined(mem))
		return
	}
	m.update(mem, j, fx)
	m.rebalance(now, fx)
}

func (m *classicGroup) addMember(now coordinator.Instant, id string, j joinRequest, fx *coordinator.Effects) {
	mem := &member{id: id, instance: j.instance, fresh: true, expires: now.Up + newMemberTimeout}
	if len(m.members) == 0 {
		m.protocolType = j.protocolType
	}
	if m.leader == "" {
		m.leader = id
	}
	m.enlist(mem)
	m.update(mem, j, fx)
	m.grown = true
	m.rebalance(now, fx)
}

// update takes over what a member says about itself, and that it waits.
func (m *classicGroup) update(mem *member, j joinRequest, fx *coordinator.Effects) {
	// The member asks again because it gave up on the request before; that one's answer only has to come.
	m.answerJoin(mem, joinRefused(mem.id, kerr.RebalanceInProgress), fx)
	mem.client, mem.protocols = j.from, j.protocols
	mem.session, mem.rebalance = j.session, j.rebalance
	mem.join = j.ticket
}

func (m *classicGroup) answerJoin(mem *member, r *kmsg.JoinGroupResponse, fx *coordinator.Effects) {
	fx.Answer(mem.join, r)
	mem.join = 0
}

// joined tells mem the present generation, the leader who is in it.
func (m *classicGroup) joined(mem *member) *kmsg.JoinGroupResponse {
	r := kmsg.NewPtrJoinGroupResponse()
	r.Generation, r.LeaderID, r.MemberID = m.generation, m.leader, mem.id
	r.ProtocolType, r.Protocol = text(m.protocolType), text(m.protocol)
	if m.leader == mem.id {
		r.Members = m.roll()
	}
	return r
}

func (m *classicGroup) roll() []kmsg.JoinGroupResponseMember {
	list := make([]kmsg.JoinGroupResponseMember, len(m.members))
	for i, mem := range m.members {
		list[i] = kmsg.NewJoinGroupResponseMember()
		list[i].MemberID, list[i].ProtocolMetadata = mem.id, mem.metadata(m.protocol)
		list[i].InstanceID = optional(mem.instance)
	}
	return list
}

func joinRefused(memberID string, code kerr.Code) *kmsg.JoinGroupResponse {
	r := kmsg.NewPtrJoinGroupResponse()
	r.ErrorCode, r.MemberID, r.Generation = int16(code), memberID, -1
	return r
}

func text(s string) *string { return &s }

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
