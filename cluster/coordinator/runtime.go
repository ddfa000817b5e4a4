package coordinator

import (
	"context"
	"hash/maphash"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// shardCount is how many locks there are for the machines.
const shardCount = 16

// Runtime runs the machines. All methods may be called concurrently.
type Runtime[M Machine] struct {
	shards    [shardCount]shard[M]
	high, low lane[M]
	seed      maphash.Seed
	now       func() time.Time
	start     time.Time
	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	work      sync.WaitGroup // proposers, works and periodic work
	turn      chan struct{}  // holds a token while a work is done

	log     Log
	make    func(key string, since int64, now Instant) M
	mine    func(key string) (since int64, mine bool)
	timeout time.Duration
	logger  *slog.Logger
}

// New makes a runtime without machines. They are made when their key is first used, or by Load.
func New[M Machine](o Options[M]) *Runtime[M] {
	r := &Runtime[M]{
		seed: maphash.MakeSeed(), now: o.Now, start: o.Now(), turn: make(chan struct{}, 1),
		log: o.Log, make: o.New, mine: o.Mine, timeout: o.Timeout, logger: o.Logger,
	}
	if r.mine == nil {
		r.mine = func(string) (int64, bool) { return 0, true }
	}
	if r.timeout == 0 {
		r.timeout = 5 * time.Second
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	for i := range r.shards {
		r.shards[i].init(r)
	}
	r.high.runtime, r.low.runtime, r.low.low = r, r, true
	return r
}

// Load makes the machines of keys, so that their deadlines count. Those of other nodes it passes over.
func (r *Runtime[M]) Load(keys ...string) {
	for _, key := range keys {
		_ = r.Tell(key, func(M, Instant, *Effects) {})
	}
}

// Evict forgets the machines of keys that other nodes coordinate now, or did meanwhile. Whoever waits for an answer of one gets ErrNotMine.
func (r *Runtime[M]) Evict() {
	for i := range r.shards {
		r.shards[i].evict()
	}
}

// Call has fn work on key's machine and waits for the answer to the ticket. It returns ctx's error when ctx ends first,
// ErrClosed when the runtime closes; the machine is not told. ErrNotMine.
func (r *Runtime[M]) Call(ctx context.Context, key string, fn func(m M, now Instant, t Ticket, fx *Effects)) (any, error) {
	c, err := r.Begin(key, fn)
	if err != nil {
		return nil, err
	}
	return c.Wait(ctx)
}

// Begin is the first half of Call. Somebody has to Wait. ErrClosed, ErrNotMine.
func (r *Runtime[M]) Begin(key string, fn func(m M, now Instant, t Ticket, fx *Effects)) (*Calling[M], error) {
	s := r.shard(key)
	t, answer, err := s.call(key, fn)
	if err != nil {
		return nil, err
	}
	return &Calling[M]{shard: s, ticket: t, answer: answer}, nil
}

// Calling is a call that waits for its answer. One goroutine at a time uses it.
type Calling[M Machine] struct {
	shard  *shard[M]
	ticket Ticket
	answer <-chan any
	got    bool // body and ok are what came
	body   any
	ok     bool
}

// Ready says whether Wait would return at once.
func (c *Calling[M]) Ready() bool {
	if !c.got {
		select {
		case c.body, c.ok = <-c.answer:
			c.got = true
		default:
		}
	}
	return c.got
}

// Wait is the second half of Call.
func (c *Calling[M]) Wait(ctx context.Context) (any, error) {
	if !c.got {
		select {
		case c.body, c.ok = <-c.answer:
		case <-ctx.Done():
			c.shard.forget(c.ticket)
			return nil, ctx.Err()
		case <-c.shard.runtime.ctx.Done():
			c.shard.forget(c.ticket)
			return nil, ErrClosed
		}
	}
	if !c.ok {
		return nil, ErrNotMine
	}
	return c.body, nil
}

// Tell has fn work on key's machine. Nobody waits for an answer. ErrClosed, ErrNotMine.
func (r *Runtime[M]) Tell(key string, fn func(m M, now Instant, fx *Effects)) error {
	s := r.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tell(key, fn)
}

// View shows fn key's machine, which it must not change: the live one, or one made for the occasion.
func (r *Runtime[M]) View(key string, fn func(m M)) {
	s := r.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	since, _ := r.mine(key)
	if e, ok := s.entries[key]; ok && e.since == since {
		fn(e.machine)
		return
	}
	fn(r.make(key, since, r.instant()))
}

// Keys are those of the live machines, sorted.
func (r *Runtime[M]) Keys() []string {
	var keys []string
	for i := range r.shards {
		keys = r.shards[i].keys(keys)
	}
	slices.Sort(keys)
	return keys
}

// Every runs fn each time that interval has passed, until Close, which waits for it. ctx ends with Close.
func (r *Runtime[M]) Every(interval func() time.Duration, fn func(ctx context.Context)) {
	r.work.Go(func() {
		for {
			select {
			case <-time.After(interval()):
				fn(r.ctx)
			case <-r.ctx.Done():
				return
			}
		}
	})
}

// do does w for the machine of e. One at a time: works must not take all processors from who answers requests.
func (r *Runtime[M]) do(e *entry[M], w Work) {
	select {
	case r.turn <- struct{}{}:
	case <-r.ctx.Done():
		return
	}
	w.Do()
	<-r.turn
	e.shard.tellOutcome(e, func(now Instant, _ error, fx *Effects) { w.Then(now, fx) }, nil)
}

// Close ends the timers, the calls that wait and the proposals in flight, and waits for what it started.
func (r *Runtime[M]) Close() {
	r.cancel()
	for i := range r.shards {
		r.shards[i].close()
	}
	r.work.Wait()
}

func (r *Runtime[M]) shard(key string) *shard[M] {
	return &r.shards[maphash.String(r.seed, key)%shardCount]
}

// instant reads the clock once. The difference of two readings of time.Now goes by the monotonic clock.
func (r *Runtime[M]) instant() Instant {
	now := r.now()
	return Instant{Up: now.Sub(r.start), Wall: now.UnixMilli()}
}
