package wal

import (
	"errors"
	"hash/crc32"
	"io"

	"chronik/wal/arena"
	"chronik/wal/mutant"
)

// window reads a file in large pieces; a group that is larger than a piece makes it grow for as long as it is read.
type window struct {
	buf   *arena.Buf
	large *arena.Buf
	file  *file
	start int64
	data  []byte // of file, from start on
}

func (w *window) close() {
	if w.buf != nil {
		w.buf.Release()
	}
	w.shrink()
}

func (w *window) shrink() {
	if w.large != nil {
		w.large.Release()
		w.large, w.data = nil, nil
	}
}

// bytes returns n bytes of f from pos on, or fewer where f ends. They are valid until the next call.
func (w *window) bytes(f *file, pos int64, n int) ([]byte, error) {
	if w.file == f && pos >= w.start && pos+int64(n) <= w.start+int64(len(w.data)) {
		return w.data[pos-w.start:], nil
	}
	w.shrink()
	into := w.buf.Bytes()
	if n > len(into) {
		// The file's size bounds what a damaged length can ask for.
		size, err := f.f.Size()
		if err != nil {
			return nil, err
		}
		if pos+int64(n) > size {
			return nil, nil
		}
		into = w.grow(n)
	}
	k, err := f.f.ReadAt(into, pos)
	if err != nil && !errors.Is(err, io.EOF) {
		w.file = nil
		return nil, err
	}
	w.file, w.start, w.data = f, pos, into[:k]
	return w.data, nil
}

// header reads the header of a group of f at pos, and says whether there is one.
func (w *window) header(f *file, fh *fileHeader, pos int64, g *groupHeader) (bool, error) {
	b, err := w.bytes(f, pos, page)
	return err == nil && g.decode(b, fh), err
}

// group reads the group of f at pos; nil when there is none, or not a whole one.
func (w *window) group(f *file, fh *fileHeader, pos int64, g *groupHeader) ([]byte, error) {
	ok, err := w.header(f, fh, pos, g)
	if !ok {
		return nil, err
	}
	b, err := w.bytes(f, pos, int(g.total))
	if err != nil || len(b) < int(g.total) {
		return nil, err
	}
	return b[:g.total], nil
}

// witness returns the number of a group of f, at or after pos, that was written when group number was durable, or 0.
func (w *window) witness(f *file, fh *fileHeader, pos int64, number uint64) (uint64, error) {
	for {
		b, err := w.bytes(f, pos, page)
		if len(b) < page || err != nil {
			return 0, err
		}
		for ; len(b) >= page; b, pos = b[page:], pos+page {
			var g groupHeader
			if g.decode(b, fh) && g.number > number && g.durable >= number {
				return g.number, nil
			}
		}
	}
}

// intact checks every frame of a group.
func intact(b []byte, g *groupHeader) bool {
	whole := true
	err := eachFrame(b, g, func(h *frameHeader, at int) error {
		if crc32.Checksum(b[at:at+int(h.len)], castagnoli) != h.dataCRC && !mutant.On(mutant.AcceptTornGroup) {
			whole = false
		}
		return nil
	})
	return err == nil && whole
}

var errFrame = errors.New("no such frame")

// eachFrame walks a group's entries: each one's header and the place of its data in the group.
func eachFrame(b []byte, g *groupHeader, visit func(h *frameHeader, at int) error) error {
	seed := seedOf(g.salt, g.number, new([16]byte))
	pos := groupHeaderSize
	for n := g.frames; n > 0; {
		var h frameHeader
		if !h.decode(b[min(pos, int(g.inline)):g.inline], seed) {
			return errFrame
		}
		pos += frameHeaderSize
		at, limit := pos, int(g.inline)
		if h.form == formSpan {
			at, limit = int(g.inline)+int(h.at), int(g.total)
		}
		if at+int(h.len) > limit {
			return errFrame
		}
		if h.form != formSpan {
			pos += align8(int(h.len))
		}
		if h.form == formPad {
			continue
		}
		n--
		if err := visit(&h, at); err != nil {
			return err
		}
	}
	return nil
}

func (w *window) grow(n int) []byte {
	w.large = w.buf.Pool().Overdraw(n)
	return w.large.Bytes()
}
