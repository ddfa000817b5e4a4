// Package coordinator runs deterministic state machines, one per key: a group, later a transactional id. A machine is
// given requests and the time and says what to record, what to answer and when it wants to be called again; the runtime
// has the lock, the timers, the queues to the metadata log and the waiting callers. It does not know what the machines
// do.
//
// Keys come and go between nodes. Who coordinates one, and since when, is a function of the image (Mine). A machine lives
// for one such tenure; when that has ended, Evict forgets it, and so does whoever asks next, should the key have come back.
// What a machine has under way then is refused by the image, which compares the tenure (OwnerSince of groups' records).
//
// A key belongs to one of a few shards. A shard's lock is held while a machine works and while what it wants recorded
// is queued, so the records of a machine enter the log in the order in which they were decided. All shards share two queues,
// one for the few records that others wait for and one for the many (offset commits); of each one batch is in flight while
// the next collects. The queues do not wait for each other: a machine that needs an order across them waits for the outcome
// of the one before it proposes to the other.
package coordinator

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"chronik/metalog/image"
)

// ErrClosed ends the calls that wait when the runtime closes.
var ErrClosed = errors.New("coordinator: closed")

// ErrNotMine ends the calls for a key that another node coordinates, also those that wait when the key goes there.
var ErrNotMine = errors.New("coordinator: not mine")

// Log is where records go (metalog.Log).
type Log interface {
	ProposeEach(ctx context.Context, low bool, proposals [][]image.Record) []error
}

// Instant is the time as machines are told it. Timeouts go by Up: a wall clock that is set forward must not end
// everybody's session.
type Instant struct {
	Up   time.Duration // since the runtime was made; never jumps
	Wall int64         // ms since 1970, for what is recorded
}

// Ticket stands for a caller that waits for an answer. Zero is none.
type Ticket uint64

// Machine is the state of one key. The runtime calls its methods one at a time.
type Machine interface {
	// Deadline is when Expire is due, by Instant.Up; false when nothing is.
	Deadline() (time.Duration, bool)
	Expire(now Instant, fx *Effects)
	// Idle says that the machine holds nothing beyond what a new one finds in the image. It is then forgotten, unless
	// something that it proposed or has worked on is still in flight.
	Idle() bool
}

// Effects collects what a machine wants done. Answers are sent, proposals queued and works begun when the machine has returned.
type Effects struct {
	Answers   []Answer
	Proposals []Proposal
	Works     []Work
}

// Work is something that takes long and needs nothing of the machine: Do runs without the shard's lock, one of the runtime's at a
// time. Then is called when it is done, like any other call of the machine, if that is there still.
type Work struct {
	Do   func()
	Then func(now Instant, fx *Effects)
}

// Answer is Body for the caller that waits with To.
type Answer struct {
	To   Ticket
	Body any
}

// Proposal is records to be agreed on, all or none. Then is told the outcome, like any other call of the machine; an
// error that is not a kerr.Code from the image leaves the outcome unknown.
type Proposal struct {
	Low     bool // behind what others wait for
	Records []image.Record
	Then    func(now Instant, err error, fx *Effects)
}

// Answer sends body to the caller with ticket t. Nothing happens for zero, or when the caller has gone away.
func (fx *Effects) Answer(t Ticket, body any) {
	if t != 0 {
		fx.Answers = append(fx.Answers, Answer{t, body})
	}
}

// Propose queues recs ahead of what ProposeLow queues.
func (fx *Effects) Propose(then func(now Instant, err error, fx *Effects), recs ...image.Record) {
	fx.Proposals = append(fx.Proposals, Proposal{Records: recs, Then: then})
}

// ProposeLow queues recs that are many and can wait a little.
func (fx *Effects) ProposeLow(then func(now Instant, err error, fx *Effects), recs ...image.Record) {
	fx.Proposals = append(fx.Proposals, Proposal{Low: true, Records: recs, Then: then})
}

// Work has do run beside the machine, and then be told.
func (fx *Effects) Work(do func(), then func(now Instant, fx *Effects)) {
	fx.Works = append(fx.Works, Work{do, then})
}

// Options of New.
type Options[M Machine] struct {
	Log     Log
	Now     func() time.Time
	New     func(key string, since int64, now Instant) M // from the image; called under the shard's lock
	Mine    func(key string) (since int64, mine bool)    // whether this node coordinates key by the newest image, and since when; nil: all. Quick: every call asks
	Timeout time.Duration                                // of a proposal; 0: 5 s, as offsets.commit.timeout.ms
	Logger  *slog.Logger
}
