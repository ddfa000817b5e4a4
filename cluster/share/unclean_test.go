package share

import "testing"

// After an unclean election there are other records at offsets that a group had acknowledged. Whoever begins with what is stored
// must give them out: the group has not had them.
func TestNewRecordsBehindALostEndAreDelivered(t *testing.T) {
	w := newWorld()
	w.append(5, 5)
	want := Want{Member: "a", Most: 100, Batch: 100}
	w.fetch(2, want) // begins the group
	w.settle(true, nil)
	if got := w.fetch(2, want); len(got) != 1 || got[0].Last != 9 {
		t.Fatalf("acquired %v", got)
	}
	w.settle(true, nil)
	w.acknowledge("a", Batch{First: 5, Last: 9, Types: []int8{1}})
	w.settle(true, nil)

	w.log, w.logEnd = w.log[:1], 5 // the new leader does not have the second batch
	if _, err := w.look(); err != nil {
		t.Fatal(err)
	}
	w.settle(true, nil)
	w.append(5) // others in its place
	w.lead()    // whoever looks first finds them there
	got := w.fetch(2, want)
	if n := len(got); n == 0 || got[n-1].Last != 9 {
		t.Fatalf("acquired %v of %s, stored is %s", got, w.describe(), w.describeStored())
	}
}
