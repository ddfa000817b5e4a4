package partlog

import (
	"errors"
	"fmt"
	"slices"

	"chronik/kafka/kerr"
	"chronik/segment"
	"chronik/wal"
	"chronik/wal/mutant"
)

// cutting is one log's run of entries below pos on its way into segments.
type cutting struct {
	log      *Log
	pos      int64
	segments []*segment.Segment // the log's, with those begun here
	end      int64              // of what was copied
	first    int64              // greatest timestamp of the last segment's first batch
	tools    *tools
	gone     bool // the partition was deleted meanwhile, and its segments are closed
}

// all copies the entries below pos; finish makes the copies durable.
func (c *cutting) all() error {
	c.begin()
	for !c.log.store.stopping() {
		es := c.next()
		if len(es) == 0 {
			break
		}
		for i := range es {
			if err := c.copy(es[i:]); err != nil {
				return c.unlessClosed(err)
			}
			c.log.store.pace(int(es[i].size))
		}
	}
	return c.unlessClosed(c.flush())
}

// named adds whose log it was.
func (c *cutting) named(err error) error {
	if err != nil {
		return fmt.Errorf("cut %s: %w", c.log.id.name(), err)
	}
	return nil
}

// flush gives up the memory that was lent.
func (c *cutting) flush() error {
	last := c.last()
	if last == nil || last.Sealed() {
		return nil
	}
	return last.Flush()
}

func (c *cutting) begin() {
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	c.segments = slices.Clone(l.segments)
	c.end = max(l.cut, l.start)
	if last := c.last(); last != nil {
		c.first = last.FirstTimestamp()
		last.Lend(c.tools.pages.Bytes())
	}
}

// unlessClosed passes over what went wrong because the partition was deleted meanwhile.
func (c *cutting) unlessClosed(err error) error {
	l := c.log
	l.mu.Lock()
	closed := l.closed
	l.mu.Unlock()
	if !closed {
		return err
	}
	c.gone = true
	for _, s := range c.segments { // so that none keeps the memory that was lent
		if err := s.Close(); err != nil {
			return err
		}
	}
	return nil // the files go with the directory
}

// next is the next few entries below pos, until the next call.
func (c *cutting) next() []located {
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	c.end = max(c.end, l.start)
	stable := l.stableNow()
	es := c.tools.entries[:0]
	for at := l.tail.seek(c.end); len(es) < chunkEntries; {
		e, ok := l.entryAt(&at)
		if !ok || e.pos >= c.pos || e.end > stable {
			break
		}
		es = append(es, e)
	}
	c.tools.entries = es
	return es
}

// copy appends the first of the entries ahead to a segment, which checks it, also when it comes from memory: damage must
// not spread.
func (c *cutting) copy(ahead []located) error {
	e, s := ahead[0], c.log.store
	data := []byte(nil)
	if x, ok := s.wal.Recent(e.loc()); ok {
		defer x.Release()
		data = x.Mem
	} else {
		var err error
		if data, err = c.tools.ahead.read(s, ahead); errors.Is(err, wal.ErrGone) {
			return c.expired(e)
		} else if err != nil {
			return err
		}
	}
	if err := e.fits(data); err != nil {
		return fmt.Errorf("the write-ahead log at %d: %w", e.pos, err)
	}
	if err := c.room(e); err != nil {
		return err
	}
	if err := c.last().Append(data); err != nil {
		return fmt.Errorf("the write-ahead log's entry at %d: %w", e.pos, err)
	}
	c.end = e.end
	return nil
}

// expired sees that an entry that is no more in the write-ahead log is not needed any more.
func (c *cutting) expired(e located) error {
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.start >= e.end || l.closed {
		return nil
	}
	return fmt.Errorf("the write-ahead log has given up what is at %d: %w", e.pos, kerr.KafkaStorageError)
}

// room sees that there is a segment that goes on with e.
func (c *cutting) room(e located) error {
	last := c.last()
	if last != nil && !last.Sealed() {
		if last.End() == e.base && !c.rolls(e) {
			return nil
		}
		if err := last.Seal(); err != nil {
			return err
		}
	}
	s, err := segment.Create(c.log.store.files, c.log.id.dir(), e.base, c.log.segmentOptions(last, e.base))
	if err == nil {
		s.Lend(c.tools.pages.Bytes())
		c.segments, c.first = append(c.segments, s), e.maxTime
	}
	return err
}

func (c *cutting) last() *segment.Segment {
	if len(c.segments) == 0 {
		return nil
	}
	return c.segments[len(c.segments)-1]
}

// rolls says whether the segment is full (segment.bytes) or old (segment.ms, by the records' timestamps). The jitter is
// spread over the partitions, but always the same for one, so that a restart does not move it.
func (c *cutting) rolls(e located) bool {
	t := c.log.config.Load()
	if size := c.last().Size(); size > 0 && size+int64(e.size) > int64(t.SegmentBytes) {
		return true
	}
	age := t.SegmentMs
	if t.SegmentJitterMs > 0 {
		age -= int64(uint64(c.log.id.Stream)*0x9e3779b97f4a7c15>>1) % min(t.SegmentJitterMs, age)
	}
	return c.first >= 0 && e.maxTime >= 0 && e.maxTime-c.first > age
}

// finish makes the copies durable, has readers use them, and gives the entries up.
func (c *cutting) finish() error {
	if c.gone {
		return nil
	}
	return c.unlessClosed(c.settle())
}

func (c *cutting) settle() error {
	if last := c.last(); last != nil && !last.Sealed() {
		if mutant.On(mutant.TrimBeforeSync) {
			// the write-ahead log may forget what the disk does not have
		} else if err := last.Sync(); err != nil {
			return err
		}
	}
	c.log.adopt(c.segments, c.end)
	c.log.store.wal.Trim(c.log.id.Stream, c.end)
	return nil
}

// adopt has the log use the segments up to end.
func (l *Log) adopt(segments []*segment.Segment, end int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments = segments
	l.cut = max(l.cut, end)
	l.unindex(end)
	l.txns.trim(end)
}

// segmentOptions are those of the segment that begins at base, behind before.
func (l *Log) segmentOptions(before *segment.Segment, base int64) segment.Options {
	o := segment.Options{DecompressLimit: l.decompressLimit()}
	if before != nil && before.End() == base {
		o.Ongoing = before.Ongoing
	} else {
		o.Ongoing = func() ([]segment.Ongoing, error) { return l.ongoingAt(base), nil }
	}
	return o
}
