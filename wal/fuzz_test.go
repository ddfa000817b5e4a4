package wal

import (
	"bytes"
	"errors"
	"testing"

	"chronik/wal/arena"
	"chronik/wal/vfs"
)

// sample is a small log's directory, closed in order or not.
func sample(f testing.TB, closed bool) *vfs.Mem {
	m := vfs.NewMem()
	b := newBench(f, m)
	b.o.FileSize = 8 * page
	b.open()
	b.put(1, 100, false)
	b.put(2, 17_000, true)
	b.put(1, 0, false)
	if !closed {
		left := m.Crash(vfs.Newest)
		b.close()
		return left
	}
	b.close()
	return m
}

// FuzzOpen opens a log one of whose files holds any bytes. It must open or say what is damaged; what it replays must be
// whole, and come back once more after the next start.
func FuzzOpen(f *testing.F) {
	for _, closed := range []bool{true, false} {
		b := contents(f, sample(f, closed), fileName(1))
		f.Add(b, false)
		f.Add(b[:len(b)/2], false)
		f.Add(contents(f, sample(f, closed), checkpointName), true)
	}
	f.Fuzz(func(t *testing.T, content []byte, ck bool) {
		m := sample(t, true)
		name := fileName(1)
		if ck {
			name = checkpointName
		}
		x, err := m.Open(name, vfs.Truncate)
		if err != nil {
			t.Fatal(err)
		}
		if err := x.WriteSync([][]byte{content}, 0, true); err != nil {
			t.Fatal(err)
		}
		b := &bench{t: t, fs: m, pool: arena.New(16 << 20)}
		b.o = Options{FS: m, Pool: b.pool, FileSize: 8 * page, Incarnation: [16]byte{1, 2, 3}}
		opens(t, b)
	})
}

func opens(t *testing.T, b *bench) {
	var corrupt *CorruptError
	err := b.tryOpen()
	if errors.As(err, &corrupt) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	first := b.replayed
	b.close()
	b.open()
	if len(first) != len(b.replayed) {
		t.Fatalf("replayed %d, then %d", len(first), len(b.replayed))
	}
	b.close()
}

// FuzzGroup walks the frames of a group of any bytes, with the checksums made right, as a hostile disk would.
func FuzzGroup(f *testing.F) {
	b := contents(f, sample(f, true), fileName(1))
	f.Add(b[page:2*page], uint32(1), uint32(page))
	f.Add(b[2*page:], uint32(3), uint32(page))
	f.Fuzz(func(t *testing.T, b []byte, frames, inline uint32) {
		g := groupHeader{salt: 7, number: 8, frames: frames, inline: min(inline, uint32(len(b))), total: uint32(len(b))}
		b = bytes.Clone(b)
		seed := seedOf(g.salt, g.number, new([16]byte))
		for pos := groupHeaderSize; pos+frameHeaderSize <= len(b); {
			var h frameHeader
			n := le.Uint32(b[pos+24:])
			h = frameHeader{le.Uint32(b[pos+4:]), StreamID(le.Uint64(b[pos+8:])), int64(le.Uint64(b[pos+16:])), n,
				le.Uint32(b[pos+28:]), Kind(b[pos+32]), b[pos+33] % 4}
			h.encode(b[pos:], seed)
			var back frameHeader
			if ok := back.decode(b[pos:], seed); ok != (h.form != 0) || ok && back != h {
				t.Fatalf("%+v came back as %+v", h, back)
			}
			if pos += frameHeaderSize; h.form != formSpan {
				pos += align8(int(min(n, 1<<20)))
			}
		}
		_ = eachFrame(b, &g, func(h *frameHeader, at int) error {
			_ = b[at : at+int(h.len)] // within the group, or it panics
			return nil
		})
		intact(b, &g)
	})
}
