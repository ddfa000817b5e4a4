package partlog

import (
	"errors"
	"reflect"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"chronik/wal"
	"chronik/wal/vfs"
)

// While the disk that segments are cut to hangs, the write-ahead log does not grow without bound; when it goes on, so do
// producers, and nothing is missing.
func TestProducersWaitForCutting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := small(newDisk(t))
		faults, hang := vfs.NewFault(d.fs), make(chan struct{})
		faults.Script(func(op vfs.Op) vfs.Outcome {
			if strings.HasSuffix(op.Name, ".seg") {
				return vfs.Outcome{Until: hang}
			}
			return vfs.Outcome{}
		})
		d.fs = faults
		s := d.open()
		var want map[wal.StreamID][]string
		done := make(chan struct{})
		go func() {
			want = fill(t, d, s, 1000, 1, 2) // about 8 MiB: each record takes whole pages
			close(done)
		}()
		synctest.Wait()
		if size := walSize(s); size > 2*d.budget+d.fileSize {
			t.Errorf("%d bytes, the budget is %d", size, d.budget)
		}
		close(hang)
		<-done
		for stream, w := range want {
			if got := values(t, d.log(s, stream), 0); !reflect.DeepEqual(got, w) {
				t.Errorf("stream %d: %d records, want %d", stream, len(got), len(w))
			}
		}
		closeStore(t, s)
	})
}

// unheeding is a store whose log's disk hangs, and a producer that wants no acknowledgements of requests so small that they are copied.
type unheeding struct {
	s    *Store
	l    *Log
	hang chan struct{}
	err  error // what the disk says when it goes on
	done chan struct{}

	// What the producer has come to; read them when done is closed.
	end     int64
	refused error
}

// heedless has the producer send as much as there is memory, and returns when it waits, or is through.
func heedless(t *testing.T, err error) *unheeding {
	t.Helper()
	d := newDisk(t)
	u := &unheeding{hang: make(chan struct{}), err: err, done: make(chan struct{})}
	var hangs atomic.Bool
	faults := vfs.NewFault(d.fs)
	faults.Script(func(op vfs.Op) vfs.Outcome {
		if hangs.Load() && op.Kind == vfs.OpWriteSync {
			return vfs.Outcome{Until: u.hang, Err: u.err}
		}
		return vfs.Outcome{}
	})
	d.fs = faults
	u.s = d.open()
	u.l = d.log(u.s, 1)
	hangs.Store(true)
	go u.produce()
	synctest.Wait()
	return u
}

func (u *unheeding) produce() {
	defer close(u.done)
	value := strings.Repeat("x", 10<<10)
	for range u.s.options.Pool.Limit() / int64(len(value)) {
		a, err := u.l.AppendAsLeader(Append{Data: records(1, value), Version: 9})
		if err != nil {
			u.refused = err
			return
		}
		u.end = a.End
		u.s.CommitSoon()
	}
}

func (u *unheeding) waits() bool {
	select {
	case <-u.done:
		return false
	default:
		return true
	}
}

// A producer that wants no acknowledgement, and sends requests that are so small that they are copied, waits when the disk does not
// keep up: they would take all the memory that there is.
func TestWhatNobodyWaitsForMustNotFillTheMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := heedless(t, nil)
		if n, limit := u.s.options.Pool.InUse(), u.s.options.Pool.Limit(); n > limit/4 {
			t.Errorf("%d MiB of %d wait for the disk", n>>20, limit>>20)
		}
		close(u.hang)
		<-u.done
		if u.refused != nil {
			t.Fatal(u.refused)
		}
		settle(t, u.l, u.end)
		closeStore(t, u.s)
	})
}

// What the disk fails to write, and all that is queued behind it, keeps nobody waiting.
func TestWhoWaitsForTheDiskMustNotOutwaitIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := heedless(t, syscall.EIO)
		if !u.waits() {
			t.Fatal("it does not wait")
		}
		close(u.hang)
		<-u.done
		if !errors.Is(u.refused, syscall.EIO) {
			t.Errorf("got %v", u.refused)
		}
		if err := u.s.Close(); !errors.Is(err, syscall.EIO) {
			t.Errorf("closed with %v", err)
		}
	})
}

// Nor does a disk that hangs when the storage is closed.
func TestWhoWaitsForTheDiskIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := heedless(t, nil)
		if !u.waits() {
			t.Fatal("it does not wait")
		}
		closed := make(chan struct{})
		go func() {
			closeStore(t, u.s)
			close(closed)
		}()
		synctest.Wait()
		if u.waits() {
			t.Error("it waits still")
		}
		close(u.hang)
		<-closed
		<-u.done
	})
}

// Those who wait are let go when the storage is closed.
func TestWaitingProducersAreLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := small(newDisk(t))
		s := d.open()
		fill(t, d, s, 100, 1)
		s.room.end.Store(0)
		done := make(chan struct{})
		go func() {
			s.Commit()
			close(done)
		}()
		closeStore(t, s)
		<-done
	})
}

// A file that is larger than all the budget stops nobody: it cannot be cut while it is written.
func TestFileLargerThanTheBudget(t *testing.T) {
	d := newDisk(t)
	d.fileSize, d.budget = 1<<20, 64<<10
	s := d.open()
	defer closeStore(t, s)
	want := fill(t, d, s, 600, 1)[1]
	if got := values(t, d.log(s, 1), 0); !reflect.DeepEqual(got, want) {
		t.Errorf("%d records, want %d", len(got), len(want))
	}
}
