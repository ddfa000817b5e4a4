package cluster

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

// steps are what a session does, in order.
type steps struct {
	done    []string
	serving bool
	failure error // of catching up
}

func (s *steps) Serving() bool { return s.serving }

func (s *steps) Serve(time.Time) {
	s.done, s.serving = append(s.done, "serve"), true
}

func (s *steps) catchUp(context.Context) error {
	s.done = append(s.done, "catch up")
	return s.failure
}

// The controller takes a broker back that had been cut off for longer than its session. What it led before has another
// leader by then, and it must not serve that before it knows.
func TestABrokerThatCouldNotServeServesNothingBeforeItHasCaughtUp(t *testing.T) {
	s, did := (&Node{}).newSession(1), &steps{serving: true}
	beat := func() error { return s.serve(t.Context(), did, did.catchUp, time.Now()) }
	expect := func(err error, want ...string) {
		t.Helper()
		if !errors.Is(err, did.failure) || (err == nil) != (did.failure == nil) || !slices.Equal(did.done, want) {
			t.Errorf("%v, it did %q, want %q", err, did.done, want)
		}
		did.done = nil
	}
	expect(beat(), "catch up", "serve") // it has just started
	expect(beat(), "serve")
	did.serving = false
	did.failure = errors.New("no leader")
	expect(beat(), "catch up")
	expect(beat(), "catch up")
	did.failure = nil
	expect(beat(), "catch up", "serve")
	expect(beat(), "serve")
}
