package main

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A checker takes every record that one reader reads, in its order, and keeps what is wrong with them. One goroutine
// owns it.
type checker struct {
	next    map[int32]int64 // by partition: the offset that must come
	streams map[streamKey]*stream
	read    map[uint64]*ledger // by run
	found   findings
}

type streamKey struct {
	run       uint64
	producer  uint32
	partition int32
}

type stream struct{ next int64 } // the sequence after the highest one read

// findings are counts of records, except skipped.
type findings struct {
	Read       int64    `json:"read"`
	Foreign    int64    `json:"foreign"`    // not written by the bench
	Corrupt    int64    `json:"corrupt"`    // bytes changed
	Misplaced  int64    `json:"misplaced"`  // in another partition than sent to
	Skipped    int64    `json:"skipped"`    // offsets that hold nothing
	Repeated   int64    `json:"repeated"`   // an offset read before
	Duplicates int64    `json:"duplicates"` // a sequence read before at another offset
	Reordered  int64    `json:"reordered"`  // a sequence that comes after a later one
	Missing    int64    `json:"missing"`    // sequences passed over: not acknowledged, or lost
	Lost       int64    `json:"lost"`       // acknowledged and not read
	Moved      int64    `json:"moved"`      // acknowledged with another offset than read
	Acked      int64    `json:"acked"`      // what was looked for
	Examples   []string `json:"examples,omitempty"`
}

func newChecker() *checker {
	return &checker{next: make(map[int32]int64), streams: make(map[streamKey]*stream), read: make(map[uint64]*ledger)}
}

// start says at which offset reading of a partition begins.
func (c *checker) start(partition int32, offset int64) { c.next[partition] = offset }

// check returns the record's header; ok is false for one that is not a bench's or whose bytes are wrong.
func (c *checker) check(r *kgo.Record) (h header, ok bool) {
	c.found.Read++
	repeated := c.checkOffset(r)
	h, err := decodeHeader(r.Value)
	switch {
	case errors.Is(err, errForeign):
		c.found.Foreign++
		return h, false
	case err != nil:
		c.wrong(&c.found.Corrupt, r, "%v", err)
		return h, false
	case h.partition != r.Partition:
		c.wrong(&c.found.Misplaced, r, "it was sent to partition %d", h.partition)
	case !repeated:
		c.checkSequence(r, h)
	}
	return h, true
}

func (c *checker) checkOffset(r *kgo.Record) (repeated bool) {
	next := c.next[r.Partition]
	switch {
	case r.Offset < next:
		c.wrong(&c.found.Repeated, r, "offset %d was to come", next)
		return true
	case r.Offset > next:
		c.wrong(&c.found.Skipped, r, "offset %d was to come", next)
		c.found.Skipped += r.Offset - next - 1
	}
	c.next[r.Partition] = r.Offset + 1
	return false
}

func (c *checker) checkSequence(r *kgo.Record, h header) {
	key := streamKey{h.run, h.producer, h.partition}
	s := c.streams[key]
	if s == nil {
		s = &stream{next: h.sequence} // what came before may have been deleted by now
		c.streams[key] = s
	}
	read := c.read[h.run]
	if read == nil {
		read = newLedger(nil)
		c.read[h.run] = read
	}
	if h.sequence < s.next {
		if read.holds(h.partition, h.producer, h.sequence) {
			c.wrong(&c.found.Duplicates, r, "producer %d sequence %d was read before", h.producer, h.sequence)
		} else {
			c.wrong(&c.found.Reordered, r, "producer %d sequence %d comes after %d", h.producer, h.sequence, s.next-1)
		}
	} else {
		c.found.Missing += h.sequence - s.next
		s.next = h.sequence + 1
	}
	read.add(h.partition, h.producer, h.sequence, r.Offset)
}

func (c *checker) wrong(count *int64, r *kgo.Record, format string, args ...any) {
	*count++
	c.found.example(fmt.Sprintf("partition %d offset %d: ", r.Partition, r.Offset) + fmt.Sprintf(format, args...))
}

func (f *findings) example(text string) {
	if len(f.Examples) < maxExamples {
		f.Examples = append(f.Examples, text)
	}
}

// add merges what another checker found.
func (f *findings) add(o findings) {
	f.Read += o.Read
	f.Foreign += o.Foreign
	f.Corrupt += o.Corrupt
	f.Misplaced += o.Misplaced
	f.Skipped += o.Skipped
	f.Repeated += o.Repeated
	f.Duplicates += o.Duplicates
	f.Reordered += o.Reordered
	f.Missing += o.Missing
	for _, e := range o.Examples {
		f.example(e)
	}
}

// look compares what was acknowledged in one run with what the checkers read.
func (f *findings) look(run uint64, acked *ledger, checkers []*checker) {
	read := newLedger(nil)
	for _, c := range checkers {
		if l := c.read[run]; l != nil {
			read.merge(l)
		}
	}
	d := compare(acked, read)
	f.Acked += acked.records()
	f.Lost += d.lost
	f.Moved += d.moved
	for _, e := range d.examples {
		f.example(e)
	}
}

var errVerification = errors.New("verification failed")

// failure is nil if everything is as it must be. Without idempotence a record may stand there twice.
func (f *findings) failure(idempotent bool) error {
	bad := f.Corrupt + f.Misplaced + f.Skipped + f.Repeated + f.Reordered + f.Lost + f.Moved
	if idempotent {
		bad += f.Duplicates
	}
	if bad == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d lost, %d at other offsets, %d duplicates, %d reordered, %d corrupt, %d misplaced, %d offsets skipped, %d repeated",
		errVerification, f.Lost, f.Moved, f.Duplicates, f.Reordered, f.Corrupt, f.Misplaced, f.Skipped, f.Repeated)
}
