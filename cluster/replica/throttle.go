package replica

import (
	"math"
	"slices"
	"sync"
	"time"

	"chronik/metalog/image"
)

// A replication quota (KIP-73) holds what replicas copy that are out of sync, such as those that are being moved, to a rate:
// one that this node sends as a leader, one that it fetches as a follower. Which replicas it holds for topics say. Whoever
// is in sync is never held back, since producers wait for it.

// Rates are those of the quotas, in bytes per second; math.MaxInt64 is none.
type Rates struct{ Leader, Follower int64 }

// bucket holds one second's worth of a rate. What has been sent counts when it was, so it may be overdrawn; nothing more
// is sent until that is made good.
type bucket struct {
	now func() time.Time

	mu    sync.Mutex // guards what follows
	level float64    // bytes
	asOf  time.Time
	rate  int64 // as of then
}

// after is when the next byte may be sent; 0: now.
func (b *bucket) after(rate int64) time.Duration {
	if rate == math.MaxInt64 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(rate)
	switch {
	case b.level > 0:
		return 0
	case rate == 0:
		return throttledLook
	}
	return max(time.Millisecond, time.Duration((1-b.level)/float64(rate)*float64(time.Second)))
}

// throttledLook is how often a rate of nothing is looked at.
const throttledLook = time.Second

// took notes that so many bytes were sent.
func (b *bucket) took(n int, rate int64) {
	if rate == math.MaxInt64 || n == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(rate)
	b.level -= float64(n)
}

// fill adds what has come since; the caller holds mu. What was overdrawn by a rate that is not the rate any more is
// forgiven.
func (b *bucket) fill(rate int64) {
	now := b.now()
	if b.asOf.IsZero() || rate != b.rate {
		b.level = float64(rate)
	} else {
		b.level += now.Sub(b.asOf).Seconds() * float64(rate)
	}
	b.level, b.asOf, b.rate = min(b.level, float64(rate)), now, rate
}

// HoldsBack says whether a follower must wait before it is sent anything of the partition.
func (p *Partition) HoldsBack(follower image.BrokerID) bool {
	m := p.manager
	rate := m.options.Rates().Leader
	return rate != math.MaxInt64 && !slices.Contains(p.role.Load().isr, follower) && p.leaderThrottled() && m.sends.after(rate) > 0
}

// Sent notes what followers were sent of the partition.
func (p *Partition) Sent(bytes int) {
	if rate := p.manager.options.Rates().Leader; rate != math.MaxInt64 && p.leaderThrottled() {
		p.manager.sends.took(bytes, rate)
	}
}

func (p *Partition) leaderThrottled() bool {
	return p.log.Config().LeadersThrottled.Has(p.number, int32(p.manager.options.Self))
}

func (p *Partition) followerThrottled() bool {
	return p.log.Config().FollowersThrottled.Has(p.number, int32(p.manager.options.Self))
}

// heldBack is how long this node's replica must wait before it may fetch; 0: it may.
func (p *Partition) heldBack() time.Duration {
	m := p.manager
	rate := m.options.Rates().Follower
	if rate == math.MaxInt64 || slices.Contains(p.role.Load().isr, m.options.Self) || !p.followerThrottled() {
		return 0
	}
	return m.fetches.after(rate)
}

// fetched notes what was fetched of the partition.
func (p *Partition) fetched(bytes int) {
	if rate := p.manager.options.Rates().Follower; rate != math.MaxInt64 && p.followerThrottled() {
		p.manager.fetches.took(bytes, rate)
	}
}
