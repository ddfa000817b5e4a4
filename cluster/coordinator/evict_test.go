package coordinator

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"chronik/metalog/image"
)

// A key that goes to another node takes its callers with it at once, and what it had in flight ends before it can come
// back: a machine made before that would go by what is about to change.
func TestKeysComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{delay: time.Second}
		var mine atomic.Bool
		mine.Store(true)
		made := 0
		r := New(Options[*counter]{
			Log: j, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
			New:  func(key string, _ Instant) *counter { made++; return &counter{key: key, n: 1} },
			Mine: func(string) bool { return mine.Load() },
		})
		defer r.Close()
		var callers sync.WaitGroup
		callers.Go(func() {
			if _, err := record(t.Context(), r, "k", "1"); !errors.Is(err, ErrNotMine) {
				t.Error("a caller with a record in flight:", err)
			}
		})
		callers.Go(func() {
			_, err := r.Call(t.Context(), "k", func(*counter, Instant, Ticket, *Effects) {})
			if !errors.Is(err, ErrNotMine) {
				t.Error("a caller that waits for others:", err)
			}
		})
		synctest.Wait()
		begun := time.Now()
		mine.Store(false)
		if err := r.Tell("k", nil); !errors.Is(err, ErrNotMine) {
			t.Error("while it is another's:", err)
		}
		r.Evict()
		callers.Wait()
		if time.Since(begun) > 0 || len(r.Keys()) != 0 {
			t.Errorf("evicted after %v, %v are left", time.Since(begun), r.Keys())
		}
		mine.Store(true)
		if err := r.Tell("k", nil); !errors.Is(err, ErrLeaving) {
			t.Error("back, with a record in flight:", err)
		}
		<-time.After(2 * time.Second)
		synctest.Wait()
		if made != 2 || len(r.Keys()) != 1 || len(j.entries) != 1 {
			t.Errorf("%d machines were made, live are %v, entries %v", made, r.Keys(), j.entries)
		}
		if err := r.Tell("k", func(*counter, Instant, *Effects) {}); err != nil {
			t.Error("when all is known:", err)
		}
	})
}

// What an evicted machine is told of its records must not reach the one that took its place.
func TestEvictedMachineIsToldNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mine atomic.Bool
		mine.Store(true)
		r := New(Options[*counter]{
			Log: &journal{delay: time.Second}, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
			New:  func(key string, _ Instant) *counter { return &counter{key: key} },
			Mine: func(string) bool { return mine.Load() },
		})
		defer r.Close()
		told := false
		err := r.Tell("k", func(_ *counter, _ Instant, fx *Effects) {
			fx.Propose(func(Instant, error, *Effects) { told = true }, image.RemoveGroupRecord{})
		})
		mine.Store(false)
		r.Evict()
		<-time.After(2 * time.Second)
		synctest.Wait()
		if err != nil || told {
			t.Error(err, told)
		}
		mine.Store(true)
		if err := r.Tell("k", func(*counter, Instant, *Effects) {}); err != nil {
			t.Error(err)
		}
	})
}
