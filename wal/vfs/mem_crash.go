package vfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// Crash returns what a power cut at this moment could leave: for every sector of 512 bytes, size of a file and name in
// a directory that was changed since it was made durable, one of its states since then, as pick chooses. They are free
// of each other, harder than any journal: a name may be there without the content, the newer of two writes without the
// older, and a directory that was not synced into its parent takes all that is in it along. The Mem itself goes on.
func (m *Mem) Crash(pick Pick) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	after := NewMem()
	after.NoAllocate, after.NoDirect = m.NoAllocate, m.NoDirect
	after.root = m.root.crash(pick, map[*memNode]*memNode{})
	return after
}

// Pick chooses one of n states, 0 the oldest, n-1 the newest.
type Pick func(n int) int

// Oldest loses everything that was not made durable, Newest loses nothing, and Random keeps and loses by chance.
func Oldest(int) int   { return 0 }
func Newest(n int) int { return n - 1 }

// Random is a Pick by chance, the same for the same seed and the same calls.
func Random(seed uint64) Pick {
	r := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
	return func(n int) int { return r.IntN(n) }
}

// crash returns what is left of n; done holds the nodes that were met before, by another name.
func (n *memNode) crash(pick Pick, done map[*memNode]*memNode) *memNode {
	if left := done[n]; left != nil {
		return left
	}
	left := &memNode{}
	done[n] = left
	if n.dir == nil {
		left.data = n.crashData(pick)
		return left
	}
	left.dir = newMemDir()
	names := n.dir.crash(pick)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		left.dir.names[name] = names[name].crash(pick, done)
	}
	left.dir.durable = maps.Clone(left.dir.names)
	return left
}

// crash returns the names that are left. A change is kept or lost as a whole: a rename is atomic.
func (d *memDir) crash(pick Pick) map[string]*memNode {
	names := maps.Clone(d.durable)
	for _, c := range d.pending {
		if pick(2) == 1 {
			c.apply(names)
		}
	}
	return names
}

func (n *memNode) crashData(pick Pick) []byte {
	size := int64(len(n.data))
	if len(n.sizes) > 0 {
		size = n.sizes[pick(len(n.sizes))].size
	}
	left := make([]byte, size)
	copy(left, n.data)
	for _, s := range slices.Sorted(maps.Keys(n.sectors)) {
		states := n.sectors[s]
		if state := states[pick(len(states))]; s*sector < size {
			copy(left[s*sector:], state.data)
		}
	}
	for s, lost := range n.lost {
		if s*sector < size {
			copy(left[s*sector:], lost)
		}
	}
	return left
}

// LoseSync is a sync of the file that has failed, as kernels have it: what was not durable can still be read, but nothing makes it
// durable any more, unless it is written again.
func (m *Mem) LoseSync(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.find(name)
	if n.lost == nil {
		n.lost = map[int64][]byte{}
	}
	for s, states := range n.sectors {
		n.lost[s] = states[0].data
		delete(n.sectors, s)
	}
}

// Kill returns what a process that is killed at this moment leaves to the next one: all of it can be read, and a power
// cut may still take what was not made durable. The Mem itself goes on.
func (m *Mem) Kill() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	after := NewMem()
	after.NoAllocate, after.NoDirect = m.NoAllocate, m.NoDirect
	after.root = m.root.clone(map[*memNode]*memNode{})
	return after
}

// clone copies n with all its states; done holds the nodes that were met before, by another name. States are never
// written to, but their lists grow: each of the two its own.
func (n *memNode) clone(done map[*memNode]*memNode) *memNode {
	if n == nil || done[n] != nil {
		return done[n]
	}
	c := &memNode{data: slices.Clone(n.data), changes: n.changes, sizes: slices.Clone(n.sizes), sectors: map[int64][]content{}, lost: maps.Clone(n.lost)}
	done[n] = c
	for s, states := range n.sectors {
		c.sectors[s] = slices.Clone(states)
	}
	if n.dir != nil {
		c.dir = n.dir.clone(done)
	}
	return c
}

func (d *memDir) clone(done map[*memNode]*memNode) *memDir {
	names := func(from map[string]*memNode) map[string]*memNode {
		to := map[string]*memNode{}
		for name, n := range from {
			to[name] = n.clone(done)
		}
		return to
	}
	c := &memDir{names: names(d.names), durable: names(d.durable), changes: d.changes}
	for _, v := range d.pending {
		c.pending = append(c.pending, dirChange{v.at, names(v.names)})
	}
	return c
}
