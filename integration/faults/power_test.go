package faults

import (
	"testing"

	"chronik/wal/campaign"
)

// The power of a disk with a write cache, under the broker, is cut at random moments, under load and while it starts;
// then what was acknowledged must be there, and nothing else.
func TestFaultsPowerCutsExt4(t *testing.T) { powerCuts(t, "ext4") }

// The same with the other file system that brokers run on.
func TestFaultsPowerCutsXFS(t *testing.T) { powerCuts(t, "xfs") }

func powerCuts(t *testing.T, kind string) {
	newDisk := newCuttables(t, kind)
	plan := campaign.Plan{Name: "power cuts, " + kind, Unit: "cuts", Glance: 1, Share: 30, Soak: 500}
	campaign.Run(t, plan, func(t *testing.T, seed uint64) campaign.Counts {
		d := newDisk(t)
		l := newOrdeal(t, seed, d.root)
		l.crash = func() {
			d.cut(l.dice, l.network.cut)
			l.end()
			l.network.restore()
			d.restore()
		}
		cuts := 5 + l.dice.IntN(11)
		l.live(cuts)
		l.counts[plan.Unit] = int64(cuts)
		return l.counts
	})
}
