// Package partlog is the logs of the partitions that this node holds: the newest entries lie in the write-ahead log,
// older ones in segments, and an index per partition says where. It assigns offsets, knows each producer's last batches
// and the leader epochs, and cuts segments lazily. It does not know who leads, who follows, or topic names.
//
// A record's way is append.go (checked, given an offset, queued), log.go (durable), read.go, and in time cut.go (copied
// into a segment) and retention.go (gone). recover.go finds it again after a crash. DESIGN.md says why, FORMAT.md what
// is on disk.
package partlog

import (
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"

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

// ErrDeleted is Options.Known's answer for a stream whose topic the metadata says is gone.
var ErrDeleted = errors.New("partlog: the topic was deleted")

// Options of Open.
type Options struct {
	FS          vfs.FS // the data directory; the store uses wal/, partitions/ and quarantine/ in it
	Pool        *arena.Pool
	WALFileSize int64
	WALBudget   int64 // when the log's files hold more than this, the oldest are cut into segments and recycled; 0: what the disk has
	CutRate     int64 // bytes per second that cutting writes unless it falls behind; 0: 128 MiB
	Sync        wal.SyncMode
	SyncEvery   time.Duration
	Incarnation uuid.UUID
	Watch       *vfs.Watch // of what producers wait for; may be nil
	Now         func() time.Time
	Logger      *slog.Logger

	// Unreplicated says that nobody will ever truncate a log: all of it is stable, whatever SetStable tells.
	Unreplicated bool

	RetentionCheckInterval time.Duration // log.retention.check.interval.ms; 0: five minutes
	ProducerExpiration     time.Duration // producer.id.expiration.ms; 0: one day

	// Repair is asked at Open whether logs that are damaged may be given up, to be copied again from other replicas: nobody
	// may rely on these any more when it returns. After an error, or with nobody to ask, Open ends, and the damage stays.
	Repair func([]Damage) error

	// Damaged is told of records that could not be read, or were not what was written, once for each time that they are met.
	// It must not block. Without it nobody looks for them (scrub.go).
	Damaged func(Damage)

	cutters int   // how many logs are cut at once; 0: three
	round   int64 // bytes that are cut at once, at least; 0: 128 MiB
	entries int64 // of the write-ahead log that are indexed in memory; 0: as many as take a thirty-second of Pool's limit

	// Known says what a stream found on disk is: its partition with its config; ErrDeleted when the metadata says that
	// its topic is gone (the data is freed); any other error stops Open: absence never implies deletion.
	Known func(wal.StreamID) (ID, *config.Topic, error)
}

// Offsets are a log's marks, read together. LogEnd is exclusive; Durable is the end of what the disk has;
// LastStable is the first offset of the oldest transaction whose end is not stable, else the stable part of what is
// durable (see SetStable), and never below LogStart. Below LocalStart
// the log's records lie in an object store only; it is LogStart where there is none.
type Offsets struct{ LogStart, LocalStart, LastStable, Durable, LogEnd int64 }

// AbortedTxn is a producer's transaction that was rolled back.
type AbortedTxn struct{ ProducerID, FirstOffset int64 }

func (o *Options) fill() {
	if o.CutRate == 0 {
		o.CutRate = 128 << 20
	}
	if o.entries == 0 {
		o.entries = o.Pool.Limit() / 32 / nearSize
	}
	if o.round == 0 {
		o.round = 128 << 20
	}
	if o.cutters == 0 {
		o.cutters = 3
	}
	if o.RetentionCheckInterval == 0 {
		o.RetentionCheckInterval = 5 * time.Minute
	}
	if o.ProducerExpiration == 0 {
		o.ProducerExpiration = 24 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
}
