package partlog

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"chronik/wal"
	"chronik/wal/vfs"
)

// However many partitions share the write-ahead log's files, and however small their entries are, cutting reads the files
// about once: reading for each what lies between its entries would take the disk from producers.
func TestCuttingReadsTheFilesOnceForAllPartitions(t *testing.T) {
	for _, c := range []struct {
		partitions, size int
		ahead            bool // through the page cache
	}{{1, 1000, false}, {50, 1000, true}, {500, 1000, true}, {50, 10_000, true}, {50, 50_000, false}} {
		t.Run(fmt.Sprintf("%d partitions, %d bytes", c.partitions, c.size), func(t *testing.T) {
			d := newDisk(t)
			f := vfs.NewFault(d.fs)
			d.fs, d.fileSize = f, 1<<20+4096 // pieces of two files
			s := d.open()
			want, written := interleave(t, d, s, 8<<20/c.size, c.partitions, c.size)
			forget(s)
			var ahead, read atomic.Int64
			f.Script(func(op vfs.Op) vfs.Outcome {
				switch {
				case !strings.HasPrefix(op.Name, walDir):
				case op.Kind == vfs.OpReadAhead:
					ahead.Add(int64(op.Len))
				case op.Kind == vfs.OpRead:
					read.Add(int64(op.Len))
				}
				return vfs.Outcome{}
			})
			cutAll(t, s)
			if !c.ahead && ahead.Load() > 0 {
				t.Errorf("%d bytes are read into the page cache", ahead.Load())
			}
			if most := written / 2 * 3; ahead.Load() > most || read.Load() > most {
				t.Errorf("%d bytes read ahead, %d read, of %d", ahead.Load(), read.Load(), written)
			}
			for id, w := range want {
				if got := values(t, d.log(s, id), 0); !slices.Equal(got, w) {
					t.Errorf("stream %d: %d values, want %d", id, len(got), len(w))
				}
			}
			closeStore(t, s)
		})
	}
}

// interleave appends n records of size bytes to one partition after the other, many to a group. It returns what should be
// read from each, and about how many bytes that is.
func interleave(t *testing.T, d *disk, s *Store, n, partitions, size int) (want map[wal.StreamID][]string, written int64) {
	t.Helper()
	want = map[wal.StreamID][]string{}
	ends := map[wal.StreamID]int64{}
	for i := range n {
		id := wal.StreamID(1 + i%partitions)
		data := records(int64(i), fmt.Sprintf("%d-%s", i, strings.Repeat("v", size)))
		a, err := d.log(s, id).AppendAsLeader(Append{Data: data, Version: 9})
		if err != nil {
			t.Fatal(err)
		}
		want[id] = append(want[id], fmt.Sprintf("%d:%d-%s", a.Base, i, strings.Repeat("v", size)))
		ends[id], written = a.End, written+int64(len(data))
		if i%100 == 99 {
			s.wal.Commit()
		}
	}
	s.wal.Commit()
	for id, end := range ends {
		settle(t, d.log(s, id), end)
	}
	return want, written
}

// What is cut at once grows with the number of partitions that share it, up to half of the budget, and to what a machine
// with little memory has room for in its page cache: a log that a large disk let grow was cut 4 GiB at once.
func TestRoundsGrowWithThePartitions(t *testing.T) {
	for _, c := range []struct {
		budget             int64
		partitions, rounds int
	}{{1 << 30, 1, 4}, {1 << 30, 12, 4}, {1 << 30, 50, 2}, {1 << 30, 500, 1}, {8 << 30, 50, 16}, {8 << 30, 1000, 8}, {8 << 30, 10_000, 8}} {
		s := &Store{wal: &wal.Log{}}
		s.options = Options{WALBudget: c.budget, entries: 1 << 30}
		s.options.round = 128 << 20
		var files []wal.File
		for pos := int64(0); pos <= c.budget; pos += 64 << 20 {
			files = append(files, wal.File{Pos: pos, Size: 64 << 20, Streams: c.partitions})
		}
		ends := s.rounds(files)
		if len(ends) != c.rounds || ends[len(ends)-1] != c.budget/2 {
			t.Errorf("%d bytes, %d partitions: rounds end at %v", c.budget, c.partitions, ends)
		}
		for i, at := 0, int64(0); i < len(ends); at, i = ends[i], i+1 {
			if ends[i]-at > 512<<20 {
				t.Errorf("%d bytes, %d partitions: %d are cut at once", c.budget, c.partitions, ends[i]-at)
			}
		}
	}
}
