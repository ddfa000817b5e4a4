package metalog

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"chronik/metalog/image"
)

// views is the image as others see it: those who look, those who watch, and those who wait for an index.
type views struct {
	image   atomic.Pointer[image.Image]
	reached atomic.Uint64 // the last entry that was applied; it may have changed nothing

	mu       sync.Mutex // held while watchers are told, so that each gets every delta once and in order
	watchers []image.Watcher
	waiters  []*waiter
}

type waiter struct {
	index image.Index
	here  chan struct{}
}

// newViews begins with the image as it is behind an entry.
func newViews(m *image.Image, reached uint64) *views {
	v := &views{}
	v.image.Store(m)
	v.reached.Store(max(reached, uint64(m.Index())))
	return v
}

// publish shows the new image first, since watchers look at it, and wakes waiters last: who has waited for an index
// finds that the watchers know of it. d is nil when the entry changed nothing.
func (v *views) publish(reached uint64, d *image.Delta) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if d != nil {
		v.image.Store(d.New)
		for _, w := range v.watchers {
			w.Apply(d)
		}
	}
	v.reached.Store(reached)
	v.waiters = slices.DeleteFunc(v.waiters, func(w *waiter) bool {
		if uint64(w.index) > reached {
			return false
		}
		close(w.here)
		return true
	})
}

func (v *views) watch(w image.Watcher) {
	v.mu.Lock()
	defer v.mu.Unlock()
	w.Apply(image.Between(image.Empty(), v.image.Load()))
	v.watchers = append(v.watchers, w)
}

func (v *views) wait(ctx context.Context, index image.Index, f *failure) error {
	w := v.enlist(index)
	if w == nil {
		return nil
	}
	select {
	case <-w.here:
		return nil
	case <-ctx.Done():
		v.dismiss(w)
		return ctx.Err()
	case <-f.happened:
		v.dismiss(w)
		return f.err()
	}
}

// enlist is nil when there is nothing to wait for.
func (v *views) enlist(index image.Index) *waiter {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.reached.Load() >= uint64(index) {
		return nil
	}
	w := &waiter{index, make(chan struct{})}
	v.waiters = append(v.waiters, w)
	return w
}

func (v *views) dismiss(w *waiter) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.waiters = slices.DeleteFunc(v.waiters, func(other *waiter) bool { return other == w })
}
