package partlog

import (
	"errors"
	"fmt"
	"slices"

	"chronik/kafka/batch"
	"chronik/kafka/kerr"
	"chronik/segment"
	"chronik/wal"
)

// A follower's log may have records that its leader's has not. Cutting them off is an entry of the log's own stream: what
// stands before it, beyond its end, is void. So the order of entries alone says what the log holds, and a power cut leaves
// the log as it was before the truncation, or after it.

const kindTruncated = wal.Truncates | 5 // what was cut through, and the transactions that are open again; see FORMAT.md

// Truncate cuts the log off at the offset to, or at the beginning of the batch that holds it, and returns the new end when
// that is durable. Nobody may append meanwhile. What segments hold is given up a whole segment at a time: only what an
// unclean election asks for lies there, as they are cut up to SetStable's mark only. At or beyond the end nothing is cut,
// but epochs that begin there are forgotten.
//
// leaderEpoch is that of the leader that asks for it: when this node was made leader in a later one, it is refused.
func (l *Log) Truncate(to int64, leaderEpoch int32) (end int64, err error) {
	end, err = l.truncate(to, leaderEpoch, nil)
	if errors.Is(err, errCutting) {
		l.store.tending.Lock() // nothing is being cut meanwhile
		defer l.store.tending.Unlock()
		end, err = l.truncateUnclean(to, leaderEpoch)
	}
	return end, err
}

// errCutting says that cutting may have gone beyond the end that is wanted, or be on its way there.
var errCutting = errors.New("partlog: segments may be being cut there")

func (l *Log) truncate(to int64, leaderEpoch int32, left *remains) (int64, error) {
	l.store.truncating.RLock() // no checkpoint knows of it before its place is known
	defer l.store.truncating.RUnlock()
	t := truncation{log: l, epoch: leaderEpoch, left: left, done: make(chan error, 1)}
	if err := t.begin(to); err != nil || !t.any {
		return t.to, err
	}
	l.store.wal.Commit()
	if err := t.wait(); err != nil {
		return t.to, err
	}
	return t.to, t.remove()
}

// truncation is one on its way; it is the sink of its entry.
type truncation struct {
	log      *Log
	epoch    int32
	left     *remains // not nil: nothing is being cut meanwhile
	to       int64
	size     int32 // of what is left of the entry that is cut through
	any      bool  // something was cut
	open     []endedTxn
	segments []*segment.Segment
	done     chan error
}

// begin waits until all that was appended is durable, and then appends the truncation and forgets what it cuts.
func (t *truncation) begin(to int64) error {
	l := t.log
	for {
		l.mu.Lock()
		if l.inFlight.used == 0 {
			break
		}
		l.mu.Unlock()
		if err := l.store.barrier(); err != nil {
			return err
		}
	}
	defer l.mu.Unlock()
	t.to = min(max(to, l.start), l.end)
	if err := l.fenced(t.epoch); err != nil {
		return err
	}
	if t.to >= l.end {
		l.epochs.cut(t.to)
		return nil
	}
	if err := t.align(); err != nil {
		return err
	}
	if t.to < max(l.cut, min(l.stableNow(), l.end)) {
		if err := t.unclean(); err != nil {
			return err
		}
	}
	return t.state()
}

// unclean is of a truncation that only an unclean election asks for; the caller holds l.mu.
func (t *truncation) unclean() error {
	switch {
	case t.left == nil:
		return errCutting
	case !t.left.are(t.to, t.log.end):
		return errUnread
	}
	t.open = t.left.list()
	return nil
}

// fenced refuses what a leader asks for that is known to be deposed, though its successor may have appended nothing yet; the
// caller holds l.mu.
func (l *Log) fenced(leaderEpoch int32) error {
	switch {
	case l.closed:
		return kerr.NotLeaderOrFollower
	case max(l.fence, l.epochs.latest()) > leaderEpoch:
		return kerr.FencedLeaderEpoch
	}
	return nil
}

// align moves to down to where a batch begins; the caller holds l.mu.
func (t *truncation) align() error {
	l := t.log
	if t.to < l.tail.base {
		if s := l.segmentOf(t.to); s != nil {
			t.to = max(min(t.to, s.Base()), l.start)
		}
		return nil
	}
	c := l.tail.seek(t.to)
	e, ok := l.tail.next(&c)
	if !ok || e.base >= t.to {
		return nil
	}
	if e.flags&severalBatches == 0 {
		t.to = max(e.base, l.start)
		return nil
	}
	return t.within(e)
}

// within finds the place in an entry of several batches. The disk is read under the log's lock: it is rare, and nobody can
// use the log meanwhile.
func (t *truncation) within(e located) error {
	var c cold
	defer c.release()
	e.epoch = noEpoch
	x, err := t.log.load([]located{e}, &c)
	if err != nil {
		return fmt.Errorf("truncate %s: %w", t.log.id.name(), err)
	}
	defer x.Release()
	at := e.base
	for rest := x.Mem; len(rest) > 0; {
		b, after, err := batch.Next(rest)
		if err != nil {
			return err
		}
		if b.NextOffset() > t.to {
			break
		}
		at, t.size, rest = b.NextOffset(), t.size+int32(len(b)), after
	}
	t.to = max(at, t.log.start)
	return nil
}

// state appends the entry, and cuts; the caller holds l.mu.
func (t *truncation) state() error {
	l := t.log
	e := wal.Entry{Stream: l.id.Stream, Kind: kindTruncated, End: t.to, Data: encodeTruncated(t.size, t.open), Sink: t}
	if l.store.broken.Load() {
		return l.store.failure
	}
	if err := l.store.wal.Append(e); err != nil {
		return l.store.fail(err)
	}
	t.any = true
	n := len(l.segments)
	for n > 0 && l.segments[n-1].End() > t.to {
		n--
	}
	l.segments, t.segments = slices.Clip(l.segments[:n]), l.segments[n:]
	l.cutOff(t.to, t.size)
	l.reopen(t.open)
	return nil
}

// cutOff forgets what lies at to and beyond; the caller holds l.mu.
func (l *Log) cutOff(to int64, size int32) {
	l.store.indexed.Add(int64(-l.tail.cutOff(to, size)))
	l.end, l.durable = to, min(l.durable, to)
	l.cut = min(l.cut, to)
	l.stable.Store(min(l.stable.Load(), to))
	l.epochs.cut(to)
	if len(l.txns.ended) > 0 && l.producers == nil {
		l.producers = producers{}
	}
	l.producers.cut(to)
	l.txns.cut(to, l.producers)
}

// Durable is wal.Sink's.
func (t *truncation) Durable(_ int64, loc wal.Loc, err error) {
	if err == nil {
		t.log.mu.Lock()
		t.log.truncated = loc.Pos
		t.log.mu.Unlock()
	}
	t.done <- err
}

func (t *truncation) wait() error {
	f := fact{t.done}
	return f.wait(t.log.store)
}

// remove removes the segments that were cut off: a restart would do it too.
func (t *truncation) remove() error {
	if len(t.segments) == 0 {
		return nil
	}
	if err := t.log.store.ground(); err != nil {
		return err
	}
	for _, s := range t.segments {
		if err := s.Remove(); err != nil {
			return t.log.store.fail(err)
		}
	}
	return nil
}

// Reset empties the log and has it begin at start, which lies beyond its end: the leader's log starts there. It returns
// when that is durable. Nobody may append meanwhile; leaderEpoch is as in Truncate.
func (l *Log) Reset(start int64, leaderEpoch int32) error {
	for {
		l.mu.Lock()
		if l.inFlight.used == 0 {
			break
		}
		l.mu.Unlock()
		if err := l.store.barrier(); err != nil {
			return err
		}
	}
	if err := l.fenced(leaderEpoch); err != nil {
		l.mu.Unlock()
		return err
	}
	if start <= l.end {
		defer l.mu.Unlock()
		return fmt.Errorf("%s ends at %d, it cannot begin anew at %d: %w", l.id.name(), l.end, start, kerr.OffsetOutOfRange)
	}
	f, err := l.store.state(kindLogStart, encodeLogStart(l.id.Stream, start))
	if err == nil {
		l.beginAt(start)
	}
	l.mu.Unlock()
	if err != nil {
		return err
	}
	l.store.wal.Commit()
	if err := f.wait(l.store); err != nil {
		return err
	}
	l.store.reread.Store(true)
	l.store.nudge()
	return nil
}

// beginAt has the log begin, and end, at start, which lies beyond its end; the caller holds l.mu.
func (l *Log) beginAt(start int64) {
	l.unindex(l.tail.end())
	l.tail = tail{base: start}
	l.start, l.starting, l.end, l.durable = start, start, start, start
	l.epochs, l.producers, l.txns = nil, nil, txns{}
}

// cutOff forgets the entries at to and beyond; size is what is left of the one that holds to, 0 to forget that one too.
// It returns how many went.
func (t *tail) cutOff(to int64, size int32) (dropped int) {
	for len(t.chunks) > 0 {
		c := t.lastChunk()
		for n := c.len(); n > 0 && c.end(n-1) > to; n-- {
			e := c.at(n - 1)
			if c.begin(n-1) < to && size > 0 {
				t.bytes -= int64(e.size - size)
				e.end, e.size = to, size
				c.set(n-1, e)
				return dropped
			}
			t.bytes -= int64(e.size)
			c.dropLast()
			dropped++
		}
		if c.len() > 0 {
			return dropped
		}
		t.chunks = t.chunks[:len(t.chunks)-1]
	}
	t.base = to
	return dropped
}

// cut forgets the epochs that begin at end or beyond.
func (es *epochs) cut(end int64) {
	n := len(*es)
	for n > 0 && (*es)[n-1].start >= end {
		n--
	}
	*es = (*es)[:n]
}

// cut forgets the batches at end and beyond. A producer has at most five unanswered batches, and the ones remembered are
// the newest five: so of those that it may send again all that are left in the log are still known. Of whom nothing is
// left is not known any more, and may begin with any sequence, unless its transaction is open.
func (ps producers) cut(end int64) {
	for id, p := range ps {
		had := p.count
		for p.count > 0 && p.batches[p.newest].lastOffset >= end {
			p.newest, p.count = (p.newest+remembered-1)%remembered, p.count-1
		}
		if p.txnFirst >= end {
			p.txnFirst = noTxn
		}
		if had > 0 && p.count == 0 && p.txnFirst == noTxn {
			delete(ps, id)
		}
	}
}

// cut opens again the transactions whose markers lie at end or beyond.
func (t *txns) cut(end int64, ps producers) {
	t.aborted = slices.DeleteFunc(t.aborted, func(a rolledBack) bool { return a.marker >= end })
	for _, e := range t.ended {
		if e.marker >= end && e.first < end {
			p := ps.of(e.producer, e.epoch)
			p.txnFirst = e.first
		}
	}
	t.ended = slices.DeleteFunc(t.ended, func(e endedTxn) bool { return e.marker >= end })
	t.reopen(ps)
}

// replayTruncated takes over a truncation. One that the checkpoint includes, which had the log go on from known, is only
// of the index: the states are those after it.
func (r *recovery) replayTruncated(l *Log, e wal.Replayed) error {
	size, open, err := decodeTruncated(e.Data)
	if err != nil {
		return err
	}
	v := r.saved[e.Stream]
	if v == nil || e.Loc.Pos > v.truncated {
		if v != nil {
			v.asOf = min(v.asOf, e.End)
		}
		if e.End < l.end {
			l.cutOff(e.End, size)
			l.reopen(open)
		}
		l.truncated = e.Loc.Pos
		return nil
	}
	r.unindexVoid(l, v, e.End, size)
	return nil
}

// unindexVoid has the index forget what a truncation to end voids that the checkpoint includes. The states, and what is
// below where the checkpoint had the log go on from, are those after it.
func (r *recovery) unindexVoid(l *Log, v *saved, end int64, size int32) {
	known := max(v.start, v.cut)
	to := max(end, known)
	if to > end {
		size = 0
	}
	if to < l.end {
		l.store.indexed.Add(int64(-l.tail.cutOff(to, size)))
		l.end = to
	}
}
