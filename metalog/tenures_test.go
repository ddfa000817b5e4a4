package metalog

import (
	"context"
	"errors"
	"testing"
)

// A node that lost the leadership and has it again may not have heard of either yet. What others committed in between it
// does not know to be committed before the barrier of the new tenure has passed, and so it must not say how far the log goes.
func TestATenureThatIsOverNamesNoReadIndex(t *testing.T) {
	c := founded(t, 3)
	c.same()
	l := c.logs[c.leader()]
	swap := func(to *tenure) (was *tenure) {
		l.tenures.mu.Lock()
		defer l.tenures.mu.Unlock()
		was, l.tenures.now = l.tenures.now, to
		return was
	}
	ctx, end := context.WithCancel(c.soon())
	now := swap(&tenure{ctx: ctx, end: end, term: l.raft.CurrentTerm() - 1})
	index, err := l.tenures.readIndex(ctx)
	swap(now)
	if !errors.Is(err, errNotProposed) {
		t.Errorf("entry %d, %v", index, err)
	}
	c.same()
}
