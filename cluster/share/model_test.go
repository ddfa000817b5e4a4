package share

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
)

// fate is what the oracle knows of a record. It knows no ranges, no writes and no start: only what was told to whom.
type fate struct {
	holder    string // who was given it last and may still acknowledge it
	until     time.Duration
	delivered int
	told      int16 // the count that it was delivered with last
	done      bool  // may not come again: accepted or rejected, and answered so
	unsure    bool  // somebody said so, and has no answer (any more)
}

type oracle struct {
	*world
	t       *rapid.T
	records map[int64]*fate
	pending map[coordinator.Ticket]said
}

// said is what waits for its answer.
type said struct {
	member string
	done   []int64 // accepted or rejected
	freed  []int64
}

// TestModel holds the machine against the oracle: nobody is given what another one has locked, nothing that was acknowledged comes
// again, nothing comes more often than the limit, the count of its deliveries does not fall, what is stored would not let that happen after a leader's end either; and in the
// end each record is acknowledged, or was delivered as often as it may be.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := &oracle{world: newWorld(), t: t, records: map[int64]*fate{}, pending: map[coordinator.Ticket]said{}}
		t.Repeat(map[string]func(*rapid.T){
			"append":      o.appendSome,
			"fetch":       o.fetchSome,
			"acknowledge": o.acknowledgeSome,
			"nonsense":    o.acknowledgeAnything,
			"release":     o.releaseAll,
			"agree":       func(*rapid.T) { o.settle(true, nil); o.hear() },
			"fail":        func(t *rapid.T) { o.settle(rapid.Bool().Draw(t, "applied"), errors.New("unknown")); o.hear() },
			"wait":        o.waitSome,
			"new leader":  o.change,
			"delete":      o.deleteSome,
			"":            o.consistent,
		})
		o.drain()
	})
}

func (o *oracle) of(offset int64) *fate {
	if o.records[offset] == nil {
		o.records[offset] = &fate{}
	}
	return o.records[offset]
}

func (o *oracle) appendSome(t *rapid.T) {
	n := rapid.Int64Range(1, 6).Draw(t, "records")
	if rapid.IntRange(0, 4).Draw(t, "gap") == 0 {
		o.logEnd += rapid.Int64Range(1, 3).Draw(t, "missing")
	}
	o.append(n)
	if last := &o.log[len(o.log)-1]; rapid.IntRange(0, 4).Draw(t, "hidden") == 0 {
		last.Hidden = true
	}
}

func (o *oracle) member(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "member")
}

func (o *oracle) fetchSome(t *rapid.T) {
	o.given(Want{
		Member: o.member(t), Most: rapid.IntRange(1, 9).Draw(t, "most"),
		Exact: rapid.Bool().Draw(t, "exact"), Batch: rapid.IntRange(1, 9).Draw(t, "batch"),
	}, rapid.IntRange(1, 4).Draw(t, "batches"))
}

func (o *oracle) given(w Want, batches int) int64 {
	n := int64(0)
	for _, g := range o.fetch(batches, w) {
		n += g.Last - g.First + 1
		for at := g.First; at <= g.Last; at++ {
			f := o.of(at)
			switch {
			case f.holder != "" && f.until > o.now.Up:
				o.t.Fatalf("%d is given to %s while %s has it: %s", at, w.Member, f.holder, o.describe())
			case f.done:
				o.t.Fatalf("%d is given to %s though it is done with: %s", at, w.Member, o.describe())
			case int(g.Count) > int(o.config.DeliveryCountLimit):
				o.t.Fatalf("%d is delivered for the %d. time", at, g.Count)
			case g.Count < f.told:
				o.t.Fatalf("%d is delivered for the %d. time, after it was for the %d.: %s", at, g.Count, f.told, o.describe())
			case at < o.logStart || at >= o.logEnd || o.isHidden(at):
				o.t.Fatalf("%d is given to %s and should not be there", at, w.Member)
			}
			f.holder, f.until, f.delivered, f.told = w.Member, o.now.Up+10*time.Second, f.delivered+1, g.Count
		}
	}
	if w.Exact && n > int64(w.Most) {
		o.t.Fatalf("%d records for one that wants %d", n, w.Most)
	}
	return n
}

func (o *oracle) isHidden(at int64) bool {
	for _, r := range o.log {
		if r.First <= at && at <= r.Last {
			return r.Hidden
		}
	}
	return true
}

// held is a run of records that a member has.
func (o *oracle) held(member string) (first, last int64) {
	first, last = -1, -1
	for at := o.logStart; at < o.logEnd; at++ {
		has := o.of(at).holder == member && o.of(at).until > o.now.Up
		switch {
		case has && first < 0:
			first, last = at, at
		case has:
			last = at
		case first >= 0:
			return first, last
		}
	}
	return first, last
}

func (o *oracle) acknowledgeSome(t *rapid.T) {
	member := o.member(t)
	first, last := o.held(member)
	if first < 0 {
		return
	}
	first = rapid.Int64Range(first, last).Draw(t, "first")
	last = rapid.Int64Range(first, last).Draw(t, "last")
	b := Batch{First: first, Last: last}
	n := 1
	if rapid.Bool().Draw(t, "each") {
		n = int(last - first + 1)
	}
	for range n {
		b.Types = append(b.Types, int8(rapid.IntRange(Gap, Renew).Draw(t, "type")))
	}
	ticket := o.acknowledge(member, b)
	var s said
	s.member = member
	for at := first; at <= last; at++ {
		kind := b.Types[min(int(at-first), n-1)]
		if kind == Renew {
			o.of(at).until = o.now.Up + 10*time.Second
			continue
		}
		o.of(at).holder = ""
		if kind == Release {
			s.freed = append(s.freed, at)
			continue
		}
		o.of(at).unsure = true
		s.done = append(s.done, at)
	}
	o.pending[ticket] = s
	if err, ok := o.answers[ticket]; ok && err != nil {
		t.Fatalf("%s may not acknowledge %v: %v: %s", member, b, err, o.describe())
	}
	o.hear()
}

// acknowledgeAnything must not change what the member does not have.
func (o *oracle) acknowledgeAnything(t *rapid.T) {
	if o.logEnd == 0 {
		return
	}
	member, at := o.member(t), rapid.Int64Range(0, o.logEnd).Draw(t, "at")
	if f := o.of(at); f.holder == member && f.until > o.now.Up {
		return
	}
	before := o.describe()
	ticket := o.acknowledge(member, Batch{at, at, []int8{Accept}})
	if err := o.answers[ticket]; err == nil && at >= o.p.start {
		t.Fatalf("%s acknowledges %d, which it does not have: %s", member, at, before)
	}
	if after := o.describe(); after != before {
		t.Fatalf("%s\nbecame\n%s", before, after)
	}
}

func (o *oracle) releaseAll(t *rapid.T) {
	member := o.member(t)
	ticket := o.release(member)
	s := said{member: member}
	for at, f := range o.records {
		if f.holder == member {
			f.holder = ""
			s.freed = append(s.freed, at)
		}
	}
	o.pending[ticket] = s
	o.hear()
}

// hear takes over the answers that have come.
func (o *oracle) hear() {
	for ticket, s := range o.pending {
		err, ok := o.answers[ticket]
		if !ok {
			continue
		}
		delete(o.pending, ticket)
		if err != nil {
			continue
		}
		for _, at := range s.done {
			o.of(at).done = true
		}
	}
}

func (o *oracle) waitSome(t *rapid.T) {
	o.wait(time.Duration(rapid.IntRange(0, 12).Draw(t, "seconds")) * time.Second)
	for _, f := range o.records {
		if f.until <= o.now.Up {
			f.holder = ""
		}
	}
}

// change has another leader begin with what is stored.
func (o *oracle) change(*rapid.T) {
	o.lead()
	for _, f := range o.records {
		f.holder = ""
	}
	for ticket := range o.pending {
		delete(o.pending, ticket) // who waits is told NOT_LEADER_OR_FOLLOWER by the runtime
	}
}

func (o *oracle) deleteSome(t *rapid.T) {
	if o.logEnd > o.logStart {
		o.logStart = rapid.Int64Range(o.logStart, o.logEnd).Draw(t, "start")
	}
}

// consistent checks the machine's own shape, and that what is stored has all that was answered.
func (o *oracle) consistent(t *rapid.T) {
	next := o.p.start
	for _, s := range o.p.spans {
		if s.first != next || s.last < s.first {
			t.Fatal("gaps: ", o.describe())
		}
		next = s.last + 1
	}
	if len(o.p.spans) > 0 && next != o.p.end {
		t.Fatal("end: ", o.describe())
	}
	later := *o.world
	later.leaderEpoch++
	later.lead()
	for at, f := range o.records {
		if !f.done || at < o.logStart {
			continue
		}
		if at >= later.p.end && later.p.begun {
			t.Fatalf("%d is done with, and a new leader would not know: %s", at, o.describeStored())
		}
		if i := later.p.at(at); at >= later.p.start && i < len(later.p.spans) && later.p.spans[i].free() {
			t.Fatalf("%d is done with, and a new leader would give it: %s", at, o.describeStored())
		}
	}
}

// drain consumes all that is left: each record comes to an end.
func (o *oracle) drain() {
	for range 20 + 4*int(o.logEnd) {
		o.settle(true, nil)
		o.hear()
		o.wait(time.Minute)
		for _, f := range o.records {
			f.holder = ""
		}
		o.given(Want{Member: "d", Most: 5}, 2)
		first, last := o.held("d")
		if first >= 0 {
			t := o.acknowledge("d", Batch{first, last, []int8{Accept}})
			o.settle(true, nil) // that of what expired
			o.settle(true, nil)
			if err, ok := o.answers[t]; !ok || err != nil {
				o.t.Fatal(fmt.Sprint("not acknowledged: ", err, ok))
			}
			for at := first; at <= last; at++ {
				o.of(at).holder, o.of(at).done = "", true
			}
		}
	}
	at, err := o.look()
	if err != nil {
		o.t.Fatal(err)
	}
	for left := max(at.from, o.logStart); left < o.logEnd; left++ {
		if !o.isHidden(left) {
			o.t.Fatalf("after all was consumed %d is left: %s", left, o.describe())
		}
	}
	for at := o.logStart; at < o.logEnd; at++ {
		f := o.of(at)
		if !o.isHidden(at) && !f.done && !f.unsure && f.delivered == 0 {
			o.t.Fatalf("%d was never delivered: %s", at, o.describe())
		}
	}
	if o.p.Idle() == false {
		o.t.Fatal("not idle: ", o.describe())
	}
}

func TestDeposed(t *testing.T) {
	w := newWorld()
	w.append(3)
	w.fetch(1, Want{Member: "a", Most: 10})
	w.settle(true, nil)
	w.fetch(1, Want{Member: "a", Most: 10})
	ticket := w.acknowledge("a", Batch{0, 2, []int8{Accept}})
	if _, ok := w.answers[ticket]; ok {
		t.Fatal("answered before it was agreed on")
	}
	w.settle(false, kerr.FencedLeaderEpoch)
	if err := w.answers[ticket]; !errors.Is(err, kerr.NotLeaderOrFollower) {
		t.Error("a write that was refused: ", err)
	}
	if err := w.answers[w.acknowledge("a", Batch{0, 2, []int8{Accept}})]; !errors.Is(err, kerr.InvalidRecordState) {
		t.Error("who begins again with what is stored: ", err)
	}
}
