package segment

import (
	"cmp"
	"slices"

	"chronik/kafka/batch"
)

// Ongoing is a transaction that has records and no marker yet.
type Ongoing struct{ ProducerID, FirstOffset int64 }

// AbortedTxn is a transaction that was rolled back. LastOffset is that of its marker; LastStable is the last stable
// offset once the marker was written: a reader who has come so far needs to look no further.
type AbortedTxn struct{ ProducerID, FirstOffset, LastOffset, LastStable int64 }

// txns follows the transactions of a log through its batches.
type txns struct {
	ongoing map[int64]int64 // producer id -> first offset; nil when empty
	aborted []AbortedTxn    // by marker
}

func ongoingMap(list []Ongoing) map[int64]int64 {
	if len(list) == 0 {
		return nil
	}
	m := make(map[int64]int64, len(list))
	for _, t := range list {
		m[t.ProducerID] = t.FirstOffset
	}
	return m
}

// note takes over the next batch and returns the transaction that it ends by aborting, if it does. An abort marker of a
// producer without records is of an empty transaction: nobody needs to know of it.
func (t *txns) note(b batch.Batch) (aborted AbortedTxn, ok bool) {
	if !b.IsTransactional() {
		return AbortedTxn{}, false
	}
	first, open := t.ongoing[b.ProducerID()]
	if !b.IsControl() {
		if !open {
			if t.ongoing == nil {
				t.ongoing = map[int64]int64{}
			}
			t.ongoing[b.ProducerID()] = b.BaseOffset()
		}
		return AbortedTxn{}, false
	}
	m, err := b.Marker()
	if err != nil || !open {
		return AbortedTxn{}, false // other control records end no transaction
	}
	delete(t.ongoing, b.ProducerID())
	if m.Commit {
		return AbortedTxn{}, false
	}
	aborted = AbortedTxn{b.ProducerID(), first, b.LastOffset(), t.stable(b.NextOffset())}
	t.aborted = append(t.aborted, aborted)
	return aborted, true
}

// stable is the first offset of the oldest ongoing transaction, or end.
func (t *txns) stable(end int64) int64 {
	for _, first := range t.ongoing {
		end = min(end, first)
	}
	return end
}

// list is the ongoing transactions by first offset.
func (t *txns) list() []Ongoing {
	if len(t.ongoing) == 0 {
		return nil
	}
	list := make([]Ongoing, 0, len(t.ongoing))
	for id, first := range t.ongoing {
		list = append(list, Ongoing{id, first})
	}
	slices.SortFunc(list, func(a, b Ongoing) int {
		return cmp.Or(cmp.Compare(a.FirstOffset, b.FirstOffset), cmp.Compare(a.ProducerID, b.ProducerID))
	})
	return list
}

// Ongoing returns the transactions that are open at the segment's end, by first offset. A transaction that began before
// the segment is among them when Options.Ongoing told of it.
func (s *Segment) Ongoing() ([]Ongoing, error) {
	if list, ok := s.ongoingKnown(); ok {
		return list, nil
	}
	o, err := s.acquire()
	if err != nil {
		return nil, err
	}
	defer o.Release()
	s.mu.Lock()
	defer s.mu.Unlock()
	return o.ix.txns.list(), nil
}

func (s *Segment) ongoingKnown() ([]Ongoing, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ongoing, s.known
}

// Aborted returns the transactions that reach into [from, end) and whose abort marker is in this segment, by first
// offset. complete says that no later segment can have another one.
func (s *Segment) Aborted(from, end int64) (found []AbortedTxn, complete bool, err error) {
	o, err := s.acquire()
	if err != nil {
		return nil, false, err
	}
	defer o.Release()
	s.mu.Lock()
	all := o.ix.txns.aborted
	s.mu.Unlock()
	for _, t := range all {
		if t.LastOffset >= from && t.FirstOffset < end {
			found = append(found, t)
		}
		complete = complete || t.LastStable >= end
	}
	slices.SortFunc(found, func(a, b AbortedTxn) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	return found, complete, nil
}
