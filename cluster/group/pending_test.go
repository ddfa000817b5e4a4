package group

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chronik/cluster/coordinator"
)

// After each call the runtime asks for the deadline, with the lock of the group's shard. A client that asked for many ids and used
// none held everybody up.
func TestACallMustNotGoThroughAllIDsGivenOut(t *testing.T) {
	w := newWorld(t)
	for i := range 50_000 {
		w.do(func(fx *coordinator.Effects) {
			w.m.join(w.now, joinRequest{
				ticket: w.ticket("join"), version: 4, newMemberID: fmt.Sprint("m", i), protocolType: consumerProtocol,
				protocols: []protocol{{"range", nil}}, session: time.Minute, rebalance: time.Minute,
			}, fx)
		})
	}
	fastest := time.Hour
	for range 10 {
		begun := time.Now()
		for range 100 {
			w.m.Deadline()
		}
		fastest = min(fastest, time.Since(begun))
	}
	if fastest > 5*time.Millisecond { // a nanosecond for each id
		t.Errorf("100 calls took %v", fastest)
	}
	w.wait(time.Minute)
	if w.classic().pending.any() {
		t.Error("some ids count still")
	}
}

// TestPending compares with a map that is walked.
func TestPending(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var is pending
		want := map[string]time.Duration{}
		var now time.Duration
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			id := pick(t, "id", []string{"a", "b", "c", "d", "e", "f"})
			switch pick(t, "step", []string{"add", "add", "drop", "expire"}) {
			case "add":
				want[id] = now + time.Duration(rapid.IntRange(1, 9).Draw(t, "for"))
				is.add(id, want[id])
			case "drop":
				_, there := want[id]
				delete(want, id)
				if is.drop(id) != there {
					t.Fatalf("%s: there %v", id, !there)
				}
			default:
				now += time.Duration(rapid.IntRange(0, 5).Draw(t, "passes"))
				expired := false
				for id, until := range want {
					if until <= now {
						delete(want, id)
						expired = true
					}
				}
				if is.expire(now) != expired {
					t.Fatalf("expired %v", !expired)
				}
			}
			next := never
			for _, until := range want {
				next = min(next, until)
			}
			if is.next() != next || is.any() != (len(want) > 0) || len(is.byID) != len(want) {
				t.Fatalf("the next of %v is %v", want, is.next())
			}
		}
	})
}
