// Package state is how far a share group is with a partition, as it lasts: where the group begins, and what became of the
// records from there on. The partition's leader writes it, the group's coordinator begins it and reads where it stands, and
// the metadata log keeps it without looking (image.ShareState). FORMAT.md has the bytes.
package state

import (
	"encoding/binary"
	"errors"
	"math"
)

// Delivery is what became of a record. The numbers are Kafka's (KIP-932), and are what is stored.
type Delivery int8

const (
	Available    Delivery = 0
	Acquired     Delivery = 1 // by a member, for a while; never stored
	Acknowledged Delivery = 2
	Archived     Delivery = 4 // rejected, not there, or delivered too often
)

// Done says that the record is not delivered any more.
func (d Delivery) Done() bool { return d == Acknowledged || d == Archived }

func (d Delivery) String() string {
	switch d {
	case Available:
		return "available"
	case Acquired:
		return "acquired"
	case Acknowledged:
		return "acknowledged"
	case Archived:
		return "archived"
	}
	return "unknown"
}

// Range is records of one fate.
type Range struct {
	First, Last int64
	Delivery    Delivery
	Count       int16 // deliveries
}

// NotBegun is the Start of a group that has not read the partition yet; share.auto.offset.reset says where it will begin.
const NotBegun = int64(-1)

// State is a share group's state of one partition. Records from Start on that are in no range are available and were never
// delivered.
type State struct {
	Start       int64
	LeaderEpoch int32   // of the leader that says so; NoEpoch
	Ranges      []Range // in order, none overlaps another or begins before Start
}

// NoEpoch is the LeaderEpoch of a state that no leader has written.
const NoEpoch = int32(-1)

// Done is how many records from Start on are not delivered any more.
func (s State) Done() (n int64) {
	for _, r := range s.Ranges {
		if r.Delivery.Done() {
			n += r.Last - r.First + 1
		}
	}
	return n
}

// The versions: the first one has no leader's epoch.
const (
	unledVersion = 1
	ledVersion   = 2
)

var errFormat = errors.New("share state: not a state")

// Encode returns s in the format of FORMAT.md; a state that has not begun is empty.
func (s State) Encode() []byte {
	if s.Start == NotBegun {
		return nil
	}
	b := []byte{unledVersion}
	if s.LeaderEpoch >= 0 {
		b = binary.AppendUvarint([]byte{ledVersion}, uint64(s.LeaderEpoch))
	}
	b = binary.AppendUvarint(b, uint64(s.Start))
	b = binary.AppendUvarint(b, uint64(len(s.Ranges)))
	next := s.Start
	for _, r := range s.Ranges {
		b = binary.AppendUvarint(b, uint64(r.First-next))
		b = binary.AppendUvarint(b, uint64(r.Last-r.First))
		b = append(b, byte(r.Delivery))
		b = binary.AppendUvarint(b, uint64(r.Count))
		next = r.Last + 1
	}
	return b
}

// Decode is the inverse of Encode. Of bytes that a later version has written, or nobody, it returns an error.
func Decode(b []byte) (State, error) {
	if len(b) == 0 {
		return State{Start: NotBegun, LeaderEpoch: NoEpoch}, nil
	}
	f := fields{b: b[1:], ok: b[0] == unledVersion || b[0] == ledVersion}
	s := State{LeaderEpoch: NoEpoch}
	if b[0] == ledVersion {
		s.LeaderEpoch = int32(f.number(math.MaxInt32))
	}
	s.Start = f.number(math.MaxInt64 - 1)
	n := f.number(int64(len(f.b)) / 4) // a range takes four bytes at least
	next := s.Start
	for range n {
		var r Range
		r.First = next + f.number(math.MaxInt64-1-next)
		r.Last = r.First + f.number(math.MaxInt64-1-r.First)
		r.Delivery = f.delivery()
		r.Count = int16(f.number(math.MaxInt16))
		if !f.ok {
			break
		}
		s.Ranges, next = append(s.Ranges, r), r.Last+1
	}
	if !f.ok || len(f.b) > 0 {
		return State{}, errFormat
	}
	return s, nil
}

// fields reads from b until something is wrong.
type fields struct {
	b  []byte
	ok bool
}

func (f *fields) number(most int64) int64 {
	v, n := binary.Uvarint(f.b)
	if !f.ok || n <= 0 || most < 0 || v > uint64(most) || n > 1 && f.b[n-1] == 0 { // one way to write each number
		f.ok = false
		return 0
	}
	f.b = f.b[n:]
	return int64(v)
}

func (f *fields) delivery() Delivery {
	if !f.ok || len(f.b) == 0 {
		f.ok = false
		return Available
	}
	d := Delivery(f.b[0])
	f.b = f.b[1:]
	f.ok = d == Available || d.Done()
	return d
}
