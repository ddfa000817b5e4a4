package vfs

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"slices"
)

// Crash returns what a power cut at this moment could leave: for every sector of 512 bytes, size of a file and name in
// a directory that was changed since it was made durable, one of its states since then, as pick chooses. Changes of
// the size and of names are otherwise free of each other, harder than any journal. The Mem itself goes on.
func (m *Mem) Crash(pick Pick) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	after := NewMem()
	nodes := map[*memNode]*memNode{}
	for _, name := range slices.Sorted(maps.Keys(m.dirs)) {
		c := newMemDir()
		after.dirs[name] = c
		left := m.dirs[name].crash(pick)
		for _, base := range slices.Sorted(maps.Keys(left)) {
			n := left[base]
			if nodes[n] == nil {
				nodes[n] = n.crash(pick)
			}
			c.names[base], c.durable[base] = nodes[n], nodes[n]
		}
	}
	return after
}

// Pick chooses one of n states, 0 the oldest, n-1 the newest.
type Pick func(n int) int

// Oldest loses everything that was not made durable, Newest loses nothing (a process that was killed), and Random
// keeps and loses by chance.
func Oldest(int) int   { return 0 }
func Newest(n int) int { return n - 1 }

// Random is a Pick by chance, the same for the same seed and the same calls.
func Random(seed uint64) Pick {
	r := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
	return func(n int) int { return r.IntN(n) }
}

// crash returns the names that are left. A change is kept or lost as a whole: a rename is atomic.
func (d *memDir) crash(pick Pick) map[string]*memNode {
	names := map[string]*memNode{}
	apply(names, d.durable)
	for _, c := range d.pending {
		if pick(2) == 1 {
			apply(names, c)
		}
	}
	return names
}

func (n *memNode) crash(pick Pick) *memNode {
	left := &memNode{data: bytes.Clone(n.disk)}
	size := int64(len(n.disk))
	if k := pick(len(n.sizes) + 1); k > 0 {
		size = n.sizes[k-1]
	}
	for s := int64(0); s*sector < int64(len(n.data)) && len(n.sectors) > 0; s++ {
		versions := n.sectors[s]
		if len(versions) == 0 {
			continue
		}
		if k := pick(len(versions) + 1); k > 0 {
			left.place(versions[k-1], s*sector)
		}
	}
	if size <= int64(len(left.data)) {
		left.data = left.data[:size]
	} else {
		left.data = append(left.data, make([]byte, size-int64(len(left.data)))...)
	}
	left.disk = bytes.Clone(left.data)
	return left
}

func (n *memNode) place(p []byte, off int64) {
	if end := off + int64(len(p)); end > int64(len(n.data)) {
		n.data = append(n.data, make([]byte, end-int64(len(n.data)))...)
	}
	copy(n.data[off:], p)
}
