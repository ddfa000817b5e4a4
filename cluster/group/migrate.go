package group

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// upgrade makes a classic group a consumer group for a member of KIP-848 that joins, if it may be one. The members that it
// has stay, with what they hold, and go on with their own protocol. COORDINATOR_NOT_AVAILABLE while a record of the classic
// group is on its way: what the image has by then is not known yet. GROUP_MAX_SIZE_REACHED.
func (m *machine) upgrade(now coordinator.Instant, h consumerHeartbeat, fx *coordinator.Effects) error {
	was, ok := m.kind.(*classicGroup)
	if !ok {
		return nil
	}
	if m.recording > 0 {
		return kerr.CoordinatorNotAvailable
	}
	g := emptyConsumerGroup(m, was.generation)
	if was.occupied() {
		config := m.config()
		if !config.Upgrade || was.protocolType != consumerProtocol || len(was.members) > config.ConsumerMaxSize {
			return nil
		}
		if len(was.members) == config.ConsumerMaxSize && was.byID[h.memberID] == nil && was.static[value(h.instance)] == nil {
			return fullOf(config.ConsumerMaxSize)
		}
		if !was.enter848(g, now) {
			return nil
		}
	}
	was.retire(fx)
	m.become(g, now, fx)
	g.ledger.markStored() // it may have been one before, and not recorded as a classic one
	if !g.occupied() {
		return nil // what was before lasts until there is somebody
	}
	for _, mem := range g.members {
		g.ledger.mark(memberEntry+mem.id, currentEntry+mem.id, targetEntry+mem.id)
	}
	g.at.topics = g.topicsNow()
	g.ledger.mark(epochsKey)
	return nil
}

// enter848 has the members of a classic group join g; false when one of them can't be understood, or an assignor of their own
// told it more than partitions, which it would not be told again. Who was never answered does not know that it is one, and
// joins anew.
func (m *classicGroup) enter848(g *consumerGroup, now coordinator.Instant) bool {
	for _, is := range m.members {
		if is.fresh {
			continue
		}
		if len(is.protocols) == 0 {
			return false
		}
		says, ok := readSubscription(is.chosen(m.protocol))
		if !ok {
			return false
		}
		mem := newConsumer(is.id, is.instance)
		mem.rack, mem.client, mem.topics = value(says.Rack), is.client, sortedNames(says.Topics)
		mem.epoch, mem.previous = m.generation, m.generation
		mem.rebalance, mem.classic = is.rebalance, &classicSide{is.session, is.protocols}
		if len(is.assignment) == 0 {
			mem.held = heldBy(m.image(), says) // the group was about to assign: nobody holds more than it said when it joined
		} else if mem.held, ok = heldIn(m.image(), is.assignment); !ok {
			return false
		}
		g.enlist(mem)
		mem.target = mem.held
		mem.grant(mem.held, mem.epoch)
		g.heard(mem, now)
	}
	return true
}

// chosen is the member's metadata for the group's protocol, or, before there is one, for its own first.
func (mem *member) chosen(protocol string) []byte {
	if mem.supports(protocol) {
		return mem.metadata(protocol)
	}
	return mem.protocols[0].metadata
}

// heldIn reads the assignment of a member of the classic protocol; not ok when there is none, or it says more than that.
func heldIn(img *image.Image, assignment []byte) (p partitions, ok bool) {
	a := kmsg.NewConsumerMemberAssignment()
	if len(assignment) < 2 || a.ReadFrom(assignment) != nil || len(a.UserData) > 0 {
		return nil, false
	}
	p = partitions{}
	for _, in := range a.Topics {
		p = namedToo(img, p, in.Topic, in.Partitions)
	}
	return p, true
}

// retire ends a classic group that becomes another one: whoever waits is to join again, and what is in flight finds nobody.
func (m *classicGroup) retire(fx *coordinator.Effects) {
	for _, mem := range m.members {
		m.answerJoin(mem, joinRefused(mem.id, kerr.RebalanceInProgress), fx)
		m.answerSync(mem, syncRefused(kerr.RebalanceInProgress), fx)
	}
	m.state, m.members = empty, nil
	clear(m.byID)
	clear(m.static)
}

// mayDowngrade says whether all members speak the classic protocol now, and the group may become one of theirs. It is asked
// whenever somebody has gone or joined by that.
func (g *consumerGroup) mayDowngrade() bool {
	config := g.config()
	if !config.Downgrade || len(g.members) == 0 || len(g.members) > config.MaxSize {
		return false
	}
	for _, mem := range g.members {
		if mem.classic == nil {
			return false
		}
	}
	return true
}

// downgrade makes the group a classic one whose members hold what they do, and has them rebalance. Answers that wait for the
// changes that led here wait for the record of that.
func (g *consumerGroup) downgrade(now coordinator.Instant, fx *coordinator.Effects) *classicGroup {
	is := newClassicGroup(g.machine, nil, now).(*classicGroup)
	is.protocolType, is.generation = consumerProtocol, g.at.group
	for _, mem := range g.sorted() {
		member := &member{
			id: mem.id, instance: mem.instance, client: mem.client, session: mem.classic.session, rebalance: mem.rebalance,
			protocols: mem.classic.protocols, assignment: assignmentFor(g.image(), mem.classic.protocols[0].metadata, mem.held),
		}
		member.heard(now)
		is.enlist(member)
	}
	is.leader, is.protocol = is.members[0].id, is.selectProtocol()
	is.enter(stable, now)
	waiting := g.ledger.waiting
	g.ledger.waiting = nil
	g.ledger.close(fx)
	g.machine.become(is, now, fx)
	is.propose(is.record((*member).assigned), fx, func(_ coordinator.Instant, err error, fx *coordinator.Effects) {
		if err != nil {
			g.ledger.refuse(waiting, stored(err), fx)
			return // a record of the rebalance that follows makes it last
		}
		for _, a := range waiting {
			fx.Answer(a.to, a.body)
		}
	})
	is.prepare(now, fx)
	return is
}

// vacate makes way for a classic group where a consumer or streams group has no members. It is false while the log does not have
// that yet.
func (m *machine) vacate(now coordinator.Instant, fx *coordinator.Effects) bool {
	is := newClassicGroup(m, nil, now).(*classicGroup)
	switch g := m.kind.(type) {
	case *consumerGroup:
		is.generation = g.at.group
	case *streamsGroup:
		is.generation = g.epochs.group
	default:
		return true
	}
	if m.kind.occupied() || !m.kind.idle() {
		return m.kind.occupied()
	}
	m.become(is, now, fx)
	return true
}
