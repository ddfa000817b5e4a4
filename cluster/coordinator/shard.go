package coordinator

import (
	"container/heap"
	"sync"
	"time"

	"chronik/kafka/kerr"
)

// shard is some of the keys with their machines.
type shard[M Machine] struct {
	runtime *Runtime[M]

	mu      sync.Mutex // owns all below
	entries map[string]*entry[M]
	due     queue[M]
	timer   *time.Timer   // for the first of due
	armed   time.Duration // what timer is set to, by Instant.Up
	isArmed bool
	waiting map[Ticket]waiter
	ticket  Ticket
	closed  bool
}

// waiter is a caller that waits; its channel is closed when the key is evicted.
type waiter struct {
	key    string
	answer chan any
}

// entry is a machine and its place in due, -1 when it has none.
type entry[M Machine] struct {
	shard    *shard[M]
	key      string
	since    int64 // when this node's tenure of the key began
	machine  M
	inFlight int // proposals and works whose outcome it has not been told
	deadline time.Duration
	place    int
}

func (s *shard[M]) init(r *Runtime[M]) {
	s.runtime = r
	s.entries = make(map[string]*entry[M])
	s.waiting = make(map[Ticket]waiter)
}

func (s *shard[M]) call(key string, fn func(m M, now Instant, t Ticket, fx *Effects)) (Ticket, <-chan any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.runtime.instant()
	e, err := s.entry(key, now)
	if err != nil {
		return 0, nil, err
	}
	s.ticket++
	t, answer := s.ticket, make(chan any, 1)
	s.waiting[t] = waiter{key, answer}
	s.work(e, now, func(m M, now Instant, fx *Effects) { fn(m, now, t, fx) })
	return t, answer, nil
}

func (s *shard[M]) tell(key string, fn func(m M, now Instant, fx *Effects)) error {
	now := s.runtime.instant()
	e, err := s.entry(key, now)
	if err != nil {
		return err
	}
	s.work(e, now, fn)
	return nil
}

// entry is key's machine of the present tenure.
func (s *shard[M]) entry(key string, now Instant) (*entry[M], error) {
	since, mine := s.runtime.mine(key)
	switch {
	case s.closed:
		return nil, ErrClosed
	case !mine:
		return nil, ErrNotMine
	}
	if e, ok := s.entries[key]; ok && e.since == since {
		return e, nil
	} else if ok {
		s.remove(map[string]*entry[M]{key: e})
	}
	e := &entry[M]{shard: s, key: key, since: since, place: -1}
	e.machine = s.runtime.make(key, since, now)
	s.entries[key] = e
	return e, nil
}

func (s *shard[M]) work(e *entry[M], now Instant, fn func(m M, now Instant, fx *Effects)) {
	var fx Effects
	fn(e.machine, now, &fx)
	s.settle(e, &fx)
	s.arm(now)
}

// evict forgets the machines of tenures that have ended.
func (s *shard[M]) evict() {
	s.mu.Lock()
	defer s.mu.Unlock()
	gone := make(map[string]*entry[M])
	for key, e := range s.entries {
		if since, mine := s.runtime.mine(key); !mine || since != e.since {
			gone[key] = e
		}
	}
	s.remove(gone)
}

// remove forgets machines, and sends away those that wait for them. What those have in flight tells nobody its outcome.
func (s *shard[M]) remove(gone map[string]*entry[M]) {
	if len(gone) == 0 {
		return
	}
	for key, e := range gone {
		s.due.drop(e)
		delete(s.entries, key)
	}
	for t, w := range s.waiting {
		if gone[w.key] != nil {
			delete(s.waiting, t)
			close(w.answer)
		}
	}
}

func (s *shard[M]) forget(t Ticket) {
	s.mu.Lock()
	delete(s.waiting, t)
	s.mu.Unlock()
}

func (s *shard[M]) keys(to []string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.entries {
		to = append(to, key)
	}
	return to
}

func (s *shard[M]) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
}

// propose queues p for the machine of e.
func (s *shard[M]) propose(e *entry[M], p Proposal) {
	e.inFlight++
	l := &s.runtime.high
	if p.Low {
		l = &s.runtime.low
	}
	if !l.put(queuedProposal[M]{e, p}) {
		s.outcome(e, p.Then, kerr.CoordinatorNotAvailable)
	}
}

// tellOutcome tells e's machine what became of a proposal.
func (s *shard[M]) tellOutcome(e *entry[M], then func(Instant, error, *Effects), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.outcome(e, then, err)
	}
}

func (s *shard[M]) outcome(e *entry[M], then func(Instant, error, *Effects), err error) {
	e.inFlight--
	if s.entries[e.key] != e {
		return // it was evicted
	}
	var fx Effects
	now := s.runtime.instant()
	if then != nil {
		then(now, err, &fx)
	}
	s.settle(e, &fx)
	s.arm(now)
}

// settle does what e's machine wants and files it under its new deadline.
func (s *shard[M]) settle(e *entry[M], fx *Effects) {
	for _, a := range fx.Answers {
		if w, ok := s.waiting[a.To]; ok {
			delete(s.waiting, a.To)
			w.answer <- a.Body
		}
	}
	e.inFlight++ // what fails at once must not forget the machine before the rest is queued
	for _, p := range fx.Proposals {
		s.propose(e, p)
	}
	e.inFlight--
	for _, w := range fx.Works {
		e.inFlight++
		s.runtime.work.Go(func() { s.runtime.do(e, w) })
	}
	if e.inFlight == 0 && e.machine.Idle() {
		s.due.drop(e)
		delete(s.entries, e.key)
		return
	}
	if at, ok := e.machine.Deadline(); ok {
		s.due.set(e, at)
	} else {
		s.due.drop(e)
	}
}

// arm sets the timer for the first deadline.
func (s *shard[M]) arm(now Instant) {
	if len(s.due) == 0 {
		return // a timer that is still set finds nothing due
	}
	first := s.due[0].deadline
	if s.isArmed && s.armed <= first {
		return // it fires early, finds nothing due and is set again: cheaper than a reset for every heartbeat
	}
	s.armed, s.isArmed = first, true
	wait := max(first-now.Up, 0)
	if s.timer == nil {
		s.timer = time.AfterFunc(wait, s.fire)
	} else {
		s.timer.Reset(wait)
	}
}

// fire lets each machine that is due expire what is due, once.
func (s *shard[M]) fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.isArmed = false
	if s.closed {
		return
	}
	now := s.runtime.instant()
	var expired []*entry[M]
	for len(s.due) > 0 && s.due[0].deadline <= now.Up {
		expired = append(expired, s.due[0])
		s.due.drop(s.due[0])
	}
	for _, e := range expired {
		var fx Effects
		e.machine.Expire(now, &fx)
		s.settle(e, &fx)
	}
	s.arm(now)
}

// queue is a heap of entries by deadline.
type queue[M Machine] []*entry[M]

func (q *queue[M]) set(e *entry[M], at time.Duration) {
	if e.place < 0 {
		e.deadline = at
		heap.Push(q, e)
	} else if e.deadline != at {
		e.deadline = at
		heap.Fix(q, e.place)
	}
}

func (q *queue[M]) drop(e *entry[M]) {
	if e.place >= 0 {
		heap.Remove(q, e.place)
	}
}

func (q queue[M]) Len() int           { return len(q) }
func (q queue[M]) Less(i, j int) bool { return q[i].deadline < q[j].deadline }
func (q queue[M]) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}
func (q *queue[M]) Push(x any) {
	e := x.(*entry[M])
	e.place = len(*q)
	*q = append(*q, e)
}
func (q *queue[M]) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	e.place = -1
	return e
}
