package share

import (
	"errors"
	"time"

	"chronik/cluster/coordinator"
	"chronik/cluster/share/state"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// writeRetry is how long a write waits to be tried again whose outcome is not known.
const writeRetry = 200 * time.Millisecond

// writer is how a partition's state is agreed on. A write has the whole state; one is under way, and what is decided meanwhile
// goes with the next. One whose outcome is unknown is followed by another until one is known: writes of one tenure are
// applied in their order, so the last one says what all those before it did. Until then nobody is answered.
type writer struct {
	tenure  tenure
	next    int64 // number of the write that what is decided now will go with
	dirty   bool  // there is something for it
	writing bool
	waiting []waiting
	retryAt time.Duration

	begun  bool // where the group begins is agreed on
	fenced bool // somebody else decides: nothing that was decided here counts any more
	broken bool // what is stored cannot be read
}

// waiting is a caller whose answer waits for a write.
type waiting struct {
	write  int64
	ticket coordinator.Ticket
}

// outcome is the answer to who waits.
type outcome struct{ err error }

// answerWritten answers t when what was decided up to now is agreed on.
func (p *partition) answerWritten(now coordinator.Instant, t coordinator.Ticket, fx *coordinator.Effects) {
	if !p.dirty && !p.writing {
		fx.Answer(t, outcome{})
		return
	}
	write := p.next
	if !p.dirty {
		write-- // the one under way has it all
	}
	p.waiting = append(p.waiting, waiting{write, t})
	p.flush(now, fx)
}

// flush begins a write when there is something to write and none is under way.
func (p *partition) flush(now coordinator.Instant, fx *coordinator.Effects) {
	if !p.dirty || p.writing || p.fenced || p.retryAt != never {
		return
	}
	number := p.next
	p.next++
	p.dirty, p.writing = false, true
	record := image.ShareRecord{
		Group: p.key.Group, TopicPartition: p.key.Partition, StateEpoch: p.tenure.stateEpoch(),
		Leader: p.tenure.leader, LeaderEpoch: p.tenure.leaderEpoch(), Value: p.stored().Encode(),
	}
	fx.ProposeLow(func(now coordinator.Instant, err error, fx *coordinator.Effects) { p.written(now, number, err, fx) }, record)
}

func (p *partition) written(now coordinator.Instant, number int64, err error, fx *coordinator.Effects) {
	p.writing = false
	switch {
	case err == nil:
		p.settle(number, fx)
	case deposed(err):
		p.fence(fx)
		return
	default:
		p.dirty, p.retryAt = true, now.Up+writeRetry
	}
	p.flush(now, fx)
}

// settle makes what was agreed on true.
func (p *partition) settle(number int64, fx *coordinator.Effects) {
	free := !p.begun && p.start != state.NotBegun
	p.begun = p.begun || free
	for i := range p.spans {
		s := &p.spans[i]
		if !s.changing || s.write > number {
			continue
		}
		*s = span{first: s.first, last: s.last, state: s.becomes, count: s.count}
		free = true
	}
	p.tidy()
	p.answer(number, outcome{}, fx)
	if free {
		p.wake()
	}
}

func (p *partition) answer(number int64, body outcome, fx *coordinator.Effects) {
	kept := p.waiting[:0]
	for _, w := range p.waiting {
		if w.write <= number {
			fx.Answer(w.ticket, body)
		} else {
			kept = append(kept, w)
		}
	}
	p.waiting = kept
}

// fence ends the machine: who asks next gets one that begins with what the image has.
func (p *partition) fence(fx *coordinator.Effects) {
	p.fenced = true
	for _, w := range p.waiting {
		fx.Answer(w.ticket, outcome{kerr.NotLeaderOrFollower})
	}
	p.waiting = nil
	p.wake()
}

// deposed says that the image has refused a write since somebody else decides now.
func deposed(err error) bool {
	code, ok := errors.AsType[kerr.Code](err)
	if !ok {
		return false
	}
	switch code {
	case kerr.FencedLeaderEpoch, kerr.NotLeaderOrFollower, kerr.FencedStateEpoch, kerr.GroupIDNotFound,
		kerr.UnknownTopicID, kerr.UnknownTopicOrPartition:
		return true
	}
	return false
}
