package replica

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
	"chronik/wal/arena"
	"chronik/wal/mutant"
)

// following is what a follower knows of its leader. The partition's mu guards it.
type following struct {
	fetcher *fetcher // who fetches the partition, nil for none
	epoch   int32    // the leader's
	hw      int64    // the leader's high watermark, which may be beyond what is here
}

// position is where a follower's fetch goes on: all below offset is durable here.
type position struct {
	offset int64
	epoch  int32 // of the last record, -1 for none
	start  int64
}

// position returns false while records are on their way to the disk, or another leader epoch has begun.
func (p *Partition) position(leaderEpoch int32) (position, bool) {
	r := p.role.Load()
	if r.leads() || r.epoch != leaderEpoch || p.withdrawn.Load() {
		return position{}, false
	}
	o := p.log.Offsets()
	if o.Durable != o.LogEnd && !mutant.On(mutant.FollowBeforeSync) {
		return position{}, false
	}
	return position{offset: o.LogEnd, epoch: p.log.LatestEpoch(), start: o.LogStart}, true
}

// take appends what the leader of that epoch sent for the place at, and says whether it was anything. The leader's high
// watermark is good for what was compared with its log only: all below that place.
func (p *Partition) take(in *kmsg.FetchResponseTopicPartition, buf *arena.Buf, at position, leaderEpoch int32) (bool, error) {
	moved := false
	defer func() {
		if moved {
			p.waiting.wake() // who reads here waits for no records, but for the high watermark
		}
	}()
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.role.Load(); r.leads() || r.epoch != leaderEpoch || p.withdrawn.Load() {
		return false, kerr.FencedLeaderEpoch
	}
	before := p.log.Offsets().LogEnd
	if before != at.offset {
		return false, fmt.Errorf("the log ends at %d, the answer is for %d: %w", before, at.offset, kerr.OffsetOutOfRange)
	}
	p.follow.hw = in.HighWatermark
	if len(in.RecordBatches) == 0 {
		moved = p.advance()
		return false, nil
	}
	end, err := p.log.AppendAsFollower(in.RecordBatches, buf, leaderEpoch)
	return end > before, err
}

// diverge cuts off what the leader does not have: its epoch ended at end there. Where this log has that epoch it may have
// ended earlier here; then the next fetch asks about the one before it.
func (p *Partition) diverge(epoch int32, end int64, leaderEpoch int32) error {
	to := end
	if _, own := p.log.EpochEnd(epoch); own >= 0 {
		to = min(to, own)
	}
	if to < p.log.Offsets().LogStart {
		return p.manager.abandon(p, leaderEpoch)
	}
	return p.truncate(to, leaderEpoch)
}

func (p *Partition) truncate(to int64, leaderEpoch int32) error {
	if mutant.On(mutant.SkipTruncation) {
		return fmt.Errorf("the log was not truncated to %d: %w", to, kerr.OffsetOutOfRange)
	}
	before, last, hw := p.log.Offsets(), p.log.LatestEpoch(), p.highWatermarkNow()
	end, err := p.log.Truncate(to, leaderEpoch)
	if err != nil {
		return err
	}
	if end == before.LogEnd && p.log.LatestEpoch() == last {
		return fmt.Errorf("the leader's log has ended at %d, where this one does: %w", to, kerr.OffsetOutOfRange)
	}
	p.restate()
	if end < before.LogEnd { // else it was an epoch that has no records
		p.manager.options.Logger.Info("records were cut off that the leader does not have", "topic", p.topic, "partition", p.number,
			"end", end, "was", before.LogEnd, "highWatermark", hw, "leaderEpoch", leaderEpoch)
	}
	return nil
}

// restate takes over a log that ends elsewhere. Its high watermark may have been beyond, but only after an unclean election.
func (p *Partition) restate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.durable = p.log.Offsets().Durable
	if p.role.Load().leads() {
		return // it is one since, and begins with what it has
	}
	p.follow.hw = min(p.follow.hw, p.durable)
	if p.hw > p.durable {
		p.hw = p.durable
		p.log.SetStable(p.hw)
	}
}

// reset begins anew where the leader's log begins.
func (p *Partition) reset(start int64, leaderEpoch int32) error {
	if err := p.log.Reset(start, leaderEpoch); err != nil {
		return err
	}
	p.mu.Lock()
	p.durable = p.log.Offsets().Durable
	p.hw = max(p.hw, start)
	p.log.SetStable(p.hw)
	p.mu.Unlock()
	p.manager.options.Logger.Info("the leader's log starts beyond the end of this one, which begins anew there",
		"topic", p.topic, "partition", p.number, "start", start, "leaderEpoch", leaderEpoch)
	return nil
}

// followLeader has the partition fetched from its leader, or not any more; the caller holds m.mu.
func (m *Manager) followLeader(p *Partition) {
	r := p.role.Load()
	var f *fetcher
	if !r.leads() && !p.withdrawn.Load() && r.leader != image.NoBroker && r.leader != m.options.Self && m.options.Link != nil && !m.closed {
		f = m.fetcher(r.leader)
	}
	p.mu.Lock()
	was, before := p.follow.fetcher, p.follow.epoch
	p.follow.fetcher, p.follow.epoch = f, r.epoch
	p.mu.Unlock()
	if was != nil && was != f {
		was.forget(p)
	}
	if f != nil && (f != was || r.epoch != before) {
		f.follow(p, r.epoch)
	}
}

// unfollow ends it; the caller holds m.mu.
func (m *Manager) unfollow(p *Partition) {
	p.mu.Lock()
	f := p.follow.fetcher
	p.follow.fetcher = nil
	p.mu.Unlock()
	if f != nil {
		f.forget(p)
	}
}

func (m *Manager) fetcher(leader image.BrokerID) *fetcher {
	f := m.fetchers[leader]
	if f == nil {
		f = newFetcher(m, leader)
		m.fetchers[leader] = f
		m.tasks.Go(f.run)
	}
	return f
}
