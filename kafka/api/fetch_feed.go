package api

import (
	"time"

	"chronik/cluster/replica"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// What a follower fetches changes seldom, and it may be thousands of partitions. So a follower's fetch session (fetch_session.go)
// stays with the partitions themselves for as long as it lives, and a fetch looks at those only that have changed.

// feed has the call answer what has changed in the session.
func (c *fetchCall) feed(s *fetchSession) {
	c.fed, c.follower.Feed = s, s.feed
	c.round = s.fetchedIn(c.follower.Epoch)
}

// fetchedIn returns the fetch's round. All are looked at again when the follower has registered anew: the partitions know it
// by its epoch.
func (f *fetchSession) fetchedIn(brokerEpoch int64) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.round++
	if brokerEpoch != f.brokerEpoch && !f.over {
		f.brokerEpoch = brokerEpoch
		for _, it := range f.items {
			it.fed.Change()
		}
	}
	return f.round
}

// isOf says whether the session is the follower's, or a consumer's when who is nil.
func (f *fetchSession) isOf(who *replica.Follower) bool {
	if who == nil {
		return f.feed == nil
	}
	return f.feed != nil && f.follower == who.ID
}

// dropOthers ends what a follower had before: it has one session with a leader, and forgets it when it starts anew. The caller
// holds s.mu.
func (s *sessions) dropOthers(follower image.BrokerID) {
	for _, f := range s.byID {
		if f.feed != nil && f.follower == follower {
			s.drop(f)
		}
	}
}

// takeChanged adds copies of what has changed in the session to those that the call has. When the session is over the
// follower has given the fetch up, and its next one waits behind it.
func (c *fetchCall) takeChanged() {
	f := c.fed
	f.mu.Lock()
	defer f.mu.Unlock()
	c.done = c.done || f.over
	for _, v := range f.feed.Changed() {
		it := v.Item.(*fetchItem)
		if it.fed == nil || it.round == c.round {
			continue
		}
		it.round = c.round
		is := *it
		is.own = it
		c.items = append(c.items, &is)
	}
}

const (
	// gatherUpTo is the bytes of an answer from which on nothing more is gathered for the next one. A small answer costs both
	// sides what they do for any: system calls, goroutines that wake each other, and a write to the follower's disk.
	gatherUpTo = 64 << 10
	// gatherMost is how long a follower waits at most for a write that was under way.
	gatherMost = 20 * time.Millisecond
)

// gather says whether the follower is to get what is durable together with what is on its way to the disk: where records come
// faster than they are replicated, answers are half as many, and so are the follower's writes. It waits for what had been appended
// when it was first found that there is something for it, a write or two, and for nothing that comes later. Each partition
// that it waits for tells the feed when it is durable. That the follower has fetched counts at once all the same.
func (c *fetchCall) gather() bool {
	if c.hurries || c.req.MaxWaitMillis <= 0 || c.req.MinBytes <= 0 || c.fed.large.Load() {
		return false
	}
	waits := false
	for _, it := range c.items {
		if it.at == nil || it.at.HoldsBack(c.follower.ID) {
			continue
		}
		durable, end := it.at.Ends()
		if it.until == 0 && durable > it.part.FetchOffset {
			it.until = end
		}
		waits = waits || durable < it.until
	}
	return waits
}

// watch has p, nil for none, tell what changes in it from now on.
func (f *fetchSession) watch(it *fetchItem, p *replica.Partition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if it.fed != nil && !f.over {
		it.at = p
		it.fed.Watch(p)
	}
}

// relist has those looked at again with the next fetch that it may have something new for, whoever got records last; the
// caller holds f.mu.
func (f *fetchSession) relist(all []answer) {
	for _, got := range []bool{false, true} {
		for i := range all {
			a := &all[i]
			if it := a.item.own; it.fed != nil && (len(a.Records) > 0) == got && !a.rests() {
				it.fed.Change()
			}
		}
	}
}

// rests says whether the follower has all, and knows all, that there is of the partition.
func (a *answer) rests() bool {
	return a.item.rests && len(a.Records) == 0 && a.Err == kerr.None && a.DivergingEpoch < 0
}

// leave ends what the partition tells of itself; the caller holds the session's mu.
func (it *fetchItem) leave() {
	if it.fed != nil {
		it.fed.Watch(nil)
		it.fed, it.at = nil, nil
	}
}

// end is called when the session is over: nothing is told any more.
func (f *fetchSession) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	for _, it := range f.items {
		it.leave()
	}
	if f.feed != nil {
		f.feed.Wake()
	}
}
