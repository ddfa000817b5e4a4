package group

import (
	"chronik/cluster/coordinator"
	"chronik/metalog/image"
)

// reconcile brings a member nearer to its target, as far as it and the others let it. Owned is what the member says that it has
// now, nil when it doesn't say.
func (g *consumerGroup) reconcile(now coordinator.Instant, mem *consumer, owned partitions) {
	switch {
	case mem.state == unrevoked && keeps(owned, mem.revoking):
	case mem.state == unrevoked:
		g.step(now, mem, mem.epoch+1, owned) // what it commits for what it has let go counts no more
	case mem.state == unreleased || mem.epoch != g.at.assignment:
		g.step(now, mem, mem.epoch, owned)
	}
}

// keeps says whether a member may still have one of the partitions that it was asked for.
func keeps(owned, asked partitions) bool {
	return owned == nil || len(owned.and(asked)) > 0
}

// step lets a member let go first of what its target has no more. When it has, it is at the epoch of the target, with those of
// its partitions that nobody holds; it has the others when they are released.
func (g *consumerGroup) step(now coordinator.Instant, mem *consumer, epoch int32, owned partitions) {
	held, revoking := mem.held.and(mem.target), mem.held.minus(mem.target)
	if len(revoking) > 0 && keeps(owned, revoking) {
		g.move(mem, epoch, unrevoked, held, revoking)
		if mem.classic == nil {
			mem.revokeBy = now.Up + mem.rebalance
		}
		return
	}
	g.hold(mem, held, partitions{})
	missing := mem.target.minus(held)
	here := missing.where(func(t image.TopicID, n int32) bool { return g.owners[t][n] == nil })
	state := reconciled
	if here.count() < missing.count() {
		state = unreleased
	}
	g.move(mem, g.at.assignment, state, held.plus(here), partitions{})
	mem.revokeBy = never
}

func (g *consumerGroup) move(mem *consumer, epoch int32, state reconciliation, held, revoking partitions) {
	if mem.epoch != epoch || mem.state != state {
		g.ledger.mark(currentEntry + mem.id)
	}
	mem.advance(epoch)
	mem.state = state
	g.hold(mem, held, revoking)
}

// waits says whether somebody else still has a partition of the member's target.
func (g *consumerGroup) waits(mem *consumer) (others bool) {
	mem.target.minus(mem.held).each(func(t image.TopicID, n int32) { others = others || g.owners[t][n] != nil })
	return others
}
