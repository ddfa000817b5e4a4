package replica

import (
	"context"
	"testing"
	"time"

	"chronik/kafka/kerr"
)

// Records are deleted when no replica in sync has them, and whoever falls out of sync is waited for no longer.
func TestDeletedIsWhatNobodyInSyncHas(t *testing.T) {
	inCluster(t, 3, 1, func(t *testing.T, c *nodes) {
		for _, value := range []string{"a", "b", "c"} {
			c.node(1).produce(-1, value, time.Minute)
		}
		p := c.node(1).part()
		remove := func(before int64, atMost time.Duration) kerr.Code {
			ctx, end := context.WithTimeout(t.Context(), atMost)
			defer end()
			low, err := p.DeleteRecords(before)
			if err == nil {
				err = p.AwaitDeleted(ctx, low)
			}
			return kerr.Of(err)
		}
		if code := remove(2, time.Minute); code != kerr.None {
			t.Fatal(code)
		}
		for _, m := range c.all {
			if start := m.part().log.Offsets().LogStart; start != 2 {
				t.Errorf("node %d begins at %d", m.id, start)
			}
		}
		c.cut(3)
		if code := remove(3, time.Second); code != kerr.RequestTimedOut {
			t.Error("one in sync has them still:", code)
		}
		if code := remove(3, time.Minute); code != kerr.None || len(c.partition().ISR) != 2 {
			t.Error("it is not in sync any more:", code, c.partition().ISR)
		}
		c.cut(2, 3)
		time.AfterFunc(time.Second, func() { c.elect(2, 2) })
		begun := time.Now()
		c.node(1).produce(1, "d", time.Minute)
		if err := p.AwaitDeleted(t.Context(), 4); kerr.Of(err) != kerr.NotLeaderOrFollower || time.Since(begun) > time.Minute {
			t.Error("another one leads:", err)
		}
	})
}
