package partlog

import (
	"encoding/binary"
	"errors"
	"sync"

	"chronik/kafka/kerr"
	"chronik/wal"
	"chronik/wal/mutant"
)

// Facts are what must be durable besides records. They are entries of a stream of their own, counted, so that a
// checkpoint can say which of them it includes: the end of a partition's stream does not move with a fact about it.
const (
	factStream = wal.StreamID(1) << 63

	kindLogStart wal.Kind = 2 // stream, offset: the stream's log starts there
	kindBarrier  wal.Kind = 3 // nothing: when it is durable, so is all before it
)

type facts struct {
	mu    sync.Mutex
	count int64 // facts appended so far, by this process and those before it
}

// fact is one that somebody waits for.
type fact struct{ done chan error }

// Durable is wal.Sink's.
func (f *fact) Durable(_ int64, _ wal.Loc, err error) { f.done <- err }

// wait returns when the fact is durable.
func (f *fact) wait(s *Store) error {
	select {
	case err := <-f.done:
		if err != nil {
			return s.fail(err)
		}
		return nil
	case <-s.failed:
		return s.failure
	}
}

// state appends a fact. Call the write-ahead log's Commit, then wait.
func (s *Store) state(kind wal.Kind, data []byte) (*fact, error) {
	f := &fact{make(chan error, 1)}
	s.facts.mu.Lock()
	defer s.facts.mu.Unlock()
	e := wal.Entry{Stream: factStream, Kind: kind, End: s.facts.count + 1, Data: data, Sink: f}
	if err := s.wal.Append(e); err != nil {
		return nil, s.fail(err)
	}
	s.facts.count++
	return f, nil
}

// barrier returns when all that was appended before it is durable.
func (s *Store) barrier() error {
	f, err := s.state(kindBarrier, nil)
	if err != nil {
		return err
	}
	s.wal.Commit()
	return f.wait(s)
}

// ground has on the disk, in every mode of the write-ahead log, what was stated so far. Files go only then: their removal may be
// durable at any time. A checkpoint is made only then: it is durable at once.
func (s *Store) ground() error {
	if err := s.wal.Sync(); err != nil {
		return s.fail(err)
	}
	return nil
}

const logStartSize = 16

func encodeLogStart(stream wal.StreamID, start int64) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, logStartSize), uint64(stream))
	return binary.BigEndian.AppendUint64(b, uint64(start))
}

func decodeLogStart(b []byte) (wal.StreamID, int64, error) {
	if len(b) != logStartSize {
		return 0, 0, errors.New("a log start entry of the wrong size")
	}
	return wal.StreamID(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[8:])), nil
}

// SetLogStart raises LogStart (DeleteRecords) and returns when that is durable. An offset at or below LogStart changes
// nothing; one above LogEnd is OFFSET_OUT_OF_RANGE.
func (l *Log) SetLogStart(offset int64) error {
	f, err := l.raise(offset)
	if f == nil || err != nil {
		return err
	}
	if !mutant.On(mutant.LogStartBeforeSync) {
		l.store.wal.Commit() // needs no room: it makes some
	}
	if mutant.On(mutant.LogStartBeforeSync) {
		// whoever asked is told before the disk knows
	} else if err := f.wait(l.store); err != nil {
		return err
	}
	l.raised(offset)
	l.store.reread.Store(true)
	l.store.nudge()
	return nil
}

// raise states the new log start; nil when it is none. Readers see it after raised, when it is durable.
func (l *Log) raise(offset int64) (*fact, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, kerr.NotLeaderOrFollower
	case offset > l.end:
		return nil, kerr.OffsetOutOfRange
	case offset <= l.start:
		return nil, nil
	}
	f, err := l.store.state(kindLogStart, encodeLogStart(l.id.Stream, offset))
	if err == nil {
		l.starting = max(l.starting, offset)
	}
	return f, err
}

// raised takes over a log start that is durable, as are the records before it.
func (l *Log) raised(offset int64) {
	l.mu.Lock()
	if offset <= l.start {
		l.mu.Unlock()
		return
	}
	l.start = offset
	l.starting = max(l.starting, offset)
	l.unindex(offset)
	l.epochs.trim(offset)
	l.txns.trim(offset)
	told := l.onStart
	l.mu.Unlock()
	for _, fn := range told {
		fn()
	}
}
