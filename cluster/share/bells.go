package share

import (
	"sync"

	"chronik/cluster/replica"
	"chronik/metalog/image"
)

// bells wake the fetches that wait until something can be acquired of a share partition. Beside them they wait for the
// partition itself (replica.Partition.Await).
type bells struct {
	mu      sync.Mutex
	waiting map[string]map[image.TopicPartition]map[replica.Waiter]int // by group
}

// Await has w woken when records of k can be acquired that could not before; Forget ends one Await.
func (m *Manager) Await(k Key, w replica.Waiter) { m.bells.add(k, w, 1) }

func (m *Manager) Forget(k Key, w replica.Waiter) { m.bells.add(k, w, -1) }

func (b *bells) add(k Key, w replica.Waiter, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting == nil {
		b.waiting = map[string]map[image.TopicPartition]map[replica.Waiter]int{}
	}
	group := b.waiting[k.Group]
	if group == nil {
		group = map[image.TopicPartition]map[replica.Waiter]int{}
		b.waiting[k.Group] = group
	}
	here := group[k.Partition]
	if here == nil {
		here = map[replica.Waiter]int{}
		group[k.Partition] = here
	}
	if here[w] += n; here[w] > 0 {
		return
	}
	if delete(here, w); len(here) > 0 {
		return
	}
	if delete(group, k.Partition); len(group) == 0 {
		delete(b.waiting, k.Group)
	}
}

func (b *bells) ring(k Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for w := range b.waiting[k.Group][k.Partition] {
		w.Wake()
	}
}

// each rings for those partitions of the group that fn picks.
func (b *bells) each(group string, fn func(image.TopicPartition) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for p, here := range b.waiting[group] {
		if !fn(p) {
			continue
		}
		for w := range here {
			w.Wake()
		}
	}
}
