package group

import (
	"cmp"
	"slices"

	"chronik/metalog/image"
)

// assign divides partitions among members: each partition of a topic that anybody subscribes to goes to one of those who do.
type assign func(assignable) map[string]partitions

// assignors by the names that members ask for them by.
var assignors = map[string]assign{uniformName: uniform, rangeName: byRange}

const (
	uniformName = "uniform"
	rangeName   = "range"
)

// assignable is who is there, by id, and what there is.
type assignable struct {
	members []subscriber
	sizes   map[image.TopicID]int32 // how many partitions each topic has
}

// subscriber is a member as assignors see it.
type subscriber struct {
	id, instance string
	topics       []image.TopicID // that exist, sorted
	had          partitions
}

// byRange gives each member neighbouring partitions of every topic, the same ones of topics that have the same number of
// partitions and subscribers. Static members come first, so that others who come and go with new ids move less.
func byRange(a assignable) map[string]partitions {
	members := slices.Clone(a.members)
	slices.SortFunc(members, func(x, y subscriber) int {
		if (x.instance == "") != (y.instance == "") {
			return cmp.Compare(len(y.instance), len(x.instance)) // who has none comes last
		}
		return cmp.Or(cmp.Compare(x.instance, y.instance), cmp.Compare(x.id, y.id))
	})
	subscribers := map[image.TopicID]int32{}
	for _, m := range members {
		for _, t := range m.topics {
			subscribers[t]++
		}
	}
	next, seen := map[image.TopicID]int32{}, map[image.TopicID]int32{}
	targets := make(map[string]partitions, len(members))
	for _, m := range members {
		target := partitions{}
		for _, t := range m.topics {
			share := a.sizes[t] / subscribers[t]
			if seen[t] < a.sizes[t]%subscribers[t] {
				share++
			}
			seen[t]++
			for range share {
				target[t] = append(target[t], next[t])
				next[t]++
			}
		}
		targets[m.id] = target
	}
	return targets
}
