package group

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"chronik/cluster/coordinator"
	"chronik/metalog/image"
)

// firstOf are the partitions 0 to n-1 of a topic.
func firstOf(n int) partitions {
	p := partitions{}
	for i := range int32(n) {
		p[topicT] = append(p[topicT], i)
	}
	return p
}

// spread is how many members each partition has, and how many partitions each member.
func spread(targets []partitions) (readers map[int32]int, has []int) {
	readers = map[int32]int{}
	for _, p := range targets {
		has = append(has, len(p[topicT]))
		for _, n := range p[topicT] {
			readers[n]++
		}
	}
	return readers, has
}

// The simple assignor of KIP-932, of members that subscribe to the same: each partition has a member and each member a partition,
// all have about as many, and who has what changes no more than that asks for.
func TestSharesAreFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "partitions")
		var had []partitions
		for step := range rapid.IntRange(1, 5).Draw(t, "steps") {
			members := rapid.IntRange(1, 12).Draw(t, "members")
			s := sharing{}
			for m := range members {
				is := partitions{}
				if m < len(had) {
					is = had[m]
				}
				s.add(firstOf(n), is)
			}
			targets := s.solve()
			readers, has := spread(targets)
			if len(readers) != n {
				t.Fatalf("%d of %d partitions have a member: %v", len(readers), n, targets)
			}
			least, most := slices.Min(has), slices.Max(has)
			if least == 0 || members <= n && most-least > 1 {
				t.Fatalf("%d members have %v of %d partitions", members, has, n)
			}
			for p, count := range readers {
				if fair := (members + n - 1) / n; count > fair {
					t.Fatalf("partition %d has %d members, of %d for %d", p, count, members, n)
				}
			}
			if step > 0 && members == len(had) && fmt.Sprint(targets) != fmt.Sprint(had) {
				t.Fatalf("nothing has changed but who has what: %v, then %v", had, targets)
			}
			had = targets
		}
	})
}

// A partition that only some members subscribe to is theirs.
func TestSharesAreOfWhatIsSubscribedTo(t *testing.T) {
	other := image.TopicID{2}
	s := sharing{}
	s.add(partitions{topicT: {0, 1}}, partitions{})
	s.add(partitions{topicT: {0, 1}, other: {0}}, partitions{topicT: {1}, {9}: {0}})
	s.add(partitions{}, partitions{topicT: {0}})
	targets := s.solve()
	if len(targets[2]) != 0 || !targets[1].has(other, 0) || len(targets[0][topicT])+len(targets[1][topicT]) != 2 || len(targets[1]) > 2 {
		t.Error(targets)
	}
}

// storedSharers is a group with something in every field that lasts.
func storedSharers(t testing.TB) *shareGroup {
	w := newWorld(t)
	g := newShareGroup(w.m, nil, w.now).(*shareGroup)
	g.at = epochs{group: 7, assignment: 6, topics: 0xfeed, since: 1_700_000_000_000}
	a := &sharer{has: partitions{topicT: {0, 1, 5}}, target: partitions{topicT: {3}, {2}: {300}}}
	a.seat = seat{id: "a", rack: "r", client: Client{"c", "/h"}, topics: []string{"t", "u"}, epoch: 6, previous: 5}
	b := &sharer{seat: seat{id: "b", epoch: 7}, has: partitions{}, target: partitions{}}
	g.members["a"], g.members["b"] = a, b
	return g
}

func (g *shareGroup) entries() (list []image.GroupEntry) {
	keys := []string{epochsKey}
	for id := range g.members {
		keys = append(keys, memberKey+id, currentKey+id, targetKey+id)
	}
	for _, k := range slices.Sorted(slices.Values(keys)) {
		list = append(list, image.GroupEntry{Key: []byte(k), Value: g.encode(k)})
	}
	return list
}

func TestShareEntriesAreStoredAsEver(t *testing.T) {
	g := storedSharers(t)
	testGolden(t, "testdata/share.golden", g.entries())
	again := newShareGroup(g.machine, &image.Group{State: image.GroupState{}.With(g.entries()...)}, coordinator.Instant{}).(*shareGroup)
	if !slices.EqualFunc(again.entries(), g.entries(), sameEntry) {
		t.Error("what was read is written in another way")
	}
}
