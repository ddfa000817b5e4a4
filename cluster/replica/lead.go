package replica

import (
	"fmt"
	"slices"
	"time"

	"chronik/kafka/batch"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
	"chronik/wal/mutant"
)

// leading is what a leader knows of its followers. The partition's mu guards it.
type leading struct {
	start  int64 // where the log ended when this leader epoch began
	others []*follower
	adding []image.BrokerID // asked into the ISR; they count as if they were there, for the metadata may have them already

	unsure  bool      // nobody knows whether a change that was asked for was made
	asking  bool      // a change of the ISR is on its way
	refused int32     // the partition epoch in which one was refused: it waits for a newer one
	later   time.Time // not before then
}

// follower is another replica, as its fetches show it.
type follower struct {
	id       image.BrokerID
	epoch    int64 // the broker's, -1 before it fetched
	start    int64 // where its log begins
	end      int64 // it has everything below, durably; -1 before it fetched in this leader epoch
	caughtUp time.Time
	fetched  time.Time // when it fetched last, and
	before   int64     // the log's end then
	steady   *Feed     // by which it says with each fetch that it has all that is durable here; nil: it has said so of no other
}

// begin starts a leader epoch. Members of the ISR are taken to be in sync until they prove not to be.
func (l *leading) begin(r *role, self image.BrokerID, end int64, now time.Time) {
	*l = leading{start: end, refused: -1}
	for _, id := range r.replicas {
		if id != self {
			l.others = append(l.others, newFollower(id, r, now))
		}
	}
}

func newFollower(id image.BrokerID, r *role, now time.Time) *follower {
	f := &follower{id: id, epoch: -1, end: -1}
	if slices.Contains(r.isr, id) {
		f.caughtUp = now
	}
	return f
}

// applied takes over a change of the partition in the same leader epoch.
func (l *leading) applied(was, r *role) {
	if was.version == r.version {
		return
	}
	l.adding, l.asking, l.unsure = nil, false, false
	for _, id := range r.replicas {
		if l.of(id) == nil && id != r.leader {
			l.others = append(l.others, newFollower(id, r, time.Time{}))
		}
	}
	l.others = slices.DeleteFunc(l.others, func(f *follower) bool { return !slices.Contains(r.replicas, f.id) })
}

func (l *leading) of(id image.BrokerID) *follower {
	for _, f := range l.others {
		if f.id == id {
			return f
		}
	}
	return nil
}

// joinWait is how long the high watermark waits for a follower that has caught up: else, where records come all the time, it
// would never have all that is committed, and never come into the ISR.
const joinWait = time.Second

// least is the end that all have who are in the ISR, or may be there already, or are about to be; the caller holds p.mu.
func (p *Partition) least(r *role) int64 {
	least := p.durable
	for _, f := range p.lead.others {
		if mutant.On(mutant.AckWithoutISR) {
			break
		}
		if slices.Contains(r.isr, f.id) || slices.Contains(p.lead.adding, f.id) || p.isJoining(f) {
			least = min(least, f.end)
		}
	}
	return least
}

// refresh takes over what its feed has said meanwhile.
func (f *follower) refresh() {
	if f.steady == nil {
		return
	}
	if asked := f.steady.lastAsked(); asked.After(f.fetched) {
		f.fetched, f.caughtUp = asked, asked
	}
}

// unsteady is called when it does not have everything any more, or is not known to.
func (f *follower) unsteady() {
	f.refresh()
	f.steady = nil
}

// isJoining says whether f is about to come into the ISR. Who was put out of it because it stops, or is gone, has caught up
// a moment ago too, and is not waited for.
func (p *Partition) isJoining(f *follower) bool {
	now := p.manager.options.Now()
	f.refresh()
	return f.end >= p.lead.start && now.Sub(f.fetched) < joinWait && now.Sub(f.caughtUp) < joinWait &&
		f.mayJoin(p.manager.newest.Load())
}

// mayJoin says whether the broker that fetched is registered and neither fenced nor about to stop (KIP-841, 966).
func (f *follower) mayJoin(img *image.Image) bool {
	b, ok := img.Broker(f.id)
	return ok && b.Epoch == f.epoch && b.Active()
}

// look moves the high watermark when time alone lets it move.
func (p *Partition) look() {
	p.mu.Lock()
	moved := p.advance()
	p.mu.Unlock()
	if moved {
		p.waiting.wake()
	}
}

// Follower is who fetches as a replica.
type Follower struct {
	ID    image.BrokerID
	Epoch int64 // of its registration
	Feed  *Feed // by which
}

// Place is where a follower's fetch goes on, in its leader's epoch: it has everything below Offset, durably; its last
// record is of LastEpoch, -1 for none. Its log begins at Start: records may have expired there and not here yet.
type Place struct {
	Offset      int64
	LastEpoch   int32
	LeaderEpoch int32
	Start       int64
}

// Divergence is where a follower's log must be cut: Epoch, the newest not above its last one that the leader has, ended
// at End.
type Divergence struct {
	Epoch int32
	End   int64
}

// Followed takes over that a follower fetches. Where its log went another way than this one, it is told, and it counts for
// nothing. OFFSET_OUT_OF_RANGE: there is nothing at its place here any more.
func (p *Partition) Followed(who Follower, at Place) (d Divergence, diverges bool, err error) {
	now := p.manager.options.Now()
	p.mu.Lock()
	r := p.role.Load()
	f := p.lead.of(who.ID)
	if f != nil {
		f.unsteady()
	}
	if err = fetchable(r, f, who, at); err == nil {
		d, diverges, err = p.compare(at)
	}
	if err != nil || diverges {
		p.mu.Unlock()
		return d, diverges, err
	}
	begins := f.start
	f.fetches(who.Epoch, at, p.durable, now)
	if at.Offset >= p.durable {
		f.steady = who.Feed
	}
	moved, joins := p.advance(), p.joins(r, f)
	p.mu.Unlock()
	if moved || at.Start != begins {
		p.waiting.wake()
	}
	if joins {
		p.manager.review(p)
	}
	return d, false, nil
}

func fetchable(r *role, f *follower, who Follower, at Place) error {
	switch {
	case !r.leads():
		return kerr.NotLeaderOrFollower
	case at.LeaderEpoch < r.epoch:
		return kerr.FencedLeaderEpoch
	case at.LeaderEpoch > r.epoch:
		return kerr.UnknownLeaderEpoch
	case f == nil:
		return kerr.Detail(kerr.UnknownLeaderEpoch, "broker %d is no replica, as far as the leader knows", who.ID)
	case who.Epoch < f.epoch:
		return kerr.Detail(kerr.StaleBrokerEpoch, "broker %d has fetched in epoch %d already", who.ID, f.epoch)
	}
	return nil
}

// compare holds a follower's log against this one, by the epoch of its last record and where it ends (KIP-101, 279, 595).
func (p *Partition) compare(at Place) (d Divergence, diverges bool, err error) {
	if at.LastEpoch >= 0 {
		d.Epoch, d.End = p.log.EpochEnd(at.LastEpoch)
		if d.Epoch < 0 {
			return d, false, kerr.OffsetOutOfRange
		}
		if d.Epoch != at.LastEpoch || d.End < at.Offset {
			return d, true, nil
		}
	}
	if o := p.log.Offsets(); at.Offset < o.LogStart || at.Offset > o.LogEnd {
		return d, false, kerr.OffsetOutOfRange
	}
	return d, false, nil
}

// fetches notes a fetch. A follower is caught up as of now when it has everything; and as of its last fetch when it has
// what there was then (Kafka's lastCaughtUpTimeMs).
func (f *follower) fetches(epoch int64, at Place, end int64, now time.Time) {
	if at.Offset >= end {
		f.caughtUp = now
	} else if at.Offset >= f.before && !f.fetched.IsZero() && f.fetched.After(f.caughtUp) {
		f.caughtUp = f.fetched
	}
	f.epoch, f.start, f.end, f.fetched, f.before = epoch, at.Start, at.Offset, now, end
}

// joins says whether f should be asked into the ISR; the caller holds p.mu. It has all that is committed, and nothing less
// than what there was when this leader began: what was committed before, the leader may not know yet (KIP-101).
func (p *Partition) joins(r *role, f *follower) bool {
	isIn := slices.Contains(r.isr, f.id) || slices.Contains(p.lead.adding, f.id)
	if isIn || !f.mayJoin(p.manager.newest.Load()) || f.end < max(p.hw, p.lead.start) || !p.keepsUp(f, p.manager.options.Now()) {
		return false
	}
	return p.mayAsk(r)
}

// mayAsk says whether a change of the ISR may be asked for now.
func (p *Partition) mayAsk(r *role) bool {
	return r.leads() && !p.lead.asking && p.lead.refused != r.version && !p.manager.options.Now().Before(p.lead.later)
}

// Ends are where the records end that are durable here, and where those do that were appended.
func (p *Partition) Ends() (durable, appended int64) {
	p.mu.Lock()
	durable = p.durable
	p.mu.Unlock()
	return durable, p.log.Offsets().LogEnd
}

// ReadAsFollower is Read for a follower: up to what is durable here.
func (p *Partition) ReadAsFollower(dst []batch.Extent, from int64, maxBytes int, minOne bool) ([]batch.Extent, error) {
	p.mu.Lock()
	durable := p.durable
	p.mu.Unlock()
	dst, err := p.log.Read(dst, from, durable, maxBytes, minOne)
	if err != nil {
		err = fmt.Errorf("read for a follower: %w", err)
	}
	return dst, err
}
