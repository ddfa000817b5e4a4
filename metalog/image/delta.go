package image

import (
	"bytes"
	"maps"
	"slices"

	iradix "github.com/hashicorp/go-immutable-radix/v2"
)

// Delta is what one log entry changed. Old and New are the images around it. Each list names a thing once.
type Delta struct {
	Old, New *Image
	Topics   []TopicID  // created, changed or deleted (compare Old and New)
	Configs  []Resource // with a config set or removed; a deleted topic's too
	Brokers  []BrokerID
	Groups   []string // whose Group, offsets or share states changed
}

// Watcher is told of every delta, in order, by the goroutine that applies the log: it must be quick and must not wait
// for the log.
type Watcher interface{ Apply(*Delta) }

// Between is the delta that leads from one image to another, however far apart they are. Its lists are sorted.
func Between(old, new *Image) *Delta {
	d := &Delta{Old: old, New: new}
	for _, key := range differing(old.topicIDs, new.topicIDs, same[*Topic]) {
		d.Topics = append(d.Topics, TopicID(key))
	}
	for _, key := range differing(old.configs, new.configs, maps.Equal[map[string]string, map[string]string]) {
		d.Configs = append(d.Configs, resourceOf(key))
	}
	for _, key := range differing(old.brokers, new.brokers, same[*Broker]) {
		d.Brokers = append(d.Brokers, brokerOf(key))
	}
	groups := differing(old.groups, new.groups, same[*Group])
	groups = append(groups, differing(old.offsets, new.offsets, same[*committed])...)
	for _, key := range differing(old.shares, new.shares, same[*ShareState]) {
		group, _ := shareOf(key)
		groups = append(groups, []byte(group))
	}
	slices.SortFunc(groups, bytes.Compare)
	for _, key := range slices.CompactFunc(groups, bytes.Equal) {
		d.Groups = append(d.Groups, string(key))
	}
	return d
}

// Join is the delta of all of them, one after another: each begins where the one before it ends. There is at least one.
func Join(deltas []*Delta) *Delta {
	if len(deltas) == 1 {
		return deltas[0]
	}
	var topics touched[TopicID]
	var configs touched[Resource]
	var brokers touched[BrokerID]
	var groups touched[string]
	for _, d := range deltas {
		topics.add(d.Topics...)
		configs.add(d.Configs...)
		brokers.add(d.Brokers...)
		groups.add(d.Groups...)
	}
	return &Delta{
		Old: deltas[0].Old, New: deltas[len(deltas)-1].New,
		Topics: topics.list, Configs: configs.list, Brokers: brokers.list, Groups: groups.list,
	}
}

func same[T comparable](a, b T) bool { return a == b }

// differing lists the keys that only one of the trees has or for which their values differ, sorted.
func differing[T any](a, b *iradix.Tree[T], equal func(T, T) bool) [][]byte {
	var keys [][]byte
	if a == b {
		return keys
	}
	a.Root().Walk(func(key []byte, was T) bool {
		if is, ok := b.Get(key); !ok || !equal(was, is) {
			keys = append(keys, key)
		}
		return false
	})
	b.Root().Walk(func(key []byte, _ T) bool {
		if _, ok := a.Get(key); !ok {
			keys = append(keys, key)
		}
		return false
	})
	slices.SortFunc(keys, bytes.Compare)
	return keys
}
