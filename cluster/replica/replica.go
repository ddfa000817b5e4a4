// Package replica is this node's part in each partition: it leads, or will follow, as the metadata says; it knows the
// high watermark, wakes who waits for records, and answers producers when their records are replicated. It does not know
// the protocol that requests came in, nor how a log is stored.
package replica

import (
	"context"
	"log/slog"

	"chronik/cluster/partlog"
	"chronik/kafka/batch"
	"chronik/kafka/config"
	"chronik/metalog/image"
	"chronik/wal/arena"
)

// Options of New.
type Options struct {
	Self   image.BrokerID
	Store  *partlog.Store
	Config func(*image.Image, string) *config.Topic // of the topic with that name, compiled
	Logger *slog.Logger
}

// Manager holds the partitions of this node. It is an image.Watcher: it creates, reconfigures and deletes logs as the
// metadata changes.
type Manager struct{ manager }

// New returns a manager without partitions; register it with metalog.Watch.
func New(o Options) *Manager { panic("unwritten") }

// Apply is image.Watcher's.
func (m *Manager) Apply(d *image.Delta) { panic("unwritten") }

// Leader returns the partition when this node leads it: else kerr.UnknownTopicID, UnknownTopicOrPartition or
// NotLeaderOrFollower. currentEpoch is the client's, -1 when it gave none: FencedLeaderEpoch, UnknownLeaderEpoch.
func (m *Manager) Leader(topic image.TopicID, partition, currentEpoch int32) (*Partition, error) {
	panic("unwritten")
}

// Commit has what was produced written; called once after all partitions of a request.
func (m *Manager) Commit() { panic("unwritten") }

// Close releases every waiter with kerr.NotLeaderOrFollower.
func (m *Manager) Close() { panic("unwritten") }

// Partition is one partition as its leader sees it.
type Partition struct{ partition }

// Result is what became of one partition of a produce request. Err is a kerr.Code or wraps one.
type Result struct {
	partlog.Appended
	LeaderEpoch int32
	Err         error
}

// Produce is the partitions of one produce request: begun one after the other, then waited for together. It is
// recycled: after Results was read, Done gives it back.
type Produce struct{ produce }

// NewProduce returns a request of n partitions. acks is 1 or -1; with acks 0 nobody waits.
func NewProduce(acks int16, n int) *Produce { panic("unwritten") }

// Begin appends to p as the request's i-th partition; its outcome is in Results()[i] once Ready. A nil p with err
// records that partition's failure.
func (w *Produce) Begin(i int, p *Partition, err error, data []byte, buf *arena.Buf, version int16) {
	panic("unwritten")
}

// Ready says whether every partition has its outcome. Wait waits for that; when ctx ends first, those without one get
// kerr.RequestTimedOut (the records may still be replicated later).
func (w *Produce) Ready() bool              { panic("unwritten") }
func (w *Produce) Wait(ctx context.Context) { panic("unwritten") }
func (w *Produce) Results() []Result        { panic("unwritten") }
func (w *Produce) Done()                    { panic("unwritten") }

// Marks are a partition's offsets for readers; LastStable never exceeds HighWatermark.
type Marks struct {
	LogStart, LastStable, HighWatermark, LogEnd int64
	LeaderEpoch                                 int32
}

func (p *Partition) Marks() Marks      { panic("unwritten") }
func (p *Partition) Log() *partlog.Log { panic("unwritten") }

// Read is partlog's, up to HighWatermark, or LastStable with committed.
func (p *Partition) Read(dst []batch.Extent, from int64, maxBytes int, minOne, committed bool) ([]batch.Extent, error) {
	panic("unwritten")
}

// Waiter is a fetch that waits on several partitions. Wake is called, possibly often and from a committing goroutine,
// when one of them has new records below its mark, lost its leader or was deleted: it must not block.
type Waiter interface{ Wake() }

// Await registers w until Forget. Every Await needs its Forget.
func (p *Partition) Await(w Waiter)  { panic("unwritten") }
func (p *Partition) Forget(w Waiter) { panic("unwritten") }

// DeleteRecords raises the log start to before (-1: the high watermark) and returns the new log start when it is durable.
func (p *Partition) DeleteRecords(before int64) (int64, error) { panic("unwritten") }

type (
	manager   struct{}
	partition struct{}
	produce   struct{}
)
