package image

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"

	"chronik/kafka/kerr"
)

func brokers(t testing.TB, n int) *Image {
	m := Empty()
	for id := range n {
		var err error
		m, _, err = m.Apply(m.Index()+1, []Record{BrokerRecord{ID: BrokerID(id + 1), Incarnation: uuid.UUID{byte(id + 1)}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func applied(t testing.TB, m *Image, recs ...Record) *Image {
	t.Helper()
	next, _, err := m.Apply(m.Index()+1, recs)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// Apply decides by the draw: another one would refuse in an old log what was let in, so it stays for ever.
func TestCoordinatorsStay(t *testing.T) {
	m := brokers(t, 5)
	var got strings.Builder
	for _, g := range []string{"", "a", "b", "orders", "payments", "console-consumer-12345", "ж"} {
		fmt.Fprintf(&got, "%d ", m.Coordinator(g))
	}
	if want := "4 3 3 5 5 3 2 "; got.String() != want {
		t.Errorf("%s, not %s", &got, want)
	}
}

// A broker that goes moves its groups alone, to all the others; while none can coordinate, nobody does.
func TestCoordinatorsMove(t *testing.T) {
	const groups = 3000
	whole := brokers(t, 3)
	fenced := applied(t, whole, FenceRecord{2, 2, true})
	leaving := applied(t, whole, ControlledShutdownRecord{2, 2})
	had, took := map[BrokerID]int{}, map[BrokerID]int{}
	for i := range groups {
		g := fmt.Sprintf("group-%d", i)
		was, is := whole.Coordinator(g), fenced.Coordinator(g)
		had[was]++
		if was != is {
			took[is]++
		}
		if was != 2 && is != was || is == 2 || is == NoBroker || leaving.Coordinator(g) != is {
			t.Fatalf("%s goes from %d to %d", g, was, is)
		}
	}
	for id, n := range had {
		if n < groups/4 || id != 2 && took[id] < groups/10 {
			t.Errorf("broker %d has %d groups and takes %d over", id, n, took[id])
		}
	}
	alone := applied(t, whole, FenceRecord{1, 1, true}, FenceRecord{3, 3, true}, ControlledShutdownRecord{2, 2})
	if got := alone.Coordinator("g"); got != 2 {
		t.Errorf("the only broker is on its way out: %d", got)
	}
	none := applied(t, alone, FenceRecord{2, 2, true})
	if none.Coordinator("g") != NoBroker || Empty().Coordinator("g") != NoBroker {
		t.Error("a fenced broker coordinates")
	}
}

// What a broker decided as coordinator must not be recorded when it is one no more, or has been away meanwhile.
func TestRecordsOfAnotherCoordinatorAreRefused(t *testing.T) {
	m := brokers(t, 3)
	owner := m.Coordinator("g")
	record := func(id BrokerID, epoch int64) Record {
		return GroupRecord{Group: Group{ID: "g"}, Owner: id, OwnerEpoch: epoch}
	}
	epoch := int64(owner)
	for i, c := range []struct {
		recs []Record
		want kerr.Code
	}{
		{[]Record{record(owner, epoch)}, kerr.None},
		{[]Record{record(owner%3+1, epoch%3+1)}, kerr.NotCoordinator},
		{[]Record{record(owner, epoch+1)}, kerr.NotCoordinator},
		{[]Record{record(NoBroker, -1)}, kerr.None},
		{[]Record{BrokerRecord{ID: owner, Incarnation: uuid.UUID{byte(owner)}}, record(owner, epoch)}, kerr.NotCoordinator},
		{[]Record{FenceRecord{owner, epoch, true}, record(owner, epoch)}, kerr.NotCoordinator},
		{[]Record{ControlledShutdownRecord{owner, epoch}, OffsetsRecord{Group: "g", Owner: owner, OwnerEpoch: epoch}}, kerr.NotCoordinator},
	} {
		if _, _, err := m.Apply(m.Index()+1, c.recs); kerr.Of(err) != c.want {
			t.Errorf("%d: %v, not %v", i, err, c.want)
		}
	}
}

// A group that comes back to the broker that had it before is in another tenure of it: what that broker sent before, and
// nobody has answered, must not come in behind what the other has recorded.
func TestRecordsOfAnEarlierTenureAreRefused(t *testing.T) {
	m := brokers(t, 3)
	owner := m.Coordinator("g")
	commit := func(m *Image) OffsetsRecord {
		id, since := m.CoordinatorSince("g")
		b, _ := m.Broker(id)
		return OffsetsRecord{Group: "g", Owner: id, OwnerEpoch: b.Epoch, OwnerSince: since}
	}
	fence := func(id BrokerID, fenced bool) Record { return FenceRecord{id, int64(id), fenced} }
	late := []OffsetsRecord{commit(m)}
	m = applied(t, m, late[0])
	m = applied(t, m, fence(owner, true))
	second := m.Coordinator("g")
	late = append(late, commit(m))
	m = applied(t, m, late[1])
	m = applied(t, m, fence(second, true))
	late = append(late, commit(m))
	m = applied(t, m, fence(second, false))
	late = append(late, commit(m))
	m = applied(t, m, UnregisterBrokerRecord{owner, int64(owner)})
	if got, _ := m.CoordinatorSince("g"); got != second || !reflect.DeepEqual(commit(m), late[3]) {
		t.Fatalf("who goes for good had gone before: %+v, %+v", late, commit(m))
	}
	_ = applied(t, m, commit(m))
	for i, r := range late[:3] {
		if _, _, err := m.Apply(m.Index()+1, []Record{r}); kerr.Of(err) != kerr.NotCoordinator {
			t.Errorf("of tenure %d: %v", i, err)
		}
	}
	again := applied(t, m, BrokerRecord{ID: owner, Incarnation: uuid.UUID{byte(owner)}})
	if _, _, err := again.Apply(again.Index()+1, []Record{late[3]}); kerr.Of(err) != kerr.NotCoordinator {
		t.Error("of the one before: ", err)
	}
	read, err := Read(bytes.NewReader(encoded(t, again)))
	if err != nil || commit(read).OwnerSince != commit(again).OwnerSince || commit(read).OwnerSince == 0 {
		t.Errorf("a snapshot forgets it: %+v, not %+v, %v", commit(read), commit(again), err)
	}
}

// Records and snapshots of programs that did not note since when: each node begins with the same record.
func TestTurnsAreNotedFromARecordOn(t *testing.T) {
	m := brokers(t, 3)
	owner := m.Coordinator("g")
	older := OffsetsRecord{Group: "g", Owner: owner, OwnerEpoch: int64(owner), OwnerSince: -1}
	m = applied(t, m, FenceRecord{owner, int64(owner), true})
	m = applied(t, m, FenceRecord{owner, int64(owner), false})
	m = applied(t, m, older)
	if _, since := m.CoordinatorSince("g"); since != 0 || m.turns != nil {
		t.Errorf("since %d, %v", since, m.turns)
	}
	first := older
	first.OwnerSince = 0
	m = applied(t, m, first)
	m = applied(t, m, FenceRecord{owner, int64(owner), true})
	m = applied(t, m, FenceRecord{owner, int64(owner), false})
	if _, since := m.CoordinatorSince("g"); since != int64(m.Index()) {
		t.Errorf("since %d, now is %d", since, m.Index())
	}
	_ = applied(t, m, older)
	if _, _, err := m.Apply(m.Index()+1, []Record{first}); kerr.Of(err) != kerr.NotCoordinator {
		t.Error(err)
	}
}

func BenchmarkCoordinator(b *testing.B) {
	m := brokers(b, 5)
	b.ReportAllocs()
	for range b.N {
		m.Coordinator("console-consumer-12345")
	}
}
