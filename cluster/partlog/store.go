package partlog

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/wal"
	"chronik/wal/vfs"
)

// Store is all logs of this node over its write-ahead log. All methods may be called concurrently.
type Store struct {
	options Options
	wal     *wal.Log
	files   vfs.FS
	clock   clock

	mu    sync.RWMutex // guards what follows
	logs  map[wal.StreamID]*Log
	dying map[wal.StreamID]grave

	facts facts

	truncating longLock // held for reading by a Truncate on its way, for writing while a checkpoint looks at the logs

	byDisk  atomic.Int64 // what limit is when the options have none
	oldest  atomic.Int64 // position at which the write-ahead log begins
	newest  atomic.Int64 // position up to which it is known to be written
	cutAt   atomic.Int64 // position at which it is so large that it should be cut
	indexed atomic.Int64 // its entries in the logs' indexes
	cutOver atomic.Int64 // number of them at which it should be cut
	room    room
	reread  atomic.Bool // a log start was raised: there may be something to remove
	tending longLock    // held by a round of the background work; guards what follows
	shedAt  int64       // time before which producers need not be looked at again, ms
	pacer   pacer

	wake  chan struct{}
	stop  chan struct{}
	ended sync.WaitGroup

	failing sync.Once
	failed  chan struct{}
	failure error // set before failed is closed
	broken  atomic.Bool
}

// Log returns the log of id, created empty when it is not there. leaderEpoch 0 and no records need nothing on disk.
func (s *Store) Log(id ID, c *config.Topic) (*Log, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, dead := s.dying[id.Stream]; dead || id.Stream == 0 || id.Stream >= factStream {
		return nil, fmt.Errorf("partlog: stream %d of %s is not to be used: %w", id.Stream, id.name(), kerr.KafkaStorageError)
	}
	if l := s.logs[id.Stream]; l != nil {
		if l.id != id {
			return nil, fmt.Errorf("partlog: stream %d belongs to %s, not to %s: %w", id.Stream, l.id.name(), id.name(), kerr.KafkaStorageError)
		}
		l.config.Store(c)
		return l, nil
	}
	l := newLog(s, id, c)
	s.logs[id.Stream] = l
	return l, nil
}

// Delete forgets the stream's log and frees its disk in the background. Reads under way end undisturbed.
func (s *Store) Delete(stream wal.StreamID) error {
	s.mu.Lock()
	l := s.logs[stream]
	if l == nil {
		s.mu.Unlock()
		return nil
	}
	delete(s.logs, stream)
	s.dying[stream] = grave{l.id, l}
	s.mu.Unlock()
	l.close()
	s.nudge()
	return nil
}

// grave is a deleted partition whose files are still to be removed.
type grave struct {
	id  ID
	log *Log // nil when it was deleted before this start
}

// Failed is closed when storage has failed for good; Err says why, with the file.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// Err is nil until Failed is closed.
func (s *Store) Err() error {
	if s.broken.Load() {
		return s.failure
	}
	return nil
}

// Close stops the background work, writes a checkpoint and closes the log.
func (s *Store) Close() error {
	close(s.stop)
	s.ended.Wait()
	err := s.Err()
	if err == nil {
		err = s.checkpoint()
	}
	err = errors.Join(err, s.wal.Close())
	for _, l := range s.all() {
		l.close()
		err = errors.Join(err, l.closeSegments())
	}
	return err
}

// fail ends the store: nothing is acknowledged after it. It returns err as Kafka's storage error.
func (s *Store) fail(err error) error {
	err = fmt.Errorf("%w: %w", kerr.KafkaStorageError, err)
	s.failing.Do(func() {
		s.failure = err
		s.broken.Store(true)
		close(s.failed)
	})
	return err
}

// nudge has the background work look at once.
func (s *Store) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// all lists the logs, in no order.
func (s *Store) all() []*Log {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Collect(maps.Values(s.logs))
}

func (s *Store) log(stream wal.StreamID) *Log {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.logs[stream]
}

// name is the partition's, for people and for its directory.
func (id ID) name() string { return fmt.Sprintf("%s-%d", id.Topic, id.Partition) }

const segmentsDir = "partitions"

func (id ID) dir() string { return segmentsDir + "/" + id.name() }

// clock spares most batches the question what time it is.
type clock struct {
	now  func() int64 // ms
	last atomic.Int64 // the latest answer
}

func (c *clock) read() int64 {
	now := c.now()
	c.last.Store(now)
	return now
}

// atLeast returns a time that is not after now, and is now itself unless the last answer already is ts or later.
func (c *clock) atLeast(ts int64) int64 {
	if last := c.last.Load(); last >= ts {
		return last
	}
	return c.read()
}
