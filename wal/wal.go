// Package wal is the node's write-ahead log: one log for all partitions, one lane, durable before it is acknowledged.
// It knows streams, offsets that it never interprets, and bytes that it never changes; FORMAT.md has the files and the
// crash argument. It does not know topics, batches or segments.
package wal

import (
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"chronik/wal/arena"
	"chronik/wal/crc"
	"chronik/wal/vfs"
)

// StreamID names one stream of entries, for ever: ids are never reused. 0 is the log's own.
type StreamID uint64

// Kind is the meaning of an entry to whoever wrote it; the log only keeps it, but for Truncates.
type Kind uint8

// Truncates is the bit of a Kind which says that the entry voids what stands before it in its stream beyond its End: the
// stream goes on there, and nothing beyond is needed for it any more.
const Truncates Kind = 0x80

// Loc is where an entry's bytes lie in the log's address space, which only grows: a recycled file has new addresses.
type Loc struct {
	Pos int64
	Len int32
}

// Sink is told when an entry is durable, in the order of the appends. It is called by the goroutine that committed,
// with none of the log's locks held; it must not block and must not call Append. After an error every later entry
// fails too, and the log is dead.
type Sink interface {
	Durable(end int64, loc Loc, err error)
}

// Entry is one append. Buf, when it is not nil, is the buffer that Data lies in: then the log may write Data to disk
// from there and keep Buf (it retains it itself) as the memory that readers are served from; neither Data nor the
// pages of Buf that it touches may change until Durable was called. Without Buf, or when Data is small, Append copies.
type Entry struct {
	Stream StreamID
	Kind   Kind
	End    int64 // opaque to the log, except that Trim compares it; not math.MinInt64; must not decrease within a stream, unless Kind has Truncates
	Data   []byte
	Buf    *arena.Buf
	Sink   Sink // may be nil
	// Sum is the CRC-32C of Data from SumFrom on, where the caller knows it: then that part is not read for it again.
	// SumFrom 0 means that it does not.
	Sum     uint32
	SumFrom int
}

// sum is the CRC-32C of e.Data.
func (e *Entry) sum() uint32 {
	if e.SumFrom <= 0 || len(e.Data) < knownSumMin {
		return crc.Of(e.Data)
	}
	return crc.Combine(crc.Of(e.Data[:e.SumFrom]), e.Sum, int64(len(e.Data)-e.SumFrom))
}

// knownSumMin is the length from which on it is cheaper to put a checksum together than to make it.
const knownSumMin = 8 << 10

// SyncMode says what stands before the acknowledgement.
type SyncMode string

const (
	SyncAlways   SyncMode = "always"   // written and synced
	SyncInterval SyncMode = "interval" // written; synced every Options.SyncEvery: a power cut loses up to that much
	SyncNever    SyncMode = "never"    // written; the operating system decides
)

// Options of Open. FS is the directory of the log alone.
type Options struct {
	FS          vfs.FS
	Pool        *arena.Pool
	FileSize    int64 // bytes of a log file, rounded down to a multiple of 4096, at least 32 KiB; 0: 64 MiB
	Sync        SyncMode
	SyncEvery   time.Duration // for SyncInterval; 0: 100 ms
	Incarnation [16]byte      // of this data directory: a file of another one is refused
	Logger      *slog.Logger
	Watch       *vfs.Watch // of what producers wait for; may be nil
}

// Replayed is an entry found at start. Data is valid only during the call.
type Replayed struct {
	Stream StreamID
	Kind   Kind
	End    int64
	Loc    Loc
	Data   []byte
}

// Log is the open log. All methods may be called concurrently.
type Log struct{ log }

// log's fields are guarded in groups. The order of locks: checkpointing or dirty, then mu, then prep, then files; tail and
// the pool's own come last.
type log struct {
	fs   vfs.FS
	pool *arena.Pool
	opt  Options
	salt uint64 // minted by Open: no group of another run can pass for one of this
	lock io.Closer

	mu      sync.Mutex
	idle    sync.Cond // on mu: nobody writes and nothing is queued
	queue   queue     // groups that wait to be written
	writing bool      // somebody commits; only that goroutine touches what the writer owns
	closed  bool
	err     error         // the first failure; final
	went    chan struct{} // see Behind; nil while nobody waits

	behind atomic.Int64 // bytes that are queued and copied; changed under mu

	failed chan struct{} // closed when err is set

	files files // the files that make up the log, and which of their streams are still needed
	prep  prep  // files to come
	tail  tail  // the newest bytes, in memory

	checkpointing sync.Mutex    // held by Checkpoint
	dirty         sync.Mutex    // held by syncDirty
	syncErr       error         // its first error, final; guarded by dirty
	start         uint64        // the last group of the runs before
	written       atomic.Uint64 // the last group written; set by the writer
	durable       atomic.Uint64 // all groups up to this are durable

	wake  chan struct{} // hands the writer's part to the log's own goroutine
	stop  chan struct{} // closed by Close
	tasks sync.WaitGroup
}

// Append queues e and never blocks. It fails only when the log has failed or is closed, or when Data is longer than
// MaxEntry. The queue's bound is what its callers may hold of the pool, and what they let Behind become of what has no Buf.
func (l *Log) Append(e Entry) error {
	a, err := l.stage(e)
	if err != nil {
		return err
	}
	l.mu.Lock()
	if err = l.refusal(); err == nil {
		l.queue.add(&l.log, e, a)
	}
	l.mu.Unlock()
	if a.own {
		a.buf.Release()
	}
	return err
}

// Commit makes sure that what is queued gets written: when nobody is writing, the caller does it itself, now, and
// finds its entries durable on return; otherwise it returns at once and whoever writes takes them along next.
func (l *Log) Commit() {
	g := l.begin()
	if g == nil {
		return
	}
	l.commit(g, false)
	if l.more() {
		l.wake <- struct{}{}
	}
}

// CommitSoon is Commit by the log's own goroutine: for callers that have something better to do than to wait for the disk.
func (l *Log) CommitSoon() {
	l.mu.Lock()
	idle := !l.writing && !l.queue.empty()
	if idle {
		l.writing = true
	}
	l.mu.Unlock()
	if idle {
		l.wake <- struct{}{}
	}
}

// Failed is closed when a write or a sync failed; Err says which, with the file's name.
func (l *Log) Failed() <-chan struct{} { return l.failed }

// Err is the failure that ended the log, or nil.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Close writes what is queued and a closing mark, so that a later loss of the last entries is told from a torn tail.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.closed = true
	l.mu.Unlock()
	l.drain()
	err := l.Err()
	if err == nil {
		if err = l.closingMark(); err != nil {
			l.fail(err)
		}
	}
	close(l.stop)
	l.tasks.Wait()
	if err == nil {
		err = l.Err() // what the preparer met meanwhile
	}
	return errors.Join(err, l.letGo())
}
