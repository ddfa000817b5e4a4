package group

import (
	"errors"
	"maps"
	"slices"
	"time"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// ledger brings a group's entries (image.GroupState) into the metadata log. The group changes in memory at once and marks the
// entries that are different now; one record at a time carries what is marked, and an answer waits until everything
// that was marked before it is in the log. So nobody hears of a state that a restart would take back, and changes that
// arrive while a record is on its way share the next one.
//
// A record that fails leaves its entries marked: they are written again with the next request, or by and by. Who waits is
// told to ask again, and finds the group as it is in memory. Only when the image refused the record for good is the group
// what the image has.
type ledger struct {
	m      *machine
	kind   image.GroupKind
	encode func(key string) []byte // the value that an entry has now; nil: none

	marked  map[string]bool // entries that are different in memory
	waiting []reply         // for what is marked
	flying  []reply         // for the record in flight
	busy    bool            // there is one
	closed  bool            // the group is of another kind now
	retryBy time.Duration
}

// reply is an answer that waits, and what takes its place when it can't be given.
type reply struct {
	to      coordinator.Ticket
	body    any
	refusal func(kerr.Code) any
}

func newLedger(m *machine, kind image.GroupKind, encode func(key string) []byte) ledger {
	return ledger{m: m, kind: kind, encode: encode, marked: map[string]bool{}, retryBy: never}
}

func (l *ledger) mark(keys ...string) {
	for _, key := range keys {
		l.marked[key] = true
	}
}

// markStored marks what the image has of a group of the ledger's kind: it may be there no more.
func (l *ledger) markStored() {
	if is, ok := l.m.image().Group(l.m.id); ok && is.Kind == l.kind {
		is.State.Walk(nil, func(e image.GroupEntry) bool {
			l.mark(string(e.Key))
			return true
		})
	}
}

// answer is sent when all that is marked now is in the log: at once when nothing is under way.
func (l *ledger) answer(t coordinator.Ticket, body any, refusal func(kerr.Code) any, fx *coordinator.Effects) {
	switch r := (reply{t, body, refusal}); {
	case len(l.marked) > 0:
		l.waiting = append(l.waiting, r)
	case l.busy:
		l.flying = append(l.flying, r)
	default:
		fx.Answer(t, body)
	}
}

// settled says that the log has everything.
func (l *ledger) settled() bool { return !l.busy && len(l.marked) == 0 }

// flush sends what is marked on its way, unless a record is: then with the next. Every call of the group that marks ends
// with it.
func (l *ledger) flush(fx *coordinator.Effects) {
	if l.busy || l.closed || l.m.dead || len(l.marked) == 0 {
		return
	}
	r := l.record(slices.Sorted(maps.Keys(l.marked))...)
	clear(l.marked)
	l.busy, l.retryBy = true, never
	l.flying, l.waiting = l.waiting, nil
	l.m.recording++
	fx.Propose(func(now coordinator.Instant, err error, fx *coordinator.Effects) {
		l.m.recording--
		l.busy = false
		l.landed(now, r, err, fx)
	}, r)
}

// record is the entries of keys as they are now.
func (l *ledger) record(keys ...string) image.GroupStateRecord {
	owner, epoch, since := l.m.owner()
	r := image.GroupStateRecord{Group: l.m.id, GroupKind: l.kind, Owner: owner, OwnerEpoch: epoch, OwnerSince: since}
	for _, key := range keys {
		r.Entries = append(r.Entries, image.GroupEntry{Key: []byte(key), Value: l.encode(key)})
	}
	return r
}

func (l *ledger) landed(now coordinator.Instant, r image.GroupStateRecord, err error, fx *coordinator.Effects) {
	answered := l.flying
	l.flying = nil
	if err == nil {
		for _, a := range answered {
			fx.Answer(a.to, a.body)
		}
		l.flush(fx)
		return
	}
	l.refuse(answered, stored(err), fx)
	if l.closed || l.m.dead {
		return
	}
	l.refuse(l.waiting, stored(err), fx)
	l.waiting = nil
	if final(err) {
		l.close(fx)
		l.m.kind.stop(now, fx) // whoever waits for anything else is to ask again, too
		l.m.restore(now)
		return
	}
	for _, e := range r.Entries {
		l.marked[string(e.Key)] = true
	}
	l.retryBy = now.Up + recordRetry
}

// final is so for what the image would say again.
func final(err error) bool {
	code, ok := errors.AsType[kerr.Code](err)
	return ok && code != kerr.NotController && code != kerr.NotCoordinator && code != kerr.CoordinatorNotAvailable
}

func (l *ledger) refuse(list []reply, code kerr.Code, fx *coordinator.Effects) {
	for _, r := range list {
		if r.refusal != nil {
			fx.Answer(r.to, r.refusal(code))
		} else {
			fx.Answer(r.to, code)
		}
	}
}

// close ends the ledger of a group that becomes one of another kind, or goes. What is in flight answers for itself.
func (l *ledger) close(fx *coordinator.Effects) {
	l.closed = true
	l.drop(fx)
}

// drop forgets what is marked. Those that wait for it are to ask again.
func (l *ledger) drop(fx *coordinator.Effects) {
	l.refuse(l.waiting, kerr.CoordinatorNotAvailable, fx)
	l.waiting, l.retryBy = nil, never
	clear(l.marked)
}
