package main

import (
	"cmp"
	"fmt"
	"slices"
)

// A span is count records that one producer sent in a row to one partition and that stand there in a row. An offset of
// -1 is unknown: the broker acknowledged them without telling.
type span struct {
	producer                uint32
	sequence, offset, count int64
}

func (s span) sequenceEnd() int64 { return s.sequence + s.count }
func (s span) offsetEnd() int64   { return s.offset + s.count }

func (s span) String() string {
	return fmt.Sprintf("producer %d sequence %d to %d at offset %d", s.producer, s.sequence, s.sequenceEnd()-1, s.offset)
}

// extend says whether s has grown by the record.
func (s *span) extend(producer uint32, sequence, offset int64) bool {
	follows := s.producer == producer && s.sequenceEnd() == sequence
	if offset < 0 || s.offset < 0 {
		follows = follows && offset == s.offset
	} else {
		follows = follows && s.offsetEnd() == offset
	}
	if follows {
		s.count++
	}
	return follows
}

// longestKept is the count at which a span is closed even if it could grow, so that what is written down stays close to
// what was acknowledged.
const longestKept = 4096

// A ledger is what is known of a run's records, by partition: those that were acknowledged, or those that were read.
// One goroutine owns it.
type ledger struct {
	spans   map[int32][]span
	closed  func(partition int32, s span) // if set: s grows no more
	settled map[int32]int                 // by partition: how many spans were given to closed
}

func newLedger(closed func(int32, span)) *ledger {
	return &ledger{spans: make(map[int32][]span), closed: closed, settled: make(map[int32]int)}
}

func (l *ledger) add(partition int32, producer uint32, sequence, offset int64) {
	spans := l.spans[partition]
	if n := len(spans); n > 0 {
		full := l.closed != nil && (spans[n-1].count >= longestKept || l.settled[partition] == n)
		if !full && spans[n-1].extend(producer, sequence, offset) {
			return
		}
		l.settlePartition(partition)
	}
	l.spans[partition] = append(spans, span{producer, sequence, offset, 1})
}

// settle gives all that was added to closed; what is added later begins a new span.
func (l *ledger) settle() {
	for partition := range l.spans {
		l.settlePartition(partition)
	}
}

func (l *ledger) settlePartition(partition int32) {
	if l.closed == nil {
		return
	}
	spans := l.spans[partition]
	for _, s := range spans[l.settled[partition]:] {
		l.closed(partition, s)
	}
	l.settled[partition] = len(spans)
}

// merge takes over what other holds.
func (l *ledger) merge(other *ledger) {
	for partition, spans := range other.spans {
		l.spans[partition] = append(l.spans[partition], spans...)
	}
}

func (l *ledger) records() (n int64) {
	for _, spans := range l.spans {
		for _, s := range spans {
			n += s.count
		}
	}
	return n
}

// holds says whether the record was added; it is for the rare record that looks wrong.
func (l *ledger) holds(partition int32, producer uint32, sequence int64) bool {
	return slices.ContainsFunc(l.spans[partition], func(s span) bool {
		return s.producer == producer && s.sequence <= sequence && sequence < s.sequenceEnd()
	})
}

// difference is what reading did not give back of what was acknowledged.
type difference struct {
	lost     int64 // read nowhere
	moved    int64 // read at another offset than the acknowledged one
	examples []string
}

const maxExamples = 10

// compare looks every acknowledged record up among those read.
func compare(acked, read *ledger) (d difference) {
	for partition, spans := range acked.spans {
		byOffset := slices.SortedFunc(slices.Values(read.spans[partition]), func(a, b span) int { return cmp.Compare(a.offset, b.offset) })
		for _, s := range spans {
			for _, miss := range uncovered(s, byOffset) {
				d.add(partition, miss, read)
			}
		}
	}
	return d
}

// uncovered returns the parts of s that byOffset does not hold at their offsets. What has no offset is uncovered.
func uncovered(s span, byOffset []span) (misses []span) {
	if s.offset < 0 {
		return []span{s}
	}
	i, _ := slices.BinarySearchFunc(byOffset, s.offset+1, func(r span, offset int64) int { return cmp.Compare(r.offsetEnd(), offset) })
	for at := s.offset; at < s.offsetEnd(); i++ {
		if i == len(byOffset) || byOffset[i].offset >= s.offsetEnd() {
			return append(misses, s.part(at, s.offsetEnd()))
		}
		r := byOffset[i]
		if r.offset > at {
			misses = append(misses, s.part(at, r.offset))
			at = r.offset
		}
		end := min(r.offsetEnd(), s.offsetEnd())
		if r.producer != s.producer || r.sequence-r.offset != s.sequence-s.offset {
			misses = append(misses, s.part(at, end))
		}
		at = end
	}
	return misses
}

// part is the records of s from one offset to another.
func (s span) part(from, end int64) span {
	return span{s.producer, s.sequence + from - s.offset, from, end - from}
}

// add counts the records of miss: each is lost, was read elsewhere, or had no offset to compare.
func (d *difference) add(partition int32, miss span, read *ledger) {
	found := make([]bool, miss.count)
	for _, r := range read.spans[partition] {
		if r.producer != miss.producer {
			continue
		}
		for sequence := max(r.sequence, miss.sequence); sequence < min(r.sequenceEnd(), miss.sequenceEnd()); sequence++ {
			found[sequence-miss.sequence] = true
		}
	}
	lost, moved := int64(0), int64(0)
	for _, f := range found {
		switch {
		case !f:
			lost++
		case miss.offset >= 0:
			moved++
		}
	}
	d.lost += lost
	d.moved += moved
	if lost+moved > 0 && len(d.examples) < maxExamples {
		d.examples = append(d.examples, fmt.Sprintf("partition %d, acknowledged %v: %d lost, %d at other offsets", partition, miss, lost, moved))
	}
}
