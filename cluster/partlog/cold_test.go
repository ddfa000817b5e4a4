package partlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"chronik/kafka/batch"
	"chronik/kafka/kerr"
	"chronik/wal"
	"chronik/wal/arena"
	"chronik/wal/vfs"
)

// onDisk is a disk in a real directory, opened anew with little memory, so that everything is read from files.
func onDisk(t *testing.T) (d *disk, dir string) {
	d = newDisk(t)
	dir = t.TempDir()
	fs, err := vfs.OS(dir)
	if err != nil {
		t.Fatal(err)
	}
	d.fs = fs
	return d, dir
}

func TestReadsFromFiles(t *testing.T) {
	d, _ := onDisk(t)
	s := d.open()
	l := d.log(s, 1)
	var want []string
	for i := range 60 {
		size := 1000
		if i%10 == 9 {
			size = 100_000
		}
		v := fmt.Sprintf("%d-%s", i, strings.Repeat("v", size))
		want = append(want, fmt.Sprintf("%d:%s", i, v))
		produce(t, l, records(1, v))
	}
	closeStore(t, s)
	s = d.open() // nothing is in memory now
	defer closeStore(t, s)
	l = d.log(s, 1)
	for range 2 { // the second time large entries are known to be whole
		if got := values(t, l, 0); !slices.Equal(got, want) {
			t.Fatal(len(got))
		}
	}
	xs, err := l.Read(nil, 0, everything, 1<<20, true)
	if err != nil {
		t.Fatal(err)
	}
	if len(xs) < 12 || len(xs) > 14 || xs[0].Mem == nil || xs[1].File == nil {
		t.Fatalf("%d extents: small entries should share one, large ones be sent from the file", len(xs))
	}
	for i := range xs {
		xs[i].Release()
	}
	if n := s.options.Pool.InUse(); n > 4<<20 {
		t.Fatalf("%d bytes are still held", n)
	}
}

// Bytes that changed on the disk behind our back are not served, and neither is anything in their place.
func TestDamageInTheWALIsNotServed(t *testing.T) {
	for _, size := range []int{1000, 100_000} {
		d, dir := onDisk(t)
		s := d.open()
		l := d.log(s, 1)
		for i := range 5 {
			produce(t, l, records(1, fmt.Sprint(i, strings.Repeat("v", size))))
		}
		closeStore(t, s)
		s = d.open()
		l = d.log(s, 1)
		c := l.tail.seek(2)
		bad, _ := l.tail.next(&c)
		flip(t, dir, s, bad.pos+int64(bad.size)/2)
		if got := valuesUntil(t, l, 0); got != 2 {
			t.Fatalf("read up to %d", got)
		}
		_, err := l.Read(nil, 2, everything, 1<<20, true)
		if kerr.Of(err) != kerr.CorruptMessage || !strings.Contains(err.Error(), l.id.name()) {
			t.Fatal(err)
		}
		if got := valuesUntil(t, l, 3); got != 5 {
			t.Fatalf("read up to %d", got)
		}
		closeStore(t, s)
	}
}

// A write that the disk put in another's place has a good CRC.
func TestMisplacedEntryIsNotServed(t *testing.T) {
	a, b := batch.Batch(records(1, "a")), batch.Batch(records(1, "b"))
	a.Assign(5, 0)
	b.Assign(6, 0)
	e := located{base: 5, entry: entry{end: 6}}
	if err := e.verify(a); err != nil {
		t.Fatal(err)
	}
	if err := e.verify(b); kerr.Of(err) != kerr.CorruptMessage {
		t.Fatal(err)
	}
	if err := e.verify(slices.Concat(a, b)); kerr.Of(err) != kerr.CorruptMessage {
		t.Fatal(err)
	}
	a.Assign(5, 1) // what a flipped bit of the epoch makes of it
	if err := e.verify(a); kerr.Of(err) != kerr.CorruptMessage {
		t.Fatal(err)
	}
}

// flip changes a byte of the write-ahead log's files.
func flip(t *testing.T, dir string, s *Store, pos int64) {
	t.Helper()
	x, err := s.wal.Read(wal.Loc{Pos: pos, Len: 1})
	if err != nil || x.File == nil {
		t.Fatal("not in a file:", err)
	}
	defer x.Release()
	f, err := os.OpenFile(filepath.Join(dir, walDir, filepath.Base(x.File.Name())), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], x.Off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x20
	if _, err := f.WriteAt(b[:], x.Off); err != nil {
		t.Fatal(err)
	}
}

// valuesUntil reads on until an error and returns how far it came.
func valuesUntil(t *testing.T, l *Log, from int64) int64 {
	for {
		xs, err := l.Read(nil, from, everything, 1<<20, true)
		if err != nil || len(xs) == 0 {
			return from
		}
		for _, b := range batches(t, xs) {
			from = b.NextOffset()
		}
	}
}

func TestFailedSegmentSyncEndsTheStore(t *testing.T) {
	d := small(newDisk(t))
	faults := vfs.NewFault(d.fs)
	d.fs = faults
	s := d.open()
	l := d.log(s, 1)
	eio := errors.New("input/output error")
	faults.Script(func(op vfs.Op) vfs.Outcome {
		if op.Kind == vfs.OpSync && strings.HasSuffix(op.Name, ".seg") {
			return vfs.Outcome{Err: eio}
		}
		return vfs.Outcome{}
	})
	for i := 0; s.Err() == nil && i < 2000; i++ { // many times what makes it cut
		if _, err := l.AppendAsLeader(Append{Data: records(1, strings.Repeat("v", 1000)), Version: 9}); err != nil {
			break
		}
		s.Commit()
	}
	<-s.Failed()
	if err := s.Err(); !errors.Is(err, eio) || kerr.Of(err) != kerr.KafkaStorageError {
		t.Fatal(err)
	}
	durable := l.Offsets().Durable
	if _, err := l.AppendAsLeader(Append{Data: records(1, "x"), Version: 9}); kerr.Of(err) != kerr.KafkaStorageError {
		t.Fatal(err)
	}
	s.Commit()
	if o := l.Offsets(); o.Durable != durable {
		t.Fatal("acknowledged after the failure")
	}
	if err := s.Close(); !errors.Is(err, eio) {
		t.Fatal(err)
	}
	faults.Script(func(vfs.Op) vfs.Outcome { return vfs.Outcome{} })
	s = d.open()
	defer closeStore(t, s)
	if o := d.log(s, 1).Offsets(); o.Durable < durable {
		t.Fatalf("%d records were acknowledged, %d are there", durable, o.Durable)
	}
}

// Readers, producers, the background work and a deletion at once: nothing that is read is wrong.
func TestEverythingAtOnce(t *testing.T) {
	d := small(newDisk(t))
	d.config(1).SegmentBytes = 40 << 10
	s := d.open()
	defer closeStore(t, s)
	logs := []*Log{d.log(s, 1), d.log(s, 2), d.log(s, 3)}
	const each = 600
	var work sync.WaitGroup
	for i, l := range logs {
		work.Go(func() {
			for n := range each {
				v := fmt.Sprintf("%d-%d-%s", i, n, strings.Repeat("v", 700))
				if _, err := l.AppendAsLeader(Append{Data: records(int64(n), v), Version: 9}); err != nil {
					if i != 2 {
						t.Error(err)
					}
					return
				}
				s.Commit()
				if i == 2 && n == each/2 {
					if err := s.Delete(3); err != nil {
						t.Error(err)
					}
				}
			}
		})
		until := each
		if i == 2 {
			until = each / 2
		}
		work.Go(func() { readAlong(t, l, i, until) })
	}
	work.Go(func() {
		for range 20 {
			if _, _, err := logs[0].FindTime(each/2, everything); err != nil {
				t.Error(err)
			}
			if err := logs[1].SetLogStart(logs[1].Offsets().Durable / 2); err != nil {
				t.Error(err)
			}
		}
	})
	work.Wait()
}

func readAlong(t *testing.T, l *Log, i, records int) {
	moved := make(chan struct{}, 1)
	l.OnDurable(func(int64) {
		select {
		case moved <- struct{}{}:
		default:
		}
	})
	for from := int64(0); from < int64(records); {
		xs, err := l.Read(nil, from, everything, 8000, true)
		switch {
		case kerr.Of(err) == kerr.OffsetOutOfRange:
			from = max(from, l.Offsets().LogStart)
			continue
		case i == 2 && kerr.Of(err) == kerr.NotLeaderOrFollower:
			return
		case err != nil:
			t.Errorf("log %d at %d: %v", i, from, err)
			return
		case len(xs) == 0:
			<-moved
			continue
		}
		for _, b := range batches(t, xs) {
			r := recordsOf(t, b)[0]
			if b.BaseOffset() < from || !strings.HasPrefix(string(r.Value), fmt.Sprintf("%d-%d-", i, r.Offset)) {
				t.Errorf("log %d at %d: offset %d, %.20s", i, from, r.Offset, r.Value)
				return
			}
			from = b.NextOffset()
		}
	}
}

// Entries that lie near each other in the file are read in one go: the second is there although its file is gone. Those
// that lie far apart, or in another file, or are large, are not.
func TestColdEntriesAreReadTogether(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	const base = 1 << 40 // of the file, in the log
	at := func(pos int64, size int32) located { return located{entry: entry{pos: base + pos, size: size}} }
	for _, c := range []struct {
		name   string
		second located
		gone   bool
	}{
		{"near", at(5000, 100), false},
		{"at the gap's limit", at(100+nearby, 100), false},
		{"far", at(101+nearby, 100), true},
		{"large", at(5000, sendfileFrom), true},
		{"beyond the end", at(200_000-50, 100), true},
	} {
		content := make([]byte, 200_000)
		for i := range content {
			content[i] = byte(i / 100)
		}
		if _, err := file.WriteAt(content, 0); err != nil {
			t.Fatal(err)
		}
		pool := arena.New(1 << 20)
		var cold cold
		es := []located{at(0, 100), c.second}
		read := func(i int) ([]byte, error) {
			return cold.read(pool, &batch.Extent{File: file, Off: es[i].pos - base, Len: int64(es[i].size)}, es[i:])
		}
		if got, err := read(0); err != nil || !slices.Equal(got, content[:100]) {
			t.Fatal(c.name, err)
		}
		if err := file.Truncate(0); err != nil {
			t.Fatal(err)
		}
		got, err := read(1)
		if off := es[1].pos - base; (err != nil) != c.gone || !c.gone && !slices.Equal(got, content[off:off+100]) {
			t.Error(c.name, err)
		}
		cold.release()
		if n := pool.InUse(); n != 0 {
			t.Errorf("%s: %d bytes are still held", c.name, n)
		}
	}
}

// A fetch of many partitions must not hold a large buffer for a few bytes of each.
func TestColdBuffersAreAsSmallAsTheirEntries(t *testing.T) {
	d, _ := onDisk(t)
	s := d.open()
	for range 3 {
		for stream := wal.StreamID(1); stream <= 100; stream++ {
			produce(t, d.log(s, stream), records(1, "v"))
		}
	}
	closeStore(t, s)
	s = d.open()
	defer closeStore(t, s)
	before := s.options.Pool.InUse()
	var xs []batch.Extent
	for stream := wal.StreamID(1); stream <= 100; stream++ {
		var err error
		if xs, err = d.log(s, stream).Read(xs, 0, everything, 1<<20, true); err != nil {
			t.Fatal(err)
		}
	}
	if held := s.options.Pool.InUse() - before; len(xs) != 100 || held > 100*arena.Page {
		t.Errorf("%d extents hold %d bytes", len(xs), held)
	}
	for i := range xs {
		xs[i].Release()
	}
}

// Where the records should be and are not, the answer is an error: with nothing, a reader would wait for ever.
func TestMissingRecordsAreAnError(t *testing.T) {
	d := small(newDisk(t))
	s := d.open()
	fill(t, d, s, 200, 1)
	tend(t, s, false)
	l := d.log(s, 1)
	l.mu.Lock()
	segments := l.segments
	l.segments = nil
	l.mu.Unlock()
	if xs, err := l.Read(nil, 0, everything, 1000, true); kerr.Of(err) != kerr.KafkaStorageError {
		t.Error(xs, err)
	}
	l.mu.Lock()
	l.segments = segments
	l.mu.Unlock()
	closeStore(t, s)
}

// Readers that take in slowly what they asked for must not take all memory: while they hold too much, a read gives no
// more of what is not in memory than it must.
func TestColdReadsAreModestWhenMemoryIsScarce(t *testing.T) {
	d, _ := onDisk(t)
	s := d.open()
	for i := range 10 {
		produce(t, d.log(s, 1), records(1, fmt.Sprint(i)))
	}
	closeStore(t, s)
	s = d.open()
	defer closeStore(t, s)
	l, pool := d.log(s, 1), s.options.Pool
	slow := pool.Overdraw(int(2 * pool.Limit()))
	for _, c := range []struct {
		minOne bool
		want   int
	}{{true, 1}, {false, 0}} {
		xs, err := l.Read(nil, 0, everything, 1<<20, c.minOne)
		if n := len(batches(t, xs)); err != nil || n != c.want {
			t.Errorf("%d batches, want %d: %v", n, c.want, err)
		}
	}
	slow.Release()
	xs, err := l.Read(nil, 0, everything, 1<<20, true)
	if n := len(batches(t, xs)); err != nil || n != 10 {
		t.Errorf("%d batches: %v", n, err)
	}
}
