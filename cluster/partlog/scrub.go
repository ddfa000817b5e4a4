package partlog

import (
	"slices"
	"time"

	"chronik/kafka/batch"
	"chronik/segment"
)

const (
	// scrubRate is how many bytes a second the scrub reads on average, segment by segment: what producers and consumers want
	// comes first.
	scrubRate = 16 << 20
	// scrubEvery is between the end of one scrub and the next. The first one begins with the store: what was done to a file
	// while the node was stopped is found soon.
	scrubEvery = 24 * time.Hour
)

// scrub reads segments, which nobody else may read for months, so that damage is found while others still have what was
// there. What it finds goes where damage goes that a reader meets.
func (s *Store) scrub() {
	for {
		for _, l := range s.all() {
			for _, seg := range l.all() {
				if !s.rest(time.Duration(seg.Size()) * time.Second / scrubRate) {
					return
				}
				if err := verified(seg); err != nil && l.has(seg) {
					_ = l.storageError(err) // told to whoever repairs, and logged
					break
				}
			}
		}
		if !s.rest(scrubEvery) {
			return
		}
	}
}

// rest is false when the store ends meanwhile.
func (s *Store) rest(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.stop:
	case <-s.failed:
	}
	return false
}

// verified checks a segment, as far as it goes: one that is not sealed grows.
func verified(s *segment.Segment) error {
	if s.Sealed() {
		return s.Verify()
	}
	return s.Batches(s.Base(), func(b batch.Batch, _ int64) error { return b.CheckCRC() })
}

func (l *Log) all() []*segment.Segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.segments)
}

// has says whether the segment is still the log's: one that has expired meanwhile need not be there.
func (l *Log) has(s *segment.Segment) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.closed && slices.Contains(l.segments, s)
}
