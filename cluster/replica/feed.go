package replica

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Feed is what one follower fetches here, over a fetch session or by one request. Its partitions tell it when there is
// something in them to look at. Of all others it is enough to know that the follower has fetched again: it has what it had,
// which is all. So a fetch costs something for each partition that has changed, and nothing for the thousands that are idle.
type Feed struct {
	now    func() time.Time
	opened time.Time
	asked  atomic.Int64 // when the follower fetched last, ns since opened

	mu      sync.Mutex // guards what follows; taken after a partition's
	changed []*Fed     // in the order in which they have
	waiter  Waiter     // nil when nobody waits
}

// Fed is one partition of a Feed. It is used by one goroutine at a time.
type Fed struct {
	Item any // what the caller knows it by

	feed   *Feed
	from   *Partition // that tells of itself; nil for none
	listed bool       // in feed.changed; feed.mu guards it
}

// NewFeed returns an empty one.
func (m *Manager) NewFeed() *Feed {
	now := m.options.Now
	return &Feed{now: now, opened: now()}
}

// Add returns a new partition of the feed, which counts as changed. Watch says which it is.
func (f *Feed) Add(item any) *Fed {
	v := &Fed{Item: item, feed: f}
	v.Change()
	return v
}

// Change has the partition looked at with the next fetch, whatever becomes of it until then.
func (v *Fed) Change() { v.change(false) }

// Watch has p tell what changes from now on, and whoever did before no more; nil: nobody. Look at p after it. Before the
// feed is given up all its partitions must be watched no more.
func (v *Fed) Watch(p *Partition) {
	if v.from == p {
		return
	}
	if v.from != nil {
		v.from.unfeed(v)
	}
	if v.from = p; p != nil {
		p.mu.Lock()
		p.feeds = append(p.feeds, v)
		p.mu.Unlock()
	}
}

// Changed takes what has changed since the last call, in that order. Look at the partitions after it.
func (f *Feed) Changed() []*Fed {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.changed
	f.changed = nil
	for _, v := range all {
		v.listed = false
	}
	return all
}

// Await has w woken by new records, and by the end of a leadership; nil: nobody. Take what has changed after it.
func (f *Feed) Await(w Waiter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiter = w
}

// Wake wakes who waits, though nothing has changed.
func (f *Feed) Wake() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waiter != nil {
		f.waiter.Wake()
	}
}

// Asked says that the follower has fetched. Call it when all that had changed was looked at.
func (f *Feed) Asked() { f.asked.Store(int64(f.now().Sub(f.opened))) }

func (f *Feed) lastAsked() time.Time { return f.opened.Add(time.Duration(f.asked.Load())) }

// change lists the partition; what is urgent wakes who waits too, listed or not.
func (v *Fed) change(urgent bool) {
	f := v.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if !v.listed {
		v.listed = true
		f.changed = append(f.changed, v)
	}
	if urgent && f.waiter != nil {
		f.waiter.Wake()
	}
}

// tell has the followers' fetches look at the partition, at once if it is urgent; the caller holds p.mu.
func (p *Partition) tell(urgent bool) {
	for _, v := range p.feeds {
		v.change(urgent)
	}
}

func (p *Partition) tellNow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tell(true)
}

// unfeed ends a Watch. What the follower fetches elsewhere says nothing of this partition any more.
func (p *Partition) unfeed(v *Fed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.feeds, v); i >= 0 {
		p.feeds = slices.Delete(p.feeds, i, i+1)
	}
	for _, f := range p.lead.others {
		if f.steady == v.feed {
			f.unsteady()
		}
	}
}
