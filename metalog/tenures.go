package metalog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// tenures runs what Lead was given from the beginning of each leadership to its end. A new tenure begins when all that
// ran in the last one has returned.
type tenures struct {
	raft    engine
	watch   *leadership
	reads   *reads
	failure *failure
	changes <-chan bool // raft's; it blocks when this is not drained

	mu  sync.Mutex
	fns []func(context.Context, uint64) error
	now *tenure // nil when this node does not lead, or the barrier has not passed

	begun    chan struct{} // closed when the first tenure begins
	stopping chan struct{}
	stopped  chan struct{}
}

type tenure struct {
	ctx  context.Context
	end  context.CancelFunc
	term uint64
	runs sync.WaitGroup
}

func newTenures(r engine, l *leadership, reads *reads, changes <-chan bool, f *failure) *tenures {
	t := &tenures{
		raft: r, watch: l, reads: reads, failure: f, changes: changes,
		begun: make(chan struct{}), stopping: make(chan struct{}), stopped: make(chan struct{}),
	}
	go t.follow()
	return t
}

func (t *tenures) lead(fn func(context.Context, uint64) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fns = append(t.fns, fn)
	if t.now != nil {
		t.run(t.now, fn)
	}
}

// stop ends the tenure and waits for what runs in it. It is called once.
func (t *tenures) stop() {
	close(t.stopping)
	<-t.stopped
}

func (t *tenures) follow() {
	defer close(t.stopped)
	defer t.finish()
	for {
		select {
		case leads := <-t.changes:
			t.finish()
			if leads {
				t.begin()
			}
		case <-t.failure.happened:
			t.finish()
			<-t.stopping
			return
		case <-t.stopping:
			return
		}
	}
}

// begin waits for the barrier: before it the image may lack what the last leader was promised. The term must be the same
// before and behind it, so that it is that in which this node led: it may lead no more.
func (t *tenures) begin() {
	term := t.raft.CurrentTerm()
	if err := t.barrier(); err != nil || t.raft.CurrentTerm() != term {
		return // the leadership has gone again; changes will say so
	}
	defer t.watch.wake()
	ctx, end := context.WithCancel(context.Background())
	now := &tenure{ctx: ctx, end: end, term: term}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now = now
	for _, fn := range t.fns {
		t.run(now, fn)
	}
	select {
	case <-t.begun:
	default:
		close(t.begun)
	}
}

// barrier tries again while this node is handing its leadership over: that may fail, and then nothing says that it goes on leading.
func (t *tenures) barrier() error {
	for {
		err := t.failure.await(func() error { return t.raft.Barrier(0).Error() })
		if !errors.Is(err, raft.ErrLeadershipTransferInProgress) {
			return err
		}
		select {
		case <-time.After(holdCheck):
		case <-t.stopping:
			return err
		}
	}
}

// run needs mu, so that no run is added to a tenure that finish waits for.
func (t *tenures) run(in *tenure, fn func(context.Context, uint64) error) {
	in.runs.Go(func() {
		err := fn(in.ctx, in.term)
		if err == nil || in.ctx.Err() != nil || leadershipGone(err) {
			return
		}
		t.failure.set(fmt.Errorf("lead in term %d: %w", in.term, err))
	})
}

// readIndex is an entry such that an image that includes it includes everything that was committed before the call. It
// costs no entry: others confirm that this node still leads. An error is errNotProposed when it does not.
func (t *tenures) readIndex(ctx context.Context) (image.Index, error) {
	t.mu.Lock()
	now := t.now
	t.mu.Unlock()
	if now == nil || t.failure.err() != nil {
		return 0, errNotProposed // or the barrier has not passed: what was committed before may not be known here yet
	}
	index, err := t.reads.lastCommitted()
	if err != nil {
		return 0, err
	}
	verified := make(chan error, 1)
	go func() { verified <- t.raft.VerifyLeader().Error() }()
	select {
	case err = <-verified:
	case <-ctx.Done():
		err = ctx.Err()
	case <-t.failure.happened:
		err = t.failure.err()
	}
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errNotProposed, err)
	}
	if t.raft.CurrentTerm() != now.term {
		return 0, errNotProposed // it leads in a later term, whose barrier has not passed, and the end of now was not heard of yet
	}
	return index, nil
}

func (t *tenures) finish() {
	t.mu.Lock()
	was := t.now
	t.now = nil
	t.mu.Unlock()
	if was != nil {
		was.end()
		was.runs.Wait()
	}
}

func leadershipGone(err error) bool {
	return errors.Is(err, kerr.NotController) || errors.Is(err, raft.ErrLeadershipLost) ||
		errors.Is(err, raft.ErrRaftShutdown) || errors.Is(err, errClosed) || errors.Is(err, context.Canceled)
}
