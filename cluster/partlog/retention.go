package partlog

import (
	"errors"
	"io/fs"
	"slices"

	"chronik/kafka/batch"
	"chronik/segment"
)

// retain raises the log starts that retention.ms and retention.bytes ask for and removes the segments below. All new log
// starts of one round share a group commit.
func (s *Store) retain() error {
	now := s.clock.read()
	type raise struct {
		log  *Log
		to   int64
		fact *fact
	}
	var raises []raise
	logs := s.all()
	for _, l := range logs {
		to := l.expired(now)
		f, err := l.raise(to)
		if err != nil && s.broken.Load() {
			return err
		}
		if f != nil {
			raises = append(raises, raise{l, to, f})
		}
	}
	s.wal.Commit()
	for _, r := range raises {
		if err := r.fact.wait(s); err != nil {
			return err
		}
		r.log.raised(r.to)
	}
	return s.removeOld(logs)
}

// expired is the log start that the topic's retention asks for: the end of the oldest run of segments and entries that
// are all too old, by their records' timestamps, or too many.
func (l *Log) expired(now int64) int64 {
	c := l.config.Load()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.DeletePolicy || l.closed {
		return l.start
	}
	r := retention{log: l, start: l.start, before: -1}
	if c.RetentionMs >= 0 {
		r.before = now - c.RetentionMs
	}
	if c.RetentionBytes >= 0 {
		r.excess = l.tail.bytes - c.RetentionBytes
		for _, s := range l.segments {
			r.excess += s.Size()
		}
	}
	return r.run()
}

// retention walks a log from its start while what it meets may go.
type retention struct {
	log    *Log
	start  int64
	before int64 // ms; what is older goes
	excess int64 // bytes that are too many
}

func (r *retention) run() int64 {
	l := r.log
	stable := l.stableNow()
	for _, s := range l.segments {
		end := min(s.End(), l.tail.base)
		if end > stable {
			return r.start
		}
		if end <= r.start {
			r.excess -= s.Size()
			continue
		}
		if !r.goes(s.MaxTimestamp(), s.Size()) {
			return r.start
		}
		r.start = end
	}
	for c := l.tail.seek(max(r.start, l.tail.base)); ; {
		e, ok := l.tail.next(&c)
		if !ok || e.end > stable || !r.goes(e.maxTime, int64(e.size)) {
			return r.start
		}
		r.start = e.end
	}
}

// goes says whether a segment or entry may go. At least retention.bytes stay. One without timestamps has the time at
// which the last such batch came: later than its own, so it never goes too early.
func (r *retention) goes(maxTime, size int64) bool {
	if maxTime == batch.NoTimestamp {
		maxTime = r.log.untimed
	}
	if maxTime < r.before || r.excess >= size && r.excess > 0 {
		r.excess -= size
		return true
	}
	return false
}

// removeOld gives up what lies below the log starts, in segments and in the write-ahead log.
func (s *Store) removeOld(logs []*Log) error {
	var old []*segment.Segment
	for _, l := range logs {
		old = append(old, l.takeOld()...)
	}
	if len(old) == 0 {
		return nil
	}
	if err := s.ground(); err != nil {
		return err
	}
	for _, o := range old {
		if err := o.Remove(); err != nil {
			return err
		}
	}
	return nil
}

// takeOld takes the segments below the log start out of the log.
func (l *Log) takeOld() []*segment.Segment {
	l.mu.Lock()
	start, closed := l.start, l.closed
	n := 0
	for n < len(l.segments) && min(l.segments[n].End(), l.tail.base) <= start {
		n++
	}
	old := l.segments[:n]
	l.segments = l.segments[n:]
	if n > 0 && len(l.segments) == 0 {
		l.segments = nil
	}
	l.mu.Unlock()
	if !closed && start > 0 {
		l.store.wal.Trim(l.id.Stream, start)
	}
	return old
}

// removeDir removes a partition's directory with all that is in it: the newest segment first, and each one's data before its index.
// What a crash leaves is then whole: data without an index, with another segment behind it, would be damage.
func (s *Store) removeDir(dir string) error {
	names, err := s.files.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, n := range slices.Backward(names) {
		err = errors.Join(err, s.files.Remove(dir+"/"+n))
	}
	if err != nil {
		return err
	}
	return s.files.Remove(dir)
}

func (s *Store) syncSegmentsDir() error {
	err := s.files.SyncDir(segmentsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
