package metalog

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// deaf has a follower miss no heartbeat for an hour.
func (l *Log) deaf() error {
	l.timing.Lock()
	defer l.timing.Unlock()
	l.patience = 2 * time.Hour
	config := l.raft.ReloadableConfig()
	for _, timeout := range []time.Duration{2 * time.Hour, time.Hour} { // only a shorter one than before holds at once
		config.HeartbeatTimeout, config.ElectionTimeout = timeout, l.patience
		if err := l.raft.ReloadConfig(config); err != nil {
			return err
		}
	}
	return nil
}

// A leader whose process has gone is replaced at once: nobody waits until its heartbeats are missed.
func TestALeaderWhoseProcessHasGoneIsNotWaitedFor(t *testing.T) {
	c := founded(t, 3)
	leader := c.leader()
	c.same()
	for i, l := range c.logs {
		if i != leader {
			if err := l.deaf(); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.close(leader)
	for i, l := range c.logs {
		if l == nil {
			continue
		}
		if _, err := l.Propose(c.soon(), topic(fmt.Sprint("t", i))); err != nil {
			t.Fatal(err)
		}
	}
}

// A leader that lives is not deposed because connections of its end, and one that cannot be reached by a server that reaches
// nobody else either is not.
func TestALeaderIsNotDeposedForABrokenConnection(t *testing.T) {
	c := founded(t, 3)
	leader := c.leader()
	term := c.logs[leader].raft.CurrentTerm()
	follower := (leader + 1) % 3
	if err := c.logs[follower].deaf(); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		c.fabric.hangUp()
		if _, err := c.logs[leader].Propose(c.soon(), topic(fmt.Sprint("t", i))); err != nil {
			t.Fatal(err)
		}
	}
	c.fabric.isolate(c.ports[follower].addr, true)
	for i := range 20 {
		if _, err := c.logs[leader].Propose(c.soon(), topic(fmt.Sprint("u", i))); err != nil {
			t.Fatal(err)
		}
	}
	c.fabric.isolate(c.ports[follower].addr, false)
	if _, err := c.logs[leader].Propose(c.soon(), topic("together")); err != nil {
		t.Fatal(err)
	}
	c.same()
	for i, l := range c.logs {
		if now := l.raft.CurrentTerm(); now != term {
			t.Errorf("node %d is in term %d, not %d", i+1, now, term)
		}
	}
}

// Raft hands out its own list of the servers, and who looks for a leader that has gone leaves it as it is.
func TestLookingForAnHeirChangesNoServers(t *testing.T) {
	c := founded(t, 3)
	c.same()
	leader := c.logs[c.leader()]
	if err := leader.AddServer(c.soon(), Server{ID: "4@754e73e9-9732-4dcd-bf6e-847bf6ccd56e", Node: 4, Addr: "nowhere"}); err != nil {
		t.Fatal(err)
	}
	before, err := leader.Servers()
	if err != nil {
		t.Fatal(err)
	}
	leader.link.estate("")
	if after, err := leader.Servers(); err != nil || !slices.Equal(before, after) {
		t.Errorf("%v, and then %v, %v", before, after, err)
	}
}
