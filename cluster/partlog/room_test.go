package partlog

import (
	"reflect"
	"strings"
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
