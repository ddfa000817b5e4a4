package replica

import (
	"testing"
	"time"
)

// cutOffAndElected is node 2's partition: of the two records that were committed one was cut off, and the node leads without having
// heard of that. It is for two nodes.
func (c *nodes) cutOffAndElected() *Partition {
	c.t.Helper()
	for _, value := range []string{"a", "b"} {
		c.node(1).produce(-1, value, time.Minute)
	}
	p := c.node(2).part()
	c.await("committed", func() bool { return p.highWatermarkNow() == 2 })
	c.cut(1)
	pass(time.Second)
	if _, err := p.log.Truncate(1, 0); err != nil {
		c.t.Fatal(err)
	}
	c.elect(2, 2)
	return p
}

// A node is made leader between the truncation of its log, after an unclean election, and what it takes over of that: a high
// watermark beyond its end would have records acknowledged before its disk has them.
func TestALeadersHighWatermarkMustNotBeBeyondItsEnd(t *testing.T) {
	inCluster(t, 2, 1, func(t *testing.T, c *nodes) {
		p := c.cutOffAndElected()
		p.restate()
		if hw := p.highWatermarkNow(); hw != 1 {
			t.Errorf("%d, and the log ends at %d", hw, p.log.Offsets().LogEnd)
		}
	})
}

// Who commits tells a log's partition outside of the log's lock. When that comes as late as after a truncation and an election, the
// place is still in the log, but for a record that nobody has written yet.
func TestWhatWasCutOffMustNotAcknowledgeWhatComesInItsPlace(t *testing.T) {
	inCluster(t, 2, 1, func(t *testing.T, c *nodes) {
		p := c.cutOffAndElected()
		p.moved(2) // of what was cut off
		w := NewProduce(1, 1)
		w.Begin(0, p, nil, records("x"), nil, 9)
		if w.Ready() {
			t.Error("acknowledged, and not even written")
		}
		c.node(2).manager().Commit()
		w.Wait(t.Context(), time.Minute)
		if res := w.Results()[0]; res.Err != nil || res.Base != 1 {
			t.Error(res.Base, res.Err)
		}
		w.Done()
	})
}

// What a leader said of its high watermark long ago says nothing of what this node has appended since as a leader itself.
func TestADeposedLeaderMustNotGoByAnOldHighWatermark(t *testing.T) {
	inCluster(t, 2, 2, func(t *testing.T, c *nodes) {
		c.node(1).produce(-1, "a", time.Minute)
		p := c.node(2).part()
		c.await("committed", func() bool { return p.highWatermarkNow() == 1 })
		p.mu.Lock()
		p.follow.hw = 3 // it was behind when it fetched last
		p.mu.Unlock()
		c.cut(1)
		c.elect(2, 2)
		for _, value := range []string{"x", "y"} {
			c.node(2).produce(1, value, time.Minute)
		}
		c.elect(1, 1)
		p.moved(3) // its last record comes to the disk
		if hw := p.highWatermarkNow(); hw != 1 {
			t.Errorf("%d, which nobody else has", hw)
		}
	})
}

// A leader knows where its followers' logs begin, also where nothing is produced any more.
func TestALeaderMustNotMissThatRecordsExpireElsewhere(t *testing.T) {
	inCluster(t, 2, 1, func(t *testing.T, c *nodes) {
		for _, value := range []string{"a", "b"} {
			c.node(1).produce(-1, value, time.Minute)
		}
		pass(3 * time.Second)
		if err := c.node(2).part().log.SetLogStart(1); err != nil {
			t.Fatal(err)
		}
		leader := c.node(1).part()
		c.await("it knows", func() bool { return leader.InSyncExtents()[2] == Extent{1, 2} })
	})
}
