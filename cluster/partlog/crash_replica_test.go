package partlog

import (
	"math"
	"testing"

	"chronik/wal/campaign"
)

// unclean has a replica lead that lacks what was stable. What is left knows its transactions.
func (o *ordeal) unclean(k *ledger, l *Log) {
	n, to, what := o.lostSegments(k, l)
	if o.r.IntN(2) == 0 {
		n, to, what = o.lostTail(k, l)
	}
	if n < 0 || k.beganBefore(n) {
		return
	}
	want := k.end(n)
	o.update(k, func() { k.cutting = n; k.stable = min(k.stable, want) })
	end, err := l.Truncate(to, math.MaxInt32)
	o.checked(err)
	if end != want {
		o.t.Fatalf("truncated at %d to %d, not %d", to, end, want)
	}
	o.update(k, func() { k.truncated(n); k.epoch++; k.stable = want; o.counts[what]++ })
	l.SetStable(want)
	o.checked(k.sameTransactions(l))
}

// beganBefore says whether a transaction that is open behind n batches began before the log start: no record that is left may tell.
func (k *ledger) beganBefore(n int) bool {
	_, open := (&ledger{batches: k.batches[:n]}).txnsOf()
	for _, first := range open {
		if first < k.start {
			return true
		}
	}
	return false
}

// lostSegments says to cut the log off in one of its segments; n is how many batches that leaves, -1 for no such place.
func (o *ordeal) lostSegments(k *ledger, l *Log) (n int, to int64, what string) {
	segments := segmentsOf(l)
	if len(segments) == 0 {
		return -1, 0, ""
	}
	s := segments[o.r.IntN(len(segments))]
	want := max(s.Base(), k.start)
	for n < len(k.batches) && k.end(n) < want {
		n++
	}
	if k.end(n) != want || s.End() <= want {
		return -1, 0, "" // the log starts within a batch
	}
	return n, want + o.r.Int64N(s.End()-want), "truncations of segments"
}

// lostTail says to cut it off behind them.
func (o *ordeal) lostTail(k *ledger, l *Log) (n int, to int64, what string) {
	for n < len(k.batches) && (k.end(n) < segmentEnd(l) || k.end(n) < k.start) {
		n++
	}
	if n == len(k.batches) {
		return -1, 0, ""
	}
	n += o.r.IntN(len(k.batches) - n)
	return n, k.end(n) + o.r.Int64N(k.end(n+1)-k.end(n)), "truncations of what was stable"
}

// reset has the log begin anew where its leader's begins.
func (o *ordeal) reset(k *ledger, l *Log) {
	o.update(k, func() { k.anew = k.end(len(k.batches)) + 1 + o.r.Int64N(50) })
	o.checked(l.Reset(k.anew, math.MaxInt32))
	o.update(k, func() { k.reset(); k.epoch++; o.counts["resets"]++ })
	l.SetStable(k.stable)
}

// elections has a follower's log cut off in its segments and begun anew, again and again; what comes behind is in segments by the
// next time, or is not, and a checkpoint knows of it, or does not.
func (o *ordeal) elections() {
	k := o.live[0]
	o.s = o.d.open()
	for range 4 {
		o.grow(k, 2)
		o.copied()
		o.grow(k, 1)
		o.unclean(k, o.d.log(o.s, k.stream))
		o.grow(k, 1)
		o.copied()
		if o.r.IntN(2) == 0 {
			o.unclean(k, o.d.log(o.s, k.stream))
		}
		if o.r.IntN(3) == 0 {
			o.reset(k, o.d.log(o.s, k.stream))
		}
		if o.r.IntN(3) == 0 {
			closeStore(o.t, o.s)
			o.s = o.d.open()
		}
	}
	closeStore(o.t, o.s)
	o.mem.Watch(nil)
}

// grow has the log get what is stable at once.
func (o *ordeal) grow(k *ledger, times int) {
	l := o.d.log(o.s, k.stream)
	for range times {
		o.follow(k, l)
	}
	o.update(k, func() { k.stable = k.end(k.acked) })
	l.SetStable(k.stable)
}

// copied has all of the log in segments.
func (o *ordeal) copied() {
	o.s.tending.Lock()
	defer o.s.tending.Unlock()
	o.checked(o.s.cutTo(everything))
	if o.r.IntN(2) == 0 {
		o.checked(o.s.checkpoint())
	}
}

// What an election has cut off must not come back beside what came in its place.
func TestFaultsNoPowerCutBringsBackWhatWasCutOffInSegments(t *testing.T) {
	plan := campaign.Plan{Name: "truncated segments, logs begun anew: power cuts", Unit: "states", Glance: 500, Share: 5000, Soak: 30_000, Workers: 2}
	campaign.Run(t, plan, func(t *testing.T, seed uint64) campaign.Counts {
		o := newOrdeal(t, 2*seed+1) // with replicas
		o.elections()
		if o.broke != nil {
			t.Fatal(o.broke)
		}
		return o.counts
	})
}
