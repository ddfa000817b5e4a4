package group

import (
	"maps"
	"slices"

	"chronik/metalog/image"
)

// partitions are some of each topic's, sorted by number; a topic with none is not in it. Values never change in place.
type partitions map[image.TopicID][]int32

// topics are those that p has partitions of, sorted.
func (p partitions) topics() []image.TopicID {
	return slices.SortedFunc(maps.Keys(p), compareTopics)
}

func compareTopics(a, b image.TopicID) int { return slices.Compare(a[:], b[:]) }

func (p partitions) count() (n int) {
	for _, list := range p {
		n += len(list)
	}
	return n
}

func (p partitions) has(t image.TopicID, partition int32) bool {
	_, found := slices.BinarySearch(p[t], partition)
	return found
}

func (p partitions) equal(q partitions) bool {
	return maps.EqualFunc(p, q, slices.Equal[[]int32])
}

// within says whether q has all of p.
func (p partitions) within(q partitions) bool {
	return len(p.where(func(t image.TopicID, n int32) bool { return !q.has(t, n) })) == 0
}

// where is those of p for which keep says so.
func (p partitions) where(keep func(t image.TopicID, partition int32) bool) partitions {
	is := partitions{}
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

func (p partitions) and(q partitions) partitions { return p.where(q.has) }
func (p partitions) minus(q partitions) partitions {
	return p.where(func(t image.TopicID, n int32) bool { return !q.has(t, n) })
}

func (p partitions) plus(q partitions) partitions {
	is := maps.Clone(p)
	if is == nil {
		is = partitions{}
	}
	for t, list := range q {
		is[t] = sorted(append(slices.Clone(is[t]), list...))
	}
	return is
}

// each goes through p, sorted.
func (p partitions) each(fn func(t image.TopicID, partition int32)) {
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
