// Package arena hands out page-aligned, counted buffers of memory that the garbage collector does not see. A request
// is read into one, the write-ahead log writes that very buffer to disk, and readers are served from it until its last
// holder lets go. The total is bounded by the pool's limit; buffers are recycled because the first touch of fresh
// memory is dear. It does not know what the bytes mean.
package arena

import (
	"context"
	"sync"
)

// Page is the alignment of every buffer's address and capacity, as O_DIRECT wants it.
const Page = 4096

// Pool is a bounded source of buffers. All methods may be called concurrently.
type Pool struct{ pool }

type pool struct {
	limit int64

	mu       sync.Mutex
	inUse    int64 // bytes in buffers with holders
	idle     int64 // bytes in free
	free     [classes][]*Buf
	waiters  queue
	pressure func(need int64)
}

// New returns a pool that holds at most limit bytes in buffers, used and kept for reuse together.
func New(limit int64) *Pool {
	p := &Pool{}
	p.limit = max(limit, Page)
	return p
}

// OnPressure registers fn, which is called (without locks held) when a Get finds the limit reached: it should release
// about need bytes of buffers that can be had again from elsewhere (the log's memory tail) and must not block.
func (p *Pool) OnPressure(fn func(need int64)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pressure = fn
}

// Get returns a buffer of n bytes with one reference. While the limit is reached it calls the pressure hook and then
// waits, first come first served, until memory is released or ctx ends. A request for more than three quarters of the
// limit waits as if it were that large, and is then let through: holders that never let go (a log's open buffer)
// could keep it out for ever.
func (p *Pool) Get(ctx context.Context, n int) (*Buf, error) {
	c := classOf(n)
	if b := p.try(c, n); b != nil {
		return b, nil
	}
	if fn := p.hook(); fn != nil {
		fn(c.size())
	}
	w := p.enqueue(c, n)
	if w == nil {
		return p.Get(ctx, n)
	}
	select {
	case b := <-w.got:
		return b, nil
	case <-ctx.Done():
		if b := p.leave(w); b != nil {
			b.Release()
		}
		return nil, ctx.Err()
	}
}

// Overdraw is Get that never waits: it may exceed the limit. For holders that must not block and whose own number is bounded.
func (p *Pool) Overdraw(n int) *Buf {
	c := classOf(n)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.take(c, n)
}

// InUse is the number of bytes in buffers that somebody holds; Limit the bound.
func (p *Pool) InUse() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inUse
}

// Limit is the number of bytes that New was given.
func (p *Pool) Limit() int64 { return p.limit }

// Waiting is the number of calls of Get that wait for memory.
func (p *Pool) Waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiters.len
}

func (p *Pool) hook() func(int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pressure
}

// try is a Get that gives up: nil when the limit is reached or others wait already.
func (p *Pool) try(c class, n int) *Buf {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiters.len > 0 || !p.fits(c) {
		return nil
	}
	return p.take(c, n)
}

// enqueue puts the caller in line; nil when memory came free in between and nobody is before it.
func (p *Pool) enqueue(c class, n int) *waiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiters.len == 0 && p.fits(c) {
		return nil
	}
	w := &waiter{class: c, n: n, got: make(chan *Buf, 1)}
	p.waiters.push(w)
	return w
}

// leave takes w out of the line and returns the buffer that reached it just before.
func (p *Pool) leave(w *waiter) *Buf {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case b := <-w.got:
		return b
	default:
	}
	p.waiters.remove(w)
	p.serve() // those behind may want less
	return nil
}

// fits says whether a buffer of class c may be handed out; the caller holds p.mu.
func (p *Pool) fits(c class) bool {
	return p.inUse+min(c.size(), p.limit/4*3) <= p.limit
}

// take makes or reuses a buffer; the caller holds p.mu.
func (p *Pool) take(c class, n int) *Buf {
	b := p.reuse(c)
	if b == nil {
		p.shrink(p.limit - p.inUse - c.size())
		b = allocate(p, c)
	}
	p.inUse += c.size()
	b.n = n
	b.refs.Store(1)
	return b
}

func (p *Pool) reuse(c class) *Buf {
	l := p.free[c]
	if len(l) == 0 {
		return nil
	}
	b := l[len(l)-1]
	l[len(l)-1] = nil
	p.free[c] = l[:len(l)-1]
	p.idle -= c.size()
	return b
}

// put takes back a buffer without holders.
func (p *Pool) put(b *Buf) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inUse -= b.class.size()
	if p.inUse+p.idle+b.class.size() > p.limit {
		b.unmap()
	} else {
		p.idle += b.class.size()
		p.free[b.class] = append(p.free[b.class], b)
	}
	p.serve()
}

// serve hands memory to those who wait, in their order; the caller holds p.mu.
func (p *Pool) serve() {
	for w := p.waiters.first; w != nil && p.fits(w.class); w = p.waiters.first {
		p.waiters.remove(w)
		w.got <- p.take(w.class, w.n)
	}
}

// shrink gives idle buffers back to the system, the largest first, until at most keep bytes of them are left.
func (p *Pool) shrink(keep int64) {
	for c := class(classes - 1); c >= 0 && p.idle > max(keep, 0); c-- {
		for p.idle > max(keep, 0) {
			b := p.reuse(c)
			if b == nil {
				break
			}
			b.unmap()
		}
	}
}
