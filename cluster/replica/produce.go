package replica

import (
	"context"
	"sync"
	"time"

	"chronik/cluster/partlog"
	"chronik/kafka/kerr"
	"chronik/wal/arena"
)

// Result is what became of one partition of a produce request. Err is a kerr.Code or wraps one.
type Result struct {
	partlog.Appended
	LeaderEpoch int32
	Err         error
}

// Produce is the partitions of one produce request: begun one after the other, then waited for together. It is
// recycled: after Results was read, Done gives it back.
type Produce struct {
	acks  int16
	done  chan struct{} // has one value when nothing is left
	timer *time.Timer   // of Wait; stopped

	mu      sync.Mutex // guards what follows
	results []Result
	settled []bool
	left    int
	given   bool // up: Wait ended before everything had its outcome, and partitions may still refer to this
	failed  <-chan struct{}
	store   *partlog.Store
	lease   *lease
}

var produces = sync.Pool{New: func() any { return &Produce{done: make(chan struct{}, 1)} }}

const (
	acksNone  = 0
	acksLocal = 1
)

// NewProduce returns a request of n partitions. acks is 1 or -1; with acks 0 nobody waits.
func NewProduce(acks int16, n int) *Produce {
	w := produces.Get().(*Produce)
	w.acks, w.left = acks, n
	if cap(w.results) < n {
		w.results, w.settled = make([]Result, n), make([]bool, n)
	}
	w.results, w.settled = w.results[:n], w.settled[:n]
	clear(w.results)
	clear(w.settled)
	return w
}

// Begin appends to p as the request's i-th partition; its outcome is in Results()[i] once Ready. A nil p with err
// records that partition's failure.
func (w *Produce) Begin(i int, p *Partition, err error, data []byte, buf *arena.Buf, version int16) {
	if err != nil {
		w.settle(i, err)
		return
	}
	r := p.role.Load()
	if r.refuses != nil {
		w.settle(i, r.refuses)
		return
	}
	if w.acks == -1 && !r.enough() {
		w.settle(i, kerr.NotEnoughReplicas)
		return
	}
	done, err := p.log.AppendAsLeader(partlog.Append{Data: data, Buf: buf, Version: version, LeaderEpoch: r.epoch})
	w.mu.Lock()
	w.results[i].Appended, w.results[i].LeaderEpoch = done, r.epoch
	w.failed, w.store, w.lease = p.store.Failed(), p.store, &p.manager.lease
	w.mu.Unlock()
	if err != nil || w.acks == acksNone {
		w.settle(i, err)
		return
	}
	p.wait(pending{end: done.End, request: w, index: i}, w.acks, r.epoch)
}

// settle gives the i-th partition its outcome, unless it has one.
func (w *Produce) settle(i int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.given || w.settled[i] {
		return
	}
	w.settled[i] = true
	w.results[i].Err = err
	if w.left--; w.left == 0 {
		w.done <- struct{}{}
	}
}

// Ready says whether every partition has its outcome.
func (w *Produce) Ready() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.left == 0
}

// Wait waits until Ready. When the time is over or ctx ends first, those without an outcome get kerr.RequestTimedOut (the
// records may still be replicated later), and when storage fails, its error.
func (w *Produce) Wait(ctx context.Context, atMost time.Duration) {
	defer w.distrust()
	if w.Ready() {
		return
	}
	if w.timer == nil {
		w.timer = time.NewTimer(atMost)
	} else {
		w.timer.Reset(atMost)
	}
	defer w.timer.Stop()
	select {
	case <-w.done:
		w.done <- struct{}{} // for Done
	case <-w.timer.C:
		w.giveUp(kerr.RequestTimedOut)
	case <-ctx.Done():
		w.giveUp(kerr.RequestTimedOut)
	case <-w.failed:
		w.giveUp(w.store.Err())
	}
}

// distrust fails what was acknowledged when this node may not be a leader any more: it may have been stopped for a while.
// The records may be there all the same; the client will hear from the leader that there is.
func (w *Produce) distrust() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lease == nil || w.lease.holds() {
		return
	}
	for i := range w.results {
		if w.results[i].Err == nil {
			w.results[i].Err = kerr.NotLeaderOrFollower
		}
	}
}

func (w *Produce) giveUp(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left == 0 {
		return
	}
	w.given, w.left = true, 0
	for i := range w.settled {
		if !w.settled[i] {
			w.results[i].Err = err
		}
	}
}

// Results are the outcomes in the order of the partitions, once Ready or after Wait; they are valid until Done.
func (w *Produce) Results() []Result { return w.results }

// Done gives the request back. One that was given up is not used again: partitions still know it.
func (w *Produce) Done() {
	w.mu.Lock()
	again := !w.given && w.left == 0
	w.failed, w.store, w.lease = nil, nil, nil
	w.mu.Unlock()
	if !again {
		return
	}
	select {
	case <-w.done:
	default:
	}
	clear(w.results)
	produces.Put(w)
}

// wait has the request settled when the log is durable, or replicated, up to its end. appendedIn is the leader epoch of the
// append: who has led, followed and leads again since then may have other records there.
func (p *Partition) wait(q pending, acks int16, appendedIn int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.resigned != nil {
		q.request.settle(q.index, p.resigned)
		return
	}
	if p.role.Load().epoch != appendedIn {
		q.request.settle(q.index, kerr.NotLeaderOrFollower)
		return
	}
	if acks == acksLocal {
		p.byLocal.add(q, p.durable)
	} else {
		p.byAll.add(q, p.hw)
	}
}

// pending is a partition of a request that waits until the log has reached end.
type pending struct {
	end     int64
	request *Produce
	index   int
}

// pendings is a ring of them by end: as many as there are unanswered produce requests, which connections bound.
type pendings struct {
	ring       []pending // length a power of two
	head, used int
}

func (q *pendings) at(i int) *pending { return &q.ring[(q.head+i)&(len(q.ring)-1)] }

// add puts w in its place, which is the last one but for appends that overtook each other on the way here.
func (q *pendings) add(w pending, reached int64) {
	if w.end <= reached {
		w.request.settle(w.index, nil)
		return
	}
	if q.used == len(q.ring) {
		q.grow()
	}
	i := q.used
	q.used++
	for ; i > 0 && q.at(i-1).end > w.end; i-- {
		*q.at(i) = *q.at(i - 1)
	}
	*q.at(i) = w
}

// settle answers those that wait for at most reached.
func (q *pendings) settle(reached int64) {
	for q.used > 0 && q.at(0).end <= reached {
		w := *q.at(0)
		*q.at(0) = pending{}
		q.head = (q.head + 1) & (len(q.ring) - 1)
		q.used--
		w.request.settle(w.index, nil)
	}
}

// all empties the ring.
func (q *pendings) all() []pending {
	var ws []pending
	for i := range q.used {
		ws = append(ws, *q.at(i))
	}
	*q = pendings{}
	return ws
}

func (q *pendings) grow() {
	bigger := make([]pending, max(4, 2*len(q.ring)))
	for i := range q.used {
		bigger[i] = *q.at(i)
	}
	q.ring, q.head = bigger, 0
}
