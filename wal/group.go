package wal

import (
	"chronik/wal/arena"
)

const (
	// groupCap is what a group holds at most, unless a single entry is larger.
	groupCap = 4 << 20
	// spanMin is the length from which on data is written from where it lies rather than copied.
	spanMin = 16 << 10
	// spanGap is how far apart two entries of one buffer may lie and still share a span: less costs more in pieces
	// than the bytes between cost in bandwidth.
	spanGap  = page
	maxSpans = 512 // and few enough inline pieces for the 1024 iovecs of one write
)

// group is what one write makes durable: an inline area, which lies in one or more chunks, and spans of callers'
// buffers. It holds a reference to each of its buffers.
type group struct {
	number    uint64
	base      int64 // Pos of its first byte, once it is written
	seed      uint32
	closing   bool
	inline    []piece
	spans     []piece
	inlineLen int
	spanLen   int
	frames    []frame
	copied    int64 // see Log.Behind
	iov       [][]byte
	scratch   [16]byte // for seed
}

// piece is whole pages of a buffer, except that the last inline piece of a group that is being filled may end anywhere.
type piece struct {
	buf *arena.Buf
	off int
	len int
}

func (p piece) bytes() []byte {
	b := p.buf.Bytes()
	return b[:cap(b)][p.off : p.off+p.len]
}

// frame is what remains to be said to an entry's sink.
type frame struct {
	sink   Sink
	stream StreamID
	end    int64
	at     int // of the data, in the inline area or in the spans
	len    int32
	span   bool
	cuts   bool // its kind has Truncates
}

// pos is the frame's data's place in the group.
func (g *group) pos(f *frame) int64 {
	if f.span {
		return int64(g.inlineLen + f.at)
	}
	return int64(f.at)
}

func (g *group) size() int { return g.inlineLen + g.spanLen }

// staged is what Append finds out about an entry before it takes the log's lock.
type staged struct {
	crc uint32
	buf *arena.Buf // holds Data, or nil: copy
	off int
	own bool // Append must release buf
}

// stage checks e, and gives large data without a buffer one, so that the inline area holds small entries only.
func (l *Log) stage(e Entry) (staged, error) {
	if len(e.Data) > MaxEntry {
		return staged{}, errTooLarge
	}
	a := staged{crc: e.sum()}
	if e.Buf != nil {
		if off, ok := e.Buf.Offset(e.Data); ok {
			a.buf, a.off = e.Buf, off
		}
	}
	if a.buf == nil && len(e.Data) >= spanMin {
		a.buf, a.own = l.pool.Overdraw(len(e.Data)), true
		copy(a.buf.Bytes(), e.Data)
	}
	return a, nil
}

// add puts e behind the group's other entries.
func (q *queue) add(l *log, e Entry, a staged) {
	g := q.room(l, len(e.Data))
	h := frameHeader{dataCRC: a.crc, stream: e.Stream, end: e.End, len: uint32(len(e.Data)), kind: e.Kind, form: formInline}
	f := frame{sink: e.Sink, stream: e.Stream, end: e.End, len: int32(len(e.Data)), cuts: e.Kind&Truncates != 0}
	if at, ok := g.span(a, len(e.Data)); ok {
		f.at, f.span = at, true
		h.at, h.form = uint32(at), formSpan
		h.encode(q.reserve(l, g, frameHeaderSize), g.seed)
	} else {
		b := q.reserve(l, g, align8(frameHeaderSize+len(e.Data)))
		f.at = g.inlineLen - len(b) + frameHeaderSize
		h.encode(b, g.seed)
		clear(b[frameHeaderSize+copy(b[frameHeaderSize:], e.Data):])
	}
	g.frames = append(g.frames, f)
	if a.own || !f.span {
		n := int64(frameHeaderSize + len(e.Data))
		g.copied += n
		l.behind.Add(n)
	}
}

// span takes data into the group's spans, where that is worth it, and returns its place there: large data gets a span,
// and whatever lies beside the last span in the same buffer makes that one longer.
func (g *group) span(a staged, n int) (at int, ok bool) {
	if a.buf == nil || n == 0 {
		return 0, false
	}
	from, to := pageDown(a.off), pageUp(a.off+n)
	if k := len(g.spans); k > 0 && g.spans[k-1].buf == a.buf {
		if s := &g.spans[k-1]; from >= s.off && from <= s.off+s.len+spanGap {
			start := g.spanLen - s.len
			s.len = max(s.len, to-s.off)
			g.spanLen = start + s.len
			return start + a.off - s.off, true
		}
	}
	if n < spanMin {
		return 0, false
	}
	a.buf.Retain()
	g.spans = append(g.spans, piece{a.buf, from, to - from})
	g.spanLen += to - from
	return g.spanLen - (to - from) + a.off - from, true
}

// reset empties g for its next use; its buffers were given away.
func (g *group) reset() {
	clear(g.frames)
	clear(g.inline)
	clear(g.spans)
	clear(g.iov)
	*g = group{frames: g.frames[:0], inline: g.inline[:0], spans: g.spans[:0], iov: g.iov[:0]}
}

// release gives up the buffers of a group that was not written.
func (g *group) release() {
	for _, p := range g.inline {
		p.buf.Release()
	}
	for _, p := range g.spans {
		p.buf.Release()
	}
}

// vector lists the group's bytes in the order of the file, with header h in place.
func (g *group) vector(h *groupHeader) [][]byte {
	h.number, h.inline, h.total, h.frames = g.number, uint32(g.inlineLen), uint32(g.size()), uint32(len(g.frames))
	if g.closing {
		h.flags = flagClosing
	}
	for _, p := range g.inline {
		g.iov = append(g.iov, p.bytes())
	}
	for _, p := range g.spans {
		g.iov = append(g.iov, p.bytes())
	}
	h.encode(g.iov[0])
	return g.iov
}
