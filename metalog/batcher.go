package metalog

import (
	"context"
	"encoding/binary"
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

	first, second chan *proposal

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

type proposal struct {
	ctx    context.Context
	body   []byte
	answer chan answer
	low    bool
	visit  *visit // it came from another node, and is not sent on to a third
}

type answer struct {
	index   image.Index // of the entry
	err     error
	refused bool // err is what image.Apply said
}

func newBatcher(r engine, l *leadership, c *courier, h *herald, v *views, f *failure) *batcher {
	b := &batcher{
		raft: r, lead: l, courier: c, herald: h, views: v, failure: f,
		first: make(chan *proposal, queued), second: make(chan *proposal, queued),
		stopped: make(chan struct{}),
	}
	b.ctx, b.end = context.WithCancel(context.Background())
	go b.run()
	return b
}

func (b *batcher) propose(ctx context.Context, queue chan *proposal, recs []image.Record) (image.Index, error) {
	var body []byte
	for _, r := range recs {
		var err error
		if body, err = image.Append(body, r); err != nil {
			return 0, err
		}
	}
	if len(body) > maxProposal {
		return 0, kerr.Detail(kerr.RecordListTooLarge, "%d bytes of metadata records at once", len(body))
	}
	var giveUp time.Time
	for {
		changed := b.lead.next()
		a := b.submit(ctx, queue, body)
		if !errors.Is(a.err, errNotProposed) {
			return b.settle(ctx, a)
		}
		if giveUp.IsZero() {
			giveUp = time.Now().Add(patience)
		}
		if err := b.pause(ctx, changed, giveUp); err != nil {
			return 0, err
		}
	}
}

// settle returns when this node's image has what the answer speaks of: one who was refused sees why.
func (b *batcher) settle(ctx context.Context, a answer) (image.Index, error) {
	if a.index > 0 {
		if err := b.views.wait(ctx, a.index, b.failure); err != nil && a.err == nil {
			return 0, fmt.Errorf("entry %d is agreed on, but not here yet: %w", a.index, err)
		}
	}
	if a.err != nil {
		return 0, a.err
	}
	return a.index, nil
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
func (b *batcher) submit(ctx context.Context, queue chan *proposal, body []byte) answer {
	p := &proposal{ctx: ctx, body: body, answer: make(chan answer, 1), low: queue == b.second}
	select {
	case queue <- p:
	case <-ctx.Done():
		return answer{err: ctx.Err()}
	case <-b.stopped:
		return answer{err: b.ended()}
	}
	return b.result(ctx, p)
}

func (b *batcher) result(ctx context.Context, p *proposal) answer {
	var ended error
	select {
	case a := <-p.answer:
		return a
	case <-ctx.Done():
		ended = ctx.Err()
	case <-b.failure.happened:
		ended = b.ended()
	case <-b.stopped:
		ended = b.ended()
	}
	select { // an answer says more
	case a := <-p.answer:
		return a
	default:
		return answer{err: ended}
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
	var left *proposal // did not fit into the last entry
	for {
		if left == nil {
			if left = b.wait(); left == nil {
				return
			}
		}
		var batch []*proposal
		batch, left = b.gather(left)
		b.send(batch)
		// Those just answered run now, and what they propose next shares an entry. Without this the first of them to be
		// quick would have an entry for itself, and the others would wait for it.
		runtime.Gosched()
	}
}

// wait is the next proposal, nil when the batcher is to stop.
func (b *batcher) wait() *proposal {
	select {
	case <-b.ctx.Done():
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
	case <-b.ctx.Done():
		return nil
	case <-b.failure.happened:
		return nil
	}
}

// gather is an entry's worth of proposals, beginning with p, and the one for which there was no more room. Proposals
// whose caller has gone are left out.
func (b *batcher) gather(p *proposal) (batch []*proposal, left *proposal) {
	room := maxEntry - entryRoom
	for ; p != nil; p = b.poll() {
		if len(batch) == maxTogether {
			return batch, p
		}
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

// send has a batch agreed on, here or by the leader.
func (b *batcher) send(batch []*proposal) {
	term, leads := b.lead.term()
	leads = leads || b.courier == nil
	var here []*proposal
	var own [2][]*proposal
	for _, p := range batch {
		switch {
		case p.visit != nil && !(leads && p.visit.counts(term)):
			p.answer <- answer{err: errNotProposed}
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
func (b *batcher) forward(batch []*proposal) {
	if len(batch) == 0 {
		return
	}
	m := &message{kind: msgPropose, low: batch[0].low}
	for _, p := range batch {
		m.proposals = append(m.proposals, p.body)
	}
	err := b.courier.ask(b.ctx, m, func(answered *message, err error) {
		if err == nil && (answered.kind != msgProposed || len(answered.outcomes) != len(batch)) {
			err = errors.New("the leader's answer is to something else")
		}
		for i, p := range batch {
			if err != nil {
				p.answer <- answer{err: unknown(err)}
			} else {
				p.answer <- answered.outcomes[i].answer()
			}
		}
	})
	if err != nil {
		answerAll(batch, answer{err: err})
	}
}

func answerAll(batch []*proposal, a answer) {
	for _, p := range batch {
		p.answer <- a
	}
}

// commit has a batch agreed on in a term and answers each of its proposals.
func (b *batcher) commit(term uint64, batch []*proposal) {
	if len(batch) == 0 {
		return
	}
	bodies := make([][]byte, len(batch))
	for i, p := range batch {
		bodies[i] = p.body
	}
	done, err := b.agree(sealEntry(term, bodies))
	if err != nil {
		answerAll(batch, answer{err: err})
		return
	}
	if b.herald != nil {
		b.herald.committed(uint64(done.index), done.term)
	}
	for i, p := range batch {
		p.answer <- answer{index: done.index, err: done.refused[i], refused: done.refused[i] != nil}
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
