package group

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// Members of the classic protocol in a consumer group (KIP-848, "Upgrade to the New Protocol"): JoinGroup brings what they
// subscribe to and hold, and answers with their epoch as the generation; none of them leads. SyncGroup answers with what the
// coordinator has assigned to them, Heartbeat has them join again when there is something else for them.

func (g *consumerGroup) join(now coordinator.Instant, j joinRequest, fx *coordinator.Effects) {
	code, says := g.checkJoin(j)
	if code != kerr.None {
		fx.Answer(j.ticket, joinRefused(j.memberID, code))
		return
	}
	if j.memberID == "" && j.instance == "" && j.version >= memberIDRequiredVersion {
		fx.Answer(j.ticket, joinRefused(j.newMemberID, kerr.MemberIDRequired))
		return
	}
	mem := g.seatForClassic(j)
	if g.updateClassic(mem, j, says) {
		g.changed(now)
	}
	if g.mayDowngrade() { // a static member came back with the classic protocol, and was the last with the other one
		g.downgrade(now, fx).join(now, j.knownAs(mem.id), fx)
		return
	}
	g.reconcile(now, mem, heldBy(g.image(), says))
	mem.joinBy, mem.syncBy = never, now.Up+mem.rebalance
	g.heard(mem, now)
	r := kmsg.NewPtrJoinGroupResponse()
	r.Generation, r.MemberID = mem.epoch, mem.id
	r.ProtocolType, r.Protocol = text(consumerProtocol), text(mem.classic.protocols[0].name)
	g.ledger.answer(j.ticket, r, func(code kerr.Code) any { return joinRefused(mem.id, code) }, fx)
	g.ledger.flush(fx)
}

// knownAs is j as the member sends it that was given an id.
func (j joinRequest) knownAs(id string) joinRequest {
	j.memberID = id
	return j
}

func (g *consumerGroup) checkJoin(j joinRequest) (kerr.Code, kmsg.ConsumerMemberMetadata) {
	known := g.members[j.memberID] != nil || g.static[j.instance] != nil
	config := g.config()
	switch {
	case !config.Upgrade && !config.Downgrade: // the two protocols don't mix
		return kerr.InconsistentGroupProtocol, kmsg.ConsumerMemberMetadata{}
	case !known && len(g.members) >= config.ConsumerMaxSize:
		return kerr.GroupMaxSizeReached, kmsg.ConsumerMemberMetadata{}
	case j.protocolType != consumerProtocol || !slices.ContainsFunc(j.protocols, g.common):
		return kerr.InconsistentGroupProtocol, kmsg.ConsumerMemberMetadata{}
	}
	says, ok := readSubscription(j.protocols[0].metadata)
	switch {
	case !ok:
		return kerr.InconsistentGroupProtocol, says
	case j.instance == "" || j.memberID == "":
		return kerr.None, says
	}
	return g.checkClassic(j.memberID, j.instance), says
}

// common says whether all members of the classic protocol know p, so that they could do without the coordinator.
func (g *consumerGroup) common(p protocol) bool {
	for _, mem := range g.members {
		knows := func(other protocol) bool { return other.name == p.name }
		if mem.classic != nil && !slices.ContainsFunc(mem.classic.protocols, knows) {
			return false
		}
	}
	return true
}

func (g *consumerGroup) seatForClassic(j joinRequest) *consumer {
	id := j.memberID
	if id == "" {
		id = j.newMemberID
	}
	mem := g.members[id]
	if j.instance != "" {
		mem = g.static[j.instance]
	}
	switch {
	case mem == nil:
		return newConsumer(id, j.instance)
	case mem.id != id:
		return g.replace(mem, id)
	}
	return mem
}

// updateClassic is update for a JoinGroup.
func (g *consumerGroup) updateClassic(mem *consumer, j joinRequest, says kmsg.ConsumerMemberMetadata) (changed bool) {
	h := consumerHeartbeat{from: j.from, rack: says.Rack, rebalance: &j.rebalance, topics: sortedNames(says.Topics), pattern: new(string)}
	changed = g.update(mem, &h)
	mem.classic = &classicSide{j.session, j.protocols}
	mem.assignor, mem.revokeBy = "", never
	g.ledger.mark(memberEntry + mem.id)
	return changed
}

// heldBy is what a member of the classic protocol says that it has: nothing when it has let go of everything to join.
func heldBy(img *image.Image, says kmsg.ConsumerMemberMetadata) partitions {
	p := partitions{}
	for _, owned := range says.OwnedPartitions {
		p = namedToo(img, p, owned.Topic, owned.Partitions)
	}
	return p
}

// namedToo is p with those partitions of a topic that there are: members and their leaders may say anything.
func namedToo(img *image.Image, p partitions, topic string, list []int32) partitions {
	t, ok := img.TopicNamed(topic)
	if !ok {
		return p
	}
	return p.plus(partitions{t.ID: list}.where(func(_ image.TopicID, n int32) bool { return hasPartition(t, n) }))
}

// checkClassic says whether there is such a member of the classic protocol.
func (g *consumerGroup) checkClassic(id, instance string) kerr.Code {
	mem := g.members[id]
	if instance != "" {
		mem = g.static[instance]
	}
	switch {
	case mem == nil:
		return kerr.UnknownMemberID
	case mem.id != id:
		return kerr.FencedInstanceID
	}
	return kerr.None
}

// classicMember is the sender of a request that only such a member sends.
func (g *consumerGroup) classicMember(id, instance string, generation int32) (*consumer, kerr.Code) {
	if code := g.checkClassic(id, instance); code != kerr.None {
		return nil, code
	}
	mem := g.members[id]
	switch {
	case mem.classic == nil:
		return nil, kerr.UnknownMemberID
	case mem.epoch != generation:
		return nil, kerr.IllegalGeneration
	}
	return mem, kerr.None
}

func (g *consumerGroup) sync(now coordinator.Instant, s syncRequest, fx *coordinator.Effects) {
	mem, code := g.classicMember(s.memberID, s.instance, s.generation)
	switch {
	case code != kerr.None:
	case s.protocolType != nil && *s.protocolType != consumerProtocol,
		s.protocol != nil && *s.protocol != mem.classic.protocols[0].name:
		code = kerr.InconsistentGroupProtocol
	case mem.epoch < g.at.assignment && mem.state != unrevoked:
		g.recall(mem, now)
		code = kerr.RebalanceInProgress
	}
	if code != kerr.None {
		fx.Answer(s.ticket, syncRefused(code))
		return
	}
	mem.syncBy = never
	g.heard(mem, now)
	r := kmsg.NewPtrSyncGroupResponse()
	r.ProtocolType, r.Protocol = text(consumerProtocol), text(mem.classic.protocols[0].name)
	r.MemberAssignment = assignmentFor(g.image(), mem.classic.protocols[0].metadata, mem.held)
	g.ledger.answer(s.ticket, r, func(code kerr.Code) any { return syncRefused(code) }, fx)
}

// recall has a member join again, within its rebalance timeout.
func (g *consumerGroup) recall(mem *consumer, now coordinator.Instant) {
	if mem.joinBy == never {
		mem.joinBy = now.Up + mem.rebalance
	}
}

func (g *consumerGroup) heartbeat(now coordinator.Instant, memberID, instance string, generation int32) kerr.Code {
	mem, code := g.classicMember(memberID, instance, generation)
	if code != kerr.None {
		return code
	}
	g.heard(mem, now)
	if mem.epoch < g.at.assignment || mem.state == unrevoked || mem.state == unreleased && !g.waits(mem) {
		g.recall(mem, now)
		return kerr.RebalanceInProgress
	}
	return kerr.None
}

func (g *consumerGroup) leave(now coordinator.Instant, t coordinator.Ticket, leavers []leaver, fx *coordinator.Effects) {
	codes := make([]kerr.Code, len(leavers))
	var gone []*consumer
	for i, l := range leavers {
		mem := g.members[l.memberID]
		switch {
		case l.memberID == "" && l.instance != "":
			mem = g.static[l.instance]
		default:
			codes[i] = g.checkClassic(l.memberID, l.instance)
		}
		switch {
		case codes[i] != kerr.None:
		case mem == nil || mem.classic == nil || slices.Contains(gone, mem):
			codes[i] = kerr.UnknownMemberID
		default:
			gone = append(gone, mem)
		}
	}
	if len(gone) == 0 {
		fx.Answer(t, codes)
		return
	}
	g.ledger.mark(memberEntry + gone[0].id)
	g.ledger.answer(t, codes, nil, fx)
	g.remove(now, gone, fx)
}

// readSubscription reads a member's metadata, of any version.
func readSubscription(metadata []byte) (s kmsg.ConsumerMemberMetadata, ok bool) {
	s = kmsg.NewConsumerMemberMetadata()
	if len(metadata) < 2 {
		return s, false
	}
	return s, s.ReadFrom(metadata) == nil
}

// assignmentFor writes an assignment in the version that the member's metadata has.
func assignmentFor(img *image.Image, metadata []byte, held partitions) []byte {
	a := kmsg.NewConsumerMemberAssignment()
	if says, ok := readSubscription(metadata); ok {
		a.Version = min(says.Version, maxAssignmentVersion)
	}
	for _, t := range held.topics() {
		if topic, ok := img.Topic(t); ok {
			in := kmsg.NewConsumerMemberAssignmentTopic()
			in.Topic, in.Partitions = topic.Name, held[t]
			a.Topics = append(a.Topics, in)
		}
	}
	return a.AppendTo(nil)
}

const maxAssignmentVersion = 3 // ConsumerProtocolAssignment.json
