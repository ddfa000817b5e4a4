package partlog

import "sort"

// chunk is up to chunkEntries entries of a tail that follow each other. What it has of each is how far it lies from where the
// chunk began, in half the memory of an entry. One that lies too far away has the chunk counted anew from what is left of it,
// or keep whole entries.
type chunk struct {
	base    int64 // where the first entry begins
	maxTime int64 // greatest of all; of those that were dropped too

	origin entry // what near is counted from
	near   []near
	far    []entry // when it is not nil, in place of near
}

const (
	chunkEntries = 128
	firstEntries = 4 // ten thousand idle partitions should not pay for a whole chunk each
)

// near is an entry, counted from an origin.
type near struct {
	end  uint32
	time int32 // ms
	pos  uint32
	size uint32 // with the flags above it
}

const (
	nearSize = 16 // bytes of an entry in memory
	sizeBits = 30
)

// newChunk is for entries from base on, the first of which is going to be e. The first one of a tail grows with what it has.
func newChunk(base int64, e entry, first bool) *chunk {
	room := chunkEntries
	if first {
		room = firstEntries
	}
	return &chunk{base: base, maxTime: -1, origin: entry{end: base, maxTime: e.maxTime, pos: e.pos}, near: make([]near, 0, room)}
}

func (c *chunk) len() int { return max(len(c.near), len(c.far)) }

func (c *chunk) at(i int) entry {
	if c.far != nil {
		return c.far[i]
	}
	n, o := c.near[i], &c.origin
	return entry{
		end: o.end + int64(n.end), maxTime: o.maxTime + int64(n.time), pos: o.pos + int64(n.pos),
		size: int32(n.size & (1<<sizeBits - 1)), flags: n.size >> sizeBits,
	}
}

// end and begin are where an entry ends, and where it begins.
func (c *chunk) end(i int) int64 {
	if c.far != nil {
		return c.far[i].end
	}
	return c.origin.end + int64(c.near[i].end)
}

func (c *chunk) begin(i int) int64 {
	if i == 0 {
		return c.base
	}
	return c.end(i - 1)
}

// until is the number of entries that end at or before offset.
func (c *chunk) until(offset int64) int {
	return sort.Search(c.len(), func(i int) bool { return c.end(i) > offset })
}

func (c *chunk) append(e entry) {
	c.maxTime = max(c.maxTime, e.maxTime)
	n, ok := e.from(&c.origin)
	if c.far == nil && !ok && c.recount() {
		n, ok = e.from(&c.origin)
	}
	if c.far == nil && ok {
		c.near = append(c.near, n)
		return
	}
	c.widen()
	c.far = append(c.far, e)
}

func (c *chunk) set(i int, e entry) {
	n, ok := e.from(&c.origin)
	if c.far == nil && ok {
		c.near[i] = n
		return
	}
	c.widen()
	c.far[i] = e
}

// from is e counted from o; false when it lies too far away.
func (e entry) from(o *entry) (n near, ok bool) {
	end, time, pos := e.end-o.end, e.maxTime-o.maxTime, e.pos-o.pos
	n = near{end: uint32(end), time: int32(time), pos: uint32(pos), size: uint32(e.size) | e.flags<<sizeBits}
	return n, int64(n.end) == end && int64(n.time) == time && int64(n.pos) == pos && e.size < 1<<sizeBits && e.flags < 1<<(32-sizeBits)
}

// recount has near counted from the first entry that is left, and says whether that is another one than before. A chunk whose
// entries come as fast as they go would be ever further from where it began.
func (c *chunk) recount() bool {
	if len(c.near) == 0 || c.base == c.origin.end {
		return false
	}
	first := c.at(0)
	origin := entry{end: c.base, maxTime: first.maxTime, pos: first.pos}
	all := make([]near, len(c.near), min(2*len(c.near)+firstEntries, chunkEntries))
	for i := range all {
		e, ok := c.at(i), false
		if all[i], ok = e.from(&origin); !ok {
			return false
		}
	}
	c.origin, c.near = origin, all
	return true
}

// widen has the chunk keep whole entries.
func (c *chunk) widen() {
	if c.far != nil {
		return
	}
	far := make([]entry, len(c.near), min(2*len(c.near)+firstEntries, chunkEntries))
	for i := range far {
		far[i] = c.at(i)
	}
	c.near, c.far = nil, far
}

// dropFirst forgets the first n entries.
func (c *chunk) dropFirst(n int) {
	if n == 0 {
		return
	}
	c.base = c.end(n - 1)
	if c.far != nil {
		c.far = c.far[n:]
	} else {
		c.near = c.near[n:]
	}
}

func (c *chunk) dropLast() {
	if c.far != nil {
		c.far = c.far[:len(c.far)-1]
	} else {
		c.near = c.near[:len(c.near)-1]
	}
}
