package main

import (
	"strings"
	"testing"
)

func ledgerOf(members ...*member) *ledger {
	l := &ledger{seen: map[int]bool{}, members: members}
	for _, m := range members {
		m.ledger, m.last, m.upTo = l, map[int]int64{}, map[int]int64{}
	}
	return l
}

func say(t *testing.T, m *member, lines ...string) error {
	t.Helper()
	for _, line := range lines {
		if err := m.take(strings.Split(line, "\t")); err != nil {
			return err
		}
	}
	return nil
}

func TestAPartitionWithTwoOwnersIsFound(t *testing.T) {
	a, b := &member{name: "a"}, &member{name: "b"}
	l := ledgerOf(a, b)
	if err := say(t, b, "+\t20\t1"); err != nil { // read first, and later by the clock
		t.Fatal(err)
	}
	if err := say(t, a, "+\t10\t0,1", "-\t20\t1"); err != nil {
		t.Fatal(err)
	}
	if err := l.err(); err != nil {
		t.Error("handed on:", err)
	}
	if err := say(t, b, "+\t30\t0"); err != nil {
		t.Fatal(err)
	}
	if err := l.err(); err == nil || !strings.Contains(err.Error(), "b got partition 0 while a had it") {
		t.Error(err)
	}
}

func TestWhatWasGivenAndTakenAtOnceIsNobodys(t *testing.T) {
	a, b := &member{name: "a"}, &member{name: "b"}
	l := ledgerOf(a, b)
	if err := say(t, a, "+\t10\t3,4", "-\t10\t4"); err != nil {
		t.Fatal(err)
	}
	if err := say(t, b, "+\t20\t4"); err != nil {
		t.Fatal(err)
	}
	if err := l.err(); err != nil {
		t.Error(err)
	}
	if err := say(t, b, "+\t30\t3"); err != nil || l.err() == nil {
		t.Error("what it kept is its own:", err)
	}
}

func TestWhoWasHeldStillHasLostItsPartitions(t *testing.T) {
	a, b := &member{name: "a"}, &member{name: "b"}
	l := ledgerOf(a, b)
	if err := say(t, a, "+\t10\t0"); err != nil {
		t.Fatal(err)
	}
	a.note(change{15, '?', nil})
	if err := say(t, b, "+\t20\t0"); err != nil {
		t.Fatal(err)
	}
	if err := say(t, a, "-\t30\t0"); err != nil {
		t.Fatal(err)
	}
	if err := l.err(); err != nil {
		t.Error(err)
	}
	if err := say(t, a, "+\t40\t0"); err != nil {
		t.Fatal(err)
	}
	if l.err() == nil {
		t.Error("its doubt lasted beyond what it said")
	}
}

func TestWhatAMemberReadsIsLookedAt(t *testing.T) {
	a := &member{name: "a"}
	l := ledgerOf(a)
	line := func(offset string, n int) string { return "r\t0\t" + offset + "\t\t" + Value("t", "none", n) }
	if err := say(t, a, "+\t10\t0", line("5", 0), line("6", 1), "-\t20\t0", "+\t30\t0", line("5", 0)); err != nil {
		t.Error("again after it was given anew:", err)
	}
	if err := say(t, a, line("5", 0)); err == nil {
		t.Error("offset 5 after 5")
	}
	if err := say(t, a, line("7", 2)+"x"); err == nil {
		t.Error("other bytes")
	}
	if l.lacking(2) != "" || l.lacking(3) == "" {
		t.Error(l.lacking(2), l.lacking(3))
	}
}

func TestOnlyWhoHadAPartitionBeforeMayCommitLess(t *testing.T) {
	a, b, c := &member{name: "a"}, &member{name: "b"}, &member{name: "c"}
	l := ledgerOf(a, b, c)
	line := func(offset string, n int) string { return "r\t0\t" + offset + "\t\t" + Value("t", "none", n) }
	steps := []struct {
		who   *member
		lines []string
		left  int64
		ok    bool
	}{
		{a, []string{"+\t10\t0", line("5", 0), "-\t20\t0"}, 6, false},
		{b, []string{"+\t20\t0", line("6", 1), line("7", 2), "-\t30\t0"}, 8, false},
		{a, []string{"+\t30\t0"}, 0, false},
		{a, []string{line("6", 1), "-\t40\t0"}, 7, true},
		{c, []string{"+\t40\t0", line("6", 1)}, 7, false},
	}
	for i, s := range steps {
		if err := say(t, s.who, s.lines...); err != nil {
			t.Fatal(err)
		}
		if left, ok := l.leftAt(0); left != s.left || ok != s.ok {
			t.Errorf("step %d: %d, %v", i, left, ok)
		}
	}
}
