package partlog

import (
	"slices"
	"sort"

	"chronik/wal"
)

// entry is one entry of the write-ahead log. Its first offset is the end of the entry before it.
type entry struct {
	end     int64
	maxTime int64 // greatest timestamp in it, ms; batch.NoTimestamp for none
	pos     int64
	size    int32
	flags   uint32
}

const (
	severalBatches uint32 = 1 << iota // else it is exactly one
	checkedInFile                     // its bytes were read from the log's file and found whole
)

func (e entry) loc() wal.Loc { return wal.Loc{Pos: e.pos, Len: e.size} }

// located is an entry with its first offset.
type located struct {
	base  int64
	epoch int32 // the leader's who appended it, or noEpoch: not known any more
	entry
}

// tail is the index of the entries that are read from the write-ahead log: the newest, one after the other without a
// gap. It is in chunks, so that it grows and shrinks at its ends without being copied.
type tail struct {
	base   int64 // where the first entry begins; the log's end when there is none
	bytes  int64
	chunks []*chunk // oldest first, none empty
}

func (t *tail) append(e entry) {
	last := t.lastChunk()
	if last == nil || last.len() == chunkEntries {
		last = newChunk(t.end(), e, last == nil)
		t.chunks = append(t.chunks, last)
	}
	last.append(e)
	t.bytes += int64(e.size)
}

func (t *tail) lastChunk() *chunk {
	if len(t.chunks) == 0 {
		return nil
	}
	return t.chunks[len(t.chunks)-1]
}

// end is the end of the last entry.
func (t *tail) end() int64 {
	if c := t.lastChunk(); c != nil {
		return c.end(c.len() - 1)
	}
	return t.base
}

// cursor stands before an entry.
type cursor struct{ chunk, entry int }

// seek stands before the entry that holds offset, at the end when there is none.
func (t *tail) seek(offset int64) cursor {
	if len(t.chunks) == 0 || offset >= t.end() {
		return cursor{chunk: len(t.chunks)}
	}
	c := sort.Search(len(t.chunks), func(i int) bool { return t.chunks[i].base > offset })
	c = max(c-1, 0)
	in := t.chunks[c]
	return cursor{c, sort.Search(in.len(), func(i int) bool { return in.end(i) > offset })}
}

// next returns the entry that c stands before and steps over it.
func (t *tail) next(c *cursor) (located, bool) {
	if c.chunk >= len(t.chunks) {
		return located{}, false
	}
	in := t.chunks[c.chunk]
	l := located{base: in.begin(c.entry), entry: in.at(c.entry)}
	if c.entry++; c.entry == in.len() {
		*c = cursor{chunk: c.chunk + 1}
	}
	return l, true
}

// skipOlder steps over whole chunks without an entry of time ts or later.
func (t *tail) skipOlder(c *cursor, ts int64) {
	for c.entry == 0 && c.chunk < len(t.chunks) && t.chunks[c.chunk].maxTime < ts {
		c.chunk++
	}
}

// drop forgets the entries that end at or before offset, and returns how many those were.
func (t *tail) drop(offset int64) (dropped int) {
	n := 0
	for n < len(t.chunks) && t.chunks[n].end(t.chunks[n].len()-1) <= offset {
		dropped += t.dropFrom(t.chunks[n], t.chunks[n].len())
		n++
	}
	t.chunks = slices.Delete(t.chunks, 0, n)
	if len(t.chunks) > 0 {
		first := t.chunks[0]
		dropped += t.dropFrom(first, first.until(offset))
	}
	return dropped
}

// dropFrom forgets the first n entries of the first chunk.
func (t *tail) dropFrom(c *chunk, n int) int {
	for i := range n {
		t.bytes -= int64(c.at(i).size)
	}
	c.dropFirst(n)
	t.base = c.base
	return n
}

// setFlag marks the entry that ends at end, if it is still there.
func (t *tail) setFlag(end int64, flag uint32) {
	c := t.seek(end - 1)
	if c.chunk < len(t.chunks) && t.chunks[c.chunk].end(c.entry) == end {
		in := t.chunks[c.chunk]
		e := in.at(c.entry)
		e.flags |= flag
		in.set(c.entry, e)
	}
}
