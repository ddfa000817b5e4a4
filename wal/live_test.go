package wal

import (
	"math/rand/v2"
	"slices"
	"testing"

	"chronik/wal/vfs"
)

// What a file that is full knows of its streams must be what it knew while it was written: else it is given up too early, or never.
func TestPackedStreamsAreThoseOfTheMap(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var open, packed live
		stream := func() StreamID { return StreamID(1 + r.IntN(20)) }
		for range r.IntN(40) {
			s, end := stream(), int64(r.IntN(30))
			if open.set(s, end) != packed.set(s, end) {
				t.Fatal("not the first in one")
			}
		}
		sorted := packed.appendTo(nil)
		slices.Sort(sorted)
		if s := stream(); r.IntN(2) == 0 { // trimmed while they were sorted
			open.trim(s, 99)
			packed.trim(s, 99)
		}
		like := slices.Clone(sorted) // of another file, which must not change
		if r.IntN(3) == 0 {
			like = append(like, 99)
		}
		same := slices.Clone(like)
		packed.pack(sorted, like)
		for range 40 {
			s, end := stream(), int64(r.IntN(40))
			if r.IntN(3) == 0 {
				open.lower(s, end)
				packed.lower(s, end)
			} else if open.trim(s, end) != packed.trim(s, end) {
				t.Fatalf("seed %d: stream %d is trimmed to %d in one alone", seed, s, end)
			}
			a, b := open.appendTo(nil), packed.appendTo(nil)
			slices.Sort(a)
			slices.Sort(b)
			if !slices.Equal(a, b) || open.len() != packed.len() || len(b) != packed.len() {
				t.Fatalf("seed %d: %v (%d) and %v (%d)", seed, a, open.len(), b, packed.len())
			}
		}
		if !slices.Equal(like, same) {
			t.Fatalf("seed %d: the other file's streams are %v, were %v", seed, like, same)
		}
	}
}

// What is packed, and how much there is of it, must be the same after a start. A file is packed soon after it became full.
func TestFilesKnowTheirStreamsAfterAStart(t *testing.T) {
	b := newBench(t, vfs.NewMem())
	b.open()
	for i := range 20 {
		b.put(StreamID(1+i%3), 30<<10, false)
	}
	b.l.Trim(2, 8)
	b.l.files.pack()
	b.l.Trim(1, 4)
	if n := b.unpacked(); n > 0 {
		t.Errorf("%d files are full and not packed", n)
	}
	b.needing()
	b.close()
	b.open()
	if n := b.unpacked(); n > 0 {
		t.Errorf("after the start %d files are not packed", n)
	}
	b.needing()
	b.l.Trim(1, 20)
	b.l.Trim(2, 20)
	b.l.Trim(3, 20)
	if b.needing() != 0 {
		t.Errorf("%d after all was trimmed", b.needing())
	}
	b.close()
}

func (b *bench) unpacked() int {
	all, _ := b.l.files.unpacked()
	return len(all)
}

// A large log has hundreds of files, mostly with entries of the same partitions: their streams are in memory once.
func TestFilesOfTheSameStreamsShareThem(t *testing.T) {
	b := newBench(t, vfs.NewMem())
	b.open()
	shared := func() {
		t.Helper()
		n := 0
		list := b.l.files.list
		for i, f := range list[1:] {
			if f.live.n == 0 {
				continue // it is empty, or being written
			}
			if n++; len(f.live.streams) != 3 || &f.live.streams[0] != &list[0].live.streams[0] {
				t.Errorf("file %d has streams of its own: %v", i+1, f.live.streams)
			}
		}
		if n < 3 {
			t.Errorf("%d files are packed", n)
		}
	}
	for i := range 150 {
		b.put(StreamID(1+i%3), 3<<10, false)
	}
	b.l.files.pack()
	shared()
	b.close()
	b.open()
	shared()
	b.close()
}

// needing checks Log.Needing.
func (b *bench) needing() int64 {
	b.t.Helper()
	sum := int64(0)
	for _, f := range b.l.Files() {
		sum += int64(f.Streams)
	}
	if got := b.l.Needing(); got != sum {
		b.t.Errorf("%d, want %d", got, sum)
	}
	return sum
}
