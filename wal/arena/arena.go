// Package arena hands out page-aligned, counted buffers of memory that the garbage collector does not see. A request
// is read into one, the write-ahead log writes that very buffer to disk, and readers are served from it until its last
// holder lets go. The total is bounded by the pool's limit; memory is used again because the first touch of fresh
// memory is dear. It does not know what the bytes mean.
package arena

import (
	"context"
	"runtime"
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
	region   region
	touching bool
	free     []*Buf // without memory
	waiters  queue
	pressure func(need int64)
}

// New returns a pool that hands out limit bytes, but for what Overdraw takes beyond.
func New(limit int64) *Pool {
	p := &Pool{}
	p.limit = max(limit, Page)
	p.region = newRegion(p.limit &^ (Page - 1))
	runtime.AddCleanup(p, Unmap, p.region.mem)
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
	for range 3 { // what is let go first may lie at the end of the region, in a piece that is too small
		if b := p.try(n, false); b != nil {
			return b, nil
		}
		if fn := p.hook(); fn != nil {
			fn(pagesOf(n))
		}
	}
	for {
		if b := p.try(n, true); b != nil {
			return b, nil
		}
		w := p.enqueue(n)
		if w == nil {
			continue
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
}

// Overdraw is Get that never waits: it may exceed the limit. For holders that must not block and whose own number is bounded.
func (p *Pool) Overdraw(n int) *Buf {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.take(n, p.region.take(int(pagesOf(n)/Page)))
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

// try is a Get that gives up: nil when the limit is reached or others wait already, or when the free memory is in pieces
// that are too small, unless scattered allows for that.
func (p *Pool) try(n int, scattered bool) *Buf {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiters.len > 0 || !p.fits(n) {
		return nil
	}
	mem := p.region.take(int(pagesOf(n) / Page))
	if mem == nil && !scattered {
		return nil
	}
	return p.take(n, mem)
}

// enqueue puts the caller in line; nil when memory came free in between and nobody is before it.
func (p *Pool) enqueue(n int) *waiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiters.len == 0 && p.fits(n) {
		return nil
	}
	w := &waiter{n: n, got: make(chan *Buf, 1)}
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

// fits says whether a buffer of n bytes may be handed out; the caller holds p.mu.
func (p *Pool) fits(n int) bool {
	return p.inUse+min(pagesOf(n), p.limit/4*3) <= p.limit
}

// take makes a buffer of mem, or of memory of its own when there is none; the caller holds p.mu.
func (p *Pool) take(n int, mem []byte) *Buf {
	var b *Buf
	if k := len(p.free); k > 0 {
		b, p.free = p.free[k-1], p.free[:k-1]
	} else {
		b = &Buf{}
	}
	b.pool, b.mem, b.mapped, b.n, b.sums = p, mem, mem == nil, n, b.sums[:0]
	if b.mapped {
		b.mem = mapMemory(pagesOf(n))
		p.region.giveBack(pagesOf(n))
	}
	p.inUse += int64(len(b.mem))
	b.refs.Store(1)
	p.touchAhead()
	return b
}

// touchAhead keeps a little more memory touched than the runs have reached; the caller holds p.mu.
func (p *Pool) touchAhead() {
	if p.touching {
		return
	}
	mem := p.region.cold()
	if len(mem) == 0 {
		return
	}
	p.touching = true
	go func() {
		touch(mem)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.touching = false
	}()
}

// put takes back a buffer without holders.
func (p *Pool) put(b *Buf) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inUse -= int64(len(b.mem))
	if b.mapped {
		Unmap(b.mem)
	} else {
		p.region.put(b.mem)
	}
	b.mem = nil
	p.free = append(p.free, b)
	p.serve()
}

// serve hands memory to those who wait, in their order; the caller holds p.mu.
func (p *Pool) serve() {
	for w := p.waiters.first; w != nil && p.fits(w.n); w = p.waiters.first {
		p.waiters.remove(w)
		w.got <- p.take(w.n, p.region.take(int(pagesOf(w.n)/Page)))
	}
}
