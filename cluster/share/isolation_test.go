package share

import (
	"fmt"
	"testing"
)

// firsts is which records were acquired, without how often.
func firsts(got []Acquired) (s string) {
	for _, g := range got {
		s += fmt.Sprintf(" %d-%d", g.First, g.Last)
	}
	return s
}

// share.isolation.level may change while members have records. What a member has it may say something of; aborted records that come
// back after the group has become read_committed are given to nobody.
func TestAbortedRecordsInFlightWhenAGroupBecomesReadCommitted(t *testing.T) {
	w := newWorld()
	w.append(5, 5, 5)
	want := Want{Member: "a", Most: 10}
	w.fetch(1, want) // begins the group
	w.settle(true, nil)
	if got := firsts(w.fetch(2, want)); got != " 0-9" {
		t.Fatalf("acquired%s", got)
	}
	w.log[1].Hidden = true // as a reader of committed records finds it
	kept := w.acknowledge("a", Batch{First: 5, Last: 6, Types: []int8{Accept}}, Batch{First: 7, Last: 9, Types: []int8{Release}})
	w.settle(true, nil)
	if err, ok := w.answers[kept]; !ok || err != nil {
		t.Error("what it had:", err, ok)
	}
	if got := firsts(w.fetch(3, Want{Member: "b", Most: 10})); got != " 10-14" {
		t.Errorf("acquired%s of %s", got, w.describe())
	}
	w.acknowledge("a", Batch{First: 0, Last: 4, Types: []int8{Accept}})
	w.acknowledge("b", Batch{First: 10, Last: 14, Types: []int8{Accept}})
	for range 3 {
		w.settle(true, nil)
	}
	if s := w.describeStored(); s != "start 15" {
		t.Error("stored is", s)
	}
}

// What was passed over stays so: it is archived.
func TestAbortedRecordsThatWerePassedOverStaySo(t *testing.T) {
	w := newWorld()
	w.append(5, 5, 5)
	w.log[1].Hidden = true
	want := Want{Member: "a", Most: 15}
	w.fetch(1, want) // begins the group
	w.settle(true, nil)
	if got := firsts(w.fetch(3, want)); got != " 0-4 10-14" {
		t.Fatalf("acquired%s", got)
	}
	w.settle(true, nil)
	w.log[1].Hidden = false // the group is read_uncommitted now
	w.release("a")
	w.settle(true, nil)
	w.append(5)
	if got := firsts(w.fetch(4, Want{Member: "b", Most: 15})); got != " 0-4 10-14 15-19" {
		t.Errorf("acquired%s of %s", got, w.describe())
	}
}
