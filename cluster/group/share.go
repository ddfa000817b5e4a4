package group

import (
	"maps"
	"slices"
	"time"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// shareGroup is a group whose members share partitions (KIP-932): several may have the same one, and what each gets of it is
// decided record by record where the partition is led (cluster/share). So a member has its new assignment at once: nobody
// must let go first. The group begins the state of each partition that its members subscribe to (share_states.go), and
// assigns those of which there is one.
type shareGroup struct {
	*machine
	ledger  ledger
	at      epochs
	members map[string]*sharer // by id

	assigned time.Duration // when the targets were last made, in Instant.Up
	assignBy time.Duration // when they are to be made

	writing int            // changes of states that are in flight
	beginBy time.Duration  // when states are to be begun
	beginAs int32          // the state epoch of those that were begun last, until it is known that they are; 0 is none
	held    []shareRequest // heartbeats that wait for it
}

// sharer is a member of a shareGroup.
type sharer struct {
	seat
	has    partitions // as it was told
	target partitions
}

// newShareGroup is the group as the image has it. Everybody has a full session to be heard of.
func newShareGroup(shell *machine, is *image.Group, now coordinator.Instant) kind {
	g := &shareGroup{machine: shell, members: map[string]*sharer{}, assigned: -never, assignBy: never, beginBy: never}
	g.ledger = newLedger(shell, image.ShareGroup, g.encode)
	if is == nil {
		return g
	}
	g.decode(is.State)
	for _, mem := range g.members {
		g.heard(mem, now)
	}
	if len(g.members) > 0 {
		g.assignBy, g.beginBy = now.Up, now.Up // topics may have changed while nobody coordinated
	}
	return g
}

func (g *shareGroup) heard(mem *sharer, now coordinator.Instant) {
	mem.expires = now.Up + millis(g.machine.group(g.id).Share.SessionTimeoutMs)
}

// sorted are the members by id: what is decided must not depend on the order of a map.
func (g *shareGroup) sorted() []*sharer {
	list := make([]*sharer, 0, len(g.members))
	for _, id := range slices.Sorted(maps.Keys(g.members)) {
		list = append(list, g.members[id])
	}
	return list
}

// topics are the names that members subscribe to.
func (g *shareGroup) topics() []string {
	var names []string
	for _, mem := range g.members {
		names = append(names, mem.topics...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// changed makes another epoch of the group, and the targets for it: at once, or when the last ones have stood for a while.
func (g *shareGroup) changed(now coordinator.Instant) {
	g.at.group++
	g.at.topics = fingerprint(g.image(), g.topics())
	g.at.left(len(g.members), now)
	g.ledger.mark(epochsKey)
	interval := millis(g.machine.group(g.id).Share.AssignmentIntervalMs)
	if g.assigned == -never || now.Up-g.assigned >= interval {
		g.assign(now)
	} else if g.assignBy == never {
		g.assignBy = g.assigned + interval
	}
}

func (g *shareGroup) remove(mem *sharer) {
	delete(g.members, mem.id)
	g.ledger.mark(memberKey+mem.id, currentKey+mem.id, targetKey+mem.id)
}

func (g *shareGroup) is() image.GroupKind { return image.ShareGroup }
func (g *shareGroup) occupied() bool      { return len(g.members) > 0 }
func (g *shareGroup) idle() bool {
	return !g.occupied() && g.ledger.settled() && g.writing == 0 && len(g.held) == 0
}

func (g *shareGroup) summary() (state, protocolType string) { return g.state(), "share" }

// state is Kafka's name for where the group stands.
func (g *shareGroup) state() string {
	if g.occupied() {
		return "Stable"
	}
	return "Empty"
}

func (g *shareGroup) deadline() time.Duration {
	at := min(g.assignBy, g.beginBy, g.ledger.retryBy)
	for _, mem := range g.members {
		at = min(at, mem.expires)
	}
	return at
}

func (g *shareGroup) expire(now coordinator.Instant, fx *coordinator.Effects) {
	gone := false
	for _, mem := range g.sorted() {
		if mem.expires <= now.Up {
			g.remove(mem)
			gone = true
		}
	}
	if gone {
		g.changed(now)
	}
	if g.beginBy <= now.Up {
		g.begin(now, fx)
	}
	if g.assignBy <= now.Up {
		g.assign(now)
		if g.writing == 0 {
			g.resume(now, fx)
		}
	}
	if g.ledger.retryBy <= now.Up {
		g.ledger.retryBy = never
	}
	g.ledger.flush(fx)
}

func (g *shareGroup) topicsChanged(now coordinator.Instant, fx *coordinator.Effects) {
	if fingerprint(g.image(), g.topics()) == g.at.topics {
		return
	}
	g.begin(now, fx)
	g.changed(now)
	g.ledger.flush(fx)
}

func (g *shareGroup) stop(_ coordinator.Instant, fx *coordinator.Effects) {
	g.ledger.drop(fx)
	g.refuse(kerr.CoordinatorNotAvailable, fx)
	g.assignBy, g.beginBy = never, never
}

// revive writes all of a group whose removal failed: it may have succeeded, and what was to be written was dropped.
func (g *shareGroup) revive(_ coordinator.Instant, fx *coordinator.Effects) {
	g.ledger.markStored()
	g.ledger.mark(epochsKey)
	g.ledger.flush(fx)
}

// A share group has no committed offsets.

func (g *shareGroup) checkCommit(commitRequest) kerr.Code       { return kerr.GroupIDNotFound }
func (g *shareGroup) committed(coordinator.Instant, string)     {}
func (g *shareGroup) checkFetch(string, int32) kerr.Code        { return kerr.GroupIDNotFound }
func (g *shareGroup) checkOffsetDeletion() kerr.Code            { return kerr.GroupIDNotFound }
func (g *shareGroup) subscribes(string) bool                    { return false }
func (g *shareGroup) offsetsExpire() (since int64, expire bool) { return 0, false }

// encode is the value of an entry by the state in memory, nil when there is none.
func (g *shareGroup) encode(key string) []byte {
	if key == epochsKey {
		return g.at.encode()
	}
	mem := g.members[key[1:]]
	if mem == nil {
		return nil
	}
	dst := []byte{entryVersion}
	switch key[:1] {
	case memberKey:
		for _, s := range []string{mem.rack, mem.client.ID, mem.client.Host} {
			dst = appendText(dst, s)
		}
		return appendTexts(dst, mem.topics)
	case currentKey:
		return appendPartitions(appendNumber(appendNumber(dst, mem.epoch), mem.previous), mem.has)
	}
	return appendPartitions(dst, mem.target)
}

// decode fills an empty group. A member of which something can't be read is not in it: it is told so, and joins anew.
func (g *shareGroup) decode(s image.GroupState) {
	if value, ok := s.Get([]byte(epochsKey)); ok {
		g.at, _ = readEpochs(value)
	}
	s.Walk([]byte(memberKey), func(e image.GroupEntry) bool {
		mem := &sharer{seat: seat{id: string(e.Key[1:])}}
		current, _ := s.Get([]byte(currentKey + mem.id))
		target, _ := s.Get([]byte(targetKey + mem.id))
		if mem.decode(e.Value, current, target) {
			g.members[mem.id] = mem
		}
		return true
	})
}

func (mem *sharer) decode(member, current, target []byte) bool {
	m, c, t := shareReader(member), shareReader(current), shareReader(target)
	mem.rack, mem.client.ID, mem.client.Host, mem.topics = m.text(), m.text(), m.text(), m.texts()
	mem.epoch, mem.previous, mem.has = readNumber[int32](c), readNumber[int32](c), c.partitions()
	mem.target = t.partitions()
	return m.done() && c.done() && t.done()
}

func shareReader(value []byte) *reader {
	r := &reader{rest: value}
	r.version()
	return r
}
