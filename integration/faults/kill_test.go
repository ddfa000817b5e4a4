package faults

import (
	"slices"
	"testing"
	"time"

	"chronik/integration/broker"
	"chronik/wal/campaign"
)

// The broker is killed with kill -9 at random moments, under load and while it starts. Unlike a power cut this leaves
// what the system has in its page cache: it proves the recovery, and that nothing is acknowledged before it is written.
func TestFaultsKills(t *testing.T) {
	plan := campaign.Plan{Name: "kill -9", Unit: "kills", Glance: 1, Share: 30, Soak: 440}
	campaign.Run(t, plan, func(t *testing.T, seed uint64) campaign.Counts {
		l := newOrdeal(t, seed, broker.DataDir(t))
		kills := 5 + l.dice.IntN(11)
		l.live(kills)
		l.counts[plan.Unit] = int64(kills)
		return l.counts
	})
}

// A recovery that is killed at any moment, again and again, must come to the same end as one that was left alone.
func TestFaultsKillsInRecovery(t *testing.T) {
	plan := campaign.Plan{Name: "kill -9 in recovery", Unit: "kills", Glance: 1, Share: 10, Soak: 100}
	campaign.Run(t, plan, func(t *testing.T, seed uint64) campaign.Counts {
		l := newOrdeal(t, seed, broker.DataDir(t))
		l.heavy = true
		l.broker.Flags = slices.Concat(l.broker.Flags, []string{"--wal-size", "1GiB"}) // nothing is cut: all must be recovered
		l.start()
		l.furnish(lastingKinds)
		l.load(time.Second, 2*time.Second)
		l.start() // to know how long it takes
		l.end()
		kills := 4 + l.dice.IntN(7)
		for range kills {
			l.dieRecovering()
		}
		l.start()
		l.verify()
		l.end()
		l.broker.VerifyDump()
		l.counts[plan.Unit] = int64(kills)
		return l.counts
	})
}

// dieRecovering kills the broker at some moment of its recovery. How long that takes is not known, and differs on a busy
// machine: a kill that comes too late has the next one come sooner.
func (l *ordeal) dieRecovering() {
	l.t.Helper()
	const tries = 20
	within := l.startTime
	for range tries {
		l.broker.Begin()
		l.awaitRecovery()
		before := l.counts[inRecovery]
		l.dieBetween(0, within)
		if l.counts[inRecovery] > before {
			return
		}
		within = max(within*2/3, time.Millisecond)
	}
	l.t.Fatalf("of %d kills none came in the recovery, which takes a part of %s", tries, l.startTime)
}
