// Package wal is the node's write-ahead log: one log for all partitions, one lane, durable before it is acknowledged.
// It knows streams, offsets that it never interprets, and bytes that it never changes; FORMAT.md has the files and the
// crash argument. It does not know topics, batches or segments.
package wal

import (
	"log/slog"
	"time"

	"chronik/kafka/batch"
	"chronik/wal/arena"
	"chronik/wal/vfs"
)

// StreamID names one stream of entries, for ever: ids are never reused. 0 is the log's own.
type StreamID uint64

// Kind is the meaning of an entry to whoever wrote it; the log only keeps it.
type Kind uint8

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
	End    int64 // opaque to the log, except that Trim compares it; must not decrease within a stream
	Data   []byte
	Buf    *arena.Buf
	Sink   Sink // may be nil
}

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
	FileSize    int64 // bytes of a log file, multiple of 4096; 0: 64 MiB
	Sync        SyncMode
	SyncEvery   time.Duration
	Incarnation [16]byte // of this data directory: a file of another one is refused
	Logger      *slog.Logger
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

// Open reads the checkpoint and then every entry after it, in the order of the appends. restore gets the payload of the
// newest Checkpoint (nil when there is none) before the first call of replay. A torn tail is cut; anything else that
// does not fit is a *CorruptError and the log stays closed.
func Open(o Options, restore func(checkpoint []byte) error, replay func(Replayed) error) (*Log, error) {
	panic("unwritten")
}

// Append queues e and never blocks. It fails only when the log has failed or is closed.
func (l *Log) Append(e Entry) error { panic("unwritten") }

// Commit makes sure that what is queued gets written: when nobody is writing, the caller does it itself, now, and
// finds its entries durable on return; otherwise it returns at once and whoever writes takes them along next.
func (l *Log) Commit() { panic("unwritten") }

// Read returns the bytes at loc, from memory or from the log's file, and keeps them there until the extent is released.
// A loc whose file was recycled is ErrGone: the bytes are in a segment by then. Where there is no OS file, bytes are
// copied into memory. Bytes that come from a file are not checked again here.
func (l *Log) Read(loc Loc) (batch.Extent, error) { panic("unwritten") }

// Trim says that the stream's entries with End <= end are not needed from the log any more (in memory; see Checkpoint).
func (l *Log) Trim(s StreamID, end int64) { panic("unwritten") }

// File describes one file of the log, oldest first in Files.
type File struct {
	Pos, Size int64              // its range in the address space
	Live      map[StreamID]int64 // streams with untrimmed entries in it -> greatest End there
}

// Files lists the log's files that hold entries, the one being written last.
func (l *Log) Files() []File { panic("unwritten") }

// Checkpoint stores payload durably, in place of the one before, and then recycles the files all of whose entries are trimmed.
func (l *Log) Checkpoint(payload []byte) error { panic("unwritten") }

// Failed is closed when a write or a sync failed; Err says which, with the file's name.
func (l *Log) Failed() <-chan struct{} { panic("unwritten") }
func (l *Log) Err() error              { panic("unwritten") }

// Close writes what is queued and a closing mark, so that a later loss of the last entries is told from a torn tail.
func (l *Log) Close() error { panic("unwritten") }

type log struct{}
