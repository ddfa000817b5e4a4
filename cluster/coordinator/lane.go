package coordinator

import (
	"context"
	"errors"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
	"chronik/wal/mutant"
)

const (
	maxBatch  = 1024    // proposals that share a call of the log
	maxQueued = 1 << 16 // proposals of a lane that wait; what comes beyond is refused
)

// lane is one of a shard's queues to the log. Its goroutine exists while there is something in it.
type lane struct {
	low     bool
	queued  []queuedProposal
	running bool
}

// queuedProposal is a proposal with how its machine is told; done is called under the shard's lock.
type queuedProposal struct {
	records []image.Record
	done    func(err error)
}

// propose queues p for the machine of e.
func (s *shard[M]) propose(e *entry[M], p Proposal) {
	e.inFlight++
	done := func(err error) {
		var fx Effects
		now := s.runtime.instant()
		e.inFlight--
		if s.entries[e.key] != e {
			return // it was evicted
		}
		if p.Then != nil {
			p.Then(now, err, &fx)
		}
		s.settle(e, &fx)
		s.arm(now)
	}
	l := &s.high
	if p.Low {
		l = &s.low
	}
	if len(l.queued) >= maxQueued {
		done(kerr.CoordinatorNotAvailable)
		return
	}
	l.queued = append(l.queued, queuedProposal{p.Records, done})
	if !l.running {
		l.running = true
		s.runtime.work.Go(func() { s.drain(l) })
	}
}

// drain proposes what is queued, a batch at a time, until nothing is.
func (s *shard[M]) drain(l *lane) {
	for {
		s.mu.Lock()
		batch := l.queued[:min(len(l.queued), maxBatch)]
		l.queued = l.queued[len(batch):]
		if len(batch) == 0 || s.closed {
			l.running, l.queued = false, nil
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		s.runtime.commit(l.low, batch, s.tellAll)
	}
}

// tellAll tells the machines of a batch its outcome.
func (s *shard[M]) tellAll(batch []queuedProposal, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	for _, p := range batch {
		p.done(err)
	}
}

// commit proposes a batch as one. When the image refuses it, nothing of it has happened, and each half is tried by
// itself: one that is wrong must not take the others down, and many that are too large together must not end as one
// entry of the log for each.
func (r *Runtime[M]) commit(low bool, batch []queuedProposal, tell func([]queuedProposal, error)) {
	var recs []image.Record
	for _, p := range batch {
		recs = append(recs, p.records...)
	}
	err := r.submit(low, recs)
	if refused(err) && len(batch) > 1 {
		half := len(batch) / 2
		r.commit(low, batch[:half], tell)
		r.commit(low, batch[half:], tell)
		return
	}
	if err != nil && r.ctx.Err() == nil && kerr.Of(err) != kerr.NotCoordinator { // that one moves with the key
		r.logger.Warn("coordinator: records were not agreed on", "records", len(recs), "error", err)
	}
	tell(batch, err)
}

func (r *Runtime[M]) submit(low bool, recs []image.Record) error {
	ctx, cancel := context.WithTimeout(r.ctx, r.timeout)
	defer cancel()
	propose := r.log.Propose
	if low {
		propose = r.log.ProposeLow
	}
	_, err := propose(ctx, recs...)
	if mutant.On(mutant.AckRefusedRecords) {
		return nil
	}
	return err
}

// refused says that the image would not have the records, not that they could not get there.
func refused(err error) bool {
	code, ok := errors.AsType[kerr.Code](err)
	return ok && code != kerr.NotController
}
