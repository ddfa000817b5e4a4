package segment

import (
	"math"
	"sort"

	"chronik/kafka/batch"
)

// Read appends the extent of whole batches that begins with the one that holds offset from (or the first after it) and
// holds none that begins at or after limit: at most maxBytes, but with minOne at least one batch. Whoever reads a chunk
// first since the segment was opened checks its CRC: damage is a *CorruptError and never served. A segment that does not
// reach to from appends nothing.
func (s *Segment) Read(dst []batch.Extent, from, limit int64, maxBytes int, minOne bool) ([]batch.Extent, error) {
	o, chunks, err := s.use()
	if err != nil {
		return dst, err
	}
	defer o.Release()
	i := holding(chunks, from)
	if i == len(chunks) || chunks[i].base >= limit {
		return dst, nil
	}
	walk := run{s: s, o: o, chunks: chunks, limit: limit, left: int64(maxBytes), minOne: minOne}
	last := chunks[len(chunks)-1]
	walk.r = reader{file: o.data, end: last.pos + last.length, window: headWindow, mem: getBuffer()}
	defer walk.r.mem.free()
	start, end, err := walk.find(i, from)
	if err != nil || start == end {
		return dst, err
	}
	return s.extent(dst, o, start, end)
}

func (s *Segment) extent(dst []batch.Extent, o *opened, start, end int64) ([]batch.Extent, error) {
	if f := o.data.OS(); f != nil {
		o.retain()
		return append(dst, batch.Extent{File: f, Off: start, Len: end - start, Ref: o}), nil
	}
	mem := make([]byte, end-start)
	if err := readFull(o.data, mem, start); err != nil {
		return dst, s.readFailed(start, err)
	}
	return append(dst, batch.Extent{Mem: mem, Len: end - start}), nil
}

// use returns the open files with a reference, and the chunks as of the last Sync.
func (s *Segment) use() (*opened, []chunk, error) {
	o, err := s.acquire()
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return o, o.ix.chunks, nil
}

// holding is the number of the first chunk that ends after offset.
func holding(chunks []chunk, offset int64) int {
	return sort.Search(len(chunks), func(i int) bool { return chunks[i].end > offset })
}

// run finds the bounds of what one Read returns.
type run struct {
	s      *Segment
	o      *opened
	r      reader
	chunks []chunk
	limit  int64
	left   int64 // bytes that may still be returned
	minOne bool
}

// find returns the file's range [start, end) from the batch with offset from on, which chunk i holds.
func (w *run) find(i int, from int64) (start, end int64, err error) {
	if err := w.s.check(w.o, i, w.chunks[i]); err != nil {
		return 0, 0, err
	}
	start, err = w.skip(w.chunks[i], from)
	if err != nil {
		return 0, 0, err
	}
	for end = start; i < len(w.chunks); i++ {
		next, err := w.take(i, end)
		if err != nil || next == end {
			return start, end, err
		}
		end = next
		if end < w.chunks[i].pos+w.chunks[i].length {
			break
		}
	}
	return start, end, nil
}

// skip returns the position in c of the first batch that ends after from.
func (w *run) skip(c chunk, from int64) (int64, error) {
	pos := c.pos
	for c.base < from && pos < c.pos+c.length {
		b, size, err := w.r.header(pos)
		if err != nil {
			return 0, w.s.corrupt(pos, "%v", err)
		}
		if b.NextOffset() > from {
			break
		}
		pos += size
	}
	return pos, nil
}

// take returns the position up to which chunk i may be returned, from pos on.
func (w *run) take(i int, pos int64) (int64, error) {
	c := w.chunks[i]
	if err := w.s.check(w.o, i, c); err != nil {
		return 0, err
	}
	end := c.pos + c.length
	if c.end <= w.limit && end-pos <= w.left {
		w.left -= end - pos
		w.minOne = false
		return end, nil
	}
	for pos < end {
		b, size, err := w.r.header(pos)
		if err != nil {
			return 0, w.s.corrupt(pos, "%v", err)
		}
		if b.BaseOffset() >= w.limit || size > w.left && !w.minOne {
			break
		}
		pos, w.left, w.minOne = pos+size, w.left-size, false
	}
	w.left = 0
	return pos, nil
}

// Batches calls fn with every batch from the one that holds offset from on, with its position in the file; it is valid
// during the call only. Bytes are checked. An error of fn ends the walk and is returned.
func (s *Segment) Batches(from int64, fn func(b batch.Batch, pos int64) error) error {
	o, chunks, err := s.use()
	if err != nil {
		return err
	}
	defer o.Release()
	mem := getBuffer()
	defer mem.free()
	for _, c := range chunks[holding(chunks, from):] {
		buf, err := s.chunkBytes(o, c, mem)
		if err != nil {
			return err
		}
		pos := c.pos
		for left := buf; len(left) > 0; {
			b, rest, err := batch.Next(left)
			if err != nil {
				return s.corrupt(pos, "%v", err)
			}
			if b.NextOffset() > from {
				if err := fn(b, pos); err != nil {
					return err
				}
			}
			pos, left = pos+int64(len(b)), rest
		}
	}
	return nil
}

// FindTime returns the first record with a timestamp of at least ts, and false when there is none.
func (s *Segment) FindTime(ts int64) (batch.TimeOffset, bool, error) {
	return s.FindTimeFrom(ts, s.base)
}

// FindTimeFrom is FindTime among the records with an offset of at least from.
func (s *Segment) FindTimeFrom(ts, from int64) (t batch.TimeOffset, found bool, err error) {
	o, chunks, err := s.use()
	if err != nil {
		return t, false, err
	}
	defer o.Release()
	i := sort.Search(len(chunks), func(i int) bool { return chunks[i].maxTime >= ts })
	i = max(i, holding(chunks, from))
	// The first chunk has the record, unless a producer gave a batch a timestamp that none of its records has.
	err = s.search(o, chunks[i:], func(b batch.Batch) bool {
		t, found = b.FindTime(ts, from, s.o.DecompressLimit)
		return found
	})
	return t, found, err
}

// MaxTime returns the first record with the greatest timestamp, among those with an offset of at least from, and false
// when there is no record.
func (s *Segment) MaxTime() (t batch.TimeOffset, found bool, err error) {
	o, chunks, err := s.use()
	if err != nil || len(chunks) == 0 {
		return t, false, err
	}
	defer o.Release()
	greatest := chunks[len(chunks)-1].maxTime
	i := sort.Search(len(chunks), func(i int) bool { return chunks[i].maxTime >= greatest })
	err = s.search(o, chunks[i:], func(b batch.Batch) bool {
		if b.MaxTimestamp() == greatest {
			t, found = b.MaxTime(math.MinInt64, s.o.DecompressLimit)
		}
		return found
	})
	return t, found, err
}

// search calls is with the batches of chunks until it returns true.
func (s *Segment) search(o *opened, chunks []chunk, is func(batch.Batch) bool) error {
	mem := getBuffer()
	defer mem.free()
	for _, c := range chunks {
		buf, err := s.chunkBytes(o, c, mem)
		if err != nil {
			return err
		}
		for left := buf; len(left) > 0; {
			b, rest, err := batch.Next(left)
			if err != nil {
				return s.corrupt(c.pos+c.length-int64(len(left)), "%v", err)
			}
			if is(b) {
				return nil
			}
			left = rest
		}
	}
	return nil
}

// Verify reads the whole segment and compares it with its index: CRCs of chunks and batches, and the offsets.
func (s *Segment) Verify() error {
	end := s.base
	err := s.Batches(s.base, func(b batch.Batch, pos int64) error {
		if err := b.CheckCRC(); err != nil {
			return s.corrupt(pos, "%v", err)
		}
		if b.BaseOffset() < end || b.NextOffset() <= b.BaseOffset() {
			return s.corrupt(pos, "a batch of offsets %d to %d after offset %d", b.BaseOffset(), b.LastOffset(), end)
		}
		end = b.NextOffset()
		return nil
	})
	if err == nil && end != s.End() {
		return s.corrupt(s.Size(), "the data ends at offset %d, the index at %d", end, s.End())
	}
	return err
}
