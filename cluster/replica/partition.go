package replica

import (
	"sync"
	"sync/atomic"

	"chronik/cluster/partlog"
	"chronik/kafka/batch"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
	"chronik/wal"
	"chronik/wal/mutant"
)

// Partition is one partition as its leader sees it.
type Partition struct {
	store  *partlog.Store
	log    *partlog.Log
	stream wal.StreamID
	role   atomic.Pointer[role]

	mu       sync.Mutex // guards what follows; taken before the log's, never while a Waiter is woken
	durable  int64      // of this node
	hw       int64
	byLocal  pendings // acks=1
	byAll    pendings // acks=all
	resigned error    // why nobody may wait any more

	waiting waiters
}

// role is what the metadata says of this node's part.
type role struct {
	refuses error // nil for the leader
	epoch   int32
	isr     int
	minISR  int
}

// Marks are a partition's offsets for readers; LastStable never exceeds HighWatermark.
type Marks struct {
	LogStart, LastStable, HighWatermark, LogEnd int64
	LeaderEpoch                                 int32
}

func newPartition(s *partlog.Store, l *partlog.Log, stream wal.StreamID) *Partition {
	p := &Partition{store: s, log: l, stream: stream}
	p.role.Store(&role{refuses: kerr.NotLeaderOrFollower})
	l.OnDurable(p.moved)
	p.moved(l.Offsets().Durable)
	return p
}

// apply takes over what the metadata says.
func (p *Partition) apply(in *image.Partition, self image.BrokerID) {
	r := &role{epoch: in.LeaderEpoch, isr: len(in.ISR), minISR: int(p.log.Config().MinInsyncReplicas)}
	if in.Leader != self {
		r.refuses = kerr.NotLeaderOrFollower
	}
	was := p.role.Swap(r)
	if r.refuses == nil {
		if was.refuses != nil || was.epoch != r.epoch {
			p.log.Lead(r.epoch)
		}
		p.mu.Lock()
		p.resigned = nil
		p.mu.Unlock()
		return
	}
	if was.refuses == nil {
		p.resign(kerr.NotLeaderOrFollower)
	}
}

// resign ends the leadership: whoever waits is told.
func (p *Partition) resign(why kerr.Code) {
	r := *p.role.Load()
	r.refuses = why
	p.role.Store(&r)
	p.mu.Lock()
	p.resigned = why
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
}

// moved is told by the log that it is durable up to durable.
func (p *Partition) moved(durable int64) {
	p.mu.Lock()
	p.durable = max(p.durable, durable)
	hw := p.hw
	p.hw = max(hw, p.highWatermark())
	p.log.SetStable(p.hw)
	p.byLocal.settle(p.durable)
	p.byAll.settle(p.hw)
	moved := p.hw > hw
	p.mu.Unlock()
	if moved {
		p.waiting.wake()
	}
}

// highWatermark is the smallest durable end of the members of the ISR. Today this node is its only member.
func (p *Partition) highWatermark() int64 { return p.durable }

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

func (p *Partition) highWatermarkNow() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hw
}

// Read is partlog's, up to HighWatermark, or LastStable with committed.
func (p *Partition) Read(dst []batch.Extent, from int64, maxBytes int, minOne, committed bool) ([]batch.Extent, error) {
	limit := p.highWatermarkNow()
	if committed {
		limit = min(limit, p.log.Offsets().LastStable)
	}
	return p.log.Read(dst, from, limit, maxBytes, minOne)
}

// DeleteRecords raises the log start to before (-1: the high watermark) and returns the new log start when it is durable.
// A topic that is only compacted refuses: POLICY_VIOLATION. Beyond the high watermark it is OFFSET_OUT_OF_RANGE.
func (p *Partition) DeleteRecords(before int64) (int64, error) {
	hw := p.highWatermarkNow()
	if before == -1 {
		before = hw
	}
	if before < 0 || before > hw {
		return -1, kerr.OffsetOutOfRange
	}
	if c := p.log.Config(); c.CompactPolicy && !c.DeletePolicy {
		return -1, kerr.Detail(kerr.PolicyViolation, "records of a topic that is only compacted cannot be deleted")
	}
	if err := p.log.SetLogStart(before); err != nil {
		return -1, err
	}
	return p.log.Offsets().LogStart, nil
}
