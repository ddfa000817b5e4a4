package group

import (
	"math"

	"chronik/cluster/coordinator"
	sharestate "chronik/cluster/share/state"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// The states of a share group in partitions, as far as its coordinator has to do with them: it begins them, sets them anew and
// removes them. In between the partitions' leaders write them.

// statesAtOnce is how many states one proposal begins.
const statesAtOnce = 512

// begin begins the states of partitions that members subscribe to and that have none. Members are given what has one. Those whose
// beginning has failed may be begun all the same, and a leader may have written more by then: the image refuses to begin them once
// more, because their epoch is the same.
func (g *shareGroup) begin(now coordinator.Instant, fx *coordinator.Effects) {
	g.beginBy = never
	if g.writing > 0 {
		return // what ends that looks again
	}
	var records []image.Record
	img := g.image()
	if g.beginAs == 0 { // a node's proposals are agreed on in their order: one that was tells of those before it
		g.beginAs = freshState(img)
	}
	for _, name := range g.topics() {
		t, ok := img.TopicNamed(name)
		if !ok {
			continue
		}
		for _, p := range t.Partitions {
			at := image.TopicPartition{Topic: t.ID, Partition: p.Number}
			if _, begun := img.ShareState(g.id, at); !begun && len(records) < statesAtOnce {
				r := g.setState(img, at, nil)
				r.StateEpoch = g.beginAs
				records = append(records, r)
			}
		}
	}
	if len(records) == 0 {
		g.resume(now, fx)
		return
	}
	g.write(records, fx, func(_ coordinator.Instant, err error, _ *coordinator.Effects) {
		if err == nil {
			g.beginAs = 0
		}
	})
}

// write has states changed, and looks what there is to begin then.
func (g *shareGroup) write(records []image.Record, fx *coordinator.Effects, then func(coordinator.Instant, error, *coordinator.Effects)) {
	g.writing++
	g.recording++
	fx.Propose(func(now coordinator.Instant, err error, fx *coordinator.Effects) {
		g.writing--
		g.recording--
		then(now, err, fx)
		if g.dead || g.ledger.closed {
			return
		}
		switch {
		case !g.occupied():
			g.resume(now, fx)
		case err != nil:
			g.beginBy = now.Up + recordRetry
			g.resume(now, fx)
		default:
			g.changed(now)
			g.begin(now, fx)
		}
		g.ledger.flush(fx)
	}, records...)
}

// resume goes on with the heartbeats that wait for states.
func (g *shareGroup) resume(now coordinator.Instant, fx *coordinator.Effects) {
	if len(g.held) == 0 {
		return
	}
	held := g.held
	g.held = nil
	if g.assignBy != never {
		g.assign(now) // they have waited long enough
	}
	for _, h := range held {
		if err := g.heartbeat(now, h, fx); err != nil {
			fx.Answer(h.ticket, err)
		}
	}
}

// refuse answers the heartbeats that wait.
func (g *shareGroup) refuse(code kerr.Code, fx *coordinator.Effects) {
	for _, h := range g.held {
		fx.Answer(h.ticket, code)
	}
	g.held = nil
}

// setState is the record that has the group begin at a place in a partition, or where its configuration says.
func (m *machine) setState(img *image.Image, at image.TopicPartition, value []byte) image.SetShareRecord {
	owner, epoch, since := m.owner()
	r := image.SetShareRecord{Group: m.id, TopicPartition: at, Value: value, Owner: owner, OwnerEpoch: epoch, OwnerSince: since}
	r.StateEpoch = freshState(img)
	if was, ok := img.ShareState(m.id, at); ok {
		r.StateEpoch = max(r.StateEpoch, was.StateEpoch+1)
	}
	return r
}

// freshState is a state epoch that this group, or one of the same name before it, never had: what a leader decided by such a one
// must not count. The log grows with each of them.
func freshState(img *image.Image) int32 { return int32(img.Index() & math.MaxInt32) }

// shareIdle is the group, if its states may be changed from outside: nobody consumes.
func (m *machine) shareIdle() (*shareGroup, error) {
	g, ok := m.kind.(*shareGroup)
	switch {
	case m.id == "":
		return nil, kerr.InvalidGroupID
	case m.dead:
		return nil, kerr.CoordinatorNotAvailable
	case !ok || !m.exists():
		return nil, kerr.Detail(kerr.GroupIDNotFound, "%s", m.missing(image.ShareGroup))
	case g.occupied():
		return nil, kerr.Detail(kerr.NonEmptyGroup, "Group %s has members.", m.id)
	}
	return g, nil
}

// shareStart is where a group is to go on in a partition.
type shareStart struct {
	at     image.TopicPartition
	offset int64
}

// alterShare sets the group's states anew, and answers with an error or nil. The last of several for a partition counts. A group
// that is not there is made with its states, or not at all.
func (m *machine) alterShare(now coordinator.Instant, t coordinator.Ticket, starts []shareStart, fx *coordinator.Effects) {
	if m.id != "" && !m.dead && !m.exists() && len(starts) > 0 {
		m.become(newShareGroup(m, nil, now), now, fx)
	} else if _, err := m.shareIdle(); err != nil {
		fx.Answer(t, err)
		return
	}
	g := m.kind.(*shareGroup)
	last := map[image.TopicPartition]int{}
	for i, s := range starts {
		last[s.at] = i
	}
	var records []image.Record
	if _, ok := g.image().Group(g.id); !ok && len(starts) > 0 {
		records = append(records, g.ledger.record(epochsKey))
	}
	for i, s := range starts {
		if last[s.at] == i {
			records = append(records, m.setState(g.image(), s.at, sharestate.State{Start: s.offset, LeaderEpoch: sharestate.NoEpoch}.Encode()))
		}
	}
	g.changeStates(t, records, fx)
}

// deleteShare removes the group's states of all partitions of topics, and answers with an error or nil.
func (m *machine) deleteShare(t coordinator.Ticket, topics []image.TopicID, fx *coordinator.Effects) {
	g, err := m.shareIdle()
	if err != nil {
		fx.Answer(t, err)
		return
	}
	img := g.image()
	owner, epoch, since := m.owner()
	named := map[image.TopicID]bool{} // a request may name one again and again
	for _, id := range topics {
		named[id] = true
	}
	var records []image.Record
	img.ShareStates(m.id, func(at image.TopicPartition, _ *image.ShareState) bool {
		if named[at.Topic] {
			records = append(records, image.SetShareRecord{Group: m.id, TopicPartition: at, Remove: true, Owner: owner, OwnerEpoch: epoch, OwnerSince: since})
		}
		return true
	})
	g.changeStates(t, records, fx)
}

func (g *shareGroup) changeStates(t coordinator.Ticket, records []image.Record, fx *coordinator.Effects) {
	if len(records) == 0 {
		fx.Answer(t, nil)
		return
	}
	g.beginAs = 0 // what is removed here must not come again with its epoch
	g.write(records, fx, func(_ coordinator.Instant, err error, fx *coordinator.Effects) {
		if err != nil {
			fx.Answer(t, stored(err))
			return
		}
		fx.Answer(t, nil)
	})
}
