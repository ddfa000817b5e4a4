package partlog

import (
	"cmp"
	"slices"

	"chronik/kafka/batch"
	"chronik/kafka/kerr"
	"chronik/segment"
)

// txns is the log's transactions, as its batches and markers tell them.
type txns struct {
	ended   []endedTxn // whose marker was not durable, and stable, when last looked, by marker
	aborted []rolledBack
	open    []openTxn // by first offset
}

// endedTxn has what opens it again when its marker is truncated; epoch is the producer's before the marker.
type endedTxn struct {
	first, marker, producer int64
	epoch                   int16
}

type openTxn struct{ producer, first int64 }

// rolledBack is an aborted transaction; stable is the last stable offset just after its marker.
type rolledBack struct{ producer, first, marker int64 }

// track takes over a batch that is in the log, into the producer states and the transactions.
func (l *Log) track(b batch.Batch) error {
	if b.ProducerID() == batch.NoProducerID {
		return nil
	}
	if l.producers == nil {
		l.producers = producers{}
	}
	if b.IsControl() {
		return l.endTxn(b)
	}
	p := l.producers.note(b)
	if b.IsTransactional() && p.txnFirst == noTxn {
		p.txnFirst = b.BaseOffset()
		l.txns.open = append(l.txns.open, openTxn{p.id, p.txnFirst})
	}
	return nil
}

// endTxn takes over a transaction marker.
func (l *Log) endTxn(b batch.Batch) error {
	m, err := b.Marker()
	if err != nil {
		return err
	}
	before := b.ProducerEpoch()
	if p := l.producers[b.ProducerID()]; p != nil {
		before = p.epoch
	}
	p := l.producers.of(b.ProducerID(), b.ProducerEpoch())
	p.idle = false
	p.lastTime = b.MaxTimestamp()
	if p.txnFirst == noTxn {
		return nil
	}
	l.txns.ended = append(l.txns.ended, endedTxn{p.txnFirst, b.BaseOffset(), p.id, before})
	if !m.Commit {
		l.txns.aborted = append(l.txns.aborted, rolledBack{p.id, p.txnFirst, b.BaseOffset()})
	}
	l.txns.open = slices.DeleteFunc(l.txns.open, func(t openTxn) bool { return t.producer == p.id })
	p.txnFirst = noTxn
	if p.count == 0 && (before == p.epoch || before == noProducerEpoch) {
		delete(l.producers, p.id) // its batches were cut off, as in producers.cut: it may go on with any sequence
	}
	return nil
}

// lastStable is the first offset below mark of a transaction that is open, or whose marker is not below mark: nobody may
// read past it who wants only what is committed.
func (l *Log) lastStable(mark int64) int64 {
	stable := mark
	for _, t := range l.txns.ended {
		if t.marker >= mark {
			stable = min(stable, t.first)
		}
	}
	if len(l.txns.open) > 0 {
		stable = min(stable, l.txns.open[0].first)
	}
	return stable
}

// reopen makes the list of open transactions from what the producers' states say.
func (t *txns) reopen(ps producers) {
	t.open = nil
	for _, p := range ps {
		if p.txnFirst != noTxn {
			t.open = append(t.open, openTxn{p.id, p.txnFirst})
		}
	}
	slices.SortFunc(t.open, func(a, b openTxn) int { return cmp.Compare(a.first, b.first) })
}

// settle forgets ended transactions whose markers are durable and stable.
func (t *txns) settle(stable int64) {
	if len(t.ended) == 0 {
		return
	}
	t.ended = slices.DeleteFunc(t.ended, func(e endedTxn) bool { return e.marker < stable })
}

// trim forgets aborted transactions that ended below offset: nobody reads there, or the segments know them.
func (t *txns) trim(offset int64) {
	t.aborted = slices.DeleteFunc(t.aborted, func(a rolledBack) bool { return a.marker < offset })
}

// Aborted lists the aborted transactions that reach into [from, end), by first offset. Call it after the Read of these
// records: one that is not listed is committed, to a reader. So where they cannot all be told it is an error: below
// LogStart kerr.OffsetOutOfRange, of a damaged segment kerr.KafkaStorageError.
func (l *Log) Aborted(from, end int64) ([]AbortedTxn, error) {
	found, segments, err := l.abortedInMemory(from, end)
	if err != nil {
		return nil, err
	}
	for _, s := range segments {
		if s.End() <= from {
			continue
		}
		more, complete, err := s.Aborted(from, end)
		if err != nil {
			if _, _, gone := l.abortedInMemory(from, end); gone != nil {
				err = gone
			} else if !l.has(s) {
				err = errMoved
			}
			return nil, l.storageError(err)
		}
		for _, a := range more {
			found = append(found, AbortedTxn{a.ProducerID, a.FirstOffset})
		}
		if complete {
			break
		}
	}
	slices.SortFunc(found, func(a, b AbortedTxn) int {
		return cmp.Or(cmp.Compare(a.FirstOffset, b.FirstOffset), cmp.Compare(a.ProducerID, b.ProducerID))
	})
	return slices.Compact(found), nil // the segment that is being cut has some that are still in memory too
}

// abortedInMemory is those that no segment may know yet, and the segments that know the others.
func (l *Log) abortedInMemory(from, end int64) (found []AbortedTxn, segments []*segment.Segment, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, nil, kerr.NotLeaderOrFollower
	case from < l.start:
		return nil, nil, kerr.OffsetOutOfRange
	}
	for _, a := range l.txns.aborted {
		if a.marker >= from && a.first < end {
			found = append(found, AbortedTxn{a.producer, a.first})
		}
	}
	return found, l.segments, nil
}

// ongoingAt is the transactions that were open at base, for the first segment that is cut there.
func (l *Log) ongoingAt(base int64) []segment.Ongoing {
	l.mu.Lock()
	defer l.mu.Unlock()
	var open []segment.Ongoing
	for _, a := range l.txns.aborted {
		if a.first < base && a.marker >= base {
			open = append(open, segment.Ongoing{ProducerID: a.producer, FirstOffset: a.first})
		}
	}
	for _, t := range l.txns.open {
		if t.first < base {
			open = append(open, segment.Ongoing{ProducerID: t.producer, FirstOffset: t.first})
		}
	}
	return open
}
