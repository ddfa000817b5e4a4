package wal

import (
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chronik/wal/vfs"
)

// made counts the files that are made from here on.
func made(m *vfs.Mem) *atomic.Int64 {
	var n atomic.Int64
	m.Watch(func(op vfs.Op) {
		if op.Kind == vfs.OpOpen && strings.HasSuffix(op.Name, ".tmp") && !strings.HasPrefix(op.Name, "checkpoint") {
			n.Add(1)
		}
	})
	return &n
}

// A log that is trimmed seldom, but by much, once threw most of the files away, and filled as many new ones with zeros
// until the next time: half of what the disk could do.
func TestFilesThatAreTrimmedAtOnceMustNotBeMadeAgain(t *testing.T) {
	const many = 3 * minSpares
	m := vfs.NewMem()
	b := newBench(t, m)
	b.open()
	fill := func() {
		for range many {
			b.put(1, 40<<10, false)
		}
	}
	trim := func() {
		b.l.Trim(1, int64(b.durable))
		if err := b.l.Checkpoint(nil); err != nil {
			t.Fatal(err)
		}
	}
	fill()
	trim()
	n := made(m)
	for range 3 {
		fill()
		trim()
	}
	if n := n.Load(); n > 3 {
		t.Errorf("%d files were made of %d that were needed", n, 3*many)
	}
	b.close()
}

// Files that are kept for reuse go where the log's files take more than they may, but for a few.
func TestFilesKeptForReuseAreBounded(t *testing.T) {
	m := vfs.NewMem()
	b := newBench(t, m)
	b.open()
	for range 3 * minSpares {
		b.put(1, 40<<10, false)
	}
	b.l.Trim(1, int64(b.durable))
	if err := b.l.Checkpoint(nil); err != nil {
		t.Fatal(err)
	}
	kept := func() int64 {
		b.l.prep.mu.Lock()
		defer b.l.prep.mu.Unlock()
		return int64(len(b.l.prep.spares))
	}
	size := b.l.opt.FileSize
	for _, c := range []struct{ bound, want int64 }{
		{b.l.Taken(), kept()}, {b.l.Taken() - 2*size, kept() - 2}, {b.l.Taken() - 2*size - 1, kept() - 3}, {0, minSpares},
	} {
		b.l.Bound(c.bound)
		names, err := m.List(".")
		if err != nil {
			t.Fatal(err)
		}
		spares := int64(0)
		for _, name := range names {
			if strings.HasSuffix(name, ".spare") {
				spares++
			}
		}
		if kept() != c.want || spares != c.want {
			t.Errorf("bound %d: %d are kept and %d in the directory, want %d", c.bound, kept(), spares, c.want)
		}
	}
	b.put(1, 40<<10, false)
	b.close()
}

// The zeros of the next file must not take the disk from those who write to this one.
func TestTheNextFileIsFilledAsThisOneIsUsed(t *testing.T) {
	m := vfs.NewMem()
	b := newBench(t, m)
	b.o.FileSize = 16 * fillChunk
	var zeros atomic.Int64
	written := make(chan struct{}, 64)
	b.open()
	m.Watch(func(op vfs.Op) {
		if op.Kind == vfs.OpWrite && strings.HasSuffix(op.Name, ".tmp") {
			zeros.Add(int64(op.Len))
			written <- struct{}{}
		}
	})
	first := b.l.files.active()
	for b.l.files.active() == first {
		b.put(1, fillChunk/2, false)
		_, used := b.l.files.reached()
		due := min(fillChunk+2*used*b.o.FileSize/first.size, b.o.FileSize)
		for zeros.Load() < due-fillMost && b.l.files.active() == first {
			<-written
		}
		if z := zeros.Load(); z > due+fillMost && b.l.files.active() == first {
			t.Fatalf("%d bytes of zeros when %d of %d are used", z, used, first.size)
		}
	}
	if f := b.l.files.active(); f.size != b.o.FileSize {
		t.Errorf("the next file has %d bytes", f.size)
	}
	m.Watch(nil)
	b.close()
}

// Files that were made while somebody waited once were small, and small ones are not used again: a log that had once been
// too fast for the preparer went on with files of its own making for ever.
func TestFilesMadeInHasteMustBeUsedAgain(t *testing.T) {
	m := vfs.NewMem()
	b := newBench(t, m)
	b.o.FileSize = 2 * smallFile
	b.open()
	late := make(chan struct{})
	m.Watch(func(op vfs.Op) {
		if op.Kind == vfs.OpWrite && strings.HasSuffix(op.Name, ".tmp") && op.Name != checkpointName+".tmp" {
			<-late
		}
	})
	for range 8 * minSpares {
		b.put(1, 1<<20, false)
	}
	b.l.Trim(1, int64(b.durable))
	if err := b.l.Checkpoint(nil); err != nil {
		t.Fatal(err)
	}
	spares := 0
	names, _ := m.List(".")
	for _, name := range names {
		if strings.HasSuffix(name, ".spare") {
			spares++
		}
	}
	if spares < minSpares-2 { // the first is one that Open made, the last is in use
		t.Errorf("%d of %d files are kept", spares, minSpares)
	}
	close(late)
	b.close()
}

// The writer that made a file itself once took the flag by which the preparer is woken: that slept until the log was closed.
func TestTheWriterMustNotPutThePreparerToSleep(t *testing.T) {
	m := vfs.NewMem()
	m.NoAllocate = true
	b := newBench(t, m)
	b.o.FileSize = 2 * smallFile
	b.open()
	prepared := make(chan struct{}, 1)
	m.Watch(func(op vfs.Op) {
		if op.Kind == vfs.OpSync && op.Name == "2.tmp" {
			prepared <- struct{}{}
		}
	})
	b.put(1, 100, false)
	for !b.l.prep.filling.Load() {
		runtime.Gosched()
	}
	b.put(1, smallFile-2*page, false) // has no room in the first file
	b.put(1, 100, false)
	select {
	case <-prepared:
	case <-time.After(30 * time.Second):
		t.Error("the next file is never filled")
	}
	m.Watch(nil)
	b.close()
}
