package replica

import (
	"testing"
	"time"
)

// A partition that is left while the one who gives partitions up is between two of them is not given up by a second one as
// well: it may have come back by the time that the slower one removes it.
func TestAPartitionIsNotGivenUpTwiceAtOnce(t *testing.T) {
	inCluster(t, 3, 2, func(t *testing.T, c *nodes) {
		if _, err := c.node(1).produce(-1, "a", time.Minute); err != nil {
			t.Fatal(err)
		}
		who := c.node(3)
		c.await("a record", func() bool { return who.store.Holds(1) })
		c.cut(3) // else it is there again at once
		m, in := who.manager(), c.partition()
		m.mu.Lock()
		m.givingUp = true // and is about to look what is next
		p := m.topics[topicID][0]
		m.topics[topicID] = []*Partition{nil}
		m.leave(topicID, in, p)
		m.mu.Unlock()
		pass(time.Second)
		if !who.store.Holds(1) {
			t.Fatal("somebody else gave it up")
		}
		m.giveUp()
		m.mu.RLock()
		defer m.mu.RUnlock()
		if who.store.Holds(1) || m.givingUp || len(m.left)+len(m.leaving) > 0 {
			t.Error(who.store.Holds(1), m.givingUp, m.left, m.leaving)
		}
	})
}
