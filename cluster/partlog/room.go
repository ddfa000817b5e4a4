package partlog

import (
	"sync"
	"sync/atomic"
	"time"

	"chronik/wal/arena"
)

// room holds producers back when cutting cannot keep up with them, so that the write-ahead log stays below twice its
// budget, and the file being written. Beyond one and a half budgets they may write as much as cutting copies: they are
// slowed down to its speed, not stopped until a whole run is done.
type room struct {
	end atomic.Int64 // position beyond which Commit waits

	mu      sync.Mutex    // guards what follows
	changed chan struct{} // closed when end moved; nil when nobody waits
	scarce  bool          // since the log was last cut below its budget somebody has waited
}

// Commit has what was appended written (see wal.Log.Commit), and then waits as long as the write-ahead log is far larger
// than its budget. It must be called without locks that anybody else may wait for, once for each request.
func (s *Store) Commit() {
	s.wal.Commit()
	s.awaitWriter()
	s.awaitRoom()
}

// CommitSoon is Commit for callers that have something better to do than to write themselves (see wal.Log.CommitSoon).
func (s *Store) CommitSoon() {
	s.wal.CommitSoon()
	s.awaitWriter()
	s.awaitRoom()
}

// unwritten is the share of the memory's limit that may wait for the disk beyond it: small requests are copied, whatever is left.
const unwritten = 8

// awaitWriter waits as long as far more waits to be written than is under way at any time. Who waits for acknowledgements never has
// that much; a producer that wants none (acks=0) sends as fast as it can, and the disk may be slower, or hang. It waits for this node's
// disk alone, and only while somebody writes.
func (s *Store) awaitWriter() {
	for {
		went := s.wal.Behind(s.options.Pool.Limit() / unwritten)
		if went == nil {
			return
		}
		select {
		case <-went:
		case <-s.stop:
			return
		case <-s.failed:
			return
		}
	}
}

// followInline is the bytes of records up to which who has copied them writes to disk itself: then the hand-over would cost more than
// a thread that waits in a system call, and a round that carries so few is waited for by the leader's clients.
const followInline = arena.Page

// CommitFollowed is Commit for n bytes that were copied from leaders. It waits for room for a second at most: two nodes that follow
// each other must not wait for each other's records to be replicated before they replicate.
func (s *Store) CommitFollowed(n int) {
	if n <= followInline {
		s.wal.Commit()
	} else {
		s.wal.CommitSoon()
	}
	if !s.hasRoom() {
		s.awaitSome(time.After(time.Second))
	}
}

func (s *Store) awaitRoom() { s.awaitSome(nil) }

// awaitSome waits for room, or until over is.
func (s *Store) awaitSome(over <-chan time.Time) {
	for !s.hasRoom() {
		changed := s.room.wait(s)
		if s.hasRoom() {
			return
		}
		s.nudge()
		select {
		case <-changed:
		case <-over:
			return
		case <-s.stop:
			return
		case <-s.failed:
			return
		}
	}
}

func (s *Store) hasRoom() bool { return s.newest.Load() <= s.room.end.Load() }

// wait returns a channel that is closed when there may be room. Look again after it: what moved before closes nothing.
func (r *room) wait(s *Store) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.scarce {
		r.scarce = true
		s.options.Logger.Warn("producers have to wait: cutting segments is slower than they are",
			"wal", s.newest.Load()-s.oldest.Load(), "budget", s.budget())
	}
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return r.changed
}

// wake has all who wait look again; the caller holds r.mu.
func (r *room) wake() {
	if r.changed != nil {
		close(r.changed)
	}
	r.changed = nil
}

// copied makes as much room as was copied into segments: a checkpoint will free it.
func (r *room) copied(n int64) {
	r.end.Add(n)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wake()
}

// set makes room up to end; enough says that the log is within its budget again.
func (r *room) set(end int64, enough bool) {
	r.end.Store(end)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.scarce = r.scarce && !enough
	r.wake()
}
