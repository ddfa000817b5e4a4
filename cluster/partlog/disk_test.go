package partlog

import (
	"errors"
	"log/slog"
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
		{"tiny", 2 * gib, 2 * gib, 0, gib / 2},
		{"just not tiny", 4 * gib, 0, 0, 1 * gib},
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

// An operator must find in the log how large the write-ahead log may become, whoever says so, and that the disk is too full for it.
func TestTheStartTellsHowLargeTheLogMayBecome(t *testing.T) {
	for _, c := range []struct {
		budget int64
		want   []string
	}{
		{1 << 20, []string{"wal_size=1048576 set_by=wal-size\n"}},
		{0, []string{"set_by=\"the disk\"\n"}},
		{1 << 50, []string{"wal_size=1125899906842624 set_by=wal-size\n", `level=WARN msg="the disk has less left than the write-ahead log may take`}},
	} {
		var out strings.Builder
		d := newDisk(t)
		fs, err := vfs.OS(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		d.fs, d.budget = fs, c.budget
		o := d.options()
		o.Logger = slog.New(slog.NewTextHandler(&out, nil))
		s, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		closeStore(t, s)
		for _, want := range c.want {
			if strings.Count(out.String(), want) != 1 {
				t.Errorf("%q is not there once:\n%s", want, out.String())
			}
		}
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
