package replica

import (
	"testing"
	"time"

	"chronik/cluster/partlog"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// A deposed leader's answer that comes late cuts nothing off: what it does not have may be committed by its successor, of
// whom the follower's log knows no record yet.
func TestADeposedLeadersLateAnswerCutsNothingOff(t *testing.T) {
	inCluster(t, 3, 2, func(t *testing.T, c *nodes) {
		for _, value := range []string{"a", "b"} {
			if _, err := c.node(1).produce(-1, value, time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		c.cut(1)
		c.elect(2, 2, 3)
		c.await("the successor is followed", func() bool { return c.node(3).part().role.Load().leader == 2 })
		deposed := c.partition().LeaderEpoch - 1
		p := c.node(3).part()
		if err := p.diverge(0, 1, deposed); kerr.Of(err) != kerr.FencedLeaderEpoch {
			t.Error(err)
		}
		if err := p.log.Reset(0, deposed); kerr.Of(err) != kerr.FencedLeaderEpoch {
			t.Error(err)
		}
		if end := p.log.Offsets().LogEnd; end != 2 {
			t.Errorf("the log ends at %d", end)
		}
		c.part(nil)
	})
}

// A consumer of a follower waits for the high watermark, which comes after the records.
func TestAConsumerOfAFollowerIsWokenByTheHighWatermark(t *testing.T) {
	inCluster(t, 2, 2, func(t *testing.T, c *nodes) {
		p, w := c.node(2).part(), make(waker, 64)
		p.Await(w)
		defer p.Forget(w)
		if _, err := c.node(1).produce(-1, "a", time.Minute); err != nil {
			t.Fatal(err)
		}
		c.await("the high watermark", func() bool { return p.highWatermarkNow() == 1 })
		if len(w) == 0 {
			t.Error("it sleeps on")
		}
	})
}

// A producer whose record was cut off while this node did not lead is not told that it is there when it leads again.
func TestARecordThatWasCutOffIsNotAcknowledgedByALaterLeadership(t *testing.T) {
	inCluster(t, 3, 2, func(t *testing.T, c *nodes) {
		c.cut(1)
		p, w := c.node(1).part(), NewProduce(-1, 1)
		epoch := p.role.Load().epoch
		done, err := p.log.AppendAsLeader(partlog.Append{Data: records("lost"), Version: 9, LeaderEpoch: epoch})
		if err != nil {
			t.Fatal(err)
		}
		c.node(1).manager().Commit()
		c.elect(2, 2, 3)
		if _, err := c.node(2).produce(-1, "other", time.Minute); err != nil {
			t.Fatal(err)
		}
		c.part(nil)
		c.whole()
		c.elect(1, 1, 2, 3)
		c.await("the high watermark is known", p.HighWatermarkKnown)
		p.wait(pending{end: done.End, request: w, index: 0}, -1, epoch)
		w.Wait(t.Context(), time.Second)
		if err := w.Results()[0].Err; kerr.Of(err) != kerr.NotLeaderOrFollower {
			t.Error(err)
		}
	})
}

func TestWhoHasAbdicatedDoesNotServeAgain(t *testing.T) {
	inCluster(t, 2, 1, func(t *testing.T, c *nodes) {
		m := c.node(1).manager()
		m.Serve(time.Now().Add(time.Hour))
		<-time.After(time.Second)
		m.Abdicate()
		m.Serve(time.Now().Add(time.Hour))
		if m.Serving() {
			t.Error("it serves")
		}
	})
}

// Who is put out of the ISR because it stops, or is gone, has caught up a moment before, and the high watermark does not wait
// for it to come back.
func TestTheHighWatermarkDoesNotWaitForABrokerThatHasGone(t *testing.T) {
	for name, goes := range map[string]func(image.BrokerID, int64) image.Record{
		"stopped": func(id image.BrokerID, epoch int64) image.Record {
			return image.ControlledShutdownRecord{ID: id, Epoch: epoch}
		},
		"fenced": func(id image.BrokerID, epoch int64) image.Record {
			return image.FenceRecord{ID: id, Epoch: epoch, Fenced: true}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inCluster(t, 3, 2, func(t *testing.T, c *nodes) {
				if _, err := c.node(1).produce(-1, "a", time.Minute); err != nil {
					t.Fatal(err)
				}
				b, _ := c.image().Broker(3)
				p := *c.partition()
				p.ISR = []image.BrokerID{1, 2}
				c.must(goes(3, b.Epoch), image.PartitionChange{Topic: topicID, From: p.Epoch, Partition: p})
				pass(joinWait / 4) // it still fetches
				c.cut(3)
				begin := time.Now()
				if _, err := c.node(1).produce(-1, "b", time.Minute); err != nil {
					t.Fatal(err)
				}
				if d := time.Since(begin); d >= joinWait/2 {
					t.Error("acknowledged after", d)
				}
			})
		})
	}
}
