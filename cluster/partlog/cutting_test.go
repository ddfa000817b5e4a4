package partlog

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"chronik/kafka/kerr"
	"chronik/wal"
	"chronik/wal/vfs"
)

// Several logs at once, entries from a byte to nearly a MiB, near each other and far apart, from memory and from the
// files: all of it is in the segments, and in order.
func TestEverythingIsCutWhereverItLies(t *testing.T) {
	onOS, _ := onDisk(t)
	for name, d := range map[string]*disk{"mem": newDisk(t), "os": onOS} {
		d.fileSize, d.budget = 1<<20, 1<<30
		s := d.open()
		want := map[wal.StreamID][]string{}
		sizes := []int{1, 900, 4000, 20_000, 70_000, 3, 300_000, 1 << 10, 1<<20 - 200, 40}
		for i := range 120 {
			id := wal.StreamID(1 + i*i%7)
			v := fmt.Sprintf("%d-%s", i, strings.Repeat("v", sizes[i%len(sizes)]))
			a := produce(t, d.log(s, id), records(int64(i), v))
			want[id] = append(want[id], fmt.Sprintf("%d:%s", a.Base, v))
			if i == 80 {
				forget(s)
			}
		}
		cutAll(t, s)
		for _, reopened := range []bool{false, true} {
			for id, w := range want {
				l := d.log(s, id)
				if got := values(t, l, 0); !slices.Equal(got, w) {
					t.Errorf("%s: stream %d, reopened %v: %d values, want %d", name, id, reopened, len(got), len(w))
				}
				if n := len(segmentsOf(l)); n != 1 || l.tail.bytes != 0 {
					t.Errorf("%s: stream %d: %d segments, %d bytes in the write-ahead log", name, id, n, l.tail.bytes)
				}
			}
			closeStore(t, s)
			s = d.open()
		}
		closeStore(t, s)
	}
}

// forget has the write-ahead log give up what it holds in memory.
func forget(s *Store) {
	pool := s.options.Pool
	all := pool.Overdraw(int(pool.Limit()))
	ended, end := context.WithCancel(context.Background())
	end()
	for range 100 {
		if b, err := pool.Get(ended, 1); err == nil {
			b.Release()
		}
	}
	all.Release()
}

// A disk that fails while several logs are cut: it is told, and no log takes what is not durable for cut. One that cuts alone has
// written all five when it syncs the first.
func TestOneCutThatFailsEndsAll(t *testing.T) {
	for _, cutters := range []int{1, 3} {
		k := 0
		for oneCutFails(t, k, cutters) {
			k++
		}
		if k < 60 {
			t.Errorf("only %d operations", k)
		}
	}
}

// oneCutFails has the k-th operation fail, and says whether there were so many.
func oneCutFails(t *testing.T, k, cutters int) bool {
	t.Helper()
	d := newDisk(t)
	d.cutters = cutters
	mem := d.fs.(*vfs.Mem)
	f := vfs.NewFault(mem)
	d.fs = f
	s := d.open()
	want := fill(t, d, s, 20, 1, 2, 3, 4, 5)
	faults := failAt(f, k)
	s.tending.Lock()
	err := s.cutTo(everything)
	s.tending.Unlock()
	if faults() != (err != nil) {
		t.Fatalf("operation %d failed: %v, cutting said %v", k, faults(), err)
	}
	f.Script(func(vfs.Op) vfs.Outcome { return vfs.Outcome{} })
	for id, w := range want {
		if got := values(t, d.log(s, id), 0); !reflect.DeepEqual(got, w) {
			t.Fatalf("operation %d failed: stream %d has %d values, want %d", k, id, len(got), len(w))
		}
	}
	left := newDisk(t)
	left.fs = mem.Crash(vfs.Oldest)
	again := left.open()
	for id, w := range want {
		if got := values(t, left.log(again, id), 0); !reflect.DeepEqual(got, w) {
			t.Fatalf("operation %d failed: after a power cut stream %d has %d values, want %d", k, id, len(got), len(w))
		}
	}
	closeStore(t, again)
	closeStore(t, s)
	return err != nil
}

// failAt has the disk fail once, in the k-th operation on the partitions' files, and returns whether it has.
func failAt(f *vfs.Fault, k int) func() bool {
	var n atomic.Int64
	f.Script(func(op vfs.Op) vfs.Outcome {
		if !strings.HasPrefix(op.Name, segmentsDir) || n.Add(1) != int64(k+1) {
			return vfs.Outcome{}
		}
		return vfs.Outcome{Err: fmt.Errorf("%s %s: %w", op.Kind, op.Name, syscall.EIO), Keep: 100}
	})
	return func() bool { return n.Load() > int64(k) }
}

// An entry that cannot be found although nothing says that it expired is an error, not a gap in a segment.
func TestALostEntryIsNotPassedOver(t *testing.T) {
	d := newDisk(t)
	d.fileSize = 64 << 10
	s := d.open()
	fill(t, d, s, 100, 1)
	forget(s)
	s.wal.Trim(1, everything)
	s.wal.Trim(factStream, everything)
	if err := s.wal.Checkpoint(s.snapshot(0)); err != nil {
		t.Fatal(err)
	}
	tools := newRound(s, everything, nil).tools()
	defer tools.release()
	c := cutting{log: d.log(s, 1), pos: everything, tools: &tools}
	if err := c.all(); kerr.Of(err) != kerr.KafkaStorageError || !strings.Contains(err.Error(), "given up") {
		t.Fatal(err)
	}
	if l := d.log(s, 1); l.cut != 0 || len(segmentsOf(l)) != 0 {
		t.Error("it was taken for cut")
	}
	_ = s.Close()
}

// Damage in the write-ahead log, or in memory, gets into no segment.
func TestDamageIsNotCut(t *testing.T) {
	for name, inMemory := range map[string]bool{"memory": true, "file": false} {
		d := newDisk(t)
		s := d.open()
		l := d.log(s, 1)
		produce(t, l, records(1, "good"))
		produce(t, l, records(2, "bad"+strings.Repeat("v", 50_000)))
		c := l.tail.seek(1)
		e, _ := l.tail.next(&c)
		x, ok := s.wal.Recent(e.loc())
		if !ok {
			t.Fatal("not in memory")
		}
		if inMemory {
			x.Mem[len(x.Mem)-9] ^= 1
		} else {
			flipOnDisk(t, d.fs, x.Mem[len(x.Mem)-2000:])
		}
		x.Release()
		if !inMemory {
			forget(s)
		}
		s.tending.Lock()
		err := s.cutTo(everything)
		s.tending.Unlock()
		if kerr.Of(err) != kerr.KafkaStorageError || !strings.Contains(err.Error(), "CRC") || !strings.Contains(err.Error(), testID(1).name()) {
			t.Errorf("%s: %v", name, err)
		}
		if l.cut != 0 || len(segmentsOf(l)) != 0 {
			t.Errorf("%s: it was taken for cut", name)
		}
		closeStore(t, s)
	}
}

// flipOnDisk changes a bit of the bytes, wherever in the log's files they are.
func flipOnDisk(t *testing.T, fs vfs.FS, like []byte) {
	t.Helper()
	names, err := fs.List(walDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		f, err := fs.Open(walDir+"/"+name, 0)
		if err != nil {
			t.Fatal(err)
		}
		size, _ := f.Size()
		all := make([]byte, size)
		_, _ = f.ReadAt(all, 0)
		if at := bytes.Index(all, like); at >= 0 {
			if _, err := f.WriteAt([]byte{like[7] ^ 1}, int64(at+7)); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("not found")
}
