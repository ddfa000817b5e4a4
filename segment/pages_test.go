package segment

import (
	"bytes"
	"hash/crc32"
	"math/rand/v2"
	"syscall"
	"testing"

	"chronik/kafka/batch"
	"chronik/wal/arena"
	"chronik/wal/vfs"
)

// lentPages is n pages to lend.
func lentPages(t testing.TB, n int) []byte {
	b := arena.New(1 << 20).Overdraw(n * arena.Page)
	t.Cleanup(b.Release)
	return b.Bytes()
}

// sized is a batch of about n bytes.
func sized(base int64, n int) batch.Batch { return makeBatch(base, 1, testTime, n, batch.Uncompressed) }

// Whatever the sizes of batches and memory, and wherever it is synced: the file is the batches, and what goes through the
// page cache is less than a page at a time.
func TestWholePagesGoPastTheCache(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"mem": vfs.NewMem(), "os": osFS(t)} {
		f := vfs.NewFault(fs)
		f.Script(func(op vfs.Op) vfs.Outcome {
			if op.Kind == vfs.OpWrite && op.Len >= arena.Page && (op.Len%arena.Page != 0 || op.Off%arena.Page != 0) {
				t.Errorf("%s: %v", name, op)
			}
			return vfs.Outcome{}
		})
		for seed := range uint64(25) {
			appendBySeed(t, f, seed)
		}
	}
}

func appendBySeed(t *testing.T, fs vfs.FS, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 9))
	s, err := Create(fs, "p", 100, Options{})
	must(t, err)
	mem := lentPages(t, 1+int(seed%5))
	var want []byte
	for range 60 {
		if seed%3 > 0 {
			s.Lend(mem)
		}
		b := sized(s.End(), r.IntN(1<<r.IntN(16)))
		if r.IntN(20) == 0 { // ends where a page does
			b = sized(s.End(), max(1, len(b)+arena.Page-(len(want)+len(b))%arena.Page-100))
		}
		must(t, s.Append(b))
		want = append(want, b...)
		switch r.IntN(8) {
		case 0:
			must(t, s.Sync())
		case 1:
			must(t, s.Flush()) // it goes on, or is synced, or sealed
		}
	}
	must(t, s.Seal())
	if got := contents(t, fs, dataFile); !bytes.Equal(got, want) {
		t.Errorf("seed %d: other bytes than appended, %d and %d", seed, len(got), len(want))
	}
	must(t, s.Verify())
	must(t, s.Remove())
}

// A page that an earlier Sync made durable in part is written again by the next: torn anywhere, or failed, it still has
// what was promised.
func TestATornPageKeepsWhatWasSynced(t *testing.T) {
	for keep := 0; keep <= 2*arena.Page; keep += 97 {
		mem := vfs.NewMem()
		must(t, mem.MkdirAll("p"))
		must(t, mem.SyncDir("."))
		f := vfs.NewFault(mem)
		s, err := Create(f, "p", 100, Options{})
		must(t, err)
		first := sized(100, 1500)
		must(t, s.Append(first))
		must(t, s.Sync())
		f.Script(func(op vfs.Op) vfs.Outcome {
			if op.Kind == vfs.OpWrite && op.Name == dataFile {
				return vfs.Outcome{Err: syscall.EIO, Keep: keep}
			}
			return vfs.Outcome{}
		})
		s.Lend(lentPages(t, 1))
		if err := s.Append(sized(101, 9000)); err == nil {
			t.Fatal("the write did not fail")
		}
		for seed := range uint64(8) {
			left := mem.Crash(vfs.Random(seed))
			again, err := Open(left, "p", 100, 101, Options{})
			must(t, err)
			if got := read(t, again, 100, 101, 1<<20, true); !bytes.Equal(got, first) {
				t.Fatalf("%d bytes were written, seed %d: not what was synced", keep, seed)
			}
			must(t, again.Append(sized(101, 20)))
			must(t, again.Seal())
			must(t, again.Verify())
		}
	}
}

// A large batch's own CRC spares the chunk's a look at it. The result is the same, and damage is still found.
func TestChunkSumsOfLargeBatches(t *testing.T) {
	for _, n := range []int{1, 100, knownFrom - 200, knownFrom, knownFrom + 1, 100_000, 1 << 20} {
		b := sized(0, n)
		for _, sum := range []uint32{0, 1, 0xdeadbeef} {
			if got, want := appended(sum, b), crc32.Update(sum, castagnoli, b); got != want {
				t.Errorf("%d bytes after %08x: %08x, want %08x", len(b), sum, got, want)
			}
		}
	}
	fs := vfs.NewMem()
	s := create(t, fs, 100, []batch.Batch{sized(100, 50), sized(101, 2*knownFrom)})
	must(t, s.Seal())
	must(t, s.Verify())
	data, index := contents(t, fs, dataFile), contents(t, fs, indexFile)
	for _, pos := range []int{70, 150, 400, len(data) - 1} {
		if _, err := readAllOf(withFiles(t, flipped(data, pos), index), Footer); !isCorrupt(err) {
			t.Errorf("byte %d: %v", pos, err)
		}
	}
}
