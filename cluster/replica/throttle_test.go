package replica

import (
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"chronik/kafka/config"
	"chronik/metalog/image"
)

func TestBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucket{now: time.Now}
		if d := b.after(100); d != 0 {
			t.Error("a full one", d)
		}
		b.took(350, 100)
		if d := b.after(100); d < 2500*time.Millisecond || d > 2600*time.Millisecond {
			t.Error("overdrawn by 250 bytes", d)
		}
		pass(2 * time.Second)
		if d := b.after(100); d < 500*time.Millisecond || d > 600*time.Millisecond {
			t.Error("... two seconds later", d)
		}
		if d := b.after(math.MaxInt64); d != 0 {
			t.Error("without a rate", d)
		}
		if d := b.after(1000); d != 0 {
			t.Error("a new rate", d)
		}
		pass(time.Hour)
		b.took(1001, 1000)
		if d := b.after(1000); d == 0 {
			t.Error("more than a second's worth was saved")
		}
		if d := b.after(0); d != throttledLook {
			t.Error("a rate of nothing", d)
		}
	})
}

// all is a list that names every replica.
func all(t *testing.T) *config.Throttled {
	b, err := config.CompileBroker(nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	topic, err := b.CompileTopic(map[string]string{"leader.replication.throttled.replicas": "*"})
	if err != nil {
		t.Fatal(err)
	}
	return topic.LeadersThrottled
}

// A replica that is on its way copies at the quota's rate, of the leader or of its own; those that are in sync go on as fast
// as producers do.
func TestReplicationQuotasHoldOnlyWhoIsOutOfSync(t *testing.T) {
	const records, size = 40, 10_000
	for _, side := range []string{"leader", "follower", "neither"} {
		synctest.Test(t, func(t *testing.T) {
			drainProduces()
			defer drainProduces()
			c := newNodesOf(t, 3, 2, 2, func(c *nodes) { c.fetch = size })
			defer c.close()
			for range records {
				if _, err := c.node(1).produce(-1, strings.Repeat("v", size), time.Minute); err != nil {
					t.Fatal(err)
				}
			}
			c.mu.Lock()
			switch side {
			case "leader":
				c.rates.Leader, c.topic.LeadersThrottled = 2*size, all(t)
			case "follower":
				c.rates.Follower, c.topic.FollowersThrottled = 2*size, all(t)
			}
			c.mu.Unlock()
			p := *c.partition()
			p.Replicas, p.Adding = append(p.Replicas, 3), []image.BrokerID{3}
			c.must(image.PartitionChange{Topic: topicID, From: p.Epoch, Partition: p},
				image.ConfigRecord{Resource: image.Resource{Type: image.TopicResource, Name: "t"}, Name: "retention.ms", Value: new(string)})
			begun := time.Now()
			if _, err := c.node(1).produce(-1, "x", time.Second); err != nil {
				t.Errorf("%s: who is in sync was held back: %v", side, err)
			}
			if d := time.Since(begun); d > 100*time.Millisecond {
				t.Errorf("%s: an acknowledgement took %v", side, d)
			}
			c.await("the new one is in sync", func() bool { return len(c.partition().ISR) == 3 })
			took := time.Since(begun)
			if held := took > records/2*time.Second-3*time.Second; held != (side != "neither") {
				t.Errorf("%s: it took %v", side, took)
			}
		})
	}
}
