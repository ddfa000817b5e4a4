package segment

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"testing"

	"chronik/kafka/batch"
	"chronik/kafka/kerr"
	"chronik/wal/vfs"
)

const testTime = int64(1_700_000_000_000)

// makeBatch is a batch of n records at base; their timestamps are ts, ts+1 and so on.
func makeBatch(base int64, n int, ts int64, size int, c batch.Codec) batch.Batch {
	w := batch.Builder{BaseOffset: base, LeaderEpoch: 1, Compression: batch.Compression{Codec: c}}
	for i := range n {
		value := bytes.Repeat([]byte{byte(base + int64(i))}, size)
		w.Add(&batch.Record{Timestamp: ts + int64(i), Key: fmt.Appendf(nil, "%d", base+int64(i)), Value: value})
	}
	b, err := w.Build(nil)
	if err != nil {
		panic(err)
	}
	return b
}

// a log of count batches from base on, each with its own size
func makeBatches(base int64, count int) []batch.Batch {
	var all []batch.Batch
	for i := range count {
		n := 1 + i%4
		b := makeBatch(base, n, testTime+10*int64(i)-int64(i%3)*15, 20+i*37%3000, batch.Codec(i%5))
		all = append(all, b)
		base += int64(n)
	}
	return all
}

func create(t testing.TB, fs vfs.FS, base int64, batches []batch.Batch) *Segment {
	t.Helper()
	s, err := Create(fs, "p", base, Options{Files: NewFiles(4, 1<<20)})
	must(t, err)
	for _, b := range batches {
		must(t, s.Append(b))
	}
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func osFS(t testing.TB) vfs.FS {
	fs, err := vfs.OS(t.TempDir())
	must(t, err)
	if c, ok := fs.(io.Closer); ok {
		t.Cleanup(func() { c.Close() })
	}
	return fs
}

// read returns the bytes of a Read and releases them.
func read(t testing.TB, s *Segment, from, limit int64, maxBytes int, minOne bool) []byte {
	t.Helper()
	xs, err := s.Read(nil, from, limit, maxBytes, minOne)
	must(t, err)
	var out []byte
	for i := range xs {
		x := &xs[i]
		if x.File != nil {
			p := make([]byte, x.Len)
			_, err := x.File.ReadAt(p, x.Off)
			must(t, err)
			out = append(out, p...)
		} else {
			out = append(out, x.Mem...)
		}
		x.Release()
	}
	return out
}

// wanted is what a Read must return, by looking at every batch.
func wanted(all []batch.Batch, from, limit int64, maxBytes int, minOne bool) []byte {
	var out []byte
	for _, b := range all {
		if b.NextOffset() <= from {
			continue
		}
		if b.BaseOffset() >= limit || len(out)+len(b) > maxBytes && !(minOne && len(out) == 0) {
			break
		}
		out = append(out, b...)
	}
	return out
}

func TestReadReturnsWholeBatchesFromTheOneThatHoldsTheOffset(t *testing.T) {
	all := makeBatches(1000, 150)
	end := all[len(all)-1].NextOffset()
	for name, fs := range map[string]vfs.FS{"mem": vfs.NewMem(), "os": osFS(t)} {
		s := create(t, fs, 1000, all)
		state := func(what string) {
			t.Helper()
			for from := int64(1000); from <= end; from += 13 {
				for _, limit := range []int64{from, from + 1, from + 40, end, math.MaxInt64} {
					for _, maxBytes := range []int{0, 100, 5000, 100_000, math.MaxInt32} {
						for _, minOne := range []bool{true, false} {
							got, want := read(t, s, from, limit, maxBytes, minOne), wanted(all, from, limit, maxBytes, minOne)
							if !bytes.Equal(got, want) {
								t.Fatalf("%s, %s: Read(%d, %d, %d, %v): %d bytes, want %d", name, what, from, limit, maxBytes, minOne, len(got), len(want))
							}
						}
					}
				}
			}
		}
		if got := read(t, s, 1000, end, math.MaxInt32, true); len(got) != 0 || s.End() != end {
			t.Errorf("%s: %d bytes were read before the Sync; the end is %d", name, len(got), s.End())
		}
		must(t, s.Sync())
		state("synced")
		must(t, s.Seal())
		state("sealed")
		must(t, s.Close())
		var err error
		s, err = Open(fs, "p", 1000, Footer, Options{})
		must(t, err)
		state("opened")
		if !s.Sealed() || s.Base() != 1000 || s.End() != end || s.MaxTimestamp() != maxTime(all) || s.FirstTimestamp() != all[0].MaxTimestamp() {
			t.Errorf("%s: %+v", name, s.mark)
		}
		must(t, s.Verify())
	}
}

func maxTime(all []batch.Batch) int64 {
	m := batch.NoTimestamp
	for _, b := range all {
		m = max(m, b.MaxTimestamp())
	}
	return m
}

func TestTimesAreFoundExactly(t *testing.T) {
	all := makeBatches(0, 120)
	s := create(t, vfs.NewMem(), 0, all)
	must(t, s.Seal())
	type point struct{ offset, ts int64 }
	var points []point
	for _, b := range all {
		for i := range int64(b.Count()) {
			points = append(points, point{b.BaseOffset() + i, b.BaseTimestamp() + i})
		}
	}
	for ts := testTime - 40; ts < testTime+1300; ts++ {
		for _, from := range []int64{0, 5, 70, 200} {
			i := slices.IndexFunc(points, func(p point) bool { return p.offset >= from && p.ts >= ts })
			got, found, err := s.FindTimeFrom(ts, from)
			must(t, err)
			if found != (i >= 0) || found && (got.Offset != points[i].offset || got.Timestamp != points[i].ts || got.LeaderEpoch != 1) {
				t.Fatalf("FindTimeFrom(%d, %d) = %v %v, want %d", ts-testTime, from, got, found, i)
			}
		}
	}
	i := slices.IndexFunc(points, func(p point) bool { return p.ts == maxTime(all) })
	if got, found, err := s.MaxTime(); err != nil || !found || got.Offset != points[i].offset || got.Timestamp != points[i].ts {
		t.Error(got, found, err)
	}
}

func TestEmptySegment(t *testing.T) {
	fs := vfs.NewMem()
	s := create(t, fs, 7, nil)
	for _, step := range []func() error{s.Sync, s.Seal, s.Verify} {
		must(t, step())
		if got := read(t, s, 7, 100, 1000, true); len(got) != 0 || s.End() != 7 || s.Size() != 0 || s.MaxTimestamp() != batch.NoTimestamp {
			t.Error(got, s.mark)
		}
		if _, found, err := s.MaxTime(); found || err != nil {
			t.Error(found, err)
		}
		if _, found, err := s.FindTime(0); found || err != nil {
			t.Error(found, err)
		}
	}
}

func TestAppendTakesOnlyWholeBatchesInOrder(t *testing.T) {
	s := create(t, vfs.NewMem(), 10, makeBatches(10, 3))
	next := makeBatch(s.End(), 1, testTime, 10, batch.Uncompressed)
	for name, data := range map[string][]byte{
		"cut":     next[:len(next)-1],
		"garbage": []byte("this is not a batch at all, and it is long enough to have a header"),
		"old":     makeBatch(s.End()-1, 1, testTime, 10, batch.Uncompressed),
	} {
		if err := s.Append(data); kerr.Of(err) != kerr.CorruptMessage {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, s.Append(next))
	must(t, s.Seal())
	if err := s.Append(makeBatch(s.End(), 1, testTime, 10, batch.Uncompressed)); !errors.Is(err, errSealed) {
		t.Error(err)
	}
}

func TestListAndRemove(t *testing.T) {
	fs := vfs.NewMem()
	if bases, err := List(fs, "p"); len(bases) != 0 || err != nil {
		t.Error(bases, err)
	}
	var all []*Segment
	for _, base := range []int64{500, 0, 20} {
		s := create(t, fs, base, makeBatches(base, 2))
		must(t, s.Seal())
		all = append(all, s)
	}
	if bases, err := List(fs, "p"); !slices.Equal(bases, []int64{0, 20, 500}) || err != nil {
		t.Error(bases, err)
	}
	must(t, all[0].Remove())
	must(t, Remove(fs, "p", 20))
	if names, err := fs.List("p"); len(names) != 2 || err != nil {
		t.Error(names, err)
	}
}

func TestExtentsOutliveRemoval(t *testing.T) {
	all := makeBatches(0, 40)
	s := create(t, osFS(t), 0, all)
	must(t, s.Seal())
	xs, err := s.Read(nil, 0, s.End(), math.MaxInt32, true)
	must(t, err)
	must(t, s.Remove())
	got := make([]byte, xs[0].Len)
	_, err = xs[0].File.ReadAt(got, xs[0].Off)
	must(t, err)
	if !bytes.Equal(got, wanted(all, 0, s.End(), math.MaxInt32, true)) {
		t.Error("other bytes")
	}
	f := xs[0].File
	xs[0].Release()
	if _, err := f.ReadAt(got, 0); err == nil {
		t.Error("the file is still open")
	}
}

func TestOpenFilesAreBounded(t *testing.T) {
	fs := osFS(t)
	files := NewFiles(3, 1<<20)
	var all []*Segment
	for i := range 20 {
		base := int64(i) * 1000
		s, err := Create(fs, "p", base, Options{Files: files})
		must(t, err)
		for _, b := range makeBatches(base, 10) {
			must(t, s.Append(b))
		}
		must(t, s.Sync())
		all = append(all, s)
	}
	for range 3 {
		for _, s := range all {
			if got := read(t, s, s.Base(), s.End(), 1, true); len(got) == 0 {
				t.Error("nothing read")
			}
			if n := files.lru.Len(); n > 3 {
				t.Fatalf("%d files open", n)
			}
		}
	}
	for _, s := range all {
		must(t, s.Close())
	}
	if n := files.lru.Len(); n != 0 || files.bytes != 0 {
		t.Errorf("%d files open, %d bytes", n, files.bytes)
	}
}
