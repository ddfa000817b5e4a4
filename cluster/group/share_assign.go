package group

import (
	"cmp"
	"slices"

	"chronik/cluster/coordinator"
	"chronik/metalog/image"
)

// assign makes the targets for the group's present epoch.
func (g *shareGroup) assign(now coordinator.Instant) {
	g.assigned, g.assignBy = now.Up, never
	members := g.sorted()
	img := g.image()
	begun := map[string]partitions{}
	for _, name := range g.topics() {
		begun[name] = g.begun(img, name)
	}
	s := sharing{}
	for _, mem := range members {
		may := partitions{}
		for _, name := range mem.topics {
			may = may.plus(begun[name])
		}
		s.add(may, mem.target)
	}
	for i, target := range s.solve() {
		if mem := members[i]; !mem.target.equal(target) {
			mem.target = target
			g.ledger.mark(targetKey + mem.id)
		}
	}
	if g.at.assignment != g.at.group {
		g.at.assignment = g.at.group
		g.ledger.mark(epochsKey)
	}
}

// begun are the partitions of the topic of which the group has a state.
func (g *shareGroup) begun(img *image.Image, topic string) partitions {
	p := partitions{}
	t, ok := img.TopicNamed(topic)
	if !ok {
		return p
	}
	for _, is := range t.Partitions {
		if _, ok := img.ShareState(g.id, image.TopicPartition{Topic: t.ID, Partition: is.Number}); ok {
			p[t.ID] = append(p[t.ID], is.Number)
		}
	}
	return p
}

// sharing is the simple assignor: each partition has a member, and each member a partition, if there is one that it may
// have; the members have about as many, and the partitions too. What somebody had before it keeps as far as that allows.
type sharing struct {
	may, had []partitions // by member
	readers  map[image.TopicPartition]int
	all      []image.TopicPartition
	has      [][]image.TopicPartition // by member
}

func (s *sharing) add(may, had partitions) { s.may, s.had = append(s.may, may), append(s.had, had) }

func (s *sharing) solve() []partitions {
	s.readers, s.has = map[image.TopicPartition]int{}, make([][]image.TopicPartition, len(s.may))
	union := partitions{}
	for _, may := range s.may {
		union = union.plus(may)
	}
	union.each(func(t image.TopicID, n int32) { s.all = append(s.all, image.TopicPartition{Topic: t, Partition: n}) })
	s.keep()
	for _, p := range s.all {
		if s.readers[p] == 0 {
			s.give(s.idlest(p), p)
		}
	}
	for m := range s.has {
		if len(s.has[m]) == 0 {
			s.serve(m)
		}
	}
	targets := make([]partitions, len(s.has))
	for m, list := range s.has {
		targets[m] = partitions{}
		for _, p := range list {
			targets[m][p.Topic] = append(targets[m][p.Topic], p.Partition)
		}
		for t := range targets[m] {
			targets[m][t] = sorted(targets[m][t])
		}
	}
	return targets
}

// keep leaves members what they had, up to a fair share of the partitions, and partitions whom they had, up to a fair share
// of the members.
func (s *sharing) keep() {
	share := newShares(len(s.all), len(s.may))
	crowd := newShares(len(s.may), len(s.all))
	for m := range s.may {
		s.had[m].and(s.may[m]).each(func(t image.TopicID, n int32) {
			p := image.TopicPartition{Topic: t, Partition: n}
			if share.allows(len(s.has[m])) && crowd.allows(s.readers[p]) {
				share.take(len(s.has[m]))
				crowd.take(s.readers[p])
				s.give(m, p)
			}
		})
	}
}

// shares divides things among takers: each may have the least, and some one more.
type shares struct{ least, more int }

func newShares(things, takers int) *shares {
	if takers == 0 || things == 0 {
		return &shares{least: 1}
	}
	if things < takers {
		return &shares{least: 1}
	}
	return &shares{least: things / takers, more: things % takers}
}

func (s *shares) allows(has int) bool { return has < s.least || has == s.least && s.more > 0 }
func (s *shares) take(has int) {
	if has == s.least {
		s.more--
	}
}

func (s *sharing) give(m int, p image.TopicPartition) {
	s.has[m] = append(s.has[m], p)
	s.readers[p]++
}

// idlest is the member with the least partitions of those that may have p.
func (s *sharing) idlest(p image.TopicPartition) int {
	best := -1
	for m := range s.may {
		if s.may[m].has(p.Topic, p.Partition) && (best < 0 || len(s.has[m]) < len(s.has[best])) {
			best = m
		}
	}
	return best
}

// serve gives a member the partition with the least readers of those that it may have.
func (s *sharing) serve(m int) {
	var may []image.TopicPartition
	s.may[m].each(func(t image.TopicID, n int32) { may = append(may, image.TopicPartition{Topic: t, Partition: n}) })
	if len(may) > 0 {
		s.give(m, slices.MinFunc(may, func(a, b image.TopicPartition) int { return cmp.Compare(s.readers[a], s.readers[b]) }))
	}
}
