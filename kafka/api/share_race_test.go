package api

import (
	"sync"
	"testing"
	"time"

	"chronik/cluster/share"
	"chronik/metalog/image"
)

// A member asked where the log ends, and had to wait for its turn; meanwhile records came that another one acquired and
// accepted. What the first one knew was then taken for a log that has lost them: they were delivered again.
func TestWhoLooksAtTheLogLateDoesNotTakeBackWhatOthersAccepted(t *testing.T) {
	const records = 150
	n := start(t, map[string]string{"group.share.assignment.interval.ms": "0"})
	id := n.create("t", 1)
	n.joinShare("a", id)
	k := share.Key{Group: "s", Partition: image.TopicPartition{Topic: id}}
	read := func() *share.Reading {
		r, err := n.broker.Shares.Read(t.Context(), k, 1<<20, true, func(int) bool { return true })
		if err != nil {
			t.Error(err)
		}
		return r
	}
	n.produce("t", 0, time.Now().UnixMilli())
	read() // begins the group
	done := make(chan struct{})
	var lookers sync.WaitGroup
	for range 4 {
		lookers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					read()
				}
			}
		})
	}
	defer lookers.Wait()
	defer close(done)
	next := int64(0)
	for i := range int64(records) {
		r := read()
		if r == nil {
			return
		}
		_, got := r.Acquire(share.Want{Member: "a", Most: 1000, Batch: 1000})
		for _, g := range got {
			if g.First != next || g.Count != 1 {
				t.Fatalf("acquired %+v, want what begins at %d", g, next)
			}
			next = g.Last + 1
			waits := n.broker.Shares.Acknowledge(k, "a", []share.Batch{{First: g.First, Last: g.Last, Types: []int8{share.Accept}}})
			if i%50 == 0 {
				if err := waits.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		n.produce("t", 0, time.Now().UnixMilli())
	}
}
