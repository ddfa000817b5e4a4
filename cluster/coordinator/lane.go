package coordinator

import (
	"context"
	"sync"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
	"chronik/wal/mutant"
)

const (
	maxBatch  = 1024    // proposals that go to the log together
	maxQueued = 1 << 18 // proposals of a lane that wait; what comes beyond is refused
)

// lane is one of a runtime's queues to the log. Its goroutine exists while there is something in it. One batch is in flight,
// of all that wait for whatever key: the log is asked once for all of them, and what it turns away can be tried again
// without being overtaken.
type lane[M Machine] struct {
	runtime *Runtime[M]
	low     bool

	mu      sync.Mutex
	queued  []queuedProposal[M]
	running bool
}

// queuedProposal is a proposal with the machine that is told what became of it.
type queuedProposal[M Machine] struct {
	from *entry[M]
	Proposal
}

// put is false when the lane is full. The caller holds the lock of the proposal's shard, so that what a machine wants comes
// into the lane in its order.
func (l *lane[M]) put(p queuedProposal[M]) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queued) >= maxQueued {
		return false
	}
	l.queued = append(l.queued, p)
	if !l.running {
		l.running = true
		l.runtime.work.Go(l.drain)
	}
	return true
}

// drain proposes what is queued, a batch at a time, until nothing is.
func (l *lane[M]) drain() {
	for {
		batch := l.take()
		if len(batch) == 0 {
			return
		}
		errs := l.runtime.submit(l.low, batch)
		for i, p := range batch {
			p.from.shard.tellOutcome(p.from, p.Then, errs[i])
		}
	}
}

func (l *lane[M]) take() (batch []queuedProposal[M]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch n := len(l.queued); {
	case n == 0 || l.runtime.ctx.Err() != nil:
		l.running, l.queued = false, nil
	case n <= maxBatch:
		batch, l.queued = l.queued, make([]queuedProposal[M], 0, n)
	default:
		batch, l.queued = l.queued[:maxBatch], l.queued[maxBatch:]
	}
	return batch
}

// submit returns what became of each of a batch.
func (r *Runtime[M]) submit(low bool, batch []queuedProposal[M]) []error {
	ctx, cancel := context.WithTimeout(r.ctx, r.timeout)
	defer cancel()
	proposals := make([][]image.Record, len(batch))
	for i, p := range batch {
		proposals[i] = p.Records
	}
	errs := r.log.ProposeEach(ctx, low, proposals)
	if mutant.On(mutant.AckRefusedRecords) {
		return make([]error, len(batch))
	}
	r.warn(errs)
	return errs
}

// warn says once for a batch that records were not agreed on. Those of keys that have moved go on elsewhere.
func (r *Runtime[M]) warn(errs []error) {
	var failed int
	var first error
	for _, err := range errs {
		if err != nil && kerr.Of(err) != kerr.NotCoordinator {
			if failed == 0 {
				first = err
			}
			failed++
		}
	}
	if failed > 0 && r.ctx.Err() == nil {
		r.logger.Warn("coordinator: records were not agreed on", "proposals", failed, "error", first)
	}
}
