package wal

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"testing"

	"chronik/wal/arena"
	"chronik/wal/vfs"
)

// windowed is a window over a file of n random bytes, and where its reads are asked for.
func windowed(t *testing.T, r *rand.Rand, n int) (w *window, f *file, content []byte, script func(func(off int64) error)) {
	fs := vfs.NewFault(vfs.NewMem())
	v, err := fs.Open("x", vfs.Create)
	if err != nil {
		t.Fatal(err)
	}
	content = make([]byte, n)
	for i := 0; i < n; i += 8 {
		le.PutUint64(content[i:], r.Uint64())
	}
	if _, err := v.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	f = &file{f: v, name: "x"}
	f.refs.Store(1)
	w = &window{pool: arena.New(1 << 20)}
	t.Cleanup(func() { w.close(); f.Release() })
	return w, f, content, func(fn func(int64) error) {
		fs.Script(func(op vfs.Op) vfs.Outcome {
			if op.Kind != vfs.OpRead {
				return vfs.Outcome{}
			}
			return vfs.Outcome{Err: fn(op.Off)}
		})
	}
}

func TestAWindowGivesTheFilesBytes(t *testing.T) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 1))
		w, f, content, _ := windowed(t, r, page*(1+r.IntN(30<<20/page)))
		pos := 0
		for range 150 {
			if r.IntN(20) == 0 {
				pos = r.IntN(len(content)/page+2) * page
			}
			n := page * (1 + r.IntN([]int{1, 30, 1000, 2000}[r.IntN(4)]))
			got, err := w.bytes(f, int64(pos), n)
			if err != nil {
				t.Fatal(err)
			}
			want := content[min(pos, len(content)):min(pos+n, len(content))]
			if len(got) == 0 && len(want) < n && n > windowPiece {
				want = nil // no memory for what is not there
			}
			if !bytes.HasPrefix(got, want) {
				t.Fatalf("seed %d: %d of %d bytes at %d of %d, or other ones", seed, len(got), n, pos, len(content))
			}
			if r.IntN(3) > 0 {
				pos += n
			}
		}
	}
}

func TestAWindowReadsNothingTwice(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	w, f, content, script := windowed(t, r, 40<<20)
	var reads atomic.Int64
	script(func(int64) error { reads.Add(1); return nil })
	for pos := 0; pos < len(content); {
		n := page * (1 + r.IntN(groupCap/page))
		if _, err := w.bytes(f, int64(pos), page); err != nil {
			t.Fatal(err)
		}
		got, err := w.bytes(f, int64(pos), n)
		if err != nil || !bytes.HasPrefix(got, content[pos:min(pos+n, len(content))]) {
			t.Fatalf("%d bytes at %d: %v", n, pos, err)
		}
		pos += n
	}
	if n, most := reads.Load(), int64(len(content)/windowPiece+1+windowAhead); n > most {
		t.Errorf("%d reads, at most %d are needed", n, most)
	}
}

func TestAnErrorOfReadingAheadMustNotCountForWhatIsBeforeIt(t *testing.T) {
	const half = windowPiece / 2
	w, f, content, script := windowed(t, rand.New(rand.NewPCG(1, 3)), 6*windowPiece)
	script(func(off int64) error {
		if off == 3*windowPiece {
			return syscall.EIO
		}
		return nil
	})
	for pos := 0; pos < 6*windowPiece; pos += half {
		got, err := w.bytes(f, int64(pos), half)
		switch {
		case pos == 3*windowPiece:
			if !errors.Is(err, syscall.EIO) {
				t.Fatalf("at %d: %v", pos, err)
			}
		case err != nil || !bytes.HasPrefix(got, content[pos:pos+half]):
			t.Fatalf("at %d: %v", pos, err)
		}
	}
}
