package partlog

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"chronik/segment"
	"chronik/wal/arena"
)

// cut copies the records of the write-ahead log's oldest files into their partitions' segments when the files hold more
// than the budget, and has the files recycled. It takes half of the budget at once: the more a partition has in one
// run, the larger its writes and the fewer its syncs; the less, the sooner there is room again (room.go).
func (s *Store) cut() error {
	for before := int64(-1); s.overBudget() && !s.stopping(); {
		end := s.cutEnd()
		if end <= before {
			break // what is left is being read, or written
		}
		before = end
		if err := s.cutTo(end); err != nil || s.stopping() {
			return err
		}
		if err := s.checkpoint(); err != nil {
			return err
		}
	}
	s.measure()
	return nil
}

// cutEnd is the position up to which the files have to go for half of the budget to be free. The file being written
// stays.
func (s *Store) cutEnd() int64 {
	files := s.wal.Files()
	excess := s.options.WALBudget / 2
	end := int64(-1)
	for _, f := range files[:max(len(files)-1, 0)] {
		if excess <= 0 {
			break
		}
		end = f.Pos + f.Size
		excess -= f.Size
	}
	return end
}

// cutTo copies what lies below pos.
func (s *Store) cutTo(pos int64) error {
	streams := s.wal.Streams(pos)
	if err := s.house(streams); err != nil {
		return err
	}
	for _, stream := range streams {
		if s.stopping() {
			return nil
		}
		l := s.log(stream)
		if l == nil {
			if stream != factStream {
				s.wal.Trim(stream, everything)
			}
			continue
		}
		c := cutting{log: l, pos: pos}
		if err := c.all(); err != nil {
			return fmt.Errorf("cut %s: %w", l.id.name(), err)
		}
	}
	return nil
}

// cutting is one log's run of entries below pos on its way into segments.
type cutting struct {
	log      *Log
	pos      int64
	segments []*segment.Segment // the log's, with those begun here
	old      int                // of them that the log had
	end      int64              // of what was copied
	cold     cold
	run      []byte // whole batches that the last segment gets next, in one write
	first    int64  // greatest timestamp of the last segment's first batch
	buf      *arena.Buf
}

// cutRun is the size of a write into a segment.
const cutRun = 1 << 20

func (c *cutting) all() error {
	c.buf = c.log.store.options.Pool.Overdraw(cutRun)
	defer c.buf.Release()
	defer c.cold.release()
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
		}
	}
	return c.unlessClosed(c.finish())
}

func (c *cutting) begin() {
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	c.segments, c.old = slices.Clone(l.segments), len(l.segments)
	c.end = max(l.cut, l.start)
	c.run = c.buf.Bytes()[:0]
	if last := c.last(); last != nil {
		c.first = last.FirstTimestamp()
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
	for _, s := range c.segments[c.old:] { // the others are the log's own affair
		if err := s.Close(); err != nil {
			return err
		}
	}
	return nil // the files go with the directory
}

// next is the next few entries below pos.
func (c *cutting) next() []located {
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	c.end = max(c.end, l.start)
	var es []located
	for at := l.tail.seek(c.end); len(es) < chunkEntries; {
		e, ok := l.tail.next(&at)
		if !ok || e.pos >= c.pos {
			break
		}
		es = append(es, e)
	}
	return es
}

// copy adds the first of the entries ahead to the run. It is checked first, also when it comes from memory: damage must not spread.
func (c *cutting) copy(ahead []located) error {
	e := ahead[0]
	x, err := c.log.locate(e)
	if errors.Is(err, errMoved) {
		return nil // dropped since: it expired
	}
	if err != nil {
		return err
	}
	defer x.Release()
	data := x.Mem
	if data == nil {
		if data, err = c.cold.read(c.log.store.options.Pool, &x, ahead); err != nil {
			return err
		}
	}
	if err := e.verify(data); err != nil {
		return fmt.Errorf("the write-ahead log at %d: %w", e.pos, err)
	}
	if err := c.room(e); err != nil {
		return err
	}
	c.run = append(c.run, data...)
	c.end = e.end
	c.log.store.pace(len(data))
	return nil
}

// room sees that there is a segment that goes on with e, and that the run has room for it.
func (c *cutting) room(e located) error {
	last := c.last()
	if last != nil && !last.Sealed() && c.end == e.base && (len(c.run) > 0 || last.End() == e.base) && !c.rolls(e) {
		if len(c.run)+int(e.size) <= cutRun {
			return nil
		}
		return c.flush()
	}
	if err := c.flush(); err != nil {
		return err
	}
	if last != nil && !last.Sealed() {
		if err := last.Seal(); err != nil {
			return err
		}
	}
	s, err := segment.Create(c.log.store.files, c.log.id.dir(), e.base, c.log.segmentOptions(last, e.base))
	if err == nil {
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

func (c *cutting) flush() error {
	if len(c.run) == 0 {
		return nil
	}
	err := c.last().Append(c.run)
	c.run = c.buf.Bytes()[:0]
	return err
}

// rolls says whether the segment is full (segment.bytes) or old (segment.ms, by the records' timestamps). The jitter is
// spread over the partitions, but always the same for one, so that a restart does not move it.
func (c *cutting) rolls(e located) bool {
	t := c.log.config.Load()
	if size := c.last().Size() + int64(len(c.run)); size > 0 && size+int64(e.size) > int64(t.SegmentBytes) {
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
	if err := c.flush(); err != nil {
		return err
	}
	if last := c.last(); last != nil && !last.Sealed() {
		if err := last.Sync(); err != nil {
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
	l.tail.drop(end)
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

// pace waits so that cutting does not take the disk from producers, unless it falls behind them.
func (s *Store) pace(n int) {
	s.copied += int64(n)
	const step = 1 << 20
	if s.copied < step {
		return
	}
	s.room.copied(s.copied)
	wait := time.Duration(s.copied) * time.Second / time.Duration(s.options.CutRate)
	s.copied = 0
	if s.excess() > s.options.WALBudget/2 {
		return
	}
	select {
	case <-time.After(wait):
	case <-s.stop:
	case <-s.failed:
	}
}

func (s *Store) stopping() bool {
	select {
	case <-s.stop:
		return true
	case <-s.failed:
		return true
	default:
		return false
	}
}
