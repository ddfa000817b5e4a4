package wal

import "testing"

// A checkpoint must not name a group of the file before: the log would seem damaged at the next start. The writer may go
// on to the next file at any moment.
func TestCheckpointBetweenTwoFiles(t *testing.T) {
	old := &file{seq: 1, live: map[StreamID]int64{}}
	s := files{list: []*file{old}, trimmed: map[StreamID]int64{7: 100}}
	for number := range uint64(5) {
		s.wrote(old, &group{number: number + 1, frames: []frame{{stream: 7, end: int64(number)}}}, 0)
	}
	next := &file{seq: 2, base: 1000, live: map[StreamID]int64{}}
	s.add(next)
	if c, keep := s.needed(); keep != next || c.seq != 2 || c.number != 6 {
		t.Errorf("%+v", c)
	}
}
