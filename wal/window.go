package wal

import (
	"errors"
	"hash/crc32"
	"io"

	"chronik/wal/arena"
	"chronik/wal/mutant"
)

const (
	windowPiece = groupCap + 64<<10 // no group is larger, unless a single entry is
	windowAhead = 2                 // pieces that are read while another is looked at
	windowRoom  = 2 * windowPiece   // for a piece, and for what is left of the one before it
)

// window reads a file piece by piece. Once its reader goes on from one piece to the next it reads ahead, so that the disk does not
// wait for the checking of what it gave, and nothing is read twice. An entry that is larger than a piece is read once more, into
// memory of its own.
type window struct {
	pool  *arena.Pool // for what is larger than a piece
	mem   []byte      // windowAhead+1 times windowRoom; the pool would keep it
	at    int         // in which of them data lies
	large *arena.Buf
	file  *file
	start int64
	data  []byte // of file, from start on
	ended bool   // nothing of the file is behind data
	ahead []<-chan read
}

// read is what became of reading a piece.
type read struct {
	n   int
	err error
}

func (w *window) close() {
	w.forget()
	if w.mem != nil {
		arena.Unmap(w.mem)
		w.mem = nil
	}
}

// forget drops what was read, and waits for what is being read: it has the window's memory.
func (w *window) forget() {
	for _, r := range w.ahead {
		<-r
	}
	if w.large != nil {
		w.large.Release()
	}
	*w = window{pool: w.pool, mem: w.mem, ahead: w.ahead[:0]}
}

// bytes returns n bytes of f from pos on, or fewer where f ends. They are valid until the next call.
func (w *window) bytes(f *file, pos int64, n int) ([]byte, error) {
	end := w.start + int64(len(w.data))
	goesOn := w.file == f && w.large == nil && w.start <= pos && pos <= end
	switch {
	case w.file == f && w.start <= pos && pos+int64(n) <= end, goesOn && w.ended:
		return w.data[pos-w.start:], nil
	case n > windowPiece:
		return w.entry(f, pos, n)
	}
	ahead := windowAhead
	if !goesOn {
		w.forget()
		w.file, w.start, ahead = f, pos, 0
	}
	err := w.more(pos, ahead)
	return w.data, err
}

// more goes on to the next piece of the file, before which what is left from pos on is put, and then has so many more read.
func (w *window) more(pos int64, ahead int) error {
	if len(w.ahead) == 0 {
		w.fetch()
	}
	r := <-w.ahead[0]
	w.ahead = append(w.ahead[:0], w.ahead[1:]...)
	if r.err != nil {
		w.forget()
		return r.err
	}
	left := w.data[pos-w.start:]
	w.at = (w.at + 1) % (windowAhead + 1)
	b := w.room(w.at)[windowPiece-len(left) : windowPiece+r.n]
	copy(b, left)
	w.start, w.data, w.ended = pos, b, r.n < windowPiece
	for !w.ended && len(w.ahead) < ahead {
		w.fetch()
	}
	return nil
}

func (w *window) room(i int) []byte {
	if w.mem == nil {
		w.mem = arena.Map((windowAhead + 1) * windowRoom)
	}
	return w.mem[i*windowRoom:][:windowRoom]
}

// fetch begins to read the piece behind the last one that is being read.
func (w *window) fetch() {
	k := len(w.ahead)
	into := w.room((w.at + 1 + k) % (windowAhead + 1))[windowPiece:]
	f, pos := w.file, w.start+int64(len(w.data)+k*windowPiece)
	done := make(chan read, 1)
	f.refs.Add(1)
	go func() {
		n, err := f.f.ReadAt(into, pos)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		f.Release()
		done <- read{n, err}
	}()
	w.ahead = append(w.ahead, done)
}

// entry is bytes for what a piece has no room for. The file's size bounds what a damaged length can ask for.
func (w *window) entry(f *file, pos int64, n int) ([]byte, error) {
	w.forget()
	size, err := f.f.Size()
	if err != nil || pos+int64(n) > size {
		return nil, err
	}
	w.large = w.pool.Overdraw(n)
	k, err := f.f.ReadAt(w.large.Bytes(), pos)
	if err != nil && !errors.Is(err, io.EOF) {
		w.forget()
		return nil, err
	}
	w.file, w.start, w.data = f, pos, w.large.Bytes()[:k]
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
