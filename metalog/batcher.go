package metalog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// batcher puts the proposals that arrive while an entry is in flight into the next entry, the first queue's ahead of the
// second's. There is no timer and no delay: a lone proposal goes at once, and the disk's own time is what gathers
// company for the others. One entry is in flight at a time.
type batcher struct {
	raft    *raft.Raft
	failure *failure

	first, second chan *proposal

	stopping chan struct{}
	stopOnce sync.Once
	stopped  chan struct{}
}

// queued bounds each queue; who finds it full waits.
const queued = 4096

// enqueueTimeout is how long raft may take to accept an entry before the batcher looks whether it has failed.
const enqueueTimeout = 100 * time.Millisecond

type proposal struct {
	ctx    context.Context
	body   []byte
	answer chan answer
}

type answer struct {
	index image.Index
	err   error
}

func newBatcher(r *raft.Raft, f *failure) *batcher {
	b := &batcher{
		raft: r, failure: f,
		first: make(chan *proposal, queued), second: make(chan *proposal, queued),
		stopping: make(chan struct{}), stopped: make(chan struct{}),
	}
	go b.run()
	return b
}

func (b *batcher) propose(ctx context.Context, queue chan *proposal, recs []image.Record) (image.Index, error) {
	p := &proposal{ctx: ctx, answer: make(chan answer, 1)}
	for _, r := range recs {
		var err error
		if p.body, err = image.Append(p.body, r); err != nil {
			return 0, err
		}
	}
	if len(p.body) > maxProposal {
		return 0, kerr.Detail(kerr.RecordListTooLarge, "%d bytes of metadata records at once", len(p.body))
	}
	select {
	case queue <- p:
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-b.stopped:
		return 0, b.ended()
	}
	return b.result(ctx, p)
}

func (b *batcher) result(ctx context.Context, p *proposal) (image.Index, error) {
	select {
	case a := <-p.answer:
		return a.index, a.err
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-b.failure.happened:
		return 0, b.ended()
	case <-b.stopped:
		select {
		case a := <-p.answer:
			return a.index, a.err
		default:
			return 0, b.ended()
		}
	}
}

// ended is why there will be no answer.
func (b *batcher) ended() error {
	if err := b.failure.err(); err != nil {
		return fmt.Errorf("%w: %w", errFailed, err)
	}
	return errClosed
}

// stop lets the entry in flight end; what is still queued is not proposed.
func (b *batcher) stop() {
	b.stopOnce.Do(func() { close(b.stopping) })
	<-b.stopped
}

func (b *batcher) run() {
	defer close(b.stopped)
	var left *proposal // did not fit into the last entry
	for {
		if left == nil {
			if left = b.wait(); left == nil {
				return
			}
		}
		var batch []*proposal
		batch, left = b.gather(left)
		b.commit(batch)
		// Those just answered run now, and what they propose next shares an entry. Without this the first of them to be
		// quick would have an entry for itself, and the others would wait for it.
		runtime.Gosched()
	}
}

// wait is the next proposal, nil when the batcher is to stop.
func (b *batcher) wait() *proposal {
	select {
	case <-b.stopping:
		return nil
	case <-b.failure.happened:
		return nil
	default:
	}
	select {
	case p := <-b.first:
		return p
	default:
	}
	select {
	case p := <-b.first:
		return p
	case p := <-b.second:
		return p
	case <-b.stopping:
		return nil
	case <-b.failure.happened:
		return nil
	}
}

// gather is an entry's worth of proposals, beginning with p, and the one for which there was no more room. Proposals
// whose caller has gone are left out.
func (b *batcher) gather(p *proposal) (batch []*proposal, left *proposal) {
	room := maxEntry - entryHeader - binary.MaxVarintLen32
	for ; p != nil; p = b.poll() {
		if p.ctx.Err() != nil {
			continue
		}
		need := binary.MaxVarintLen32 + len(p.body)
		if need > room {
			return batch, p
		}
		room -= need
		batch = append(batch, p)
	}
	return batch, nil
}

func (b *batcher) poll() *proposal {
	select {
	case p := <-b.first:
		return p
	default:
	}
	select {
	case p := <-b.second:
		return p
	default:
		return nil
	}
}

// commit has a batch agreed on and answers each of its proposals.
func (b *batcher) commit(batch []*proposal) {
	if len(batch) == 0 {
		return
	}
	bodies := make([][]byte, len(batch))
	for i, p := range batch {
		bodies[i] = p.body
	}
	done, err := b.agree(sealEntry(bodies))
	for i, p := range batch {
		a := answer{index: done.index, err: err}
		if err == nil && done.refused[i] != nil {
			a = answer{err: done.refused[i]}
		}
		p.answer <- a
	}
}

func (b *batcher) agree(entry []byte) (applied, error) {
	for {
		future := b.raft.Apply(entry, enqueueTimeout)
		err := b.failure.await(future.Error)
		if errors.Is(err, raft.ErrEnqueueTimeout) && b.failure.err() == nil {
			continue // raft has not seen it; it was busy
		}
		if err == nil {
			err = b.failure.err() // nothing is acknowledged after a failure
		}
		if err != nil {
			return applied{}, outcome(err)
		}
		done, ok := future.Response().(applied)
		if !ok {
			return applied{}, errors.New("the entry was not applied")
		}
		return done, nil
	}
}
