package wal

import (
	"hash/crc32"
	"testing"
)

// A checkpoint must not name a group of the file before: the log would seem damaged at the next start. The writer may go
// on to the next file at any moment.
func TestCheckpointBetweenTwoFiles(t *testing.T) {
	old := &file{seq: 1}
	s := files{list: []*file{old}, trimmed: map[StreamID]int64{7: 100}}
	for number := range uint64(5) {
		s.wrote(old, &group{number: number + 1, frames: []frame{{stream: 7, end: int64(number)}}}, 0)
	}
	next := &file{seq: 2, base: 1000}
	s.add(next)
	if c, keep := s.needed(); keep != next || c.seq != 2 || c.number != 6 {
		t.Errorf("%+v", c)
	}
}

// Three files have this form. One put in another's place knew less than that other, and passed for it.
func TestAMarkIsNotTakenForAnother(t *testing.T) {
	c := checkpoint{incarnation: [16]byte{1}, seq: 2, base: 3, number: 4, durable: 5}
	for name := range checkpointKinds {
		for other := range checkpointKinds {
			var back checkpoint
			if why := back.decode(other, c.encode(name)); (why == "") != (name == other) {
				t.Errorf("%s in the place of %s: %q", name, other, why)
			}
		}
		older := c.encode(name)
		copy(older[72:], make([]byte, 8))
		le.PutUint32(older[8:], crc32.Checksum(older[12:], castagnoli))
		var back checkpoint
		if why := back.decode(name, older); why != "" {
			t.Errorf("%s of an older version: %s", name, why)
		}
	}
}
