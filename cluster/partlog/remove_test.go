package partlog

import (
	"testing"

	"chronik/kafka/kerr"
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
