package replica

import (
	"context"
	"slices"

	"chronik/kafka/kerr"
)

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

// AwaitDeleted returns when no replica in the ISR has anything below before: until then another leader could bring it back.
// REQUEST_TIMED_OUT when ctx ends earlier, NOT_LEADER_OR_FOLLOWER when this node leads no more.
func (p *Partition) AwaitDeleted(ctx context.Context, before int64) error {
	w := make(bell, 1)
	p.Await(w)
	defer p.Forget(w)
	p.tellNow() // they hear of it by their next answer
	for {
		switch all, leads := p.areDeleted(before); {
		case !leads:
			return kerr.NotLeaderOrFollower
		case all:
			return nil
		}
		select {
		case <-w:
		case <-ctx.Done():
			return kerr.RequestTimedOut
		}
	}
}

// areDeleted says whether nobody in the ISR has what is below before, as far as this node knows while it leads.
func (p *Partition) areDeleted(before int64) (all, leads bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.role.Load()
	return !slices.ContainsFunc(p.lead.others, func(f *follower) bool {
		return slices.Contains(r.isr, f.id) && f.start < before
	}), r.leads()
}

// bell is a Waiter with one that waits.
type bell chan struct{}

// Wake is Waiter's.
func (b bell) Wake() {
	select {
	case b <- struct{}{}:
	default: // it rings already
	}
}
