package share

import (
	"time"

	"chronik/cluster/coordinator"
	"chronik/cluster/share/state"
	"chronik/kafka/config"
	"chronik/kafka/kerr"
)

// What a member says of a record. The numbers are the protocol's.
const (
	Gap     = 0 // it is not there
	Accept  = 1
	Release = 2
	Reject  = 3
	Renew   = 4 // KIP-1222: keep it locked
)

// Batch is what a member says of the records First to Last: one type for all of them, or one for each.
type Batch struct {
	First, Last int64
	Types       []int8
}

// CheckBatches refuses, with INVALID_REQUEST, what no partition could make sense of. renews says that the request may renew.
func CheckBatches(batches []Batch, renews bool) error {
	most := int8(Reject)
	if renews {
		most = Renew
	}
	before := int64(-1)
	for _, b := range batches {
		n := len(b.Types)
		switch {
		case b.First > b.Last || b.First < 0 || b.First <= before:
			return kerr.Detail(kerr.InvalidRequest, "the batches of offsets must be in order and not overlap: %d to %d", b.First, b.Last)
		case n == 0 || n > 1 && int64(n) != b.Last-b.First+1:
			return kerr.Detail(kerr.InvalidRequest, "%d types for the offsets %d to %d: one for all or one for each are right", n, b.First, b.Last)
		}
		for _, t := range b.Types {
			if t < Gap || t > most {
				return kerr.Detail(kerr.InvalidRequest, "acknowledge type %d", t)
			}
		}
		before = b.Last
	}
	return nil
}

// acknowledge takes over what the member says of records that it has acquired: all or nothing. t is answered when it is agreed
// on. What lies before the group's start is passed over, as it is done with.
func (p *partition) acknowledge(now coordinator.Instant, t coordinator.Ticket, member string, batches []Batch, fx *coordinator.Effects) {
	err := p.refusal()
	for i := 0; i < len(batches) && err == nil; i++ {
		err = p.check(member, batches[i])
	}
	if err != nil {
		fx.Answer(t, outcome{err})
		return
	}
	changed := false
	for _, b := range batches {
		changed = p.apply(now, b) || changed
	}
	p.tidy()
	if !changed {
		fx.Answer(t, outcome{})
		return
	}
	p.dirty = true
	p.answerWritten(now, t, fx)
}

// check says whether member has acquired all of the batch's records.
func (p *partition) check(member string, b Batch) error {
	if b.Last < p.start {
		return nil
	}
	if b.Last >= p.end && len(p.spans) > 0 {
		return kerr.Detail(kerr.InvalidRequest, "offset %d was not acquired by anybody", b.Last)
	}
	if b.Last >= p.end {
		return kerr.InvalidRecordState
	}
	for i := p.at(max(b.First, p.start)); i < len(p.spans) && p.spans[i].first <= b.Last; i++ {
		if !p.spans[i].held(member) {
			return kerr.InvalidRecordState
		}
	}
	for _, t := range b.Types {
		if t == Renew && !p.config().RenewAcknowledge {
			return kerr.Detail(kerr.InvalidRecordState, "group %q does not renew locks", p.key.Group)
		}
	}
	return nil
}

// apply does what the batch says, a run of one type at a time.
func (p *partition) apply(now coordinator.Instant, b Batch) (changed bool) {
	if len(b.Types) == 1 {
		return p.applyRun(now, b.First, b.Last, b.Types[0])
	}
	for i := 0; i < len(b.Types); {
		end := i + 1
		for end < len(b.Types) && b.Types[end] == b.Types[i] {
			end++
		}
		changed = p.applyRun(now, b.First+int64(i), b.First+int64(end)-1, b.Types[i]) || changed
		i = end
	}
	return changed
}

func (p *partition) applyRun(now coordinator.Instant, first, last int64, kind int8) (changed bool) {
	first = max(first, p.start)
	if first > last {
		return false
	}
	p.change(first, last, func(s *span) {
		if kind == Renew {
			s.until = now.Up + lockDuration(p.config())
			return
		}
		s.changing, s.write, s.until, s.member = true, p.next, 0, ""
		switch kind {
		case Accept:
			s.becomes = state.Acknowledged
		case Release:
			s.becomes = p.released(s)
		default:
			s.becomes = state.Archived
		}
	})
	return kind != Renew
}

// release gives back what the member has: its session is over. t is answered when that is agreed on.
func (p *partition) release(now coordinator.Instant, t coordinator.Ticket, member string, fx *coordinator.Effects) {
	if err := p.refusal(); err != nil {
		fx.Answer(t, outcome{err})
		return
	}
	held := false
	for i := range p.spans {
		if s := &p.spans[i]; s.held(member) {
			s.changing, s.becomes, s.write, s.until, s.member = true, p.released(s), p.next, 0, ""
			held = true
		}
	}
	if !held {
		fx.Answer(t, outcome{})
		return
	}
	p.tidy()
	p.dirty = true
	p.answerWritten(now, t, fx)
}

func lockDuration(c config.ShareGroup) time.Duration {
	return time.Duration(c.RecordLockDurationMs) * time.Millisecond
}
