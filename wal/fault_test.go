package wal

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"chronik/kafka/kerr"
	"chronik/wal/vfs"
)

// script does a fixed workload and returns its first error.
func (b *bench) script() error {
	for i := range 30 {
		if err := b.tryPut(StreamID(i%3+1), (i*1777)%20_000, i%2 == 0); err != nil {
			return err
		}
		b.l.Commit()
		if i%10 == 9 {
			for s := range StreamID(3) {
				b.l.Trim(s+1, int64(b.durable-4))
			}
			if err := b.l.Checkpoint([]byte("x")); err != nil {
				return err
			}
		}
	}
	return b.l.Close()
}

// Each write, sync, rename, removal and opening fails once, then all is well again: nothing is acknowledged after the failure,
// nothing that was acknowledged is lost, and no file is synced a second time.
func TestAnyErrorEndsTheLog(t *testing.T) {
	for k := int64(0); ; k++ {
		m := vfs.NewMem()
		f := vfs.NewFault(m)
		b := newBench(t, f)
		b.o.FileSize = 8 * page
		b.open()
		var ops atomic.Int64
		var mu sync.Mutex
		var failed vfs.Op
		f.Script(func(op vfs.Op) vfs.Outcome {
			mu.Lock()
			defer mu.Unlock()
			if failed.Kind != "" && op.Name == failed.Name && (op.Kind == vfs.OpSync || op.Kind == vfs.OpWriteSync || op.Kind == vfs.OpSyncDir) {
				t.Errorf("%d: %v after %v failed", k, op, failed)
			}
			if (op.Kind.Changes() || op.Kind == vfs.OpOpen) && ops.Add(1) == k+1 {
				failed = op
				return vfs.Outcome{Err: fmt.Errorf("%s %s: %w", op.Kind, op.Name, syscall.EIO), Keep: 700}
			}
			return vfs.Outcome{}
		})
		err := b.script()
		f.Script(func(vfs.Op) vfs.Outcome { return vfs.Outcome{} })
		if failed.Kind == "" {
			if err != nil {
				t.Fatal(err)
			}
			if k < 100 {
				t.Errorf("only %d operations", k)
			}
			return
		}
		if err != nil || !givenUp(failed) {
			b.hasEnded(k, failed, err)
		}
		b.o.FS = m.Crash(vfs.Random(uint64(k)))
		b.open()
		b.same(b.durableButGone())
		b.close()
	}
}

// durableButGone is how many entries at the beginning are not replayed because they were trimmed.
func (b *bench) durableButGone() int {
	if len(b.replayed) == 0 {
		return b.durable
	}
	return int(b.replayed[0].end) - 1
}

// givenUp says that op removed a file that was being prepared when the log was closed: the next Open removes what is left.
func givenUp(op vfs.Op) bool { return op.Kind == vfs.OpRemove && strings.HasSuffix(op.Name, ".tmp") }

func (b *bench) hasEnded(k int64, op vfs.Op, err error) {
	b.t.Helper()
	if err == nil {
		err = b.l.Err() // the preparer's error may come when the script is done
	}
	if !errors.Is(err, syscall.EIO) || !errors.Is(err, kerr.KafkaStorageError) || !strings.Contains(err.Error(), op.Name) {
		b.t.Fatalf("%d: %v failed, the log said %v", k, op, err)
	}
	select {
	case <-b.l.Failed():
	default:
		b.t.Fatalf("%d: %v failed, but not the log", k, op)
	}
	durable := b.durable
	if err := b.tryPut(1, 1, false); err == nil {
		b.t.Fatalf("%d: took an entry after %v failed", k, op)
	}
	b.l.Commit()
	if b.durable != durable {
		b.t.Fatalf("%d: durable after %v failed", k, op)
	}
	if err := b.l.Close(); err == nil {
		b.t.Fatalf("%d: closed as if nothing had happened", k)
	}
}

func TestWhatIsQueuedFailsInOrder(t *testing.T) {
	f := vfs.NewFault(vfs.NewMem())
	b := newBench(t, f)
	b.open()
	hang, hung := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var writes atomic.Int64
	f.Script(func(op vfs.Op) vfs.Outcome {
		if op.Kind == vfs.OpWriteSync {
			writes.Add(1)
			once.Do(func() { close(hung) })
			return vfs.Outcome{Err: syscall.EIO, Until: hang}
		}
		return vfs.Outcome{}
	})
	var lone sync.WaitGroup
	lone.Go(func() { b.put(1, 10, false) })
	<-hung
	for range 9 {
		b.put(1, 30_000, false) // returns: somebody writes already
	}
	close(hang)
	<-b.l.Failed()
	lone.Wait()
	if err := b.l.Close(); !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
	if b.failures != 10 || b.durable != 0 || writes.Load() != 1 {
		t.Errorf("%d failed, %d durable, %d writes", b.failures, b.durable, writes.Load())
	}
}

// The disk is full at any one operation, or from it on. The log ends or it does not; what it said is durable is there
// either way, and what could not be written or synced is not synced again.
func TestAFullDiskAtAnyStepLosesNothing(t *testing.T) {
	for _, lasting := range []bool{false, true} {
		lived, ended := 0, 0
		for k := int64(0); ; k++ {
			d := &fullDisk{t: t, k: k, lasting: lasting}
			if !d.run() {
				break
			}
			if d.ended == nil {
				lived++
			} else {
				ended++
			}
		}
		t.Logf("full from then on: %v: lived through %d, ended by %d", lasting, lived, ended)
		if !lasting && lived < 10 || ended < 10 {
			t.Errorf("lived through %d, ended by %d", lived, ended)
		}
	}
}

// fullDisk has no room for operation k, and for none after it when that is lasting.
type fullDisk struct {
	t       *testing.T
	k       int64
	lasting bool
	b       *bench
	ended   error // that ended the log

	mu       sync.Mutex
	ops      int64
	failed   vfs.Op          // the first that did
	unsynced map[string]bool // files that are there and must not be synced
}

// run says whether there was an operation k.
func (d *fullDisk) run() bool {
	m := vfs.NewMem()
	f := vfs.NewFault(m)
	d.b = newBench(d.t, f)
	d.b.o.FileSize = 8 * page
	d.b.open()
	d.unsynced = map[string]bool{}
	f.Script(d.outcome)
	err := d.b.fill()
	_ = d.b.l.Close() // when it ended earlier
	d.ended = d.b.l.Err()
	f.Script(func(vfs.Op) vfs.Outcome { return vfs.Outcome{} })
	if d.failed.Kind == "" {
		if err != nil {
			d.t.Fatal(err)
		}
		return false
	}
	final := d.failed.Kind == vfs.OpSyncDir || d.failed.Kind == vfs.OpWriteSync && d.failed.Off > 0
	if final && !errors.Is(d.ended, syscall.ENOSPC) {
		d.t.Fatalf("%d: %v found the disk full, the log said %v", d.k, d.failed, d.ended)
	} else if d.ended != nil && !errors.Is(d.ended, kerr.KafkaStorageError) {
		d.t.Fatal(d.ended)
	}
	d.b.o.FS = m.Crash(vfs.Random(uint64(d.k)))
	d.b.open()
	d.b.same(d.b.durableButGone())
	d.b.close()
	return true
}

func (d *fullDisk) outcome(op vfs.Op) vfs.Outcome {
	d.mu.Lock()
	defer d.mu.Unlock()
	syncs := op.Kind == vfs.OpSync || op.Kind == vfs.OpWriteSync || op.Kind == vfs.OpSyncDir
	if syncs && d.unsynced[op.Name] {
		d.t.Errorf("%d: %v, which was not written or synced before", d.k, op)
	}
	if op.Kind == vfs.OpRemove {
		delete(d.unsynced, op.Name)
		return vfs.Outcome{} // gives room
	}
	if op.Kind == vfs.OpRead {
		return vfs.Outcome{}
	}
	if d.ops++; d.ops != d.k+1 && (!d.lasting || d.ops <= d.k) {
		return vfs.Outcome{}
	}
	if d.failed.Kind == "" {
		d.failed = op
	}
	if syncs || op.Kind == vfs.OpWrite {
		d.unsynced[op.Name] = true
	}
	return vfs.Outcome{Err: fmt.Errorf("%s %s: %w", op.Kind, op.Name, syscall.ENOSPC), Keep: 700}
}

// fill is script for a disk that may be full: a checkpoint that finds no room is tried again later.
func (b *bench) fill() error {
	for i := range 30 {
		if err := b.tryPut(StreamID(i%3+1), (i*1777)%20_000, i%2 == 0); err != nil {
			return err
		}
		b.l.Commit()
		if i%5 == 4 {
			for s := range StreamID(3) {
				b.l.Trim(s+1, int64(b.durable-4))
			}
			if err := b.l.Checkpoint([]byte("x")); err != nil && b.l.Err() != nil {
				return err
			}
		}
	}
	return b.l.Close()
}

// losesNames has the next file prepared on a disk that fails to save its name, and every other.
func (b *bench) losesNames(f *vfs.Fault) {
	b.t.Helper()
	f.Script(func(op vfs.Op) vfs.Outcome {
		if op.Kind == vfs.OpSyncDir {
			return vfs.Outcome{Err: syscall.EIO}
		}
		return vfs.Outcome{}
	})
	if err := b.l.ready(); !errors.Is(err, syscall.EIO) {
		b.t.Fatal(err)
	}
}

// The writer may turn to the next file before the log is told that its name could not be saved.
func TestAFileWhoseNameIsNotSavedIsNotWritten(t *testing.T) {
	f := vfs.NewFault(vfs.NewMem())
	b := newBench(t, f)
	b.open()
	b.losesNames(f)
	if next := b.l.prep.next; next != nil {
		t.Errorf("%s is to be written next", next.name)
	}
	f.Script(func(vfs.Op) vfs.Outcome { return vfs.Outcome{} })
	if _, err := b.l.turn(b.l.files.active(), page); !errors.Is(err, syscall.EIO) {
		t.Errorf("the writer made itself another one: %v", err)
	}
	_ = b.l.Close() // nothing was written
}

// counted is a file system that counts the files that are open.
type counted struct {
	vfs.FS
	open atomic.Int64
}

type countedFile struct {
	vfs.File
	open *atomic.Int64
}

func (c *counted) Open(name string, flag vfs.Flag) (vfs.File, error) {
	f, err := c.FS.Open(name, flag)
	if err != nil {
		return nil, err
	}
	c.open.Add(1)
	return countedFile{f, &c.open}, nil
}

func (c countedFile) Close() error {
	c.open.Add(-1)
	return c.File.Close()
}

func TestAFileWhoseNameIsNotSavedDoesNotStayOpen(t *testing.T) {
	f := vfs.NewFault(vfs.NewMem())
	c := &counted{FS: f}
	b := newBench(t, c)
	b.open()
	b.losesNames(f)
	_ = b.l.Close() // nothing was written
	if n := c.open.Load(); n != 0 {
		t.Errorf("%d files are still open", n)
	}
}

// Any one operation fails while a log is opened that was cut off: the start fails and says where, and the next one
// finds what there was.
func TestAnyErrorOfAStartLeavesAllForTheNext(t *testing.T) {
	m := vfs.NewMem()
	b := newBench(t, m)
	b.o.FileSize = 8 * page
	b.open()
	for i := range 20 {
		b.put(StreamID(i%3+1), (i*1777)%20_000, i%2 == 0)
		if i == 12 {
			b.l.Trim(1, 5)
			b.l.Trim(2, 5)
			b.l.Trim(3, 5)
			if err := b.l.Checkpoint([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
	}
	left := []*vfs.Mem{m.Crash(vfs.Newest), m.Crash(vfs.Oldest)}
	b.close()
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
		for _, before := range left {
			k := int64(0)
			for b.startFails(before.Crash(vfs.Newest), k, cause) {
				k++
			}
			if k < 20 {
				t.Errorf("only %d operations", k)
			}
		}
	}
}

// startFails opens what is in m with operation k failing, and then without; it says whether there was an operation k.
func (b *bench) startFails(m *vfs.Mem, k int64, cause error) bool {
	b.t.Helper()
	f := vfs.NewFault(m)
	var mu sync.Mutex
	var ops int64
	var failed vfs.Op
	f.Script(func(op vfs.Op) vfs.Outcome {
		mu.Lock()
		defer mu.Unlock()
		if ops++; ops != k+1 {
			return vfs.Outcome{}
		}
		failed = op
		return vfs.Outcome{Err: fmt.Errorf("%s %s: %w", op.Kind, op.Name, cause), Keep: 700}
	})
	b.o.FS = f
	err := b.tryOpen()
	if err == nil {
		err = b.l.Close() // it may have met what prepares the next file
	}
	mu.Lock()
	reached := failed.Kind != ""
	mu.Unlock()
	switch {
	case reached && err == nil && failed.Kind != vfs.OpRemove && !errors.Is(cause, syscall.ENOSPC):
		b.t.Fatalf("%d: a start did not mind that %v failed", k, failed)
	case err != nil && (!errors.Is(err, cause) || !strings.Contains(err.Error(), failed.Name)):
		b.t.Fatalf("%d: %v failed, the start said %v", k, failed, err)
	}
	b.o.FS = m.Crash(vfs.Random(uint64(k)))
	b.open()
	b.same(b.durableButGone())
	b.close()
	return reached
}

// A full disk is an error of what wanted more of it, and no more than that as long as there is another way.
func TestAFullDiskStopsCheckpointsNotCommits(t *testing.T) {
	f := vfs.NewFault(vfs.NewMem())
	b := newBench(t, f)
	b.o.FileSize = 1 << 20
	b.open()
	b.put(1, 1000, false)
	f.Script(func(op vfs.Op) vfs.Outcome {
		if op.Kind == vfs.OpOpen && strings.HasSuffix(op.Name, ".tmp") {
			return vfs.Outcome{Err: syscall.ENOSPC}
		}
		return vfs.Outcome{}
	})
	if err := b.l.Checkpoint(nil); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	b.put(1, 1000, false)
	f.Script(func(vfs.Op) vfs.Outcome { return vfs.Outcome{} })
	if err := b.l.Checkpoint([]byte("later")); err != nil {
		t.Error(err)
	}
	for range 100 {
		b.put(1, 30_000, false)
	}
	b.close()
}

// damage applies to one file of a closed log; every entry had been acknowledged.
type damage struct {
	name string
	do   func(b []byte) []byte
}

func damages(size int) []damage {
	list := []damage{
		{"cut to nothing", func(b []byte) []byte { return nil }},
		{"cut in half", func(b []byte) []byte { return b[:len(b)/2] }},
		{"last page cut", func(b []byte) []byte { return b[:max(len(b)-page, 0)] }},
		{"longer by a page of noise", func(b []byte) []byte { return append(b, noise(page, 1)...) }},
	}
	for off := 0; off < size; off += 389 {
		list = append(list, damage{fmt.Sprintf("bit %d", off), func(b []byte) []byte {
			b[off] ^= 0x10
			return b
		}})
	}
	for off := 0; off+page <= size; off += page {
		list = append(list, damage{fmt.Sprintf("page at %d zeroed", off), func(b []byte) []byte {
			clear(b[off : off+page])
			return b
		}}, damage{fmt.Sprintf("page at %d swapped", off), func(b []byte) []byte {
			other := (off + 2*page) % (size / page * page)
			tmp := bytes.Clone(b[off : off+page])
			copy(b[off:], b[other:other+page])
			copy(b[other:], tmp)
			return b
		}})
	}
	return list
}

// After a clean stop, damage anywhere is either of no consequence or refused with the file's name; never are fewer or
// other entries replayed. Only the closing mark itself may be lost: everything before it is there then.
func TestNoDamageIsTakenForATornTail(t *testing.T) {
	m := vfs.NewMem()
	b := newBench(t, m)
	b.o.FileSize = 8 * page
	b.open()
	for i := range 12 {
		b.put(1, (i*2741)%12_000, i%2 == 0)
		if i == 5 {
			b.l.Trim(1, 2)
			if err := b.l.Checkpoint([]byte("here")); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.close()
	names, _ := m.List(".")
	for _, name := range names {
		if strings.HasSuffix(name, ".spare") {
			continue
		}
		size := len(contents(t, m, name))
		for _, d := range damages(size) {
			b.damaged(m.Crash(vfs.Newest), name, d)
		}
		b.missing(m.Crash(vfs.Newest), name)
	}
}

func (b *bench) damaged(m *vfs.Mem, name string, d damage) {
	b.t.Helper()
	f, err := m.Open(name, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	bytes := d.do(contents(b.t, m, name))
	if err := errors.Join(f.Truncate(0), f.WriteSync([][]byte{bytes}, 0, true)); err != nil {
		b.t.Fatal(err)
	}
	b.refusesOrKeeps(m, name, d.name)
}

func (b *bench) missing(m *vfs.Mem, name string) {
	if err := m.Remove(name); err != nil {
		b.t.Fatal(err)
	}
	b.refusesOrKeeps(m, name, "removed")
}

func (b *bench) refusesOrKeeps(m *vfs.Mem, name, what string) {
	b.t.Helper()
	b.o.FS = m
	before, _ := m.List(".")
	err := b.tryOpen()
	var corrupt *CorruptError
	if errors.As(err, &corrupt) {
		if after, _ := m.List("."); !slices.Equal(before, after) {
			b.t.Errorf("%s, %s: refused, but changed %v into %v", name, what, before, after)
		}
		return
	}
	if err != nil {
		b.t.Fatalf("%s, %s: %v", name, what, err)
	}
	if len(b.replayed) == 0 || b.durableButGone() > 2 || b.durableButGone()+len(b.replayed) < 12 {
		b.t.Errorf("%s, %s: %d entries from %d on", name, what, len(b.replayed), b.durableButGone())
	} else {
		b.same(b.durableButGone())
	}
	b.close()
}

func contents(t testing.TB, f vfs.FS, name string) []byte {
	t.Helper()
	b, err := readAll(f, name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAnotherDirectorysFilesAreRefused(t *testing.T) {
	m := vfs.NewMem()
	b := newBench(t, m)
	b.open()
	b.put(1, 10, false)
	b.close()
	b.o.Incarnation = [16]byte{9}
	var corrupt *CorruptError
	if err := b.tryOpen(); !errors.As(err, &corrupt) || !strings.Contains(corrupt.Why, whyIncarnation) {
		t.Error(err)
	}
}
