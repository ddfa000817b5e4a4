package group

import (
	"maps"
	"slices"
	"time"

	"chronik/cluster/coordinator"
	"chronik/metalog/image"
)

// consumerGroup is a group whose partitions the coordinator assigns (KIP-848). Its epoch counts changes of what members
// subscribe to and of the topics; for each there is a target assignment, towards which each member goes by itself, an epoch of
// its own at a time. A partition goes to its next owner when the one before it has said that it let go.
//
// It may have members of the classic protocol, which are served the same assignment by the requests that they know
// (consumer_classic.go).
type consumerGroup struct {
	*machine
	ledger  ledger
	at      epochs
	members map[string]*consumer                  // by id
	static  map[string]*consumer                  // by group.instance.id
	owners  map[image.TopicID]map[int32]*consumer // of what is assigned, or asked back and not let go yet

	patterns  matches       // of the regular expressions in use, as far as they were looked up
	looking   bool          // they are being looked up ...
	again     bool          // ... and are to be once more
	assigned  time.Duration // when the targets were last made, in Instant.Up
	assignBy  time.Duration // when they are to be made
	refreshBy time.Duration // when to look at the topics
}

// consumer is a member of a consumerGroup.
type consumer struct {
	seat
	rebalance time.Duration // how long it may take to let go of partitions
	assignor  string        // that it asks for, or ""
	pattern   string        // a regular expression that it subscribes by, or ""
	classic   *classicSide  // of a member of the classic protocol, else nil

	state    reconciliation
	held     partitions // assigned to it
	revoking partitions // asked back
	target   partitions
	granted  map[image.TopicPartition]int32 // since which epoch it has what is in held and revoking

	revokeBy time.Duration // when a member that has not let go is removed
	joinBy   time.Duration // so is a classic one that was told to join again ...
	syncBy   time.Duration // ... and one that has joined and not synced
}

// classicSide is what a member says that speaks the classic protocol.
type classicSide struct {
	session   time.Duration
	protocols []protocol // in the member's order of preference
}

// reconciliation is where a member stands on its way to its target. The numbers are in the log.
type reconciliation int8

const (
	reconciled reconciliation = iota // has what it may have
	unrevoked                        // was asked to let go of partitions
	unreleased                       // waits for partitions that others have not let go of
)

// The keys of a group's entries: a letter, and the member's id.
const (
	memberEntry  = "m"
	currentEntry = "c"
	targetEntry  = "t"
)

// emptyConsumerGroup is one that goes on from an epoch.
func emptyConsumerGroup(shell *machine, epoch int32) *consumerGroup {
	g := &consumerGroup{
		machine: shell, members: map[string]*consumer{}, static: map[string]*consumer{},
		owners: map[image.TopicID]map[int32]*consumer{}, patterns: newMatches(),
		at: epochs{group: epoch, assignment: epoch}, assigned: -never, assignBy: never, refreshBy: never,
	}
	g.ledger = newLedger(shell, image.ConsumerGroup, g.encode)
	return g
}

// newConsumerGroup is the group as the image has it. Everybody has a full session, and a full rebalance timeout for what it
// was asked to let go.
func newConsumerGroup(shell *machine, is *image.Group, now coordinator.Instant) kind {
	g := emptyConsumerGroup(shell, 0)
	if is == nil {
		return g
	}
	g.decode(is.State)
	for _, mem := range g.sorted() {
		g.heard(mem, now)
		mem.revokeBy, mem.joinBy, mem.syncBy = never, never, never
		if mem.state == unrevoked && mem.classic == nil {
			mem.revokeBy = now.Up + mem.rebalance
		}
	}
	if len(g.members) > 0 {
		g.refreshBy = now.Up
	}
	return g
}

// sorted are the members by id: what is decided must not depend on the order of a map.
func (g *consumerGroup) sorted() []*consumer {
	list := make([]*consumer, 0, len(g.members))
	for _, id := range slices.Sorted(maps.Keys(g.members)) {
		list = append(list, g.members[id])
	}
	return list
}

// newConsumer is somebody who is not in the group yet.
func newConsumer(id, instance string) *consumer {
	return &consumer{seat: seat{id: id, instance: instance}, granted: map[image.TopicPartition]int32{}, revokeBy: never, joinBy: never, syncBy: never}
}

// enlist adds a member, with what it holds.
func (g *consumerGroup) enlist(mem *consumer) {
	g.members[mem.id] = mem
	if mem.instance != "" {
		g.static[mem.instance] = mem
	}
	g.own(mem)
}

// drop takes a member out of the group.
func (g *consumerGroup) drop(mem *consumer) {
	g.disown(mem)
	delete(g.members, mem.id)
	if g.static[mem.instance] == mem {
		delete(g.static, mem.instance)
	}
	g.ledger.mark(memberEntry+mem.id, currentEntry+mem.id, targetEntry+mem.id)
}

// hold changes what a member holds and is asked to let go.
func (g *consumerGroup) hold(mem *consumer, held, revoking partitions) {
	if mem.held.equal(held) && mem.revoking.equal(revoking) {
		return
	}
	g.disown(mem)
	mem.held, mem.revoking = held, revoking
	g.own(mem)
	mem.forget()
	g.ledger.mark(currentEntry + mem.id)
}

// forget drops since when the member has what it does not have any more.
func (mem *consumer) forget() {
	for at := range mem.granted {
		if !mem.held.has(at.Topic, at.Partition) && !mem.revoking.has(at.Topic, at.Partition) {
			delete(mem.granted, at)
		}
	}
}

// grant notes since when the member has p.
func (mem *consumer) grant(p partitions, epoch int32) {
	p.each(func(t image.TopicID, n int32) { mem.granted[image.TopicPartition{Topic: t, Partition: n}] = epoch })
}

// own enters mem as the owner of what it holds. What another member has, mem has not: two that say so (members of a classic
// group whose leader gave both the same) must not both be believed.
func (g *consumerGroup) own(mem *consumer) {
	free := func(t image.TopicID, n int32) bool { return g.owners[t][n] == nil }
	mem.held, mem.revoking = mem.held.where(free), mem.revoking.where(free).minus(mem.held)
	for _, p := range []partitions{mem.held, mem.revoking} {
		for t, list := range p {
			if g.owners[t] == nil {
				g.owners[t] = map[int32]*consumer{}
			}
			for _, n := range list {
				g.owners[t][n] = mem
			}
		}
	}
}

func (g *consumerGroup) disown(mem *consumer) {
	for _, p := range []partitions{mem.held, mem.revoking} {
		for t, list := range p {
			for _, n := range list {
				delete(g.owners[t], n)
			}
			if len(g.owners[t]) == 0 {
				delete(g.owners, t)
			}
		}
	}
}

// heard begins the member's session again.
func (g *consumerGroup) heard(mem *consumer, now coordinator.Instant) {
	session := g.settings().session
	if mem.classic != nil {
		session = mem.classic.session
	}
	mem.expires = now.Up + session
}

// consumerSettings is what the group's own configs say.
type consumerSettings struct{ session, heartbeat, interval time.Duration }

func (g *consumerGroup) settings() consumerSettings {
	c := g.machine.group(g.id).Consumer
	return consumerSettings{millis(c.SessionTimeoutMs), millis(c.HeartbeatIntervalMs), millis(c.AssignmentIntervalMs)}
}

func (g *consumerGroup) is() image.GroupKind { return image.ConsumerGroup }
func (g *consumerGroup) occupied() bool      { return len(g.members) > 0 }
func (g *consumerGroup) idle() bool          { return !g.occupied() && g.ledger.settled() }

func (g *consumerGroup) summary() (state, protocolType string) {
	return g.state(), consumerProtocol
}

// state is Kafka's name for where the group stands.
func (g *consumerGroup) state() string {
	switch {
	case !g.occupied():
		return "Empty"
	case g.at.group > g.at.assignment:
		return "Assigning"
	}
	for _, mem := range g.members {
		if mem.state != reconciled || mem.epoch != g.at.assignment {
			return "Reconciling"
		}
	}
	return "Stable"
}

func (g *consumerGroup) deadline() time.Duration {
	at := min(g.assignBy, g.refreshBy, g.ledger.retryBy)
	for _, mem := range g.members {
		at = min(at, mem.expires, mem.revokeBy, mem.joinBy, mem.syncBy)
	}
	return at
}

func (g *consumerGroup) expire(now coordinator.Instant, fx *coordinator.Effects) {
	var gone []*consumer
	for _, mem := range g.sorted() {
		if min(mem.expires, mem.revokeBy, mem.joinBy, mem.syncBy) <= now.Up {
			gone = append(gone, mem)
		}
	}
	if len(gone) > 0 && g.remove(now, gone, fx) {
		return
	}
	if g.refreshBy <= now.Up {
		g.refresh(now, fx)
	}
	if g.assignBy <= now.Up {
		g.retarget(now)
	}
	if g.ledger.retryBy <= now.Up {
		g.ledger.retryBy = never
	}
	g.ledger.flush(fx)
}

func (g *consumerGroup) topicsChanged(now coordinator.Instant, fx *coordinator.Effects) {
	g.refresh(now, fx)
	g.ledger.flush(fx)
}

func (g *consumerGroup) stop(_ coordinator.Instant, fx *coordinator.Effects) {
	g.ledger.drop(fx)
	g.assignBy, g.refreshBy = never, never
}

// revive writes all of a group whose removal failed: it may have succeeded, and what was to be written was dropped.
func (g *consumerGroup) revive(_ coordinator.Instant, fx *coordinator.Effects) {
	g.ledger.markStored()
	g.ledger.mark(epochsKey)
	g.ledger.flush(fx)
}

// remove takes members out for good and divides what they had. It says whether the group is a classic one from now on,
// because all that are left speak that protocol.
func (g *consumerGroup) remove(now coordinator.Instant, gone []*consumer, fx *coordinator.Effects) (classic bool) {
	for _, mem := range gone {
		g.drop(mem)
	}
	if g.mayDowngrade() {
		g.downgrade(now, fx)
		return true
	}
	g.changed(now)
	g.ledger.flush(fx)
	return false
}
