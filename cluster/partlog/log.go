package partlog

import (
	"errors"
	"sync"
	"sync/atomic"

	"chronik/kafka/config"
	"chronik/segment"
	"chronik/wal"
)

// Log is one partition's log. All methods may be called concurrently.
type Log struct {
	id         ID
	store      *Store
	config     atomic.Pointer[config.Topic]
	complained atomic.Int64 // when damage was last logged, s
	housed     bool         // the disk knows whose directory the log's is; of the background work
	stable     atomic.Int64 // the high watermark that SetStable told last

	mu         sync.Mutex // guards what follows; wal.Append is called under it, so that offsets and the log agree
	closed     bool
	start, end int64
	starting   int64 // start as soon as what was queued is durable
	durable    int64
	fence      int32 // leaders of epochs before it may not append any more
	truncated  int64 // where the entry of the last truncation lies
	inFlight   fifo  // appended, not durable
	tail       tail
	segments   []*segment.Segment // oldest first; only the last may be unsealed; replaced, never changed
	cut        int64              // segments hold the log durably up to here
	producers  producers
	txns       txns
	epochs     epochs
	untimed    int64 // when a batch without timestamps was last seen, ms
	onDurable  []func(int64)
	onStart    []func()
}

func newLog(s *Store, id ID, c *config.Topic) *Log {
	l := &Log{id: id, store: s}
	l.config.Store(c)
	return l
}

// Offsets returns the marks.
func (l *Log) Offsets() Offsets {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Offsets{
		LogStart:   l.start,
		LocalStart: l.start,
		LastStable: max(l.start, l.lastStable(min(l.durable, l.stableNow()))), // an open transaction's beginning may be deleted
		Durable:    l.durable,
		LogEnd:     l.end,
	}
}

// Durable is the end of what the disk has, as Offsets says it.
func (l *Log) Durable() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.durable
}

// SetStable tells the high watermark: what lies below it is never truncated, but after an unclean election. Only that
// is cut into segments, expires, or ends a transaction.
func (l *Log) SetStable(highWatermark int64) { l.stable.Store(highWatermark) }

// Stable is what SetStable told last; after a restart what the last checkpoint knew of it.
func (l *Log) Stable() int64 { return l.stable.Load() }

// stableNow is the stable mark, where there are other replicas.
func (l *Log) stableNow() int64 {
	if l.store.options.Unreplicated {
		return everything
	}
	return l.stable.Load()
}

// OnDurable registers fn, called after Durable moved, from the committing goroutine: it must not block. By the time that it is
// called, what it is told of may have been cut off again.
func (l *Log) OnDurable(fn func(durable int64)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.onDurable = append(l.onDurable[:len(l.onDurable):len(l.onDurable)], fn)
}

// OnStart registers fn, called after LogStart was raised.
func (l *Log) OnStart(fn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.onStart = append(l.onStart[:len(l.onStart):len(l.onStart)], fn)
}

// SetConfig replaces the topic's configuration.
func (l *Log) SetConfig(c *config.Topic) { l.config.Store(c) }

// Config is the topic's configuration.
func (l *Log) Config() *config.Topic { return l.config.Load() }

// Size is the bytes on disk, those in the write-ahead log included.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := l.tail.bytes
	for _, s := range l.segments {
		size += s.Size()
	}
	return size
}

// sink is the log as the write-ahead log sees it.
type sink Log

// Durable publishes the oldest entry in flight. Only now it gets into the index: readers cannot ask for it earlier,
// and where it lies is not known earlier.
func (k *sink) Durable(end int64, loc wal.Loc, err error) {
	l := (*Log)(k)
	if err != nil {
		_ = l.store.fail(err) // told by Failed
		return
	}
	if l.store.broken.Load() {
		return
	}
	l.mu.Lock()
	f := l.inFlight.pop()
	if !l.closed {
		if len(l.tail.chunks) == 0 {
			l.tail.base = min(l.tail.base, f.base) // the leader's log may start within a batch
		}
		l.index(entry{end: end, maxTime: f.maxTime, pos: loc.Pos, size: loc.Len, flags: f.flags})
	}
	l.durable = end
	l.txns.settle(min(end, l.stableNow()))
	told := l.onDurable
	l.mu.Unlock()
	for _, fn := range told {
		fn(end)
	}
	l.store.grown(loc.Pos + int64(loc.Len))
}

// close refuses all further appends and reads. The segments stay, for whoever is cutting them.
func (l *Log) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unindex(l.tail.end())
	l.closed, l.tail = true, tail{base: l.tail.end()}
}

// index takes e into the index; the caller holds l.mu.
func (l *Log) index(e entry) {
	l.tail.append(e)
	l.store.indexed.Add(1)
}

// unindex forgets the entries up to offset; the caller holds l.mu.
func (l *Log) unindex(offset int64) {
	l.store.indexed.Add(int64(-l.tail.drop(offset)))
}

// closeSegments lets go of the segments' files. Only the background work may call it, or nobody else any more.
func (l *Log) closeSegments() (err error) {
	l.mu.Lock()
	segments := l.segments
	l.segments = nil
	l.mu.Unlock()
	for _, s := range segments {
		err = errors.Join(err, s.Close())
	}
	return err
}

// inFlight is what an entry's index entry will say.
type inFlight struct {
	base    int64
	maxTime int64
	flags   uint32
}

// fifo is a ring of entries in flight: as many as the write-ahead log has queued, which the pool of request buffers bounds.
type fifo struct {
	ring       []inFlight // length a power of two
	head, used int
}

func (q *fifo) push(f inFlight) {
	if q.used == len(q.ring) {
		q.grow()
	}
	q.ring[(q.head+q.used)&(len(q.ring)-1)] = f
	q.used++
}

func (q *fifo) pop() inFlight {
	f := q.ring[q.head]
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.used--
	return f
}

func (q *fifo) grow() {
	bigger := make([]inFlight, max(4, 2*len(q.ring)))
	for i := range q.used {
		bigger[i] = q.ring[(q.head+i)&(len(q.ring)-1)]
	}
	q.ring, q.head = bigger, 0
}
