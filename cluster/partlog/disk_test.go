package partlog

import (
	"errors"
	"math"
	"strings"
	"testing"

	"chronik/wal"
	"chronik/wal/vfs"
)

// A small disk, or one that is nearly full, must not be eaten; what the log takes itself is no reason for it to become smaller.
func TestBudgetFollowsTheDisk(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		what               string
		total, free, taken int64
		want               int64
	}{
		{"small", 10 * gib, 9 * gib, 0, 1 * gib},
		{"a twentieth", 100 * gib, 90 * gib, 0, 5 * gib},
		{"large", 2000 * gib, 1000 * gib, 0, 8 * gib},
		{"little is left", 500 * gib, 20 * gib, 0, 5 * gib},
		{"little is left because of the log", 500 * gib, 28 * gib, 16 * gib, 8 * gib},
		{"without end, as it says", math.MaxInt64, math.MaxInt64, 2 * gib, 8 * gib},
		{"nothing, as it says", 0, 0, 2 * gib, 1 * gib},
		{"full", 500 * gib, 0, 2 * gib, 1 * gib},
	} {
		if got := budgetFor(c.total, c.free, c.taken); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
}

func TestTheDiskCountsWhereNobodySaysHowLargeTheLogMayBe(t *testing.T) {
	d := newDisk(t)
	fs, err := vfs.OS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	d.fs, d.budget = fs, 0
	s := d.open()
	defer closeStore(t, s)
	total, free, err := vfs.Space(fs, walDir)
	if err != nil {
		t.Fatal(err)
	}
	if got, most := s.budget(), budgetFor(total, 2*free, 0); got < leastBudget || got > most {
		t.Errorf("%d, want %d to %d", got, leastBudget, most)
	}
}

// A log that may suddenly be an eighth as large has producers wait until the rest is cut.
func TestADiskThatCannotBeAskedMustNotShrinkTheLog(t *testing.T) {
	d := newDisk(t)
	d.budget = 0
	s := d.open()
	defer closeStore(t, s)
	none := errors.New("none")
	if s.limitBy(0, 0, none); s.limit() != leastBudget {
		t.Errorf("%d where nothing was ever known, want %d", s.limit(), leastBudget)
	}
	s.limitBy(math.MaxInt64, math.MaxInt64, nil)
	if s.limitBy(0, 0, none); s.limit() != mostBudget {
		t.Errorf("%d, want %d", s.limit(), mostBudget)
	}
}

// What each file of a large log knows of its streams took as much memory as the index that the budget counted, or more.
func TestTheStreamsOfEachFileCountInTheBudget(t *testing.T) {
	const most = 150
	d := newDisk(t)
	d.fileSize, d.entries, d.budget = 64<<10, most, 1<<30
	s := d.open()
	defer closeStore(t, s)
	put := func(from, to wal.StreamID) {
		for id := from; id < to; id++ {
			if _, err := d.log(s, id).AppendAsLeader(Append{Data: records(int64(id), strings.Repeat("v", 1000)), Version: 9}); err != nil {
				t.Fatal(err)
			}
			s.wal.Commit()
		}
	}
	put(1, 91)
	for id := range wal.StreamID(90) {
		settle(t, d.log(s, id+1), 1)
	}
	if s.overBudget() {
		t.Errorf("%d bytes are more than %d", s.newest.Load()-s.oldest.Load(), s.budget())
	}
	put(91, 131)
	for id := wal.StreamID(91); id < 131; id++ {
		settle(t, d.log(s, id), 1)
	}
	tend(t, s, false)
	if n := s.held(); n > most {
		t.Errorf("%d entries' memory is held", n)
	}
}
