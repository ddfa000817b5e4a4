// Package partlog is the logs of the partitions that this node holds: the newest entries lie in the write-ahead log,
// older ones in sealed segments, and an index per partition says where. It assigns offsets, knows each producer's last
// batches and the leader epochs, and cuts segments lazily. It does not know who leads, who follows, or topic names.
package partlog

import (
	"log/slog"
	"time"

	"github.com/google/uuid"

	"chronik/kafka/batch"
	"chronik/kafka/config"
	"chronik/wal"
	"chronik/wal/arena"
	"chronik/wal/vfs"
)

// ID says which partition a log belongs to. Its directory is named by topic id and partition, never by a user's string.
type ID struct {
	Stream    wal.StreamID
	Topic     uuid.UUID
	Partition int32
}

// Options of Open.
type Options struct {
	FS          vfs.FS // the data directory; the store uses wal/ and partitions/ in it
	Pool        *arena.Pool
	WALFileSize int64
	WALBudget   int64 // when the log's files hold more than this, the oldest are cut into segments and recycled
	Sync        wal.SyncMode
	SyncEvery   time.Duration
	Incarnation uuid.UUID
	Now         func() time.Time
	Logger      *slog.Logger
	// Known says what a stream found on disk is: its partition with its config; ErrDeleted when the metadata says that
	// its topic is gone (the data is freed); any other error stops Open: absence never implies deletion.
	Known func(wal.StreamID) (ID, *config.Topic, error)
}

// Store is all logs of this node over its write-ahead log. All methods may be called concurrently.
type Store struct{ store }

// Open recovers every log that the disk holds.
func Open(o Options) (*Store, error) { panic("unwritten") }

// Log returns the log of id, created empty when it is not there. leaderEpoch 0 and no records need nothing on disk.
func (s *Store) Log(id ID, c *config.Topic) (*Log, error) { panic("unwritten") }

// Delete forgets the log of id and frees its disk. Reads under way end undisturbed.
func (s *Store) Delete(stream wal.StreamID) error { panic("unwritten") }

// Commit has what was appended written; see wal.Log.Commit.
func (s *Store) Commit() { panic("unwritten") }

// Failed is closed when storage has failed for good; Err says why, with the file.
func (s *Store) Failed() <-chan struct{} { panic("unwritten") }
func (s *Store) Err() error              { panic("unwritten") }

// Close stops the background work, writes a checkpoint and closes the log.
func (s *Store) Close() error { panic("unwritten") }

// Offsets are a log's marks, read together. LogEnd is exclusive; Durable is the end of what the disk has;
// LastStable is the first offset of the oldest open transaction, else Durable.
type Offsets struct{ LogStart, LocalStart, LastStable, Durable, LogEnd int64 }

// Log is one partition's log. All methods may be called concurrently.
type Log struct{ log }

// Append says how a produce is to be taken.
type Append struct {
	Data        []byte     // one request's records for this partition; patched in place
	Buf         *arena.Buf // that Data lies in, or nil
	Version     int16      // of the produce request: says which message formats and codecs are allowed
	LeaderEpoch int32
}

// Appended is what became of it. Duplicate: an idempotent producer's retry, not written again; Base is the original's.
type Appended struct {
	Base, End  int64
	AppendTime int64 // ms when the topic has LogAppendTime, else -1
	LogStart   int64
	Duplicate  bool
}

// AppendAsLeader checks the records (Kafka's error codes), gives them offsets and queues them; it does not wait. They
// are durable when Offsets().Durable >= End. Call Store.Commit after the last partition of a request.
func (l *Log) AppendAsLeader(a Append) (Appended, error) { panic("unwritten") }

// OnDurable registers fn, called after Durable moved, from the committing goroutine: it must not block.
func (l *Log) OnDurable(fn func(durable int64)) { panic("unwritten") }

// Offsets returns the marks.
func (l *Log) Offsets() Offsets { panic("unwritten") }

// Read appends extents of whole batches to dst: from the batch that holds from on, none that starts at or after limit,
// at most maxBytes, but with minOne at least one batch when there is one. Outside [LogStart, LogEnd]:
// kerr.OffsetOutOfRange. Damage is kerr.CorruptMessage or KafkaStorageError and never served.
func (l *Log) Read(dst []batch.Extent, from, limit int64, maxBytes int, minOne bool) ([]batch.Extent, error) {
	panic("unwritten")
}

// Aborted lists the aborted transactions that reach into [from, end), by first offset.
func (l *Log) Aborted(from, end int64) []AbortedTxn { panic("unwritten") }

// AbortedTxn is a producer's transaction that was rolled back.
type AbortedTxn struct{ ProducerID, FirstOffset int64 }

// FindTime returns the first record with a timestamp >= ts (ms), MaxTime the one with the greatest; ok is false when
// there is none. Both are exact and look only below limit.
func (l *Log) FindTime(ts, limit int64) (to batch.TimeOffset, ok bool, err error) { panic("unwritten") }
func (l *Log) MaxTime(limit int64) (to batch.TimeOffset, ok bool, err error)      { panic("unwritten") }

// EpochEnd returns the largest epoch <= epoch that the log knows and the offset at which it ended (KIP-101); -1, -1
// when it knows none. LatestEpoch is the epoch of the newest batch.
func (l *Log) EpochEnd(epoch int32) (int32, int64) { panic("unwritten") }
func (l *Log) LatestEpoch() int32                  { panic("unwritten") }

// EpochOf returns the leader epoch of the batch that holds offset, for ListOffsets' answers; -1 when unknown.
func (l *Log) EpochOf(offset int64) int32 { panic("unwritten") }

// SetLogStart raises LogStart (DeleteRecords) and returns when that is durable.
func (l *Log) SetLogStart(offset int64) error { panic("unwritten") }

// SetConfig replaces the topic's configuration; Size is the bytes on disk.
func (l *Log) SetConfig(c *config.Topic) { panic("unwritten") }
func (l *Log) Size() int64               { panic("unwritten") }

type (
	store struct{}
	log   struct{}
)
