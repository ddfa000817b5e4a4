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
	image atomic.Pointer[image.Image]

	mu       sync.Mutex // held while watchers are told, so that each gets every delta once and in order
	watchers []image.Watcher
	waiters  []*waiter
}

type waiter struct {
	index image.Index
	here  chan struct{}
}

func newViews(m *image.Image) *views {
	v := &views{}
	v.image.Store(m)
	return v
}

// publish shows the new image first, since watchers look at it, and wakes waiters last: who has waited for an index
// finds that the watchers know of it.
func (v *views) publish(d *image.Delta) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.image.Store(d.New)
	for _, w := range v.watchers {
		w.Apply(d)
	}
	v.waiters = slices.DeleteFunc(v.waiters, func(w *waiter) bool {
		if w.index > d.New.Index() {
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
	if v.image.Load().Index() >= index {
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
