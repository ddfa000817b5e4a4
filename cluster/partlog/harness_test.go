package partlog

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"chronik/kafka/batch"
	"chronik/kafka/config"
	"chronik/segment"
	"chronik/wal"
	"chronik/wal/arena"
	"chronik/wal/vfs"
)

// disk is a data directory with the metadata that goes with it.
type disk struct {
	t        rapid.TB
	fs       vfs.FS
	configs  map[wal.StreamID]*config.Topic
	deleted  map[wal.StreamID]bool
	clock    atomic.Int64 // ms
	budget   int64
	fileSize int64
	cutters  int
	entries  int64

	replicated bool
	sync       wal.SyncMode
}

func newDisk(t rapid.TB) *disk {
	d := &disk{
		t: t, fs: vfs.NewMem(),
		configs: map[wal.StreamID]*config.Topic{}, deleted: map[wal.StreamID]bool{},
		budget: 1 << 30, fileSize: 1 << 20, sync: wal.SyncAlways,
	}
	d.clock.Store(1_000_000)
	return d
}

func testID(stream wal.StreamID) ID {
	return ID{Stream: stream, Topic: uuid.NewSHA1(uuid.Nil, fmt.Append(nil, stream)), Partition: int32(stream)}
}

func plain() *config.Topic {
	return &config.Topic{
		DeletePolicy: true, CompressionType: "producer", MaxMessageBytes: 1 << 20,
		TimestampBeforeMaxMs: math.MaxInt64, TimestampAfterMaxMs: math.MaxInt64,
		RetentionMs: -1, RetentionBytes: -1, SegmentBytes: 1 << 30, SegmentMs: math.MaxInt64 / 2, MinInsyncReplicas: 1,
	}
}

func (d *disk) config(stream wal.StreamID) *config.Topic {
	if d.configs[stream] == nil {
		d.configs[stream] = plain()
	}
	return d.configs[stream]
}

// configure changes the configuration of an open log; the old one stays as it was, others may be reading it.
func (d *disk) configure(s *Store, stream wal.StreamID, change func(*config.Topic)) {
	d.t.Helper()
	c := *d.config(stream)
	change(&c)
	d.configs[stream] = &c
	d.log(s, stream).SetConfig(&c)
}

// segmentsOf is a copy of the log's segments.
func segmentsOf(l *Log) []*segment.Segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.segments)
}

func (d *disk) options() Options {
	return Options{
		FS: d.fs, Pool: arena.New(64 << 20), WALFileSize: d.fileSize, WALBudget: d.budget,
		CutRate: 1 << 40, Unreplicated: !d.replicated, cutters: d.cutters, entries: d.entries, Sync: d.sync, SyncEvery: time.Hour, Incarnation: uuid.UUID{1},
		Now: func() time.Time { return time.UnixMilli(d.clock.Load()) }, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Known: func(s wal.StreamID) (ID, *config.Topic, error) {
			if d.deleted[s] {
				return ID{}, nil, ErrDeleted
			}
			if s > 1000 {
				return ID{}, nil, fmt.Errorf("stream %d was never given out", s)
			}
			return testID(s), d.config(s), nil
		},
	}
}

func (d *disk) open() *Store {
	d.t.Helper()
	s, err := Open(d.options())
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

func (d *disk) log(s *Store, stream wal.StreamID) *Log {
	d.t.Helper()
	l, err := s.Log(testID(stream), d.config(stream))
	if err != nil {
		d.t.Fatal(err)
	}
	return l
}

func closeStore(t rapid.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// records makes a batch of the values, with these timestamps from ts on, one apart.
func records(ts int64, values ...string) []byte {
	var w batch.Builder
	for i, v := range values {
		w.Add(&batch.Record{Timestamp: ts + int64(i), Value: []byte(v)})
	}
	return build(&w)
}

func build(w *batch.Builder) []byte {
	b, err := w.Build(nil)
	if err != nil {
		panic(err)
	}
	return b
}

// idempotent makes a batch of a producer.
func idempotent(id int64, epoch int16, seq int32, ts int64, values ...string) []byte {
	w := batch.Builder{Producer: &batch.Producer{ID: id, Epoch: epoch, Sequence: seq}}
	for i, v := range values {
		w.Add(&batch.Record{Timestamp: ts + int64(i), Value: []byte(v)})
	}
	return build(&w)
}

// produce appends and commits, and fails the test on an error.
func produce(t rapid.TB, l *Log, data []byte) Appended {
	t.Helper()
	a, err := l.AppendAsLeader(Append{Data: data, Version: 9})
	if err != nil {
		t.Fatal(err)
	}
	l.store.Commit()
	settle(t, l, a.End)
	return a
}

// settle waits until the log is durable up to end.
func settle(t rapid.TB, l *Log, end int64) {
	t.Helper()
	if l.Offsets().Durable >= end {
		return
	}
	if err := l.store.barrier(); err != nil {
		t.Fatal(err)
	}
	if o := l.Offsets(); o.Durable < end {
		t.Fatalf("durable up to %d, want %d", o.Durable, end)
	}
}

// values reads all values from offset on, with their offsets, as "offset:value".
func values(t rapid.TB, l *Log, from int64) []string {
	t.Helper()
	var all []string
	for end := l.Offsets().Durable; from < end; {
		xs, err := l.Read(nil, from, everything, 4096, true)
		if err != nil {
			t.Fatalf("read at %d: %v", from, err)
		}
		if len(xs) == 0 {
			t.Fatalf("read at %d of %d gave nothing", from, end)
		}
		for _, b := range batches(t, xs) {
			for _, r := range recordsOf(t, b) {
				if r.Offset >= from {
					all = append(all, fmt.Sprintf("%d:%s", r.Offset, r.Value))
				}
			}
			from = b.NextOffset()
		}
	}
	return all
}

// batches copies the batches out of the extents and releases them.
func batches(t rapid.TB, xs []batch.Extent) []batch.Batch {
	t.Helper()
	var bs []batch.Batch
	for i := range xs {
		data := make([]byte, xs[i].Size())
		if xs[i].File != nil {
			if _, err := xs[i].File.ReadAt(data, xs[i].Off); err != nil {
				t.Fatal(err)
			}
		} else {
			copy(data, xs[i].Mem)
		}
		xs[i].Release()
		for len(data) > 0 {
			b, rest, err := batch.Next(data)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.CheckCRC(); err != nil {
				t.Fatal(err)
			}
			bs, data = append(bs, b), rest
		}
	}
	return bs
}

func recordsOf(t rapid.TB, b batch.Batch) []batch.Record {
	t.Helper()
	it, err := b.Records(0)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	var rs []batch.Record
	for it.Next() {
		r := it.Record
		r.Value = append([]byte(nil), r.Value...)
		rs = append(rs, r)
	}
	if it.Err() != nil {
		t.Fatal(it.Err())
	}
	return rs
}

// fileSystems is where a test runs that is to run on a real disk too.
var fileSystems = map[string]func(*testing.T) vfs.FS{
	"mem": func(*testing.T) vfs.FS { return vfs.NewMem() },
	"os": func(t *testing.T) vfs.FS {
		f, err := vfs.OS(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.(io.Closer).Close() })
		return f
	},
}
