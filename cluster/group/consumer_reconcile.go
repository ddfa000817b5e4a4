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
		if held := g.subscribedBy(mem, mem.held); !held.equal(mem.held) {
			g.askBack(now, mem, held, mem.revoking.plus(mem.held.minus(held)))
		}
	case mem.state != reconciled, mem.epoch != g.at.assignment, !mem.held.within(g.wanted(mem)):
		g.step(now, mem, owned)
	}
}

// wanted is the member's target, less the topics that it has unsubscribed from since that was made.
func (g *consumerGroup) wanted(mem *consumer) partitions {
	if g.at.assignment == g.at.group {
		return mem.target
	}
	return g.subscribedBy(mem, mem.target)
}

// subscribedBy is those of p whose topics the member subscribes to.
func (g *consumerGroup) subscribedBy(mem *consumer, p partitions) partitions {
	if mem.pattern != "" && !g.patterns.has(mem.pattern) {
		return p // nobody knows yet
	}
	return p.where(func(t image.TopicID, _ int32) bool {
		topic, ok := g.image().Topic(t)
		return ok && g.subscribed(mem, topic.Name)
	})
}

// keeps says whether a member may still have one of the partitions that it was asked for.
func keeps(owned, asked partitions) bool {
	return owned == nil || len(owned.and(asked)) > 0
}

// step lets a member let go first of what its target has no more. When it has, it is at the epoch of the target, with those of
// its partitions that nobody holds; it has the others when they are released.
func (g *consumerGroup) step(now coordinator.Instant, mem *consumer, owned partitions) {
	target := g.wanted(mem)
	held, revoking := mem.held.and(target), mem.held.minus(target)
	if len(revoking) > 0 && keeps(owned, revoking) {
		g.askBack(now, mem, held, revoking)
		return
	}
	g.hold(mem, held, partitions{})
	missing := target.minus(held)
	here := missing.where(func(t image.TopicID, n int32) bool { return g.owners[t][n] == nil })
	state := reconciled
	if here.count() < missing.count() {
		state = unreleased
	}
	mem.grant(here, g.at.assignment)
	g.move(mem, g.at.assignment, state, held.plus(here), partitions{})
	mem.revokeBy = never
}

// askBack has a member let go of revoking within its rebalance timeout.
func (g *consumerGroup) askBack(now coordinator.Instant, mem *consumer, held, revoking partitions) {
	g.move(mem, mem.epoch, unrevoked, held, revoking)
	if mem.classic == nil {
		mem.revokeBy = now.Up + mem.rebalance
	}
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
