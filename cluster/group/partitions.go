package group

import (
	"maps"
	"slices"
	"strings"

	"chronik/metalog/image"
)

// partitions are some of each topic's. The numbers are those of the topic's partitions.
type partitions = numbered[image.TopicID]

// numbered are some numbers of each K, sorted; a K with none is not in it. Values never change in place.
type numbered[K string | image.TopicID] map[K][]int32

// topics are those K that p has numbers of, sorted.
func (p numbered[K]) topics() []K { return slices.SortedFunc(maps.Keys(p), compareKeys) }

func compareKeys[K string | image.TopicID](a, b K) int {
	switch a := any(a).(type) {
	case image.TopicID:
		return compareTopics(a, any(b).(image.TopicID))
	case string:
		return strings.Compare(a, any(b).(string))
	}
	return 0
}

func compareTopics(a, b image.TopicID) int { return slices.Compare(a[:], b[:]) }

func (p numbered[K]) count() (n int) {
	for _, list := range p {
		n += len(list)
	}
	return n
}

func (p numbered[K]) has(t K, partition int32) bool {
	_, found := slices.BinarySearch(p[t], partition)
	return found
}

func (p numbered[K]) equal(q numbered[K]) bool {
	return maps.EqualFunc(p, q, slices.Equal[[]int32])
}

// within says whether q has all of p.
func (p numbered[K]) within(q numbered[K]) bool {
	return len(p.where(func(t K, n int32) bool { return !q.has(t, n) })) == 0
}

// where is those of p for which keep says so.
func (p numbered[K]) where(keep func(t K, partition int32) bool) numbered[K] {
	is := numbered[K]{}
	for t, list := range p {
		var kept []int32
		for _, n := range list {
			if keep(t, n) {
				kept = append(kept, n)
			}
		}
		if len(kept) > 0 {
			is[t] = kept
		}
	}
	return is
}

func (p numbered[K]) and(q numbered[K]) numbered[K] { return p.where(q.has) }
func (p numbered[K]) minus(q numbered[K]) numbered[K] {
	return p.where(func(t K, n int32) bool { return !q.has(t, n) })
}

func (p numbered[K]) plus(q numbered[K]) numbered[K] {
	is := maps.Clone(p)
	if is == nil {
		is = numbered[K]{}
	}
	for t, list := range q {
		is[t] = sorted(append(slices.Clone(is[t]), list...))
	}
	return is
}

// each goes through p, sorted.
func (p numbered[K]) each(fn func(t K, partition int32)) {
	for _, t := range p.topics() {
		for _, n := range p[t] {
			fn(t, n)
		}
	}
}

// sorted is list, which it changes, in order and without repeats.
func sorted(list []int32) []int32 {
	slices.Sort(list)
	return slices.Compact(list)
}
