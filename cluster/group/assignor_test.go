package group

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"chronik/metalog/image"
)

// TestAssignors gives any members any topics, several times with changes between, and checks what an assignment must be.
func TestAssignors(t *testing.T) {
	for name, assign := range assignors {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				had := map[string]partitions{}
				for range rapid.IntRange(1, 4).Draw(t, "rounds") {
					a := drawAssignable(t, had)
					targets := assign(a)
					checkDivided(t, a, targets)
					if name == uniformName {
						checkLevel(t, a, targets)
					}
					again := assign(a)
					for id := range targets {
						if !targets[id].equal(again[id]) {
							t.Fatalf("%s has another assignment the second time", id)
						}
					}
					had = targets
				}
			})
		})
	}
}

func drawAssignable(t *rapid.T, had map[string]partitions) assignable {
	a := assignable{sizes: map[image.TopicID]int32{}}
	subscribed := map[image.TopicID]bool{}
	for i := range rapid.IntRange(1, 6).Draw(t, "members") {
		s := subscriber{id: fmt.Sprint("m", i), had: had[fmt.Sprint("m", i)]}
		for k := range byte(4) {
			if rapid.Bool().Draw(t, "subscribes") {
				s.topics = append(s.topics, image.TopicID{k})
				subscribed[image.TopicID{k}] = true
			}
		}
		a.members = append(a.members, s)
	}
	for topic := range subscribed {
		a.sizes[topic] = 0
	}
	for k := range byte(4) {
		if size := rapid.Int32Range(1, 9).Draw(t, "partitions"); subscribed[image.TopicID{k}] {
			a.sizes[image.TopicID{k}] = size
		}
	}
	return a
}

// checkDivided says that each partition has one member, which subscribes to its topic.
func checkDivided(t *rapid.T, a assignable, targets map[string]partitions) {
	all := partitions{}
	count := 0
	for _, m := range a.members {
		count += targets[m.id].count()
		all = all.plus(targets[m.id])
		for _, topic := range targets[m.id].topics() {
			if !slices.Contains(m.topics, topic) {
				t.Fatalf("%s is assigned what it does not subscribe to", m.id)
			}
		}
	}
	total := 0
	for topic, size := range a.sizes {
		total += int(size)
		if len(all[topic]) != int(size) || all[topic][size-1] != size-1 {
			t.Fatalf("of %d partitions %v are assigned", size, all[topic])
		}
	}
	if count != total {
		t.Fatalf("%d partitions are assigned %d times", total, count)
	}
}

// checkLevel compares with the only loads, in order, that leave nobody with more than need be: those that adding one partition
// after the other along the best chain leads to.
func checkLevel(t *rapid.T, a assignable, targets map[string]partitions) {
	fresh := a
	fresh.members = slices.Clone(a.members)
	for i := range fresh.members {
		fresh.members[i].had = nil
	}
	u := newUniform(fresh)
	for topic, size := range a.sizes {
		for n := range size {
			u.give(u.subscribers[topic][0], topic, n)
		}
	}
	u.level()
	var got []int
	for _, m := range a.members {
		got = append(got, targets[m.id].count())
	}
	slices.Sort(got)
	slices.Sort(u.load)
	if !slices.Equal(got, u.load) {
		t.Fatalf("loads are %v and could be %v", got, u.load)
	}
	for i, m := range a.members {
		for j, other := range a.members {
			shared := func(topic image.TopicID) bool { return len(targets[m.id][topic]) > 0 }
			if i != j && slices.ContainsFunc(other.topics, shared) && targets[m.id].count() > targets[other.id].count()+1 {
				t.Fatalf("%s has %d, and could give one to %s, who has %d", m.id, targets[m.id].count(), other.id, targets[other.id].count())
			}
		}
	}
}

// A member that comes takes from the others what it needs, and no partition goes from one of them to another.
func TestUniformMovesNoMoreThanItMust(t *testing.T) {
	topics := []image.TopicID{{1}, {2}}
	a := assignable{sizes: map[image.TopicID]int32{topics[0]: 10, topics[1]: 7}}
	had := map[string]partitions{}
	for n := range 6 {
		a.members = append(a.members, subscriber{id: fmt.Sprint("m", n), topics: topics})
		for i := range a.members {
			a.members[i].had = had[a.members[i].id]
		}
		targets := uniform(a)
		kept := 0
		for id, p := range had {
			kept += p.and(targets[id]).count()
		}
		if n > 0 && kept != 17-17/(n+1) {
			t.Errorf("with %d members %d partitions stay", n+1, kept)
		}
		had = targets
	}
}

func TestRangeGivesNeighbours(t *testing.T) {
	topics := []image.TopicID{{1}, {2}}
	targets := byRange(assignable{
		sizes: map[image.TopicID]int32{topics[0]: 3, topics[1]: 3},
		members: []subscriber{
			{id: "a", topics: topics}, {id: "z", instance: "i", topics: topics},
		},
	})
	if got := fmt.Sprint(targets["z"][topics[0]], targets["z"][topics[1]], targets["a"][topics[0]]); got != "[0 1] [0 1] [2]" {
		t.Error(got)
	}
}
