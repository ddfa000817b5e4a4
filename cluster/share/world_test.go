package share

import (
	"fmt"
	"strings"
	"time"

	"chronik/cluster/coordinator"
	"chronik/cluster/share/state"
	"chronik/kafka/config"
	"chronik/metalog/image"
)

// world is one share partition with its log, time, and a metadata log that agrees when it is told to.
type world struct {
	p        *partition
	config   config.ShareGroup
	now      coordinator.Instant
	stored   []byte // what the metadata log has
	inFlight []coordinator.Proposal
	answers  map[coordinator.Ticket]error
	ticket   coordinator.Ticket
	woken    bool

	log                 []Records
	logStart, logEnd    int64
	leaderEpoch, states int32
	began               map[int32]int64 // where a leader's epoch began
}

func newWorld() *world {
	w := &world{
		config: config.ShareGroup{
			DeliveryCountLimit: 3, PartitionMaxRecordLocks: 20, RecordLockDurationMs: 10_000, RenewAcknowledge: true,
		},
		answers: map[coordinator.Ticket]error{}, began: map[int32]int64{},
	}
	w.lead()
	return w
}

// lead makes the machine of a new leader.
func (w *world) lead() {
	w.leaderEpoch++
	w.began[w.leaderEpoch] = w.logEnd
	w.inFlight = nil
	w.make()
}

// make makes the machine by what is stored.
func (w *world) make() {
	w.p = newPartition(Key{Group: "g"}, tenure{1, sinceOf(w.leaderEpoch, w.states)}, &image.ShareState{Value: w.stored},
		func() config.ShareGroup { return w.config }, func() { w.woken = true })
}

// append adds batches of so many records.
func (w *world) append(sizes ...int64) {
	for _, n := range sizes {
		w.log = append(w.log, Records{First: w.logEnd, Last: w.logEnd + n - 1})
		w.logEnd += n
	}
}

// do has the machine work, and takes what comes of it.
func (w *world) do(fn func(fx *coordinator.Effects)) {
	var fx coordinator.Effects
	fn(&fx)
	for _, a := range fx.Answers {
		if _, twice := w.answers[a.To]; twice {
			panic(fmt.Sprint("answered twice: ", a.To))
		}
		w.answers[a.To] = a.Body.(outcome).err
	}
	w.inFlight = append(w.inFlight, fx.Proposals...)
	if len(w.inFlight) > 1 {
		panic("two writes are under way")
	}
	if len(w.inFlight) == 0 && w.p.Idle() {
		w.make() // the runtime forgets it
	}
}

// settle ends the write that is under way: it is applied, or not, and its outcome is err.
func (w *world) settle(apply bool, err error) {
	if len(w.inFlight) == 0 {
		return
	}
	next := w.inFlight[0]
	w.inFlight = nil
	if apply {
		w.stored = next.Records[0].(image.ShareRecord).Value
	}
	w.do(func(fx *coordinator.Effects) { next.Then(w.now, err, fx) })
}

func (w *world) wait(d time.Duration) {
	w.now.Up += d
	if at, ok := w.p.Deadline(); ok && at <= w.now.Up {
		w.do(func(fx *coordinator.Effects) { w.p.Expire(w.now, fx) })
	}
}

func (w *world) look() (at place, err error) {
	w.do(func(fx *coordinator.Effects) { at, err = w.p.look(w.now, w.extent, w.ended, fx) })
	return at, err
}

func (w *world) extent() (logStart, logEnd int64) { return w.logStart, w.logEnd }

// ended is what the log knows of epochs (KIP-101).
func (w *world) ended(leaderEpoch int32) int64 {
	for e := leaderEpoch + 1; e <= w.leaderEpoch; e++ {
		if at, ok := w.began[e]; ok {
			return at
		}
	}
	return w.logEnd
}

// fetch reads up to most batches and acquires what can be had.
func (w *world) fetch(batches int, want Want) []Acquired {
	at, err := w.look()
	if err == nil && at.unset {
		w.do(func(fx *coordinator.Effects) { w.p.begin(w.now, w.newTicket(), w.logStart, fx) })
		return nil
	}
	if err != nil || at.none {
		return nil
	}
	var found []Records
	for _, r := range w.log {
		if r.Last >= at.from && len(found) < batches {
			found = append(found, r)
		}
	}
	return w.acquire(at.from, found, want)
}

func (w *world) acquire(from int64, found []Records, want Want) (got []Acquired) {
	w.do(func(fx *coordinator.Effects) { got = w.p.acquire(w.now, from, found, want, w.ended, fx) })
	return got
}

func (w *world) newTicket() coordinator.Ticket { w.ticket++; return w.ticket }

func (w *world) acknowledge(member string, batches ...Batch) coordinator.Ticket {
	t := w.newTicket()
	w.do(func(fx *coordinator.Effects) { w.p.acknowledge(w.now, t, member, batches, fx) })
	return t
}

func (w *world) release(member string) coordinator.Ticket {
	t := w.newTicket()
	w.do(func(fx *coordinator.Effects) { w.p.release(w.now, t, member, fx) })
	return t
}

// describe shows the machine, and what is stored where that differs.
func (w *world) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "start %d end %d", w.p.start, w.p.end)
	for _, s := range w.p.spans {
		fmt.Fprintf(&b, " | %d-%d %v", s.first, s.last, s.state)
		if s.count > 0 {
			fmt.Fprintf(&b, " x%d", s.count)
		}
		if s.state == state.Acquired && !s.changing {
			fmt.Fprintf(&b, " by %s until %v", s.member, s.until)
		}
		if s.changing {
			fmt.Fprintf(&b, " -> %v", s.becomes)
		}
	}
	return b.String()
}

func (w *world) describeStored() string {
	s, err := state.Decode(w.stored)
	if err != nil {
		return err.Error()
	}
	text := fmt.Sprintf("start %d", s.Start)
	for _, r := range s.Ranges {
		text += fmt.Sprintf(" | %d-%d %v x%d", r.First, r.Last, r.Delivery, r.Count)
	}
	return text
}
