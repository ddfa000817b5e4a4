package replica

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"chronik/metalog/image"
	"chronik/wal/vfs"
)

// fedNode is a node that leads one partition, which broker 2 follows by a feed.
type fedNode struct {
	*node
	p    *Partition
	feed *Feed
	fed  *Fed
	wake waker
}

// follows runs the script in its own time, with nothing known of the follower yet.
func follows(t *testing.T, script func(*testing.T, *fedNode)) {
	synctest.Test(t, func(t *testing.T) {
		drainProduces()
		defer drainProduces()
		n := &fedNode{node: newNode(t, vfs.NewMem()), wake: make(waker, 64)}
		n.change(image.BrokerRecord{ID: self}, image.BrokerRecord{ID: 2}, image.TopicRecord{ID: topicID, Name: "t"},
			image.PartitionRecord{Topic: topicID, Partition: part(0, self, 0, self, 2)})
		n.p, n.feed = n.leader(0), n.NewFeed()
		n.fed = n.feed.Add(nil)
		n.fed.Watch(n.p)
		n.feed.Await(n.wake)
		script(t, n)
		n.fed.Watch(nil)
		if len(n.p.feeds) > 0 {
			t.Error("the partition still tells who does not listen")
		}
	})
}

// poll is a fetch of the follower from offset, if anything has changed.
func (n *fedNode) poll(offset int64) (looked bool) {
	n.t.Helper()
	if looked = len(n.feed.Changed()) > 0; looked {
		if _, diverges, err := n.p.Followed(Follower{ID: 2, Epoch: 1, Feed: n.feed}, Place{Offset: offset, LastEpoch: -1}); err != nil || diverges {
			n.t.Fatal(diverges, err)
		}
	}
	n.feed.Asked()
	return looked
}

func (n *fedNode) append(value string) {
	n.t.Helper()
	w := NewProduce(1, 1)
	w.Begin(0, n.p, nil, records(value), nil, 9)
	n.Commit()
	w.Wait(n.t.Context(), time.Minute)
	if err := w.Results()[0].Err; err != nil {
		n.t.Fatal(err)
	}
	w.Done()
}

func (n *fedNode) keepsUp() bool {
	n.p.mu.Lock()
	defer n.p.mu.Unlock()
	return n.p.keepsUp(n.p.lead.of(2), time.Now())
}

// settle has all said once, and says how often it took.
func (n *fedNode) settle(offset int64) {
	n.t.Helper()
	for range 3 {
		if !n.poll(offset) {
			n.wake.drain()
			return
		}
	}
	n.t.Fatal("something changes with every fetch")
}

func (w waker) drain() {
	for len(w) > 0 {
		<-w
	}
}

func TestAFollowerIsInSyncAsLongAsItFetchesThoughNothingIsSaidOfThePartition(t *testing.T) {
	follows(t, func(t *testing.T, n *fedNode) {
		n.append("a")
		n.settle(1)
		for range 10 {
			pass(10 * time.Second)
			if n.poll(1) {
				t.Fatal("an idle fetch looks at the partition")
			}
			if !n.keepsUp() {
				t.Fatal("it has fetched just now")
			}
		}
		pass(31 * time.Second)
		if n.keepsUp() {
			t.Error("it has not fetched for half a minute")
		}
	})
}

func TestAFollowerThatIsBehindIsNotInSyncBecauseItFetchesElsewhere(t *testing.T) {
	for name, behind := range map[string]func(*fedNode){
		"new records": func(n *fedNode) { n.append("b") },
		"forgotten":   func(n *fedNode) { n.fed.Watch(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			follows(t, func(t *testing.T, n *fedNode) {
				n.append("a")
				n.settle(1)
				pass(20 * time.Second)
				n.poll(1)
				behind(n)
				for range 3 {
					if !n.keepsUp() {
						t.Fatal("less than half a minute has passed")
					}
					pass(10 * time.Second)
					n.feed.Asked()
				}
				pass(time.Second)
				if n.keepsUp() {
					t.Error("it has fetched nothing for half a minute")
				}
			})
		})
	}
}

func TestAFeedHearsOfWhateverChangesForAFollower(t *testing.T) {
	change := func(edit func(*image.Partition)) func(*fedNode) {
		return func(n *fedNode) {
			topic, _ := n.img.Topic(topicID)
			p := *topic.Partitions[0]
			edit(&p)
			n.change(image.PartitionChange{Topic: topicID, From: p.Epoch, Partition: p})
		}
	}
	for _, c := range []struct {
		what string
		do   func(*fedNode)
		wake bool
	}{
		{"records", func(n *fedNode) { n.append("b") }, true},
		{"the high watermark", func(n *fedNode) {
			if _, _, err := n.p.Followed(Follower{ID: 2, Epoch: 1}, Place{Offset: 1, LastEpoch: 0}); err != nil {
				n.t.Fatal(err)
			}
		}, false},
		{"the log start", func(n *fedNode) {
			if err := n.p.log.SetLogStart(1); err != nil {
				n.t.Fatal(err)
			}
		}, false},
		{"another leader epoch", change(func(p *image.Partition) { p.LeaderEpoch++ }), false},
		{"another leader", change(func(p *image.Partition) { p.LeaderEpoch, p.Leader = p.LeaderEpoch+1, 2 }), true},
		{"another ISR", change(func(p *image.Partition) { p.ISR = []image.BrokerID{self} }), false},
		{"damage", func(n *fedNode) { n.Withdraw(topicID, 0) }, true},
		{"the topic is deleted", func(n *fedNode) { n.change(image.RemoveTopicRecord{ID: topicID}) }, true},
		{"the lease is over", func(n *fedNode) {
			n.Serve(time.Now().Add(time.Second))
			pass(2 * time.Second)
		}, true},
		{"the manager ends", func(n *fedNode) { n.Close() }, true},
	} {
		t.Run(c.what, func(t *testing.T) {
			follows(t, func(t *testing.T, n *fedNode) {
				n.append("a")
				n.settle(0)
				c.do(n)
				if woken := len(n.wake) > 0; woken != c.wake {
					t.Errorf("woken: %v", woken)
				}
				if changed := n.feed.Changed(); !slices.Contains(changed, n.fed) {
					t.Error("it is not looked at")
				}
			})
		})
	}
}

// Records that come between a look at the partition and the wait for more wake who waits.
func TestAnAppendBetweenTwoFetchesIsNotMissed(t *testing.T) {
	const records = 500
	n := newNode(t, vfs.NewMem())
	n.change(image.BrokerRecord{ID: self}, image.BrokerRecord{ID: 2}, image.TopicRecord{ID: topicID, Name: "t"},
		image.PartitionRecord{Topic: topicID, Partition: part(0, self, 0, self, 2)})
	f := &fedNode{node: n, p: n.leader(0), feed: n.NewFeed(), wake: make(waker, 1)}
	f.fed = f.feed.Add(nil)
	f.fed.Watch(f.p)
	go func() {
		for range records {
			f.append("a")
		}
	}()
	for seen := int64(0); seen < records; {
		f.feed.Await(f.wake)
		if len(f.feed.Changed()) == 0 {
			select {
			case <-f.wake:
			case <-time.After(time.Minute):
				t.Fatalf("asleep at %d, the log ends at %d", seen, f.p.log.Offsets().Durable)
			}
			continue
		}
		seen = f.p.log.Offsets().Durable
		f.feed.Await(nil)
		if _, _, err := f.p.Followed(Follower{ID: 2, Epoch: 1, Feed: f.feed}, Place{Offset: seen, LastEpoch: 0}); err != nil {
			t.Fatal(err)
		}
	}
}
