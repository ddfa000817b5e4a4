package share

import "testing"

// acknowledged is a world whose first ten records are in two batches, of which the second was acknowledged.
func acknowledged(t *testing.T) (*world, Want) {
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
	return w, want
}

// After an unclean election there are other records at offsets that a group had acknowledged. Whoever begins with what is stored
// must give them out: the group has not had them.
func TestNewRecordsBehindALostEndAreDelivered(t *testing.T) {
	w, want := acknowledged(t)
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

// The same when the log has grown again before anybody looks.
func TestNewRecordsInTheirPlaceAreDelivered(t *testing.T) {
	w, want := acknowledged(t)
	w.log, w.logEnd = w.log[:1], 5 // the new leader does not have the second batch
	w.lead()
	w.append(8) // others in its place, and behind
	w.lead()    // a clean election, after which somebody looks for the first time
	next := int64(0)
	for _, g := range w.fetch(2, want) {
		if g.First != next || g.Last > 4 && g.Count != 1 {
			break
		}
		next = g.Last + 1
	}
	if next != 13 {
		t.Fatalf("%d is not acquired as a new record: %s, stored is %s", next, w.describe(), w.describeStored())
	}
}

// A clean election loses nothing that was acknowledged.
func TestWhatWasAcknowledgedStaysSoUnderOtherLeaders(t *testing.T) {
	w, want := acknowledged(t)
	w.lead()
	w.append(3)
	w.lead()
	for _, g := range w.fetch(3, want) {
		if g.First <= 9 && g.Last >= 5 {
			t.Errorf("acquired %v of %s", g, w.describe())
		}
	}
}

// What was acknowledged of a new leader's own records is not taken for records that its predecessor lost, whenever the machine
// that the predecessor's state is held against begins.
func TestALeadersOwnRecordsStayAcknowledged(t *testing.T) {
	w, want := acknowledged(t)
	w.lead()
	w.append(3)
	w.fetch(3, want) // the runtime forgets a machine that was only asked where to read
	w.fetch(3, want)
	ticket := w.acknowledge("a", Batch{First: 10, Last: 12, Types: []int8{1}})
	w.settle(true, nil)
	w.settle(true, nil)
	if err, ok := w.answers[ticket]; !ok || err != nil {
		t.Fatal(err, ok)
	}
	w.lead()
	for _, g := range w.fetch(3, want) {
		if g.Last >= 10 {
			t.Errorf("acquired %v of %s", g, w.describe())
		}
	}
}
