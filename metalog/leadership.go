package metalog

import (
	"sync"

	"github.com/hashicorp/raft"
)

// leadership wakes those who wait for a leader.
type leadership struct {
	raft     engine
	seen     chan raft.Observation
	observer *raft.Observer

	mu      sync.Mutex
	changed chan struct{}
	calls   []func()

	stopping, stopped chan struct{}
}

func newLeadership(r engine) *leadership {
	l := &leadership{
		raft: r, seen: make(chan raft.Observation, 1), changed: make(chan struct{}),
		stopping: make(chan struct{}), stopped: make(chan struct{}),
	}
	// One that finds the channel full is dropped: who will read the one in there looks afterwards.
	l.observer = raft.NewObserver(l.seen, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState:
			return true
		}
		return false
	})
	r.RegisterObserver(l.observer)
	go l.follow()
	return l
}

// next is closed when something has changed since. Who waits takes it first, then looks, then waits.
func (l *leadership) next() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

// call has fn called after each change.
func (l *leadership) call(fn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, fn)
}

// wake has those who wait look again.
func (l *leadership) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
}

// leads says whether this node leads, as far as it knows.
func (l *leadership) leads() bool { return l.raft.State() == raft.Leader }

// term is that in which this node leads, as far as it knows. It is read behind the state: should the leadership end between
// the two, it is one of another leader.
func (l *leadership) term() (term uint64, leads bool) {
	leads = l.leads()
	return l.raft.CurrentTerm(), leads
}

// leader is the server that leads, "" when unknown.
func (l *leadership) leader() raft.ServerID {
	_, id := l.raft.LeaderWithID()
	return id
}

func (l *leadership) follow() {
	defer close(l.stopped)
	for {
		select {
		case <-l.seen:
			l.wake()
			l.mu.Lock()
			calls := l.calls
			l.mu.Unlock()
			for _, fn := range calls {
				fn()
			}
		case <-l.stopping:
			return
		}
	}
}

func (l *leadership) stop() {
	l.raft.DeregisterObserver(l.observer)
	close(l.stopping)
	<-l.stopped
}
