package group

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// shareRequest is ShareGroupHeartbeat. What is nil was not said, and is as it was before.
type shareRequest struct {
	ticket   coordinator.Ticket
	from     Client
	memberID string
	epoch    int32 // or joining, leaving
	rack     *string
	topics   []string // sorted
	waited   bool     // for states to be begun
}

// shareHeartbeat is answered when what came of it will last.
func (m *machine) shareHeartbeat(now coordinator.Instant, h shareRequest, fx *coordinator.Effects) {
	if m.dead {
		fx.Answer(h.ticket, kerr.CoordinatorNotAvailable)
		return
	}
	if h.epoch == joining && !m.exists() {
		m.become(newShareGroup(m, nil, now), now, fx)
	}
	g, ok := m.kind.(*shareGroup)
	if !ok {
		fx.Answer(h.ticket, kerr.Detail(kerr.GroupIDNotFound, "%s", m.missing(image.ShareGroup)))
		return
	}
	var err error
	if h.epoch == leaving {
		err = g.leaveBy(now, h, fx)
	} else {
		err = g.heartbeat(now, h, fx)
	}
	if err != nil {
		fx.Answer(h.ticket, err)
	}
	g.ledger.flush(fx)
}

func (g *shareGroup) leaveBy(now coordinator.Instant, h shareRequest, fx *coordinator.Effects) error {
	mem := g.members[h.memberID]
	if mem == nil {
		return kerr.Detail(kerr.UnknownMemberID, "Member %s is not a member of group %s.", h.memberID, g.id)
	}
	g.remove(mem)
	g.changed(now)
	g.ledger.answer(h.ticket, shareAnswer(mem.id, leaving), nil, fx)
	return nil
}

func (g *shareGroup) heartbeat(now coordinator.Instant, h shareRequest, fx *coordinator.Effects) error {
	mem, err := g.seatFor(h)
	if err != nil {
		return err
	}
	if g.update(mem, h) {
		g.begin(now, fx)
		g.changed(now)
	}
	g.heard(mem, now)
	if !h.waited && (h.epoch == joining || h.topics != nil) && (g.writing > 0 || g.assignBy != never) {
		h.waited = true
		g.held = append(g.held, h) // a moment later there is something for it
		return nil
	}
	moved := g.advance(mem)
	r := shareAnswer(mem.id, mem.epoch)
	r.HeartbeatIntervalMillis = g.machine.group(g.id).Share.HeartbeatIntervalMs
	if h.epoch == joining || h.topics != nil || moved {
		r.Assignment = &kmsg.ShareGroupHeartbeatResponseAssignment{TopicPartitions: sharedTopics(mem.has)}
	}
	g.ledger.answer(h.ticket, r, nil, fx)
	return nil
}

// seatFor is the member that sends h, or a new one.
func (g *shareGroup) seatFor(h shareRequest) (*sharer, error) {
	mem := g.members[h.memberID]
	most := g.config().ShareMaxSize
	switch {
	case mem == nil && h.epoch != joining:
		return nil, kerr.Detail(kerr.UnknownMemberID, "Member %s is not a member of group %s.", h.memberID, g.id)
	case mem == nil && len(g.members) >= most:
		return nil, kerr.Detail(kerr.GroupMaxSizeReached, "The share group has reached its maximum capacity of %d members.", most)
	case mem == nil:
		return &sharer{seat: seat{id: h.memberID}, has: partitions{}, target: partitions{}}, nil
	case h.epoch == joining:
		return mem, nil
	}
	if code := mem.checkEpoch(h.epoch, true); code != kerr.None {
		return nil, kerr.Detail(code, "The share group member has epoch %d, and group %s knows it at %d: it must join again.", h.epoch, g.id, mem.epoch)
	}
	return mem, nil
}

// update takes over what the member says of itself, and says whether that changes what there is to assign.
func (g *shareGroup) update(mem *sharer, h shareRequest) (changed bool) {
	known := g.members[mem.id] != nil
	was := mem.seat
	mem.client = h.from
	if h.rack != nil {
		mem.rack = *h.rack
	}
	if h.topics != nil {
		mem.topics = h.topics
	}
	if known && was.client == mem.client && was.rack == mem.rack && slices.Equal(was.topics, mem.topics) {
		return false
	}
	g.members[mem.id] = mem
	g.ledger.mark(memberKey + mem.id)
	if !known {
		g.ledger.mark(currentKey+mem.id, targetKey+mem.id)
	}
	return !known || !slices.Equal(was.topics, mem.topics)
}

// advance brings a member to its target, and says whether that changes what it has.
func (g *shareGroup) advance(mem *sharer) (moved bool) {
	if mem.epoch == g.at.assignment {
		return false
	}
	moved = !mem.has.equal(mem.target)
	mem.seat.advance(g.at.assignment)
	mem.has = mem.target
	g.ledger.mark(currentKey + mem.id)
	return moved
}

func shareAnswer(id string, epoch int32) *kmsg.ShareGroupHeartbeatResponse {
	r := kmsg.NewPtrShareGroupHeartbeatResponse()
	r.MemberID, r.MemberEpoch = text(id), epoch
	return r
}

func sharedTopics(p partitions) (topics []kmsg.ShareGroupHeartbeatResponseAssignmentTopicPartition) {
	for _, t := range p.topics() {
		topics = append(topics, kmsg.ShareGroupHeartbeatResponseAssignmentTopicPartition{TopicID: t, Partitions: p[t]})
	}
	return topics
}
