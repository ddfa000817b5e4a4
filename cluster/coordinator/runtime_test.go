package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// journal is a log that keeps what it is given, takes its time and refuses what it is told to.
type journal struct {
	delay  time.Duration
	refuse string

	mu      sync.Mutex
	entries [][]image.Record
}

func (j *journal) ProposeEach(ctx context.Context, _ bool, proposals [][]image.Record) []error {
	errs := make([]error, len(proposals))
	select {
	case <-time.After(j.delay):
	case <-ctx.Done():
		return slices.Repeat([]error{ctx.Err()}, len(proposals))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	var entry []image.Record
	for i, recs := range proposals {
		if j.refuse != "" && slices.Contains(recs, image.Record(image.RemoveGroupRecord{ID: j.refuse})) {
			errs[i] = fmt.Errorf("applying: %w", kerr.InvalidRequest)
		} else {
			entry = append(entry, recs...)
		}
	}
	j.entries = append(j.entries, entry)
	return errs
}

// counter is a machine that counts what it is told.
type counter struct {
	key      string
	n        int
	deadline time.Duration // 0: none
	expired  []time.Duration
}

func (c *counter) Deadline() (time.Duration, bool) { return c.deadline, c.deadline != 0 }
func (c *counter) Idle() bool                      { return c.n == 0 }
func (c *counter) Expire(now Instant, _ *Effects) {
	c.deadline = 0
	c.expired = append(c.expired, now.Up)
}

func start(j *journal) *Runtime[*counter] {
	return New(Options[*counter]{
		Log: j, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		New: func(key string, _ int64, _ Instant) *counter { return &counter{key: key} },
	})
}

// record proposes one record and answers with the outcome.
func record(ctx context.Context, r *Runtime[*counter], key, id string) (any, error) {
	return r.Call(ctx, key, func(c *counter, _ Instant, t Ticket, fx *Effects) {
		fx.Propose(func(_ Instant, err error, fx *Effects) { fx.Answer(t, err) }, image.RemoveGroupRecord{ID: id})
	})
}

func TestWhatArrivesWhileABatchIsInFlightSharesTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{delay: time.Millisecond}
		r := start(j)
		var callers sync.WaitGroup
		for i := range 10 {
			callers.Go(func() {
				if got, err := record(t.Context(), r, fmt.Sprint("k", i), fmt.Sprint(i)); got != nil || err != nil {
					t.Error(got, err)
				}
			})
			synctest.Wait()
		}
		callers.Wait()
		if len(j.entries) != 2 || len(j.entries[0]) != 1 || len(j.entries[1]) != 9 {
			t.Errorf("%d entries: %v", len(j.entries), j.entries)
		}
		for i, rec := range j.entries[1] {
			if want := fmt.Sprint(i + 1); rec != image.Record(image.RemoveGroupRecord{ID: want}) {
				t.Errorf("record %d is %v: not in the order of the calls", i, rec)
			}
		}
		r.Close()
	})
}

func TestARefusedRecordMustNotTakeOthersDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{delay: time.Millisecond, refuse: "2"}
		r := start(j)
		var callers sync.WaitGroup
		outcomes := make([]any, 5)
		for i := range outcomes {
			callers.Go(func() { outcomes[i], _ = record(t.Context(), r, "k", fmt.Sprint(i)) })
			synctest.Wait()
		}
		callers.Wait()
		for i, got := range outcomes {
			if err, _ := got.(error); (i == 2) != errors.Is(err, kerr.InvalidRequest) {
				t.Errorf("%d: %v", i, got)
			}
		}
		r.Close()
	})
}

func TestALogThatDoesNotAnswerIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(&journal{delay: time.Hour})
		begin := time.Now()
		got, err := record(t.Context(), r, "k", "x")
		if outcome, _ := got.(error); err != nil || !errors.Is(outcome, context.DeadlineExceeded) {
			t.Error(got, err)
		}
		if waited := time.Since(begin); waited != 5*time.Second {
			t.Error(waited)
		}
		r.Close()
	})
}

// A proposal that finds its queue full fails at once. Its machine must not be forgotten by that while another of its
// proposals is queued: there would be two machines of one key.
func TestAFullQueueMustNotMakeTwoMachines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(&journal{delay: time.Second})
		crowd, key := "crowd", "key"
		none := func(Instant, error, *Effects) {}
		for _, n := range []int{maxBatch, maxQueued} { // the first batch is in flight when the others queue
			r.Tell(crowd, func(c *counter, _ Instant, fx *Effects) {
				for range n {
					fx.ProposeLow(none, image.RemoveGroupRecord{})
				}
			})
			synctest.Wait()
		}
		outcomes := make(chan error, 2)
		tell := func(_ Instant, err error, _ *Effects) { outcomes <- err }
		r.Tell(key, func(_ *counter, _ Instant, fx *Effects) {
			fx.ProposeLow(tell, image.RemoveGroupRecord{})
			fx.Propose(tell, image.RemoveGroupRecord{})
		})
		if err := <-outcomes; !errors.Is(err, kerr.CoordinatorNotAvailable) || !slices.Contains(r.Keys(), key) {
			t.Errorf("machines %v, outcome %v", r.Keys(), err)
		}
		err := <-outcomes
		synctest.Wait()
		if err != nil || slices.Contains(r.Keys(), key) {
			t.Errorf("machines %v, outcome %v", r.Keys(), err)
		}
		r.Close()
	})
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(&journal{})
		set := func(key string, at time.Duration) {
			r.Tell(key, func(c *counter, _ Instant, _ *Effects) { c.n, c.deadline = 1, at })
		}
		set("late", time.Minute)
		set("soon", time.Second)
		set("put off", time.Second)
		set("put off", 3*time.Second)
		set("brought forward", time.Hour)
		set("brought forward", 2*time.Second)
		set("taken back", time.Second)
		set("taken back", 0)
		synctest.Wait()
		<-time.After(10 * time.Second)
		synctest.Wait()
		want := map[string]string{
			"late": "[]", "soon": "[1s]", "put off": "[3s]", "brought forward": "[2s]", "taken back": "[]",
		}
		for key, times := range want {
			r.View(key, func(c *counter) {
				if got := fmt.Sprint(c.expired); got != times {
					t.Errorf("%s expired at %s, want %s", key, got, times)
				}
			})
		}
		r.Close()
	})
}

func TestAnIdleMachineIsForgottenUnlessSomethingIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(&journal{delay: time.Second})
		var first *counter
		go record(t.Context(), r, "k", "x")
		synctest.Wait()
		r.View("k", func(c *counter) { first = c })
		r.Tell("k", func(c *counter, _ Instant, _ *Effects) {
			if c != first {
				t.Error("forgotten with a proposal in flight")
			}
		})
		<-time.After(2 * time.Second)
		synctest.Wait()
		if keys := r.Keys(); len(keys) != 0 {
			t.Errorf("kept %v", keys)
		}
		r.Close()
	})
}

func TestCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(&journal{})
		never := func(c *counter, _ Instant, _ Ticket, _ *Effects) { c.n = 1 }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Call(ctx, "k", never); !errors.Is(err, context.DeadlineExceeded) {
			t.Error("a caller that went away:", err)
		}
		closed := make(chan error)
		go func() {
			_, err := r.Call(t.Context(), "k", never)
			closed <- err
		}()
		synctest.Wait()
		r.Close()
		if err := <-closed; !errors.Is(err, ErrClosed) {
			t.Error("a caller that waits while the runtime closes:", err)
		}
		if _, err := r.Call(t.Context(), "k", never); !errors.Is(err, ErrClosed) {
			t.Error("a caller after that:", err)
		}
	})
}

func TestEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(&journal{})
		times := 0
		r.Every(func() time.Duration { return time.Minute }, func(context.Context) { times++ })
		<-time.After(time.Minute*5 + time.Second)
		r.Close()
		if times != 5 {
			t.Errorf("%d times in five minutes", times)
		}
	})
}
