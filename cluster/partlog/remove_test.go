package partlog

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"chronik/kafka/kerr"
	"chronik/wal/vfs"
)

// Who still has the log of a replica that was given up can do nothing to the one that comes after it.
func TestARemovedLogTakesNothingMore(t *testing.T) {
	d, s, l := replicated(t)
	follow(t, l, fromLeader(0, 1, "a", "b", "c"), 1)
	if !s.Holds(1) || s.Holds(2) {
		t.Fatal(s.Holds(1), s.Holds(2))
	}
	if err := s.Remove(1); err != nil {
		t.Fatal(err)
	}
	if s.Holds(1) {
		t.Fatal("it is still there")
	}
	_, appended := l.AppendAsFollower(fromLeader(3, 1, "d"), nil, 1)
	_, truncated := l.Truncate(1, 1)
	for _, err := range []error{appended, truncated, l.Reset(9, 1), l.SetLogStart(1)} {
		if kerr.Of(err) != kerr.NotLeaderOrFollower {
			t.Error(err)
		}
	}
	again := d.log(s, 1)
	want(t, again, 0)
	follow(t, again, fromLeader(0, 2, "x"), 2)
	want(t, again, 0, "x")
	if err := s.Remove(7); err != nil {
		t.Error("of what never was there", err)
	}
	closeStore(t, s)
}

// What was stated of a log before it was removed stands in the write-ahead log for as long as its file is needed: read back at
// a start it must not be taken for the new log's.
func TestALogStartOfALogThatWasRemovedIsNotTheNewOnes(t *testing.T) {
	d, s, l := replicated(t)
	follow(t, l, fromLeader(0, 1, "a", "b", "c", "d", "e", "f"), 1)
	l.SetStable(6)
	if err := l.SetLogStart(5); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(1); err != nil {
		t.Fatal(err)
	}
	follow(t, d.log(s, 1), fromLeader(0, 2, "x", "y", "z"), 2)
	for range 2 {
		closeStore(t, s) // which writes a checkpoint
		s = d.open()
		want(t, d.log(s, 1), 0, "x", "y", "z")
	}
	closeStore(t, s)
}

// A directory that is going is looked at like any other after a crash: each segment that is there has its index, or none is
// behind it.
func TestADirectoryThatIsGoingIsNeverDamaged(t *testing.T) {
	names := []string{"p/00.idx", "p/00.seg", "p/07.idx", "p/07.seg"}
	for most := range len(names) + 1 {
		disk := vfs.NewMem()
		if err := disk.MkdirAll("p"); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			f, err := disk.Open(name, vfs.Create)
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
		s := &Store{files: &lastRemoves{disk, most}}
		if err := s.removeDir("p"); err == nil {
			t.Fatal("the directory went although its files did not")
		}
		left, err := disk.List("p")
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range left {
			base, isData := strings.CutSuffix(name, ".seg")
			if isData && !slices.Contains(left, base+".idx") && i+1 < len(left) {
				t.Errorf("after %d removals: %v", most, left)
			}
		}
	}
}

// lastRemoves removes so many files, and no more.
type lastRemoves struct {
	vfs.FS
	left int
}

func (f *lastRemoves) Remove(name string) error {
	if f.left--; f.left < 0 {
		return errors.New("the power is gone")
	}
	return f.FS.Remove(name)
}
