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

// tenure is a Mine that is told.
type tenure struct {
	since atomic.Int64
	lost  atomic.Bool
}

func (t *tenure) mine(string) (int64, bool) { return t.since.Load(), !t.lost.Load() }

// A key that goes to another node takes its callers with it at once. When it comes back, a new machine is made.
func TestKeysComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{delay: time.Second}
		var at tenure
		made := 0
		r := New(Options[*counter]{
			Log: j, Now: time.Now, Logger: slog.New(slog.DiscardHandler), Mine: at.mine,
			New: func(key string, _ int64, _ Instant) *counter { made++; return &counter{key: key, n: 1} },
		})
		defer r.Close()
		var callers sync.WaitGroup
		callers.Go(func() {
			if _, err := record(t.Context(), r, "k", "1"); !errors.Is(err, ErrNotMine) {
				t.Error("a caller with a record in flight:", err)
			}
		})
		callers.Go(func() { waitFor(t, r) })
		synctest.Wait()
		begun := time.Now()
		at.lost.Store(true)
		if err := r.Tell("k", nil); !errors.Is(err, ErrNotMine) {
			t.Error("while it is another's:", err)
		}
		r.Evict()
		callers.Wait()
		if time.Since(begun) > 0 || len(r.Keys()) != 0 {
			t.Errorf("evicted after %v, %v are left", time.Since(begun), r.Keys())
		}
		at.lost.Store(false)
		at.since.Store(7)
		if err := r.Tell("k", func(*counter, Instant, *Effects) {}); err != nil {
			t.Error("back:", err)
		}
		<-time.After(2 * time.Second)
		synctest.Wait()
		if made != 2 || len(r.Keys()) != 1 || len(j.entries) != 1 {
			t.Errorf("%d machines were made, live are %v, entries %v", made, r.Keys(), j.entries)
		}
	})
}

// waitFor waits for others until the key goes.
func waitFor(t *testing.T, r *Runtime[*counter]) {
	if _, err := r.Call(t.Context(), "k", func(*counter, Instant, Ticket, *Effects) {}); !errors.Is(err, ErrNotMine) {
		t.Error("a caller that waits for others:", err)
	}
}

// A key that was another node's for so short a time that nobody has looked must not go on with what was known before.
func TestMachinesOfAnEarlierTenureAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at tenure
		r := New(Options[*counter]{
			Log: &journal{}, Now: time.Now, Logger: slog.New(slog.DiscardHandler), Mine: at.mine,
			New: func(key string, since int64, _ Instant) *counter { return &counter{key: key, n: 1 + int(since)} },
		})
		defer r.Close()
		var callers sync.WaitGroup
		callers.Go(func() { waitFor(t, r) })
		synctest.Wait()
		at.since.Store(4)
		r.View("k", func(m *counter) {
			if m.n != 5 {
				t.Errorf("shown is the machine since %d", m.n-1)
			}
		})
		if err := r.Tell("k", func(m *counter, _ Instant, _ *Effects) {
			if m.n != 5 {
				t.Errorf("told is the machine since %d", m.n-1)
			}
		}); err != nil {
			t.Error(err)
		}
		callers.Wait()
	})
}

// What an evicted machine has under way must not be told to the one that took its place.
func TestEvictedMachineIsToldNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at tenure
		r := New(Options[*counter]{
			Log: &journal{delay: time.Second}, Now: time.Now, Logger: slog.New(slog.DiscardHandler), Mine: at.mine,
			New: func(key string, _ int64, _ Instant) *counter { return &counter{key: key, n: 1} },
		})
		defer r.Close()
		told := false
		err := r.Tell("k", func(_ *counter, _ Instant, fx *Effects) {
			fx.Propose(func(Instant, error, *Effects) { told = true }, image.RemoveGroupRecord{})
		})
		at.since.Store(3)
		if err := r.Tell("k", func(*counter, Instant, *Effects) {}); err != nil {
			t.Error(err)
		}
		<-time.After(2 * time.Second)
		synctest.Wait()
		if err != nil || told {
			t.Error(err, told)
		}
	})
}
