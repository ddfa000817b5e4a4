package group

import (
	"cmp"
	"maps"
	"slices"

	"chronik/metalog/image"
)

// uniform gives all members as many partitions as it can, whatever they subscribe to, and moves no more of them than that
// takes: each keeps what it had, what nobody has goes to the member with the fewest, and then partitions go from members
// with more to members with at least two less, by way of others where no topic is common to the two.
func uniform(a assignable) map[string]partitions {
	u := newUniform(a)
	u.keep()
	u.fill()
	u.level()
	targets := make(map[string]partitions, len(a.members))
	for i, m := range a.members {
		target := partitions{}
		for t, list := range u.has[i] {
			if len(list) > 0 {
				target[t] = sorted(list)
			}
		}
		targets[m.id] = target
	}
	return targets
}

// levelling is an assignment in the making. Members go by their place in assignable.
type levelling struct {
	assignable
	subscribers map[image.TopicID][]int
	has         []map[image.TopicID][]int32
	load        []int
	free        map[image.TopicID][]int32
}

func newUniform(a assignable) *levelling {
	u := &levelling{
		assignable: a, subscribers: map[image.TopicID][]int{}, has: make([]map[image.TopicID][]int32, len(a.members)),
		load: make([]int, len(a.members)), free: map[image.TopicID][]int32{},
	}
	for i, m := range a.members {
		u.has[i] = map[image.TopicID][]int32{}
		for _, t := range m.topics {
			u.subscribers[t] = append(u.subscribers[t], i)
		}
	}
	return u
}

// keep lets each member have what it had, as far as it is there and nobody before it has it.
func (u *levelling) keep() {
	taken := make(map[image.TopicID][]bool, len(u.sizes))
	for t, size := range u.sizes {
		taken[t] = make([]bool, size)
	}
	for i, m := range u.members {
		for _, t := range m.topics {
			for _, n := range m.had[t] {
				if n < u.sizes[t] && !taken[t][n] {
					taken[t][n] = true
					u.give(i, t, n)
				}
			}
		}
	}
	for t, list := range taken {
		for n, is := range list {
			if !is {
				u.free[t] = append(u.free[t], int32(n))
			}
		}
	}
}

func (u *levelling) give(member int, t image.TopicID, partition int32) {
	u.has[member][t] = append(u.has[member][t], partition)
	u.load[member]++
}

// fill gives away what is free, topics with the fewest subscribers first: they have the least choice.
func (u *levelling) fill() {
	topics := slices.SortedFunc(maps.Keys(u.free), func(a, b image.TopicID) int {
		return cmp.Or(cmp.Compare(len(u.subscribers[a]), len(u.subscribers[b])), compareTopics(a, b))
	})
	for _, t := range topics {
		among := u.subscribers[t]
		for _, n := range u.free[t] {
			least := slices.MinFunc(among, func(a, b int) int { return cmp.Compare(u.load[a], u.load[b]) })
			u.give(least, t, n)
		}
	}
}

// level moves partitions until nobody can be given one by somebody who has two more, directly or along a chain. Who has the
// most gives first. Those that a member in vain looked for a taker through have none either, until something moves.
func (u *levelling) level() {
	vain := make([]bool, len(u.members))
	for {
		from := -1
		for i := range u.members {
			if !vain[i] && (from < 0 || u.load[i] > u.load[from]) {
				from = i
			}
		}
		if from < 0 {
			return
		}
		chain, reached := u.chain(from)
		if chain == nil {
			for _, i := range reached {
				vain[i] = vain[i] || u.load[i] <= u.load[from]
			}
			continue
		}
		for _, s := range chain {
			u.move(s)
		}
		clear(vain)
	}
}

// step is a partition of topic that goes from one member to another.
type step struct {
	from, to int
	topic    image.TopicID
}

// chain finds the shortest way from a member to the one with the fewest partitions, at least two less, and whom it came by.
func (u *levelling) chain(from int) (chain []step, reached []int) {
	by := map[int]step{from: {}}
	reached = []int{from}
	searched := map[image.TopicID]bool{}
	best := -1
	for k := 0; k < len(reached); k++ {
		at := reached[k]
		for _, t := range u.members[at].topics {
			if searched[t] || len(u.has[at][t]) == 0 {
				continue
			}
			searched[t] = true
			for _, to := range u.subscribers[t] {
				if _, known := by[to]; known {
					continue
				}
				by[to] = step{at, to, t}
				reached = append(reached, to)
				if u.load[to] <= u.load[from]-2 && (best < 0 || u.load[to] < u.load[best]) {
					best = to
				}
			}
		}
	}
	if best < 0 {
		return nil, reached
	}
	for at := best; at != from; at = by[at].from {
		chain = append(chain, by[at])
	}
	return chain, nil
}

// move prefers a partition that the taker had before.
func (u *levelling) move(s step) {
	list := u.has[s.from][s.topic]
	i := slices.IndexFunc(list, func(n int32) bool { return u.members[s.to].had.has(s.topic, n) })
	if i < 0 {
		i = len(list) - 1
	}
	n := list[i]
	u.has[s.from][s.topic] = slices.Delete(list, i, i+1)
	u.load[s.from]--
	u.give(s.to, s.topic, n)
}
