package partlog

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"weak"

	"chronik/wal"
)

// Topics come and go on a node that runs for years: what a deleted one held, in the log's index, its files' lists of streams
// and its segments, is given back, and nothing remembers the log.
func TestDeletedPartitionsLeaveNothingInMemory(t *testing.T) {
	const rounds, partitions = 5, 20
	d := small(newDisk(t))
	s := d.open()
	defer closeStore(t, s)
	var needing int64
	for round := range rounds {
		var gone []weak.Pointer[Log]
		first := wal.StreamID(1 + round*partitions)
		for id := first; id < first+partitions; id++ {
			gone = append(gone, weak.Make(d.log(s, id)))
			for i := range 30 { // more than the budget has: some of it is in segments
				v := fmt.Sprint(i, strings.Repeat("v", 1000))
				produce(t, d.log(s, id), idempotent(int64(id), 0, int32(i), int64(i), v))
			}
		}
		tend(t, s, false)
		if n := len(segmentsOf(d.log(s, first))); n == 0 {
			t.Fatal("nothing was cut")
		}
		for id := first; id < first+partitions; id++ {
			d.deleted[id] = true
			if err := s.Delete(id); err != nil {
				t.Fatal(err)
			}
		}
		tend(t, s, false)
		if n := s.indexed.Load(); n != 0 {
			t.Errorf("round %d: %d entries are in the index", round, n)
		}
		if n := len(s.logs) + len(s.dying); n != 0 {
			t.Errorf("round %d: %d logs are left", round, n)
		}
		if n := s.wal.Needing(); round == 0 {
			needing = n
		} else if n > needing {
			t.Errorf("round %d: the log's files need %d entries, %d after the first round", round, n, needing)
		}
		runtime.GC()
		for i, l := range gone[:partitions-1] { // the last one may still be in the hands of who appended
			if l.Value() != nil {
				t.Errorf("round %d: something holds the log of stream %d", round, int(first)+i)
			}
		}
	}
}
