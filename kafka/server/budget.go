package server

import (
	"context"
	"sync"
)

// budget is memory that requests take for what they are decoded into, or their answers made of: those who ask when there is none
// left wait, first come first served. Whoever asks for more than there ever is gets it all.
type budget struct {
	size int64

	mu   sync.Mutex
	used int64   // guarded by mu
	line []*turn // guarded by mu
}

type turn struct {
	n  int64
	on chan struct{} // closed when n was taken
}

// try is take for who does not wait.
func (b *budget) try(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.grab(min(n, b.size))
}

// grab is called with mu held.
func (b *budget) grab(n int64) bool {
	if len(b.line) > 0 || b.used+n > b.size {
		return false
	}
	b.used += n
	return true
}

func (b *budget) take(ctx context.Context, n int64) error {
	n = min(n, b.size)
	b.mu.Lock()
	if b.grab(n) {
		b.mu.Unlock()
		return nil
	}
	t := &turn{n, make(chan struct{})}
	b.line = append(b.line, t)
	b.mu.Unlock()
	select {
	case <-t.on:
		return nil
	case <-ctx.Done():
		b.leave(t)
		return ctx.Err()
	}
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= min(n, b.size)
	b.serve()
}

// leave gives up t's place in the line, or what it got just now.
func (b *budget) leave(t *turn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.line {
		if b.line[i] == t {
			b.line = append(b.line[:i], b.line[i+1:]...)
			b.serve() // those behind may want less
			return
		}
	}
	b.used -= t.n
	b.serve()
}

// serve is called with mu held.
func (b *budget) serve() {
	for len(b.line) > 0 && b.used+b.line[0].n <= b.size {
		b.used += b.line[0].n
		close(b.line[0].on)
		b.line = b.line[1:]
	}
}

func (b *budget) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.line)
}
