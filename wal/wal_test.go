package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"chronik/kafka/batch"
	"chronik/wal/arena"
	"chronik/wal/crc"
	"chronik/wal/vfs"
)

// entry is what a test appended or got back.
type entry struct {
	stream StreamID
	kind   Kind
	end    int64
	data   string
}

// bench is a log under test with what was appended to it and what is known to be durable.
type bench struct {
	t    testing.TB
	fs   vfs.FS
	pool *arena.Pool
	o    Options
	l    *Log

	mu       sync.Mutex
	appended []entry
	durable  int // how many of appended
	locs     []Loc
	failures int

	restored []byte
	replayed []entry
	places   []Loc
}

func newBench(t testing.TB, f vfs.FS) *bench {
	b := &bench{t: t, fs: f, pool: arena.New(64 << 20)}
	b.o = Options{FS: f, Pool: b.pool, FileSize: 64 << 10, Incarnation: [16]byte{1, 2, 3}}
	return b
}

func (b *bench) tryOpen() error {
	b.replayed, b.places, b.restored = nil, nil, nil
	l, err := Open(b.o, func(p []byte) error {
		b.restored = bytes.Clone(p)
		return nil
	}, func(r Replayed) error {
		b.replayed = append(b.replayed, entry{r.Stream, r.Kind, r.End, string(r.Data)})
		b.places = append(b.places, r.Loc)
		return nil
	})
	b.l = l
	return err
}

func (b *bench) open() {
	b.t.Helper()
	if err := b.tryOpen(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) close() {
	b.t.Helper()
	if err := b.tryClose(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) tryClose() error {
	err := b.l.Close()
	if n := b.pool.InUse(); err == nil && n != 0 {
		err = fmt.Errorf("%d bytes of buffers leaked", n)
	}
	return err
}

// Durable is Sink for entry number i of the bench.
type sink struct {
	b *bench
	i int
}

func (s sink) Durable(end int64, loc Loc, err error) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if err != nil {
		s.b.failures++
		return
	}
	if s.i != s.b.durable || s.b.failures > 0 {
		s.b.t.Errorf("entry %d is durable when %d are and %d failed", s.i, s.b.durable, s.b.failures)
	}
	if e := s.b.appended[s.i]; e.end != end || len(e.data) != int(loc.Len) {
		s.b.t.Errorf("entry %d: end %d, len %d", s.i, end, loc.Len)
	}
	s.b.durable++
	s.b.locs = append(s.b.locs, loc)
}

func (b *bench) append(e entry, buf *arena.Buf, data []byte) error {
	b.mu.Lock()
	i := len(b.appended)
	b.appended = append(b.appended, e)
	b.mu.Unlock()
	in := Entry{Stream: e.stream, Kind: e.kind, End: e.end, Data: data, Buf: buf, Sink: sink{b, i}}
	if i%2 == 0 && len(data) > 7 { // a checksum that the caller knows is as good as one that the log makes
		in.Sum, in.SumFrom = crc.Of(data[7:]), 7
	}
	err := b.l.Append(in)
	if err != nil {
		b.mu.Lock()
		b.appended = b.appended[:i]
		b.mu.Unlock()
	}
	return err
}

// put appends n bytes of noise, from a buffer of the pool when zero is set, and commits.
func (b *bench) put(stream StreamID, n int, zero bool) {
	b.t.Helper()
	if err := b.tryPut(stream, n, zero); err != nil {
		b.t.Fatal(err)
	}
	b.l.Commit()
}

func (b *bench) tryPut(stream StreamID, n int, zero bool) error {
	end := int64(len(b.appended) + 1)
	data := noise(n, uint64(end))
	var buf *arena.Buf
	if zero {
		buf = b.pool.Overdraw(n + 1000)
		defer buf.Release()
		into := buf.Bytes()[700 : 700+n : 700+n]
		copy(into, data)
		data = into
	}
	return b.append(entry{stream, Kind(end % 7), end, string(data)}, buf, data)
}

func noise(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// same checks that what was replayed is the beginning of what was appended, from entry skip on, and all that is durable.
func (b *bench) same(skip int) {
	b.t.Helper()
	if len(b.replayed)+skip < b.durable {
		b.t.Fatalf("%d entries were durable, %d came back", b.durable-skip, len(b.replayed))
	}
	for i, e := range b.replayed {
		if i+skip >= len(b.appended) || e != b.appended[i+skip] {
			b.t.Fatalf("entry %d is another than was appended", i+skip)
		}
	}
}

func content(t testing.TB, x batch.Extent) []byte {
	t.Helper()
	if x.Mem != nil {
		return x.Mem
	}
	b := make([]byte, x.Len)
	if _, err := x.File.ReadAt(b, x.Off); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return b
}

// readable checks that every durable entry can be read at its place.
func (b *bench) readable() {
	b.t.Helper()
	for i, loc := range b.locs {
		x, err := b.l.Read(loc)
		if err != nil {
			b.t.Fatalf("entry %d at %v: %v", i, loc, err)
		}
		if string(content(b.t, x)) != b.appended[i].data {
			b.t.Fatalf("entry %d at %v reads as other bytes", i, loc)
		}
		x.Release()
	}
}

func onBoth(t *testing.T, test func(b *bench)) {
	t.Run("mem", func(t *testing.T) { test(newBench(t, vfs.NewMem())) })
	t.Run("os", func(t *testing.T) {
		f, err := vfs.OS(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		test(newBench(t, f))
	})
}

// What CommitSoon was called for is written without anybody else asking for it.
func TestCommitSoonNeedsNobodyElse(t *testing.T) {
	b := newBench(t, vfs.NewMem())
	b.open()
	for range 100 {
		if err := b.tryPut(1, 100, false); err != nil {
			t.Fatal(err)
		}
		b.l.CommitSoon()
		b.l.mu.Lock()
		for b.l.writing {
			b.l.idle.Wait()
		}
		b.l.mu.Unlock()
	}
	if b.durable != 100 {
		t.Errorf("%d of 100 entries are durable", b.durable)
	}
	b.close()
}

func TestWhatWasAppendedComesBack(t *testing.T) {
	onBoth(t, func(b *bench) {
		b.open()
		sizes := []int{1, 100, 0, 4096, 20_000, 31 << 10, 33 << 10, 40_000, 7, 200_000, 64 << 10, 5}
		for i := range 60 {
			b.put(StreamID(i%5+1), sizes[i%len(sizes)], i%2 == 0)
		}
		if b.durable != 60 {
			t.Fatalf("%d of 60 durable", b.durable)
		}
		b.readable()
		b.l.tail.evict(b.pool, 1<<40)
		b.readable()
		b.close()
		b.open()
		b.same(0)
		if len(b.replayed) != 60 {
			t.Fatalf("%d of 60 came back", len(b.replayed))
		}
		b.locs = b.places
		b.readable()
		b.put(1, 3, false)
		b.close()
		b.open()
		b.same(0)
		b.close()
	})
}

func TestEntriesOfOneBufferShareASpan(t *testing.T) {
	b := newBench(t, vfs.NewMem())
	b.o.FileSize = 1 << 20
	b.open()
	buf := b.pool.Overdraw(200_000)
	copy(buf.Bytes(), noise(200_000, 5))
	for i, r := range [][2]int{{100, 50_000}, {50_100, 60_000}, {61_000, 61_500}, {61_400, 120_000}, {130_000, 131_000}, {150_000, 199_999}} {
		data := buf.Bytes()[r[0]:r[1]]
		if err := b.append(entry{1, 0, int64(i), string(data)}, buf, data); err != nil {
			t.Fatal(err)
		}
	}
	if g := b.l.queue.open; len(g.spans) != 2 {
		t.Errorf("%d spans", len(g.spans))
	}
	buf.Release()
	b.l.Commit()
	b.readable()
	b.l.tail.evict(b.pool, 1<<40)
	b.readable()
	b.close()
	b.open()
	b.same(0)
	b.close()
}

func TestManyProducers(t *testing.T) {
	onBoth(t, func(b *bench) {
		b.o.FileSize = 1 << 20
		b.open()
		var producers sync.WaitGroup
		var order sync.Mutex
		for p := range 8 {
			producers.Go(func() {
				for i := range 200 {
					order.Lock()
					err := b.tryPut(StreamID(p+1), (i*977+p)%9000, i%3 == 0)
					order.Unlock()
					if err != nil {
						t.Error(err)
					}
					b.l.Commit()
				}
			})
		}
		producers.Wait()
		b.l.drain()
		if b.durable != 1600 {
			t.Fatalf("%d durable", b.durable)
		}
		b.readable()
		b.close()
		b.open()
		b.same(0)
		b.close()
	})
}

func TestTrimmedFilesAreRecycled(t *testing.T) {
	onBoth(t, func(b *bench) {
		b.open()
		skip := 0
		for round := range 20 {
			for range 20 {
				b.put(1, 9000, false)
			}
			if n := len(b.l.Files()); n < 3 || n > 8 {
				t.Fatalf("round %d: %d files", round, n)
			}
			b.l.Trim(1, int64(b.durable-3))
			if err := b.l.Checkpoint(fmt.Appendf(nil, "round %d", round)); err != nil {
				t.Fatal(err)
			}
			for _, loc := range b.locs[b.durable-3:] {
				x, err := b.l.Read(loc)
				if err != nil {
					t.Fatal(err)
				}
				x.Release()
			}
			b.l.tail.evict(b.pool, 1<<40)
			if _, err := b.l.Read(b.locs[0]); !errors.Is(err, ErrGone) {
				t.Fatalf("the first entry: %v", err)
			}
		}
		names, _ := b.fs.List(".")
		if len(names) > 16 {
			t.Error(names)
		}
		b.close()
		b.open()
		skip = b.durable - len(b.replayed)
		if string(b.restored) != "round 19" || skip == 0 || len(b.replayed) < 3 {
			t.Fatalf("restored %q, replayed %d", b.restored, len(b.replayed))
		}
		b.same(skip)
		b.close()
	})
}

func TestAReaderKeepsItsFile(t *testing.T) {
	onBoth(t, func(b *bench) {
		b.open()
		b.put(1, 9000, false)
		b.l.tail.evict(b.pool, 1<<40)
		x, err := b.l.Read(b.locs[0])
		if err != nil {
			t.Fatal(err)
		}
		for range 30 {
			b.put(1, 9000, false)
		}
		b.l.Trim(1, 1<<40)
		if err := b.l.Checkpoint(nil); err != nil {
			t.Fatal(err)
		}
		for range 30 {
			b.put(1, 9000, false)
		}
		if string(content(t, x)) != b.appended[0].data {
			t.Error("overwritten under a reader")
		}
		x.Release()
		b.close()
	})
}

func TestOpenAgainAndAgainLeavesNothing(t *testing.T) {
	b := newBench(t, vfs.NewMem())
	for range 10 {
		b.open()
		b.close()
	}
	names, _ := b.fs.List(".")
	if len(names) != 2 { // and the checkpoint
		t.Error(names)
	}
}

func TestOnlyOneHoldsTheDirectory(t *testing.T) {
	onBoth(t, func(b *bench) {
		b.open()
		first := b.l
		if err := b.tryOpen(); err == nil {
			t.Fatal("opened twice")
		}
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAClosedLogRefuses(t *testing.T) {
	b := newBench(t, vfs.NewMem())
	b.open()
	b.close()
	if err := b.tryPut(1, 1, false); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := b.l.Close(); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := b.l.Checkpoint(nil); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, err := b.l.Read(Loc{Pos: 5000, Len: 1}); !errors.Is(err, ErrGone) {
		t.Error(err)
	}
}

func TestCheckpointsAndTheEnd(t *testing.T) {
	b := newBench(t, vfs.NewMem())
	b.open()
	for range 20 {
		b.put(1, 9000, false)
	}
	b.l.Trim(1, 1<<40)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := b.l.Checkpoint(nil); err != nil && !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		})
	}
	b.close()
	all.Wait()
}

func TestMemoryPressureTakesTheTail(t *testing.T) {
	b := newBench(t, vfs.NewMem())
	b.pool = arena.New(4 << 20)
	b.o.Pool, b.o.FileSize = b.pool, 16<<20
	b.open()
	for range 60 {
		buf, err := b.pool.Get(t.Context(), 300_000)
		if err != nil {
			t.Fatal(err)
		}
		data := buf.Bytes()
		if err := b.append(entry{1, 0, 1, string(data)}, buf, data); err != nil {
			t.Fatal(err)
		}
		buf.Release()
		b.l.Commit()
	}
	if b.pool.InUse() > 5<<20 {
		t.Errorf("%d bytes in use", b.pool.InUse())
	}
	b.readable()
	b.close()
}

func TestOtherSyncModes(t *testing.T) {
	for _, mode := range []SyncMode{SyncInterval, SyncNever} {
		b := newBench(t, vfs.NewMem())
		b.o.Sync = mode
		b.open()
		for range 40 {
			b.put(1, 9000, false)
		}
		b.close()
		b.fs = b.fs.(*vfs.Mem).Crash(vfs.Oldest)
		b.o.FS = b.fs
		b.open()
		b.same(0)
		b.close()
	}
	b := newBench(t, vfs.NewMem())
	b.o.Sync = "sometimes"
	if err := b.tryOpen(); err == nil {
		t.Error("took any mode")
	}
}

// What was queued and not committed waits for its own committer. Who committed before it was queued must not.
func TestNobodyMustWaitForWhatNobodyWrites(t *testing.T) {
	b := newBench(t, vfs.NewMem())
	b.open()
	if err := b.l.Append(Entry{Stream: 1, End: 1, Data: make([]byte, 10<<10)}); err != nil {
		t.Fatal(err)
	}
	if b.l.Behind(1<<10) != nil {
		t.Error("to wait for, and nobody writes")
	}
	b.l.Commit()
	if n := b.l.behind.Load(); n != 0 {
		t.Errorf("%d bytes are left", n)
	}
	b.close()
}
