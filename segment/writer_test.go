package segment

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"chronik/wal/vfs"
)

// Whoever cuts hundreds of logs at once had all of their segments' indexes in memory, and each was read back to be added to.
func TestAWriterHasNoIndexInMemory(t *testing.T) {
	disk := vfs.NewFault(vfs.NewMem())
	disk.Script(func(op vfs.Op) vfs.Outcome {
		if op.Kind == vfs.OpRead && strings.HasSuffix(op.Name, indexSuffix) {
			t.Errorf("%s is read", op.Name)
		}
		return vfs.Outcome{}
	})
	files := NewFiles(4, 1<<20)
	var before *Segment
	for base := int64(0); base < 3000; base += 1000 {
		o := Options{Files: files}
		if before != nil {
			o.Ongoing = before.Ongoing
		}
		s, err := Create(disk, "p", base, o)
		must(t, err)
		for i, b := range makeBatches(base, 100) {
			must(t, s.Append(b))
			if i%10 == 0 {
				must(t, s.Sync())
			}
		}
		must(t, s.Seal())
		before = s
	}
	if n := files.lru.Len(); n != 0 || files.bytes != 0 {
		t.Errorf("%d indexes with %d bytes are in memory, and nobody reads", n, files.bytes)
	}
}

// What is appended is counted in the memory of the index that a reader has.
func TestAnIndexThatGrowsCounts(t *testing.T) {
	files := NewFiles(4, 1<<20)
	s, err := Create(vfs.NewMem(), "p", 0, Options{Files: files})
	must(t, err)
	all := makeBatches(0, 300)
	for i, b := range all {
		must(t, s.Append(b))
		if i%20 != 0 {
			continue
		}
		must(t, s.Sync())
		if got, want := read(t, s, 0, math.MaxInt64, math.MaxInt32, true), bytes.Join(bytesOf(all[:i+1]), nil); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes after %d batches, want %d", len(got), i+1, len(want))
		}
		if want := int64(len(s.open.ix.chunks)) * chunkMemory; files.bytes != want {
			t.Fatalf("%d bytes counted of %d", files.bytes, want)
		}
	}
	must(t, s.Close())
	if files.bytes != 0 {
		t.Errorf("%d bytes are left", files.bytes)
	}
}

// The index file may be damaged while records are appended: who reads then makes it again, with other records than the
// writer's next ones were counted for.
func TestAnIndexThatIsMadeAgainDuringAnAppendGoesOn(t *testing.T) {
	for _, until := range []int64{0, recordSize / 2, 3 * recordSize} {
		fs := vfs.NewMem()
		files := NewFiles(1, 1)
		o := Options{Files: files}
		s, err := Create(fs, "p", 0, o)
		must(t, err)
		all := txnBatches(0)
		for _, b := range all[:4] {
			must(t, s.Append(b))
			must(t, s.Sync())
		}
		must(t, s.Append(all[4]))
		index, err := fs.Open(s.indexName(), 0)
		must(t, err)
		must(t, index.Truncate(until))
		must(t, index.Close())
		if got, want := read(t, s, 0, math.MaxInt64, math.MaxInt32, true), bytes.Join(bytesOf(all[:4]), nil); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes are read before the sync, want %d", len(got), len(want))
		}
		must(t, s.Sync())
		again := func(s *Segment) {
			t.Helper()
			if got, want := read(t, s, 0, math.MaxInt64, math.MaxInt32, true), bytes.Join(bytesOf(all[:5]), nil); !bytes.Equal(got, want) {
				t.Fatalf("%d bytes, want %d", len(got), len(want))
			}
			must(t, s.Verify())
		}
		again(s)
		must(t, s.Close())
		raw, err := s.readAll(s.indexName())
		must(t, err)
		if ix, ok := parseIndex(raw, 0, math.MaxInt64); !ok || ix.mark != s.mark || len(raw) != s.records*recordSize {
			t.Errorf("the index of %d bytes ends at offset %d, with %d records, want %d and %d", len(raw), ix.mark.end, ix.records, s.mark.end, s.records)
		}
		s, err = Open(fs, "p", 0, s.End(), o)
		must(t, err)
		again(s)
	}
}

// What was collected in memory goes with Close: an Append behind it would leave a hole, and Sync would call that durable.
func TestNothingIsAppendedBehindWhatCloseHasLost(t *testing.T) {
	fs := vfs.NewMem()
	all := makeBatches(0, 3)
	s := create(t, fs, 0, all[:1])
	must(t, s.Sync())
	must(t, s.Close())
	must(t, s.Append(all[1])) // nothing was lost yet
	must(t, s.Close())
	if err := s.Append(all[2]); !errors.Is(err, errClosed) {
		t.Errorf("it is taken: %v", err)
	}
	if err := s.Sync(); !errors.Is(err, errClosed) {
		t.Errorf("it counts as durable: %v", err)
	}
	if got := read(t, s, 0, math.MaxInt64, math.MaxInt32, true); !bytes.Equal(got, all[0]) {
		t.Errorf("%d bytes are read, want %d", len(got), len(all[0]))
	}
	again, err := Open(fs, "p", 0, all[0].NextOffset(), Options{})
	must(t, err)
	must(t, again.Append(all[1]))
	must(t, again.Seal())
	must(t, again.Verify())
}
