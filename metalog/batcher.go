package metalog

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/hashicorp/raft"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// batcher puts the proposals that arrive while an entry is in flight into the next entry, the first queue's ahead of the
// second's. There is no timer and no delay: a lone proposal goes at once, and the disk's own time is what gathers
// company for the others. One entry is in flight at a time. On a node that does not lead, an entry's worth of them goes
// to the leader as one message.
type batcher struct {
	raft    engine
	lead    *leadership
	courier *courier // nil, as the herald, without a network
	herald  *herald
	views   *views
	failure *failure

	first, second chan *parcel
	held          [2]*parcel // taken from each, and not sent: the entry before had no room; run's own

	ctx     context.Context // ends when the batcher is to stop
	end     context.CancelFunc
	stopped chan struct{}
}

// queued bounds each queue; who finds it full waits.
const queued = 4096

// patience bounds how long a proposal waits for a leader, and retryAfter how long it waits when nothing changes.
const (
	patience   = 30 * time.Second
	retryAfter = 50 * time.Millisecond
)

// enqueueTimeout is how long raft may take to accept an entry before the batcher looks whether it has failed.
const enqueueTimeout = 100 * time.Millisecond

func newBatcher(r engine, l *leadership, c *courier, h *herald, v *views, f *failure) *batcher {
	b := &batcher{
		raft: r, lead: l, courier: c, herald: h, views: v, failure: f,
		first: make(chan *parcel, queued), second: make(chan *parcel, queued),
		stopped: make(chan struct{}),
	}
	b.ctx, b.end = context.WithCancel(context.Background())
	go b.run()
	return b
}

// propose returns what became of each of p's proposals. What was certainly not proposed is proposed again.
func (b *batcher) propose(ctx context.Context, queue chan *parcel, p *parcel) []answer {
	var giveUp time.Time
	for {
		changed := b.lead.next()
		all := b.submit(ctx, queue, p.bodies, p.size)
		if !notProposed(all) {
			return b.settle(ctx, all)
		}
		if giveUp.IsZero() {
			giveUp = time.Now().Add(patience)
		}
		if err := b.pause(ctx, changed, giveUp); err != nil {
			return sameFor(len(all), answer{err: err})
		}
	}
}

// settle returns when this node's image has what the answers speak of: one who was refused sees why.
func (b *batcher) settle(ctx context.Context, all []answer) []answer {
	var index image.Index
	for _, a := range all {
		index = max(index, a.index)
	}
	if index == 0 {
		return all
	}
	if err := b.views.wait(ctx, index, b.failure); err != nil {
		for i := range all {
			if all[i].err == nil {
				all[i] = answer{err: fmt.Errorf("entry %d is agreed on, but not here yet: %w", index, err)}
			}
		}
	}
	return all
}

// pause waits for another leader, or a little for the one there is, so that what was not proposed is tried again.
func (b *batcher) pause(ctx context.Context, changed <-chan struct{}, giveUp time.Time) error {
	if time.Now().After(giveUp) {
		return kerr.Detail(kerr.NotController, "no leader of the metadata log could be reached for %s", patience)
	}
	again := time.NewTimer(retryAfter)
	defer again.Stop()
	select {
	case <-changed:
	case <-again.C:
	case <-ctx.Done():
		return fmt.Errorf("%w: no leader of the metadata log could be reached: %w", kerr.NotController, ctx.Err())
	case <-b.stopped:
		return b.ended()
	case <-b.failure.happened:
		return b.ended()
	}
	return nil
}

// submit proposes once.
func (b *batcher) submit(ctx context.Context, queue chan *parcel, bodies [][]byte, size int) []answer {
	p := &parcel{ctx: ctx, bodies: bodies, size: size, answer: make(chan []answer, 1), low: queue == b.second}
	select {
	case queue <- p:
	case <-ctx.Done():
		return sameFor(len(bodies), answer{err: ctx.Err()})
	case <-b.stopped:
		return sameFor(len(bodies), answer{err: b.ended()})
	}
	return b.result(ctx, p)
}

func (b *batcher) result(ctx context.Context, p *parcel) []answer {
	var ended error
	select {
	case all := <-p.answer:
		return all
	case <-ctx.Done():
		ended = ctx.Err()
	case <-b.failure.happened:
		ended = b.ended()
	case <-b.stopped:
		ended = b.ended()
	}
	select { // an answer says more
	case all := <-p.answer:
		return all
	default:
		return sameFor(len(p.bodies), answer{err: ended})
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
	b.end()
	<-b.stopped
}

func (b *batcher) run() {
	defer close(b.stopped)
	for {
		p := b.wait()
		if p == nil {
			return
		}
		b.send(b.gather(p))
		// Those just answered run now, and what they propose next shares an entry. Without this the first of them to be
		// quick would have an entry for itself, and the others would wait for it.
		runtime.Gosched()
	}
}

// wait is the next parcel, nil when the batcher is to stop.
func (b *batcher) wait() *parcel {
	select {
	case <-b.ctx.Done():
		return nil
	case <-b.failure.happened:
		return nil
	default:
	}
	if p := b.poll(); p != nil {
		return p
	}
	select {
	case p := <-b.first:
		return p
	case p := <-b.second:
		return p
	case <-b.ctx.Done():
		return nil
	case <-b.failure.happened:
		return nil
	}
}

// gather is an entry's worth of parcels, beginning with p. The one for which there is no more room is held; those whose caller
// has gone are left out.
func (b *batcher) gather(p *parcel) (batch []*parcel) {
	count, room := 0, maxParcel
	for ; p != nil; p = b.poll() {
		if p.ctx.Err() != nil {
			continue
		}
		if count+len(p.bodies) > maxTogether || p.size > room {
			b.held[flag(p.low)] = p
			break
		}
		count, room = count+len(p.bodies), room-p.size
		batch = append(batch, p)
	}
	return batch
}

// poll is the next parcel that is there: the second queue's when the first has none.
func (b *batcher) poll() *parcel {
	for i, queue := range []chan *parcel{b.first, b.second} {
		if p := b.held[i]; p != nil {
			b.held[i] = nil
			return p
		}
		select {
		case p := <-queue:
			return p
		default:
		}
	}
	return nil
}

// send has a batch agreed on, here or by the leader.
func (b *batcher) send(batch []*parcel) {
	term, leads := b.lead.term()
	leads = leads || b.courier == nil
	var here []*parcel
	var own [2][]*parcel
	for _, p := range batch {
		switch {
		case p.visit != nil && !(leads && p.visit.counts(term)):
			p.tell(answer{err: errNotProposed})
		case leads:
			here = append(here, p)
		default:
			own[flag(p.low)] = append(own[flag(p.low)], p)
		}
	}
	b.commit(term, here)
	for _, some := range own {
		b.forward(some)
	}
}

// forward sends a batch to the leader. Its answers come later; the next batch may follow at once.
func (b *batcher) forward(batch []*parcel) {
	if len(batch) == 0 {
		return
	}
	m := &message{kind: msgPropose, low: batch[0].low, proposals: bodiesOf(batch)}
	err := b.courier.ask(b.ctx, m, func(answered *message, err error) {
		if err == nil && (answered.kind != msgProposed || len(answered.outcomes) != len(m.proposals)) {
			err = errors.New("the leader's answer is to something else")
		}
		if err != nil {
			tellAll(batch, answer{err: unknown(err)})
			return
		}
		all := make([]answer, len(answered.outcomes))
		for i, o := range answered.outcomes {
			all[i] = o.answer()
		}
		handOut(batch, all)
	})
	if err != nil {
		tellAll(batch, answer{err: err})
	}
}

func bodiesOf(batch []*parcel) (bodies [][]byte) {
	for _, p := range batch {
		bodies = append(bodies, p.bodies...)
	}
	return bodies
}

func tellAll(batch []*parcel, a answer) {
	for _, p := range batch {
		p.tell(a)
	}
}

// handOut gives each parcel its part of the answers.
func handOut(batch []*parcel, all []answer) {
	for _, p := range batch {
		n := len(p.bodies)
		p.answer <- together(all[:n:n])
		all = all[n:]
	}
}

// commit has a batch agreed on in a term and answers each of its proposals.
func (b *batcher) commit(term uint64, batch []*parcel) {
	if len(batch) == 0 {
		return
	}
	done, err := b.agree(sealEntry(term, bodiesOf(batch)))
	if err != nil {
		tellAll(batch, answer{err: err})
		return
	}
	if b.herald != nil {
		b.herald.committed(uint64(done.index), done.term)
	}
	all := make([]answer, len(done.refused))
	for i, err := range done.refused {
		all[i] = answer{index: done.index, err: err, refused: err != nil}
	}
	handOut(batch, all)
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
			return applied{}, unknown(errors.New("the entry was not applied"))
		}
		if done.late {
			return applied{}, errNotProposed
		}
		return done, nil
	}
}

// outcome turns what raft says about an entry into what a proposer is told. Raft says that it does not lead before it
// takes an entry; when it has taken it and loses the leadership then, it says something else.
func outcome(err error) error {
	if errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrLeadershipTransferInProgress) {
		return errNotProposed
	}
	return unknown(err)
}

func unknown(err error) error { return fmt.Errorf("outcome of the proposal unknown: %w", err) }
