package metalog

import (
	"fmt"
	"testing"
)

// Commits of offsets fill one entry after the other. What comes in between waits for none of those that are queued: it goes
// with the next entry, also ahead of the commits that did not fit into the one before.
func TestAChangeOfTopicsGoesAheadOfCommits(t *testing.T) {
	b := &batcher{first: make(chan *parcel, queued), second: make(chan *parcel, queued)}
	put := func(low bool, count, size int) {
		p := &parcel{ctx: t.Context(), bodies: make([][]byte, count), size: size, low: low}
		if low {
			b.second <- p
		} else {
			b.first <- p
		}
	}
	next := func() (entry string) {
		for _, p := range b.gather(b.poll()) {
			entry += fmt.Sprintf("%v:%d ", p.low, len(p.bodies))
		}
		return entry
	}
	for range 5 {
		put(true, maxTogether-2, 1)
	}
	put(true, 1, maxParcel)
	check := func(want string) {
		t.Helper()
		if got := next(); got != want {
			t.Errorf("an entry of %s, want %s", got, want)
		}
	}
	check(fmt.Sprintf("true:%d ", maxTogether-2)) // one is held now
	put(false, 1, 1)
	check(fmt.Sprintf("false:1 true:%d ", maxTogether-2))
	put(false, 2, 1)
	put(false, maxTogether, 1) // does not fit behind the two, and is ahead of the commits that are held
	check("false:2 ")
	put(false, 3, 1)
	check(fmt.Sprintf("false:%d ", maxTogether))
	check("false:3 ")
	for range 3 {
		check(fmt.Sprintf("true:%d ", maxTogether-2))
	}
	check("true:1 ")
}
