package partlog

import (
	"errors"
	"math"

	"chronik/kafka/batch"
	"chronik/kafka/kerr"
	"chronik/segment"
)

// FindTime returns the first record with a timestamp >= ts (ms) at LogStart or later; ok is false when there is none.
// It is exact and looks only below limit.
func (l *Log) FindTime(ts, limit int64) (to batch.TimeOffset, ok bool, err error) {
	to, ok, err = l.first(ts, limit, func(b batch.Batch, start int64) (batch.TimeOffset, bool) {
		return b.FindTime(ts, start, l.decompressLimit())
	})
	return to, ok && to.Offset < limit, err
}

// MaxTime returns the record with the greatest timestamp, the first of them (ListOffsets' MAX_TIMESTAMP, KIP-734); ok is
// false when there is none. It looks only below limit.
func (l *Log) MaxTime(limit int64) (to batch.TimeOffset, ok bool, err error) {
	greatest, any := l.greatest(limit)
	if !any {
		return to, false, nil
	}
	to, ok, err = l.FindTime(greatest, limit)
	if ok || err != nil {
		return to, ok, err
	}
	// The batch with the greatest timestamp reaches below LogStart or beyond limit: every batch has to be looked at.
	var best batch.TimeOffset
	_, _, err = l.first(math.MinInt64, limit, func(b batch.Batch, start int64) (batch.TimeOffset, bool) {
		if t, has := b.MaxTime(start, l.decompressLimit()); has && t.Offset < limit && (!ok || t.Timestamp > best.Timestamp) {
			best, ok = t, true
		}
		return t0, false
	})
	return best, ok, err
}

var t0 batch.TimeOffset

func (l *Log) decompressLimit() int {
	return batch.DecompressLimit(int(l.config.Load().MaxMessageBytes))
}

// finder looks for a record in a batch, at the log start or later.
type finder func(b batch.Batch, start int64) (batch.TimeOffset, bool)

// first asks find of every batch that may have a record of time ts or later, in order, until it finds one. Should the
// records move meanwhile it begins anew: what find found out before is still true.
func (l *Log) first(ts, limit int64, find finder) (to batch.TimeOffset, ok bool, err error) {
	for moved := 0; ; moved++ {
		v, closed := l.view(ts, limit, find)
		if closed {
			return t0, false, kerr.NotLeaderOrFollower
		}
		to, ok, err = v.run()
		v.reading.cold.release()
		if !errors.Is(err, errMoved) || moved == 8 {
			break
		}
	}
	if err != nil {
		return t0, false, l.storageError(err)
	}
	return to, ok, nil
}

// view is a search through the log as it lay at one moment.
type view struct {
	reading
	ts       int64
	start    int64
	tail     int64 // where the segments' part ends
	segments []*segment.Segment
	find     finder
}

func (l *Log) view(ts, limit int64, find finder) (v *view, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &view{
		reading: reading{log: l, from: l.start, limit: limit},
		ts:      ts, start: l.start, tail: l.tail.base, segments: l.segments, find: find,
	}, l.closed
}

func (v *view) run() (batch.TimeOffset, bool, error) {
	for _, s := range v.segments {
		if s.End() <= v.start || s.MaxTimestamp() < v.ts || s.Base() >= min(v.limit, v.tail) {
			continue
		}
		if to, ok, err := v.inSegment(s); ok || err != nil {
			return to, ok, err
		}
	}
	for at := max(v.start, v.tail); at < v.limit; {
		e, ok := v.log.entryOfTime(at, v.ts)
		if !ok || e.base >= v.limit {
			break
		}
		x, err := v.log.load([]located{e}, &v.cold)
		if err != nil {
			return t0, false, err
		}
		if to, ok, err := v.in([]batch.Extent{x}); ok || err != nil {
			return to, ok, err
		}
		at = e.end
	}
	return t0, false, nil
}

// inSegment has the segment's index skip to the batch, unless that lies below the log's start: then its batches are gone
// through from there.
func (v *view) inSegment(s *segment.Segment) (batch.TimeOffset, bool, error) {
	at := max(v.start, s.Base())
	if s.Base() >= v.start {
		to, ok, err := s.FindTime(v.ts)
		if err != nil {
			return t0, false, v.movedOr(err, s)
		}
		if !ok {
			return t0, false, nil
		}
		at = to.Offset
	}
	for end := min(s.End(), v.tail); at < end; {
		xs, err := s.Read(nil, at, end, 1, true)
		if err != nil {
			return t0, false, v.movedOr(err, s)
		}
		if len(xs) == 0 {
			break
		}
		to, ok, err := v.in(xs)
		if ok || err != nil {
			return to, ok, err
		}
		at = v.from
	}
	return t0, false, nil
}

// in goes through the extents' batches and releases them; from moves behind them.
func (v *view) in(xs []batch.Extent) (to batch.TimeOffset, ok bool, err error) {
	for i := range xs {
		if !ok && err == nil {
			to, ok, err = v.inExtent(&xs[i])
		}
		xs[i].Release()
	}
	return to, ok, err
}

func (v *view) inExtent(x *batch.Extent) (to batch.TimeOffset, ok bool, err error) {
	data := x.Mem
	if data == nil {
		if data, err = v.cold.alone(v.log.store.options.Pool, x); err != nil {
			return t0, false, err
		}
	}
	for len(data) > 0 && !ok {
		var b batch.Batch
		if b, data, err = batch.Next(data); err != nil {
			return t0, false, err
		}
		v.from = b.NextOffset()
		if !b.IsControl() {
			to, ok = v.find(b, v.start)
		}
	}
	return to, ok, nil
}

// entryOfTime is the first entry from offset from on that has a record of time ts or later.
func (l *Log) entryOfTime(from, ts int64) (located, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := l.tail.seek(max(from, l.tail.base)); ; {
		l.tail.skipOlder(&c, ts)
		e, ok := l.entryAt(&c)
		if !ok || e.maxTime >= ts {
			return e, ok
		}
	}
}

// greatest is the greatest timestamp of the batches that lie at least partly between LogStart and limit.
func (l *Log) greatest(limit int64) (int64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ts := batch.NoTimestamp
	for _, s := range l.segments {
		if s.End() > l.start && s.Base() < min(limit, l.tail.base) {
			ts = max(ts, s.MaxTimestamp())
		}
	}
	for c := l.tail.seek(max(l.start, l.tail.base)); ; {
		e, ok := l.tail.next(&c)
		if !ok || e.base >= limit {
			return ts, ts != batch.NoTimestamp
		}
		ts = max(ts, e.maxTime)
	}
}
