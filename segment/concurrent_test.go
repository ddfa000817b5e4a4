package segment

import (
	"bytes"
	"math"
	"sync"
	"sync/atomic"
	"testing"
)

// Readers, a writer and the closing of idle files at the same time; the race detector watches.
func TestReadersDoNotDisturbTheWriter(t *testing.T) {
	fs := osFS(t)
	files := NewFiles(1, 1<<20)
	all := makeBatches(0, 200)
	s, err := Create(fs, "p", 0, Options{Files: files})
	must(t, err)
	other, err := Create(fs, "p", 1<<30, Options{Files: files})
	must(t, err)
	must(t, other.Append(makeBatch(1<<30, 1, testTime, 10, 0)))
	must(t, other.Sync())
	var synced atomic.Int64
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				end := synced.Load()
				if got, want := read(t, s, 0, end, math.MaxInt32, true), wanted(all, 0, end, math.MaxInt32, true); !bytes.Equal(got, want) {
					t.Errorf("%d bytes up to %d, want %d", len(got), end, len(want))
					return
				}
				if n%3 == 0 {
					read(t, other, 1<<30, math.MaxInt64, 1000, true) // has the first one closed, if nobody uses it
				}
				if _, _, err := s.FindTime(testTime + 100); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i, b := range all {
		must(t, s.Append(b))
		if i%7 == 0 {
			must(t, s.Sync())
			synced.Store(s.End())
		}
	}
	must(t, s.Seal())
	close(done)
	readers.Wait()
	must(t, s.Verify())
}
