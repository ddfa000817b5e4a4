package wal

import (
	"errors"
	"strings"
	"testing"

	"chronik/wal/vfs"
)

// Load and Copy give an entry's bytes and what lies behind it, to the end of its file and no further, whether it is in memory
// or not, and read ahead or not; Recent gives what is in memory.
func TestRunsOfEntriesAreLoaded(t *testing.T) {
	onBoth(t, func(b *bench) {
		b.open()
		sizes := []int{1, 100, 4096, 20_000, 31 << 10, 40_000, 7, 200_000, 5}
		for i := range 40 {
			b.put(StreamID(i%5+1), sizes[i%len(sizes)], i%2 == 0)
		}
		b.loads(true)
		b.l.tail.evict(b.pool, 1<<40)
		b.loads(false)
		b.l.ReadAhead(b.locs[3].Pos, 1<<40)
		b.loads(false)
		b.l.Trim(1, 1<<40)
		b.l.Trim(2, 1<<40)
		b.l.Trim(3, 1<<40)
		b.l.Trim(4, 1<<40)
		b.l.Trim(5, 1<<40)
		if err := b.l.Checkpoint(nil); err != nil {
			t.Fatal(err)
		}
		if _, err := b.l.Load(nil, b.locs[0]); !errors.Is(err, ErrGone) {
			t.Errorf("of a file that was given up: %v", err)
		}
		if _, err := b.l.Copy(nil, b.locs[0]); !errors.Is(err, ErrGone) {
			t.Errorf("of a file that was given up: %v", err)
		}
		b.l.ReadAhead(0, 1<<40)
		b.close()
	})
}

func (b *bench) loads(recent bool) {
	b.t.Helper()
	buf := b.pool.Overdraw(512 << 10)
	defer buf.Release()
	files := b.l.Files()
	for i, loc := range b.locs {
		x, ok := b.l.Recent(loc)
		if ok != recent {
			b.t.Fatalf("entry %d in memory: %v", i, ok)
		}
		if ok {
			if string(x.Mem) != b.appended[i].data {
				b.t.Fatalf("entry %d from memory: other bytes", i)
			}
			x.Release()
		}
		end := int64(0)
		for _, f := range files {
			if f.Pos <= loc.Pos {
				end = f.Pos + f.Size
			}
		}
		for _, more := range []int32{0, 1, 5000, 200_000} {
			for _, read := range []func([]byte, Loc) ([]byte, error){b.l.Load, b.l.Copy} {
				got, err := read(buf.Bytes(), Loc{Pos: loc.Pos, Len: loc.Len + more})
				if err != nil {
					b.t.Fatal(err)
				}
				if !strings.HasPrefix(string(got), b.appended[i].data) || len(got) > int(loc.Len+more) || loc.Pos+int64(len(got)) > end {
					b.t.Fatalf("entry %d at %d and %d bytes behind it: %d bytes", i, loc.Pos, more, len(got))
				}
			}
		}
	}
}

func TestAFailedLoadIsAnError(t *testing.T) {
	f := vfs.NewFault(vfs.NewMem())
	b := newBench(t, f)
	b.open()
	b.put(1, 100, false)
	boom := errors.New("boom")
	f.Script(func(op vfs.Op) vfs.Outcome {
		if op.Kind == vfs.OpRead {
			return vfs.Outcome{Err: boom}
		}
		return vfs.Outcome{}
	})
	buf := b.pool.Overdraw(2 * page)
	for _, read := range []func([]byte, Loc) ([]byte, error){b.l.Load, b.l.Copy} {
		if _, err := read(buf.Bytes(), b.locs[0]); !errors.Is(err, boom) {
			t.Error(err)
		}
	}
	buf.Release()
	b.close()
}
