package group

import (
	"maps"
	"slices"

	"chronik/cluster/coordinator"
	"chronik/metalog/image"
)

// changed begins the next epoch: members, subscriptions or topics are other ones.
func (g *consumerGroup) changed(now coordinator.Instant) {
	g.at.group++
	g.at.left(len(g.members), now)
	g.at.topics = g.topicsNow()
	g.ledger.mark(epochsKey)
	if next := g.assigned + g.settings().interval; g.assigned >= 0 && next > now.Up && g.occupied() {
		g.assignBy = min(g.assignBy, next) // what else changes until then is assigned with it (KIP-1263)
		return
	}
	g.retarget(now)
}

// recheck begins the next epoch if the topics are not those of this one.
func (g *consumerGroup) recheck(now coordinator.Instant) {
	if g.topicsNow() != g.at.topics {
		g.changed(now)
	} else if g.at.assignment < g.at.group && g.assignBy == never {
		g.retarget(now)
	}
}

// topicsNow stands for the topics that the members subscribe to.
func (g *consumerGroup) topicsNow() uint64 {
	g.forgetUnused()
	all := maps.Clone(g.patterns.count)
	for _, mem := range g.members {
		for _, name := range mem.topics {
			all[name]++
		}
	}
	return fingerprint(g.image(), slices.Collect(maps.Keys(all)))
}

// retarget makes the target assignment of the present epoch, or leaves that to the refresh that is looking up what members
// subscribe to.
func (g *consumerGroup) retarget(now coordinator.Instant) {
	g.assignBy = never
	if !g.resolved() {
		return
	}
	g.assigned = now.Up
	if !g.occupied() {
		g.assigned = -never // whoever comes next need not wait
	}
	targets := g.assignor()(g.subscriptions())
	for _, mem := range g.sorted() {
		if target := targets[mem.id]; !target.equal(mem.target) {
			mem.target = target
			g.ledger.mark(targetEntry + mem.id)
		}
	}
	g.at.assignment = g.at.group
	g.ledger.mark(epochsKey)
}

// subscriptions is what the assignors go by.
func (g *consumerGroup) subscriptions() assignable {
	img := g.image()
	a := assignable{sizes: map[image.TopicID]int32{}}
	for _, mem := range g.sorted() {
		s := subscriber{id: mem.id, instance: mem.instance, had: mem.target}
		for _, name := range mem.names(g) {
			if t, ok := img.TopicNamed(name); ok {
				s.topics = append(s.topics, t.ID)
				a.sizes[t.ID] = int32(len(t.Partitions))
			}
		}
		slices.SortFunc(s.topics, compareTopics)
		a.members = append(a.members, s)
	}
	return a
}

// names are the topics that the member subscribes to, by name and by pattern, sorted.
func (mem *consumer) names(g *consumerGroup) []string {
	if mem.pattern == "" {
		return mem.topics
	}
	return sortedNames(slices.Concat(mem.topics, g.patterns.names[mem.pattern]))
}

// assignor is the one that most members ask for; of those with as many votes the one that the broker prefers.
func (g *consumerGroup) assignor() assign { return assignors[g.assignorName()] }

func (g *consumerGroup) assignorName() string {
	votes := map[string]int{}
	for _, mem := range g.members {
		votes[mem.assignor]++
	}
	best := ""
	for _, name := range g.config().ConsumerAssignors {
		if assignors[name] != nil && (best == "" || votes[name] > votes[best]) {
			best = name
		}
	}
	if best == "" {
		return uniformName
	}
	return best
}
