package partlog

import (
	"errors"

	"chronik/wal"
)

// A replica that has moved to another node leaves its partition's topic behind, which lives on: so the partition may come
// back, to the same stream, as an empty replica. What it had is given up by an entry of its stream, behind which an empty
// log begins. By the order of entries alone a start knows which of the records that it finds are of which life.

const kindRemoved = wal.Truncates | 6 // nothing: the log is gone with all that stands before this

// Remove gives up all that this node holds of the stream's partition, and returns when that is durable. Whoever still
// has the Log is refused; Store.Log gives an empty one from then on.
func (s *Store) Remove(stream wal.StreamID) error {
	s.tending.Lock() // nothing is being cut or expired meanwhile
	defer s.tending.Unlock()
	s.truncating.RLock() // no checkpoint knows of it before its place is known
	defer s.truncating.RUnlock()
	l := s.detach(stream)
	if l == nil {
		return s.Err()
	}
	r := removal{fresh: newLog(s, l.id, l.Config()), done: make(chan error, 1)}
	if err := l.remove(&r); err != nil {
		return err
	}
	s.wal.Commit()
	if err := (&fact{r.done}).wait(s); err != nil {
		return err
	}
	if err := s.ground(); err != nil {
		return err
	}
	if err := errors.Join(l.closeSegments(), s.removeDir(l.id.dir()), s.syncSegmentsDir()); err != nil {
		return s.fail(err)
	}
	s.wal.Trim(stream, 0)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logs[stream] = r.fresh // it tells every checkpoint where its life begins
	return nil
}

// Holds says whether there is anything of the stream's partition on this node's disk, or on its way there.
func (s *Store) Holds(stream wal.StreamID) bool {
	l := s.log(stream)
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end > 0 || len(l.segments) > 0 || l.inFlight.used > 0
}

func (s *Store) detach(stream wal.StreamID) *Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.logs[stream]
	delete(s.logs, stream)
	return l
}

// removal is one on its way; it is the sink of its entry.
type removal struct {
	fresh *Log
	done  chan error
}

// Durable is wal.Sink's.
func (r *removal) Durable(_ int64, loc wal.Loc, err error) {
	r.fresh.truncated = loc.Pos // nobody has it yet
	r.done <- err
}

// remove closes the log and appends its end: nothing gets behind it any more.
func (l *Log) remove(r *removal) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.store.broken.Load() {
		return l.store.failure
	}
	if err := l.store.wal.Append(wal.Entry{Stream: l.id.Stream, Kind: kindRemoved, Sink: r}); err != nil {
		return l.store.fail(err)
	}
	l.unindex(l.tail.end())
	l.closed, l.tail = true, tail{base: l.tail.end()}
	return nil
}

// replayRemoved takes over a removal. One that the checkpoint includes is only of the index, as with a truncation.
func (r *recovery) replayRemoved(l *Log, e wal.Replayed) {
	delete(r.damaged, e.Stream)
	v := r.saved[e.Stream]
	if v != nil && e.Loc.Pos <= v.truncated {
		r.unindexVoid(l, v, 0, 0)
		return
	}
	if v != nil {
		v.asOf, v.start, v.cut = 0, 0, 0
	}
	l.beginAt(0)
	l.cut, l.untimed, l.truncated = 0, 0, e.Loc.Pos
	l.stable.Store(0)
}
