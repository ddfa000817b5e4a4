package metalog

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
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

// handingOver is an engine that leads, and tries to hand its leadership over until then.
type handingOver struct {
	engine
	until time.Time
}

func (h handingOver) CurrentTerm() uint64 { return 3 }

func (h handingOver) Barrier(time.Duration) raft.Future {
	if time.Now().Before(h.until) {
		return barrierDone{raft.ErrLeadershipTransferInProgress}
	}
	return barrierDone{}
}

type barrierDone struct{ err error }

func (o barrierDone) Error() error { return o.err }

// A node that is elected, and at once to hand its leadership over, which fails, must lead: nobody else does.
func TestAFailedHandoverLeavesALeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		changes := make(chan bool, 1)
		tenures := newTenures(handingOver{until: time.Now().Add(time.Second)}, &leadership{changed: make(chan struct{})}, nil, changes, newFailure())
		led := make(chan uint64, 1)
		tenures.lead(func(ctx context.Context, term uint64) error {
			led <- term
			<-ctx.Done()
			return nil
		})
		changes <- true
		select {
		case term := <-led:
			if term != 3 {
				t.Errorf("it leads in term %d", term)
			}
		case <-time.After(time.Minute):
			t.Error("it does not lead")
		}
		tenures.stop()
	})
}
