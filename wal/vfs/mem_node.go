package vfs

import (
	"maps"
	"slices"
)

const sector = 512

// memNode is a directory, or a file: its content as it reads now, and which states of each sector and of the size a
// power cut may leave. Mem's lock guards it.
type memNode struct {
	dir *memDir // nil: a file

	data    []byte
	changes int                 // made so far
	sectors map[int64][]content // by number, those with more than one state: the durable one, then each since
	sizes   []length            // like sectors' contents; empty when the size is durable
	lost    map[int64][]byte    // sectors that a failed sync has left as they read, and what the disk has of them
}

// content and length are states, since change number at.
type content struct {
	at   int
	data []byte // a sector's; beyond the file's end zeros
}

type length struct {
	at   int
	size int64
}

// write changes data, and keeps a state of each sector that it touches.
func (n *memNode) write(p []byte, off int64) {
	if len(p) == 0 {
		return
	}
	n.changes++
	end := off + int64(len(p))
	if end > int64(len(n.data)) {
		n.setSize(end)
	}
	n.change(off, end, func() { copy(n.data[off:], p) })
}

// resize is truncate(2). What is cut off turns into zeros, sector by sector, whatever becomes of the size.
func (n *memNode) resize(size int64) {
	n.changes++
	if old := int64(len(n.data)); size < old {
		n.change(size, old, func() { clear(n.data[size:]) })
	}
	n.setSize(size)
}

func (n *memNode) setSize(size int64) {
	old := int64(len(n.data))
	if len(n.sizes) == 0 {
		n.sizes = append(n.sizes, length{0, old})
	}
	n.sizes = append(n.sizes, length{n.changes, size})
	if size < old {
		n.data = n.data[:size]
	} else {
		n.data = append(n.data, make([]byte, size-old)...)
	}
}

// change does make, which touches [off, end) of data.
func (n *memNode) change(off, end int64, make func()) {
	if n.sectors == nil {
		n.sectors = map[int64][]content{}
	}
	first, last := off/sector, (end-1)/sector
	before := n.copied(first, last)
	make()
	after := n.copied(first, last)
	for s := first; s <= last; s++ {
		at := (s - first) * sector
		if len(n.sectors[s]) == 0 {
			n.sectors[s] = append(n.sectors[s], content{0, n.durable(s, before[at:at+sector])})
		}
		n.sectors[s] = append(n.sectors[s], content{n.changes, after[at : at+sector]})
	}
}

// durable is what the disk has of a sector of one state, which reads as it does; it is going to be written again.
func (n *memNode) durable(s int64, reads []byte) []byte {
	lost := n.lost[s]
	if lost == nil {
		return reads
	}
	delete(n.lost, s)
	return lost
}

// forget has what a failed sync has left read as the disk has it.
func (n *memNode) forget() {
	for s, lost := range n.lost {
		if at := s * sector; at < int64(len(n.data)) {
			copy(n.data[at:], lost)
		}
	}
	n.lost = nil
}

// copied is whole sectors as they read now.
func (n *memNode) copied(first, last int64) []byte {
	b := make([]byte, (last-first+1)*sector)
	copy(b, n.data[first*sector:])
	return b
}

// settle makes all changes up to number upTo durable.
func (n *memNode) settle(upTo int) {
	for s := range n.sectors {
		n.settleSector(s, upTo)
	}
	last := 0
	for i, v := range n.sizes {
		if v.at <= upTo {
			last = i
		}
	}
	n.dropSizes(func(i int) bool { return i < last })
}

// settleRange makes [off, end) durable, as it was after change number upTo, and of the size as much as is needed to
// read it: a file that was made longer or shorter beyond may still have its old size.
func (n *memNode) settleRange(off, end int64, upTo int) {
	for s := off / sector; s*sector < end; s++ {
		n.settleSector(s, upTo)
	}
	if len(n.sizes) > 0 {
		n.sizes[0].size = max(n.sizes[0].size, end)
	}
	n.dropSizes(func(i int) bool { return n.sizes[i].at <= upTo && n.sizes[i].size < end })
}

func (n *memNode) settleSector(s int64, upTo int) {
	states := n.sectors[s]
	last := 0
	for i, v := range states {
		if v.at <= upTo {
			last = i
		}
	}
	if len(states)-last <= 1 {
		delete(n.sectors, s)
		return
	}
	n.sectors[s] = states[last:]
}

// dropSizes forgets the sizes that a power cut cannot leave any more.
func (n *memNode) dropSizes(gone func(i int) bool) {
	var left []length
	for i := range n.sizes {
		if !gone(i) {
			left = append(left, n.sizes[i])
		}
	}
	n.sizes = left
	if !slices.ContainsFunc(left, func(l length) bool { return l.size != int64(len(n.data)) }) {
		n.sizes = nil
	}
}

// memDir is the names in one directory: as seen now, as they are on the disk, and the changes between. A directory is
// one of its parent's names, and there only when its parent was synced.
type memDir struct {
	names   map[string]*memNode
	durable map[string]*memNode
	pending []dirChange
	changes int // made so far
}

// dirChange sets names together, as a rename does; nil removes.
type dirChange struct {
	at    int
	names map[string]*memNode
}

func newMemDir() *memDir {
	return &memDir{names: map[string]*memNode{}, durable: map[string]*memNode{}}
}

func (d *memDir) change(names map[string]*memNode) {
	d.changes++
	c := dirChange{d.changes, names}
	c.apply(d.names)
	d.pending = append(d.pending, c)
}

func (c dirChange) apply(names map[string]*memNode) {
	maps.Copy(names, c.names)
	maps.DeleteFunc(names, func(_ string, n *memNode) bool { return n == nil })
}

// settle makes all changes up to number upTo durable.
func (d *memDir) settle(upTo int) {
	d.pending = slices.DeleteFunc(d.pending, func(c dirChange) bool {
		if c.at <= upTo {
			c.apply(d.durable)
		}
		return c.at <= upTo
	})
}
