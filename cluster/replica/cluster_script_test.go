package replica

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"chronik/cluster/partlog"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
	"chronik/wal/vfs"
)

// inCluster runs a script in a cluster with its own time.
func inCluster(t *testing.T, n int, minISR int32, script func(*testing.T, *nodes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		drainProduces()
		defer drainProduces()
		c := newNodes(t, n, minISR)
		defer c.close()
		script(t, c)
	})
}

// drainProduces forgets requests of other bubbles, whose channels cannot be used here.
func drainProduces() {
	produces = sync.Pool{New: func() any { return &Produce{done: make(chan struct{}, 1)} }}
}

func (c *nodes) cut(ids ...image.BrokerID) {
	c.part(func(from, to image.BrokerID) bool { return slices.Contains(ids, from) || slices.Contains(ids, to) })
}

func TestAcknowledgedIsEverywhere(t *testing.T) {
	inCluster(t, 3, 2, func(t *testing.T, c *nodes) {
		for i := range 10 {
			if base, err := c.node(1).produce(-1, fmt.Sprint("v", i), time.Minute); err != nil || base != int64(i) {
				t.Fatal(base, err)
			}
			for _, m := range c.all {
				if got := m.part().log.Offsets().Durable; got < int64(i+1) {
					t.Fatalf("node %d has %d", m.id, got)
				}
			}
		}
		if got := c.whole(); len(got) != 10 {
			t.Fatal(got)
		}
	})
}

// KIP-101, scenario 1 and 2: a follower that has what the high watermark does not tell of must keep it when it leads, and a
// former leader must give up what nobody else has, whatever the marks were.
func TestALeaderThatWasCutOffGivesUpItsOwn(t *testing.T) {
	inCluster(t, 3, 2, func(t *testing.T, c *nodes) {
		c.node(1).produce(-1, "a", time.Minute)
		c.cut(1)
		pass(time.Second) // fetches that wait end
		c.node(1).lagBehind(true)
		if _, err := c.node(1).produce(-1, "lost", time.Second); kerr.Of(err) != kerr.RequestTimedOut {
			t.Fatal("acknowledged alone", err)
		}
		c.elect(2, 2, 3)
		if base, err := c.node(2).produce(-1, "b", time.Minute); base != 1 || err != nil {
			t.Fatal(base, err)
		}
		if _, err := c.node(1).produce(-1, "lost too", time.Second); kerr.Of(err) != kerr.RequestTimedOut {
			t.Fatal("acknowledged by a leader of the past", err)
		}
		c.part(nil)
		c.node(1).lagBehind(false)
		if got := c.whole(); !slices.Equal(got, []string{"0/0:a", "1/1:b"}) {
			t.Fatal(got)
		}
	})
}

// KIP-101, scenario 2: both crash, the one with less leads, and the other one's end is not below its own.
func TestTwoCrashAndOffsetsMeetAgain(t *testing.T) {
	inCluster(t, 2, 1, func(t *testing.T, c *nodes) {
		c.node(1).produce(-1, "a", time.Minute)
		c.cut(2)
		pass(time.Second)
		c.node(1).produce(1, "x", time.Minute)
		c.node(1).produce(1, "y", time.Minute)
		c.node(1).crash(vfs.Oldest)
		c.elect(2, 2) // unclean, as far as x and y go, but they were not committed
		c.part(nil)
		c.node(2).produce(1, "b", time.Minute)
		c.node(1).start()
		if got := c.whole(); !slices.Equal(got, []string{"0/0:a", "1/1:b"}) {
			t.Fatal(got)
		}
	})
}

func TestASlowFollowerLeavesTheISRAndComesBack(t *testing.T) {
	inCluster(t, 3, 2, func(t *testing.T, c *nodes) {
		c.node(1).produce(-1, "a", time.Minute)
		c.cut(3)
		begin := time.Now()
		if _, err := c.node(1).produce(-1, "b", time.Minute); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begin); d < c.lag-time.Second || d > 2*c.lag {
			t.Fatal("acknowledged after", d)
		}
		if isr := c.partition().ISR; !slices.Equal(isr, []image.BrokerID{1, 2}) {
			t.Fatal(isr)
		}
		c.cut(2, 3)
		if _, err := c.node(1).produce(-1, "c", time.Minute); kerr.Of(err) != kerr.RequestTimedOut {
			t.Fatal(err)
		}
		c.await("alone, as it knows", func() bool { return len(c.node(1).part().role.Load().isr) == 1 })
		if _, err := c.node(1).produce(-1, "d", time.Minute); kerr.Of(err) != kerr.NotEnoughReplicas {
			t.Fatal(err)
		}
		if hw := c.node(1).part().highWatermarkNow(); hw != 2 {
			t.Fatal("committed alone", hw)
		}
		alone := c.partition().Epoch
		<-time.After(5 * c.lag)
		if epoch := c.partition().Epoch; epoch != alone {
			t.Fatalf("the ISR of one changed %d times while nobody else was there", epoch-alone)
		}
		c.cut(3)
		c.await("two", func() bool { return len(c.partition().ISR) == 2 })
		c.await("committed", func() bool { return c.node(1).part().highWatermarkNow() == 3 })
		c.part(nil)
		if got := c.whole(); len(got) != 3 {
			t.Fatal(got)
		}
	})
}

// A leader that the controller does not hear leads nothing any more.
func TestLeaseEnds(t *testing.T) {
	inCluster(t, 3, 2, func(t *testing.T, c *nodes) {
		m := c.node(1).manager()
		m.Serve(time.Now().Add(time.Second))
		if _, err := c.node(1).produce(-1, "a", time.Minute); err != nil {
			t.Fatal(err)
		}
		c.cut(2, 3)
		begin := time.Now()
		if _, err := c.node(1).produce(-1, "b", time.Minute); kerr.Of(err) != kerr.NotLeaderOrFollower || time.Since(begin) > time.Second {
			t.Fatal(err, time.Since(begin))
		}
		if _, err := c.node(1).produce(1, "c", time.Minute); kerr.Of(err) != kerr.NotLeaderOrFollower {
			t.Fatal(err)
		}
		c.part(nil)
		m.Serve(time.Now().Add(time.Hour))
		c.await("led again", func() bool { return c.node(1).part().highWatermarkNow() == 2 })
	})
}

// leaveBehind has node 3 miss five of six records that node 1 takes, of which those before start are deleted then.
func (c *nodes) leaveBehind(start int64) {
	c.t.Helper()
	c.node(1).produce(-1, "a", time.Minute)
	c.cut(3)
	for i := range 5 {
		c.node(1).produce(1, fmt.Sprint(i), time.Minute)
	}
	c.await("committed without it", func() bool { return len(c.partition().ISR) == 2 && c.node(1).part().highWatermarkNow() == 6 })
	if got, err := c.node(1).part().DeleteRecords(start); got != start || err != nil {
		c.t.Fatal(got, err)
	}
}

// A follower whose place the leader's log has left behind begins anew there.
func TestAFollowerBeginsAnew(t *testing.T) {
	inCluster(t, 3, 1, func(t *testing.T, c *nodes) {
		c.leaveBehind(4)
		c.part(nil)
		for _, n := range []image.BrokerID{2, 3} {
			c.await("the log start everywhere", func() bool { return c.node(n).part().log.Offsets().LogStart == 4 })
		}
		if got := c.whole(); len(got) != 2 {
			t.Fatal(got)
		}
	})
}

// A new leader does not say what is committed before it knows.
func TestHighWatermarkOfANewLeader(t *testing.T) {
	inCluster(t, 3, 2, func(t *testing.T, c *nodes) {
		c.node(1).produce(-1, "a", time.Minute)
		c.cut(1, 2, 3)
		pass(time.Second)
		c.elect(2, 2, 3)
		p := c.node(2).part()
		if hw := p.highWatermarkNow(); hw == 0 && p.HighWatermarkKnown() {
			t.Fatal("it cannot know")
		}
		c.cut(1)
		c.await("known", p.HighWatermarkKnown)
		if hw := p.highWatermarkNow(); hw != 1 {
			t.Fatal(hw)
		}
	})
}

// Machines that were stopped together, with what runs on them, go on where they were: nobody was slow meanwhile.
func TestALeaderThatStoodStillDoesNotTakeItsFollowersForSlow(t *testing.T) {
	inCluster(t, 3, 1, func(t *testing.T, c *nodes) {
		c.node(1).produce(-1, "a", time.Minute)
		c.cut(2, 3)
		pass(1530 * time.Millisecond) // no fetch waits any more
		c.stood.Add(int64(time.Minute))
		pass(2 * time.Second)
		if isr := c.partition().ISR; len(isr) != 3 {
			t.Errorf("in sync are %v", isr)
		}
		pass(2 * c.lag)
		if isr := c.partition().ISR; !slices.Equal(isr, []image.BrokerID{1}) {
			t.Errorf("in sync with those that have gone: %v", isr)
		}
		c.part(nil)
		c.whole()
	})
}

// While nobody knows whether a follower is in the ISR, it is asked for again and again, and remembered once.
func TestAskingForAFollowerAgainIsRememberedOnce(t *testing.T) {
	inCluster(t, 3, 2, func(t *testing.T, c *nodes) {
		c.cut(3)
		c.await("it is out", func() bool { return len(c.partition().ISR) == 2 })
		c.part(func(_, to image.BrokerID) bool { return to == 0 }) // the metadata log is not reached
		pass(10 * time.Second)
		p := c.node(1).part()
		p.mu.Lock()
		adding := slices.Clone(p.lead.adding)
		p.mu.Unlock()
		if !slices.Equal(adding, []image.BrokerID{3}) {
			t.Errorf("asked for: %v", adding)
		}
		c.part(nil)
		c.whole()
	})
}

// What a follower has taken and its disk has not does not count, even when the next fetch could ask for more already.
func TestAFollowerCountsWhenItsDiskHasIt(t *testing.T) {
	inCluster(t, 2, 2, func(t *testing.T, c *nodes) {
		hangs, end := make(chan struct{}, 1), make(chan struct{})
		c.node(2).mem.Watch(func(vfs.Op) {
			select {
			case hangs <- struct{}{}:
			default:
			}
			<-end
		})
		other, err := c.node(2).store.Log(partlog.ID{Stream: 9, Topic: uuid.UUID{8}}, c.config(nil, ""))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.AppendAsLeader(partlog.Append{Data: records("x"), Version: 9}); err != nil {
			t.Fatal(err)
		}
		var writer sync.WaitGroup
		writer.Go(c.node(2).store.Commit) // whoever comes next need not wait for the disk
		<-hangs
		if _, err := c.node(1).produce(-1, "a", time.Second); kerr.Of(err) != kerr.RequestTimedOut {
			t.Error("acknowledged", err)
		}
		close(end)
		writer.Wait()
		c.node(2).mem.Watch(nil)
		if got := c.whole(); len(got) != 1 {
			t.Fatal(got)
		}
	})
}
