package vfs

import (
	"errors"
	"io/fs"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// Many sync directories at the same time, and one of these fails: it is the last that reaches the disk, of its directory
// at once, and everybody is told.
func TestAFailedSyncOfADirectoryIsTheLastOne(t *testing.T) {
	m := NewMem()
	for _, dir := range []string{"a", "b"} {
		if err := m.MkdirAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	under := NewFault(m)
	var ops atomic.Int64
	var failed atomic.Bool
	under.Script(func(op Op) Outcome {
		if op.Name == "a" && failed.Load() {
			t.Errorf("%v after one that failed", op)
		}
		if op.Name == "a" && ops.Add(1) == 100 {
			failed.Store(true)
			return Outcome{Err: syscall.EIO}
		}
		return Outcome{}
	})
	f := Final(under)
	var told atomic.Int64
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 50 {
				if err := f.SyncDir([]string{"a", "b"}[i%2]); errors.Is(err, syscall.EIO) {
					told.Add(1)
				} else if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if told.Load() < 100 || ops.Load() != 100 {
		t.Errorf("%d were told, %d syncs", told.Load(), ops.Load())
	}
	if err := f.SyncDir("b"); !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
}

func TestADirectoryThatIsNotThereIsNoFailedSync(t *testing.T) {
	f := Final(NewMem())
	if err := f.SyncDir("a"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := errors.Join(f.MkdirAll("a"), f.SyncDir("a")); err != nil {
		t.Error(err)
	}
}
