package replica

import (
	"slices"
	"sync"
	"sync/atomic"

	"chronik/cluster/partlog"
	"chronik/kafka/batch"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
	"chronik/wal"
	"chronik/wal/mutant"
)

// Partition is this node's replica of one partition.
type Partition struct {
	manager *Manager
	store   *partlog.Store
	log     *partlog.Log
	topic   image.TopicID
	number  int32
	stream  wal.StreamID
	role    atomic.Pointer[role] // written under mu

	withdrawn atomic.Bool // see Manager.Withdraw; written under mu

	restsUntil atomic.Int64 // no change of the ISR is due before, unless the metadata changes; ns since the lease's zero

	mu       sync.Mutex // guards what follows; taken before the log's and a Feed's, never while a Waiter is woken
	durable  int64      // of this node
	hw       int64
	byLocal  pendings // acks=1
	byAll    pendings // acks=all
	resigned error    // why nobody may wait any more
	lead     leading
	follow   following
	feeds    []*Fed // of followers, in no order

	waiting waiters // for the high watermark
}

// role is what the metadata says of this node's part.
type role struct {
	refuses  error // nil for the leader
	leader   image.BrokerID
	epoch    int32
	version  int32 // the partition epoch
	isr      []image.BrokerID
	replicas []image.BrokerID
	factor   int // image.Partition.Factor
	minISR   int
	eligible bool // replicas beside the ISR may lead: an ELR
}

// leads says whether the role is the leader's.
func (r *role) leads() bool { return r.refuses == nil }

// enough says whether the ISR suffices for anything to be committed: no more replicas are asked for than there are. Whom the
// metadata calls eligible lacks what would be, whatever min.insync.replicas is as far as this node knows: that it was raised
// may be learnt a moment after the ISR that it makes too small.
func (r *role) enough() bool { return len(r.isr) >= min(r.minISR, r.factor) && !r.eligible }

// Marks are a partition's offsets for readers; LastStable never exceeds HighWatermark.
type Marks struct {
	LogStart, LastStable, HighWatermark, LogEnd int64
	LeaderEpoch                                 int32
}

func newPartition(m *Manager, l *partlog.Log, topic image.TopicID, number int32, stream wal.StreamID) *Partition {
	p := &Partition{manager: m, store: m.options.Store, log: l, topic: topic, number: number, stream: stream}
	p.role.Store(&role{refuses: kerr.NotLeaderOrFollower, leader: image.NoBroker, epoch: -1, version: -1})
	o := l.Offsets()
	p.durable, p.hw = o.Durable, max(o.LogStart, min(l.Stable(), o.Durable))
	l.OnDurable(p.moved)
	l.OnStart(p.started)
	p.moved(l.Offsets().Durable)
	return p
}

// apply takes over what the metadata says.
func (p *Partition) apply(in *image.Partition, self image.BrokerID) {
	r := &role{
		leader: in.Leader, epoch: in.LeaderEpoch, version: in.Epoch,
		isr: in.ISR, replicas: in.Replicas, factor: in.Factor(), minISR: int(p.log.Config().MinInsyncReplicas),
		eligible: len(in.ELR) > 0,
	}
	if in.Leader != self {
		r.refuses = kerr.NotLeaderOrFollower
	}
	p.mu.Lock()
	was := p.role.Load()
	anew := r.leads() && (!was.leads() || was.epoch != r.epoch)
	if anew {
		p.log.Lead(r.epoch)
		p.resigned = nil
		p.durable = p.log.Offsets().Durable
		p.hw = min(p.hw, p.durable) // what truncate has cut off, restate may not have told yet
		p.lead.begin(r, self, p.log.Offsets().LogEnd, p.manager.options.Now())
	}
	if !r.leads() {
		p.log.Follow(r.epoch)
		if was.leads() {
			p.follow.hw = p.hw // what it was told before says nothing of what it has appended since
		}
	}
	p.role.Store(r)
	p.restsUntil.Store(0)
	p.tell(false)
	if r.leads() {
		p.lead.applied(was, r)
		moved := p.advance()
		p.mu.Unlock()
		if moved || anew || was.version != r.version {
			p.waiting.wake()
		}
		return
	}
	p.mu.Unlock()
	if was.leads() {
		p.dismissForGood(kerr.NotLeaderOrFollower)
	}
	if was.epoch != r.epoch {
		p.waiting.wake() // who reads from a follower
	}
}

// resign ends the leadership: whoever waits is told.
func (p *Partition) resign(why kerr.Code) {
	p.mu.Lock()
	r := *p.role.Load()
	r.refuses, r.leader = why, image.NoBroker
	p.role.Store(&r)
	p.mu.Unlock()
	p.dismissForGood(why)
}

func (p *Partition) dismissForGood(why kerr.Code) {
	p.mu.Lock()
	p.resigned = why
	p.mu.Unlock()
	p.dismiss(why)
}

// dismiss tells whoever waits.
func (p *Partition) dismiss(why kerr.Code) {
	p.mu.Lock()
	failed := append(p.byLocal.all(), p.byAll.all()...)
	p.mu.Unlock()
	for _, w := range failed {
		if mutant.On(mutant.AckLostLeadership) {
			w.request.settle(w.index, nil)
			continue
		}
		w.request.settle(w.index, why)
	}
	p.waiting.wake()
	p.tellNow()
}

// moved is told by the log that it is durable up to durable. It may be told so late that the log was cut off since and this
// node leads: others' records would be acknowledged before they are written.
func (p *Partition) moved(durable int64) {
	p.mu.Lock()
	p.durable = max(p.durable, min(durable, p.log.Durable()))
	for _, f := range p.lead.others {
		f.unsteady()
	}
	p.tell(true)
	p.byLocal.settle(p.durable)
	moved, fetcher := p.advance(), p.follow.fetcher
	p.mu.Unlock()
	if moved {
		p.waiting.wake()
	}
	if fetcher != nil {
		fetcher.nudge()
	}
}

// started is told by the log that it begins elsewhere: the followers, or the leader, are told with the next fetch.
func (p *Partition) started() {
	p.mu.Lock()
	p.tell(false)
	fetcher := p.follow.fetcher
	p.mu.Unlock()
	if fetcher != nil {
		fetcher.begins(p)
	}
}

// advance moves the high watermark as far as it may go, and says whether it did; the caller holds p.mu. It never goes back
// but by a truncation.
func (p *Partition) advance() bool {
	hw := p.highWatermark(p.role.Load())
	if hw <= p.hw {
		return false
	}
	p.hw = hw
	p.log.SetStable(hw)
	p.byAll.settle(hw)
	p.tell(false) // new records bring it along, where some come at once
	return true
}

// highWatermark is what the high watermark may be.
func (p *Partition) highWatermark(r *role) int64 {
	switch {
	case !r.leads():
		return min(p.follow.hw, p.durable)
	case !r.enough():
		return p.hw
	}
	least := p.least(r)
	if least > p.hw && !p.manager.lease.holds() {
		return p.hw // a node that has just started may have metadata that its log is newer than
	}
	return least
}

// Log is the partition's log.
func (p *Partition) Log() *partlog.Log { return p.log }

// Marks returns the marks, read together.
func (p *Partition) Marks() Marks {
	hw := p.highWatermarkNow()
	o := p.log.Offsets()
	return Marks{
		LogStart:      o.LogStart,
		LastStable:    min(o.LastStable, hw),
		HighWatermark: hw,
		LogEnd:        o.LogEnd,
		LeaderEpoch:   p.role.Load().epoch,
	}
}

// HighWatermarkKnown says whether the leader knows what was committed before it came: until then it must not say where the
// log ends (KIP-207).
func (p *Partition) HighWatermarkKnown() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hw >= p.lead.start
}

func (p *Partition) highWatermarkNow() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hw
}

// InSync says whether the broker is in the ISR.
func (p *Partition) InSync(id image.BrokerID) bool { return slices.Contains(p.role.Load().isr, id) }

// Extent is the offsets that a replica has, from Start to before End.
type Extent struct{ Start, End int64 }

// InSyncExtents is what the followers in the ISR have, by what they fetched last, while this node leads.
func (p *Partition) InSyncExtents() map[image.BrokerID]Extent {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, have := p.role.Load(), map[image.BrokerID]Extent{}
	for _, f := range p.lead.others {
		if r.leads() && slices.Contains(r.isr, f.id) {
			have[f.id] = Extent{f.start, f.end}
		}
	}
	return have
}

// Leads says whether this node leads the partition.
func (p *Partition) Leads() bool { return p.role.Load().leads() }

// Read is partlog's, up to HighWatermark, or LastStable with committed.
func (p *Partition) Read(dst []batch.Extent, from int64, maxBytes int, minOne, committed bool) ([]batch.Extent, error) {
	limit := p.highWatermarkNow()
	if committed {
		limit = min(limit, p.log.Offsets().LastStable)
	}
	return p.log.Read(dst, from, limit, maxBytes, minOne)
}
