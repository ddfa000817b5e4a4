package partlog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"chronik/wal"
	"chronik/wal/vfs"
)

// broken is a store whose disk fails in one operation, and what the store acknowledged.
type broken struct {
	t     *testing.T
	d     *disk
	mem   *vfs.Mem
	s     *Store
	k     int
	cause error

	mu      sync.Mutex // guards what follows; the store has goroutines of its own
	ops     int
	failed  vfs.Op
	tainted map[string]bool // what must not be synced

	acked  map[wal.StreamID][]string
	starts map[wal.StreamID]int64
}

// Any one operation of the disk fails, once, from the first start on: with the disk dead or full. Nothing is acknowledged
// that is not there afterwards, the error names the file, and nothing is synced that could not be written or synced
// before. Only a full disk where nothing depended on it is lived through.
func TestAnyErrorEndsTheStore(t *testing.T) {
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
		lived, k := 0, 0
		for ; ; k++ {
			b := &broken{t: t, mem: vfs.NewMem(), k: k, cause: cause, tainted: map[string]bool{},
				acked: map[wal.StreamID][]string{}, starts: map[wal.StreamID]int64{}}
			err := b.run()
			if b.failed.Kind == "" {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			if err == nil {
				lived++
			}
		}
		t.Logf("%v: %d operations, lived through %d", cause, k, lived)
		if k < 150 {
			t.Errorf("only %d operations", k)
		}
	}
}

func (b *broken) run() error {
	b.t.Helper()
	f := vfs.NewFault(b.mem)
	f.Script(b.outcome)
	b.d = newDisk(b.t)
	b.d.fs, b.d.fileSize = f, 32<<10
	for id := wal.StreamID(1); id <= 4; id++ {
		b.d.configs[id] = smallSegments()
	}
	err := b.work()
	f.Script(func(vfs.Op) vfs.Outcome { return vfs.Outcome{} })
	if b.failed.Kind != "" {
		b.judge(err)
		b.check(b.mem.Crash(vfs.Random(uint64(b.k))))
	}
	return err
}

func (b *broken) outcome(op vfs.Op) vfs.Outcome {
	b.mu.Lock()
	defer b.mu.Unlock()
	syncs := op.Kind == vfs.OpSync || op.Kind == vfs.OpWriteSync || op.Kind == vfs.OpSyncDir
	if syncs && b.tainted[op.Name] {
		b.t.Errorf("%d: %v after %v failed", b.k, op, b.failed)
	}
	if op.Kind == vfs.OpRemove {
		delete(b.tainted, op.Name)
	}
	if op.Kind == vfs.OpRead || op.Kind == vfs.OpReadAhead {
		return vfs.Outcome{}
	}
	if b.ops++; b.ops != b.k+1 {
		return vfs.Outcome{}
	}
	b.failed, b.tainted[op.Name] = op, syncs || op.Kind == vfs.OpWrite || op.Kind == vfs.OpTruncate
	return vfs.Outcome{Err: fmt.Errorf("%s %s: %w", op.Kind, op.Name, b.cause), Keep: 700}
}

// work is a store's life up to its first error: records, segments, a raised log start, a deleted partition, a stop and
// another start.
func (b *broken) work() (err error) {
	for round := range 2 {
		if b.s, err = Open(b.d.options()); err != nil {
			return err
		}
		b.dismissKeeper()
		if err = b.round(round); err != nil {
			err = b.s.fail(err) // as keep does
		}
		if err = errors.Join(err, b.s.Close()); err != nil {
			return err
		}
	}
	return nil
}

// dismissKeeper leaves the background work to the test, for the operations to come in the same order each time.
func (b *broken) dismissKeeper() {
	close(b.s.stop)
	b.s.ended.Wait()
	b.s.stop = make(chan struct{})
}

func (b *broken) round(n int) error {
	for range 8 {
		for id := wal.StreamID(1); id <= 3; id++ {
			if err := b.produce(id); err != nil {
				return err
			}
		}
	}
	if err := b.cut(); err != nil {
		return err
	}
	start := int64(3 + 8*n)
	if err := b.d.log(b.s, 1).SetLogStart(start); err != nil {
		return err
	}
	b.starts[1] = start
	if n == 0 {
		b.d.deleted[3] = true
		delete(b.acked, 3)
		if err := b.s.Delete(3); err != nil {
			return err
		}
	}
	if err := b.s.tend(true); err != nil {
		return err
	}
	return b.produce(1)
}

// cut is what tend does when the write-ahead log has outgrown its budget.
func (b *broken) cut() error {
	b.s.tending.Lock()
	defer b.s.tending.Unlock()
	files := b.s.wal.Files()
	if len(files) == 0 {
		return b.s.Err()
	}
	last := files[len(files)-1]
	if err := b.s.cutTo(last.Pos + last.Size); err != nil {
		return err
	}
	return b.s.checkpoint()
}

func (b *broken) produce(id wal.StreamID) error {
	if b.d.deleted[id] {
		id = 4
	}
	l := b.d.log(b.s, id)
	value := fmt.Sprintf("%d %d %s", id, len(b.acked[id]), strings.Repeat("v", 6000))
	a, err := l.AppendAsLeader(Append{Data: records(1, value), Version: 9})
	if err != nil {
		return err
	}
	b.s.Commit()
	if l.Offsets().Durable < a.End {
		if err := b.s.barrier(); err != nil {
			return err
		}
	}
	b.acked[id] = append(b.acked[id], fmt.Sprintf("%d:%s", a.Base, value))
	return nil
}

// judge looks at how the store took it.
func (b *broken) judge(err error) {
	b.t.Helper()
	switch {
	case err == nil && b.failed.Kind == vfs.OpRemove: // of a file that was being made when the log was closed
	case err == nil && b.failed.Kind == vfs.OpOpen && strings.HasSuffix(b.failed.Name, ".idx"): // it is made again
	case err == nil && b.cause == syscall.ENOSPC && needless(b.failed):
	case err == nil:
		b.t.Fatalf("%d: nobody minded that %v failed", b.k, b.failed)
	case !errors.Is(err, b.cause) || !strings.Contains(err.Error(), b.failed.Name):
		b.t.Fatalf("%d: %v failed, the store said %v", b.k, b.failed, err)
	case b.s != nil:
		if _, err := b.d.log(b.s, 4).AppendAsLeader(Append{Data: records(1, "after"), Version: 9}); err == nil {
			b.t.Fatalf("%d: took a record after %v failed", b.k, b.failed)
		}
	}
}

// needless says whether op belongs to the making of a file of the write-ahead log that nobody waits for, or is one that a
// smaller file can do without.
func needless(op vfs.Op) bool {
	inWAL := strings.HasPrefix(op.Name, "wal/")
	return inWAL && (op.Kind == vfs.OpOpen || op.Kind == vfs.OpWrite || op.Kind == vfs.OpSync || op.Kind == vfs.OpRename ||
		op.Kind == vfs.OpAllocate || op.Kind == vfs.OpWriteSync && op.Off == 0)
}

// check opens what is left on a good disk: all that was acknowledged is there, and nothing between.
func (b *broken) check(left *vfs.Mem) {
	b.t.Helper()
	d := newDisk(b.t)
	d.fs, d.fileSize, d.configs, d.deleted = left, 32<<10, b.d.configs, b.d.deleted
	s, err := Open(d.options())
	if err != nil {
		b.t.Fatalf("%d: after %v failed: %v", b.k, b.failed, err)
	}
	defer closeStore(b.t, s)
	for id, acked := range b.acked {
		got := values(b.t, d.log(s, id), d.log(s, id).Offsets().LogStart)
		start := d.log(s, id).Offsets().LogStart
		if start > int64(len(acked)) || start < b.starts[id] {
			b.t.Fatalf("%d: stream %d begins at %d, %d was acknowledged", b.k, id, start, b.starts[id])
		}
		if want := acked[start:]; len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
			b.t.Fatalf("%d: after %v failed, stream %d has %d records from %d on, %d were acknowledged", b.k, b.failed, id, len(got), start, len(want))
		}
	}
}
