package faults

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// stored is a file's content. raft.db is mostly holes, so only what is not one is kept.
type stored struct {
	size int64
	runs []storedRun // in order, apart
}

type storedRun struct {
	off  int64
	data []byte
}

// corruptSector is what a disk reads and writes at once.
const corruptSector = 512

// readTree returns the files below dir by their paths there.
func readTree(t testing.TB, dir string) map[string]*stored {
	t.Helper()
	files := map[string]*stored{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err == nil {
			files[name], err = readStored(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func readStored(path string) (*stored, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	s := &stored{size: info.Size()}
	for end := int64(0); end < s.size; {
		from, err := f.Seek(end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // a hole up to the end
		}
		if err != nil {
			return nil, err
		}
		if end, err = f.Seek(from, unix.SEEK_HOLE); err != nil {
			return nil, err
		}
		r := storedRun{from, make([]byte, end-from)}
		if _, err := f.ReadAt(r.data, from); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		s.runs = append(s.runs, r)
	}
	return s, nil
}

func (s *stored) write(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	for _, r := range s.runs {
		if _, err = f.WriteAt(r.data, r.off); err != nil {
			break
		}
	}
	if err == nil {
		err = f.Truncate(s.size)
	}
	return errors.Join(err, f.Close())
}

func writeTree(t testing.TB, dir string, files map[string]*stored) {
	t.Helper()
	for name, s := range files {
		if err := s.write(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// bytes is n bytes from off on, zeros behind the end.
func (s *stored) bytes(off, n int64) []byte {
	b := make([]byte, n)
	for _, r := range s.runs {
		if from, to := max(off, r.off), min(off+n, r.off+int64(len(r.data))); from < to {
			copy(b[from-off:to-off], r.data[from-r.off:])
		}
	}
	return b
}

// with is s with b at off, which may make it longer.
func (s *stored) with(off int64, b []byte) *stored {
	changed := &stored{size: max(s.size, off+int64(len(b)))}
	end := off + int64(len(b))
	for _, r := range s.runs {
		if r.off < off {
			changed.runs = append(changed.runs, storedRun{r.off, r.data[:min(off-r.off, int64(len(r.data)))]})
		}
		if to := r.off + int64(len(r.data)); to > end {
			from := max(end, r.off)
			changed.runs = append(changed.runs, storedRun{from, r.data[from-r.off:]})
		}
	}
	changed.runs = append(changed.runs, storedRun{off, b})
	slices.SortFunc(changed.runs, func(a, b storedRun) int { return int(a.off - b.off) })
	return changed
}

// cut is s that ends at size.
func (s *stored) cut(size int64) *stored {
	short := &stored{size: size}
	for _, r := range s.runs {
		if r.off < size {
			short.runs = append(short.runs, storedRun{r.off, r.data[:min(int64(len(r.data)), size-r.off)]})
		}
	}
	return short
}

func (s *stored) equal(o *stored) bool {
	if s.size != o.size {
		return false
	}
	for _, both := range [][2]*stored{{s, o}, {o, s}} {
		for _, r := range both[0].runs {
			if !bytes.Equal(r.data, both[1].bytes(r.off, int64(len(r.data)))) {
				return false
			}
		}
	}
	return true
}

// filled lists the sectors that are not all zeros.
func (s *stored) filled() (sectors []int64) {
	zero := make([]byte, corruptSector)
	for _, r := range s.runs {
		for at := r.off &^ (corruptSector - 1); at < r.off+int64(len(r.data)); at += corruptSector {
			from, to := max(at, r.off)-r.off, min(at+corruptSector-r.off, int64(len(r.data)))
			if part := r.data[from:to]; !bytes.Equal(part, zero[:len(part)]) {
				sectors = append(sectors, at)
			}
		}
	}
	return sectors
}

// A span is bytes [from, to) of a file.
type span struct{ from, to int64 }

func (s span) overlaps(o span) bool { return s.from < o.to && o.from < s.to }

func anyOverlap(a, b []span) bool {
	return slices.ContainsFunc(a, func(s span) bool { return slices.ContainsFunc(b, s.overlaps) })
}

// differences lists where two files differ, in runs of sectors cut down to their first and last other byte; what only one
// of them has is a difference.
func differences(a, b *stored) (spans []span) {
	size := max(a.size, b.size)
	starts := map[int64]bool{}
	for _, s := range []*stored{a, b} {
		for _, at := range s.filled() {
			starts[at] = true
		}
	}
	for at := range starts {
		x, y := a.bytes(at, corruptSector), b.bytes(at, corruptSector)
		if first := firstDifference(x, y); first >= 0 {
			last := corruptSector - 1
			for x[last] == y[last] {
				last--
			}
			spans = append(spans, span{at + int64(first), at + int64(last) + 1})
		}
	}
	if a.size != b.size {
		spans = append(spans, span{min(a.size, b.size), size})
	}
	return spans
}

func firstDifference(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}
