package group

import (
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// consumerHeartbeat is ConsumerGroupHeartbeat. What is nil was not said, and is as it was before.
type consumerHeartbeat struct {
	ticket    coordinator.Ticket
	from      Client
	memberID  string
	epoch     int32 // or joining, leaving, leavingForAWhile
	instance  *string
	rack      *string
	rebalance *time.Duration
	topics    []string
	pattern   *string
	assignor  *string
	owned     partitions
	found     *found // what pattern matches, when that was looked up
}

// full says whether the member tells all that it knows, and is to be told all.
func (h *consumerHeartbeat) full() bool {
	return h.epoch == joining || h.rebalance != nil && (h.topics != nil || h.pattern != nil) && h.owned != nil
}

// consumerHeartbeat is answered when what came of it will last.
func (m *machine) consumerHeartbeat(now coordinator.Instant, h consumerHeartbeat, fx *coordinator.Effects) {
	if m.dead {
		fx.Answer(h.ticket, kerr.CoordinatorNotAvailable)
		return
	}
	if h.epoch >= 0 && !m.matched(h, fx) {
		return
	}
	if h.epoch == joining {
		if err := m.upgrade(now, h, fx); err != nil {
			fx.Answer(h.ticket, err)
			return
		}
	}
	g, ok := m.kind.(*consumerGroup)
	if !ok {
		fx.Answer(h.ticket, kerr.Detail(kerr.GroupIDNotFound, "%s", m.missing(image.ConsumerGroup)))
		return
	}
	var err error
	if h.epoch < 0 {
		err = g.leaveBy(now, h, fx)
	} else {
		err = g.heartbeatBy(now, h, fx)
	}
	if err != nil {
		fx.Answer(h.ticket, err)
		g.ledger.flush(fx)
	}
}

func (g *consumerGroup) heartbeatBy(now coordinator.Instant, h consumerHeartbeat, fx *coordinator.Effects) error {
	mem, err := g.seatFor(now, &h)
	if err != nil {
		return err
	}
	before := mem.held
	if h.found != nil {
		g.take(now, *h.pattern, *h.found)
	}
	if g.update(mem, &h) {
		g.changed(now)
	}
	g.reconcile(now, mem, h.owned)
	g.heard(mem, now)
	r := heartbeatAnswer(mem.id, mem.epoch)
	r.HeartbeatIntervalMillis = int32(g.settings().heartbeat.Milliseconds())
	if h.full() || !mem.held.equal(before) {
		r.Assignment = &kmsg.ConsumerGroupHeartbeatResponseAssignment{Topics: heartbeatTopics(mem.held)}
	}
	g.ledger.answer(h.ticket, r, nil, fx)
	g.ledger.flush(fx)
	return nil
}

// seatFor is the member that sends h: one that is there, a new one, or one that takes the place of a static member.
func (g *consumerGroup) seatFor(now coordinator.Instant, h *consumerHeartbeat) (*consumer, error) {
	mem, instance := g.members[h.memberID], value(h.instance)
	if is := g.static[instance]; is != nil || instance != "" && h.epoch != joining {
		mem = is
	}
	switch {
	case h.epoch != joining:
		return mem, g.checkSeat(mem, h)
	case mem == nil:
		if most := g.config().ConsumerMaxSize; len(g.members) >= most {
			return nil, fullOf(most)
		}
		return newConsumer(h.memberID, instance), nil
	case instance != "" && mem.epoch != leavingForAWhile && mem.classic == nil && mem.id != h.memberID:
		return nil, kerr.Detail(kerr.UnreleasedInstanceID, "The instance id %s is in use by member %s.", instance, mem.id)
	case mem.id != h.memberID:
		return g.replace(mem, h.memberID), nil
	}
	// Who joins again has let go of everything, as the request has to say.
	g.hold(mem, partitions{}, partitions{})
	mem.state, mem.revokeBy = reconciled, never
	mem.epoch, mem.previous = joining, joining
	return mem, nil
}

// fullOf refuses who is one too many.
func fullOf(most int) error {
	return kerr.Detail(kerr.GroupMaxSizeReached, "The consumer group has reached its maximum capacity of %d members.", most)
}

func (g *consumerGroup) checkSeat(mem *consumer, h *consumerHeartbeat) error {
	switch {
	case mem == nil && h.instance != nil:
		return kerr.Detail(kerr.UnknownMemberID, "Instance id %s is unknown.", *h.instance)
	case mem == nil:
		return kerr.Detail(kerr.UnknownMemberID, "Member %s is not a member of group %s.", h.memberID, g.id)
	case mem.id != h.memberID:
		return kerr.Detail(kerr.FencedInstanceID, "Member %s with instance id %s was fenced by member %s.", h.memberID, *h.instance, mem.id)
	case h.epoch < 0:
		return nil
	}
	if code := mem.checkEpoch(h.epoch, h.owned != nil && h.owned.within(mem.held)); code != kerr.None {
		return kerr.Detail(code, "The member is at epoch %d and not at %d. It must let go of all its partitions and join again.", mem.epoch, h.epoch)
	}
	return nil
}

// replace has a member with another id take the place of a static one, with all that it had (KIP-345).
func (g *consumerGroup) replace(old *consumer, id string) *consumer {
	g.drop(old)
	if other := g.members[id]; other != nil {
		g.drop(other)
	}
	mem := *old
	mem.id, mem.epoch, mem.previous = id, joining, joining
	mem.state, mem.revoking = reconciled, partitions{}
	mem.revokeBy, mem.joinBy, mem.syncBy = never, never, never
	mem.granted = maps.Clone(old.granted)
	mem.forget()
	g.enlist(&mem)
	g.ledger.mark(memberEntry+id, currentEntry+id, targetEntry+id)
	return &mem
}

// update takes over what a member says about itself, and says whether that is another epoch of the group.
func (g *consumerGroup) update(mem *consumer, h *consumerHeartbeat) (changed bool) {
	was := g.encode(memberEntry + mem.id)
	if g.members[mem.id] == nil {
		g.enlist(mem)
		g.ledger.mark(currentEntry+mem.id, targetEntry+mem.id)
		changed = true
	}
	if h.instance != nil {
		if g.static[mem.instance] == mem {
			delete(g.static, mem.instance)
		}
		mem.instance = *h.instance
		g.static[mem.instance] = mem
	}
	if h.rack != nil {
		mem.rack = *h.rack
	}
	if h.rebalance != nil {
		mem.rebalance = *h.rebalance
	}
	if h.assignor != nil && mem.assignor != *h.assignor {
		preferred := g.assignorName()
		mem.assignor = *h.assignor
		changed = changed || g.assignorName() != preferred
	}
	if h.topics != nil && !slices.Equal(mem.topics, h.topics) {
		mem.topics, changed = h.topics, true
	}
	if h.pattern != nil && mem.pattern != *h.pattern {
		mem.pattern, changed = *h.pattern, true
	}
	mem.client, mem.classic, mem.joinBy, mem.syncBy = h.from, nil, never, never
	if string(g.encode(memberEntry+mem.id)) != string(was) {
		g.ledger.mark(memberEntry + mem.id)
	}
	return changed
}

// leaveBy has a member go: for good, or, a static one, until its session ends.
func (g *consumerGroup) leaveBy(now coordinator.Instant, h consumerHeartbeat, fx *coordinator.Effects) error {
	mem := g.members[h.memberID]
	if h.instance != nil {
		mem = g.static[*h.instance]
	}
	if err := g.checkSeat(mem, &h); err != nil {
		return err
	}
	answer := heartbeatAnswer(mem.id, h.epoch)
	if h.epoch == leaving {
		g.ledger.mark(memberEntry + mem.id)
		g.ledger.answer(h.ticket, answer, nil, fx)
		g.remove(now, []*consumer{mem}, fx)
		return nil
	}
	g.hold(mem, mem.held, partitions{})
	mem.grant(mem.held, joining) // whoever comes back may commit
	mem.epoch, mem.state, mem.revokeBy = leavingForAWhile, reconciled, never
	g.ledger.mark(currentEntry + mem.id)
	g.ledger.answer(h.ticket, answer, nil, fx)
	g.ledger.flush(fx)
	return nil
}

// sortedNames is names in order, each once; never nil, which would be another thing to say.
func sortedNames(names []string) []string {
	sorted := append([]string{}, names...)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

func heartbeatAnswer(id string, epoch int32) *kmsg.ConsumerGroupHeartbeatResponse {
	r := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	r.MemberID, r.MemberEpoch = &id, epoch
	return r
}

func heartbeatTopics(p partitions) []kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic {
	list := []kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic{}
	for _, t := range p.topics() {
		topic := kmsg.NewConsumerGroupHeartbeatResponseAssignmentTopic()
		topic.TopicID, topic.Partitions = t, p[t]
		list = append(list, topic)
	}
	return list
}
