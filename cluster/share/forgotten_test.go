package share

import "testing"

// The runtime forgets a machine that has nothing under way, between the question where to read and the answer what there was too.
// What it has found out by then must not have to be found out again for ever.

func TestAGroupBehindTheLogsStartGoesOn(t *testing.T) {
	w := newWorld()
	w.append(5, 5)
	want := Want{Member: "a", Most: 100, Batch: 100}
	w.fetch(2, want) // begins the group
	w.settle(true, nil)
	w.logStart, w.log = 5, w.log[1:] // retention
	got := w.fetch(1, want)
	w.settle(true, nil)
	if len(got) == 0 {
		got = w.fetch(1, want)
	}
	if len(got) != 1 || got[0].First != 5 || got[0].Last != 9 {
		t.Errorf("acquired %v of %s", got, w.describe())
	}
}

func TestHiddenRecordsKeepNobodyFromThoseBehind(t *testing.T) {
	w := newWorld()
	w.append(5, 5, 5, 5)
	for i := range 3 {
		w.log[i].Hidden = true
	}
	want := Want{Member: "a", Most: 100, Batch: 100}
	w.fetch(1, want) // begins the group
	w.settle(true, nil)
	for range 3 {
		w.fetch(1, want) // as much as goes into an answer, and all of it hidden
		w.settle(true, nil)
	}
	if got := w.fetch(1, want); len(got) != 1 || got[0].First != 15 || got[0].Last != 19 {
		t.Errorf("acquired %v of %s", got, w.describe())
	}
}
