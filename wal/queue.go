package wal

import "chronik/wal/arena"

// queue is the groups that wait to be written: full ones, and the one being filled. Log.mu guards it.
type queue struct {
	cap   int // of a group, in bytes
	chunk int // bytes of a buffer for inline areas
	next  uint64

	full []*group // sealed, oldest first
	open *group   // or nil; never without entries
	buf  *arena.Buf
	used int // of buf; a multiple of a page while no group is open
	free []*group
}

func (q *queue) empty() bool { return q.open == nil && len(q.full) == 0 }

// take removes the oldest group; the queue must not be empty.
func (q *queue) take() *group {
	if len(q.full) == 0 {
		q.seal()
	}
	g := q.full[0]
	q.full = append(q.full[:0], q.full[1:]...)
	return g
}

// room returns the open group with room for n more bytes.
func (q *queue) room(l *log, n int) *group {
	if g := q.open; g != nil && (g.size()+n+2*page > q.cap || len(g.spans) == maxSpans) {
		q.seal()
	}
	if q.open == nil {
		q.open = q.begin(l)
	}
	return q.open
}

// begin returns a group that is empty but for its header.
func (q *queue) begin(l *log) *group {
	var g *group
	if k := len(q.free); k > 0 {
		g, q.free = q.free[k-1], q.free[:k-1]
	} else {
		g = &group{}
	}
	g.number = q.next
	g.seed = seedOf(l.salt, g.number, &g.scratch)
	q.next++
	q.reserve(l, g, groupHeaderSize)
	return g
}

// seal ends the open group at a page, so that the next one cannot touch its bytes.
func (q *queue) seal() {
	g := q.open
	pad := pageUp(q.used) - q.used
	clear(q.buf.Bytes()[q.used : q.used+pad])
	g.inline[len(g.inline)-1].len += pad
	g.inlineLen += pad
	q.used += pad
	q.full = append(q.full, g)
	q.open = nil
}

// reserve makes g's inline area n bytes longer and returns these bytes, which lie together. Each buffer keeps room for
// a pad, because what is left of it when the next bytes do not fit becomes one.
func (q *queue) reserve(l *log, g *group, n int) []byte {
	if q.buf == nil || q.used+n+frameHeaderSize > len(q.buf.Bytes()) {
		q.turn(l, g, n)
	}
	if k := len(g.inline); k == 0 || g.inline[k-1].buf != q.buf {
		q.buf.Retain()
		g.inline = append(g.inline, piece{buf: q.buf, off: q.used})
	}
	b := q.buf.Bytes()[q.used : q.used+n]
	q.used += n
	g.inline[len(g.inline)-1].len += n
	g.inlineLen += n
	return b
}

// turn takes a new buffer, and fills up the old one when g has begun in it.
func (q *queue) turn(l *log, g *group, n int) {
	if k := len(g.inline); k > 0 {
		rest := q.buf.Bytes()[q.used:]
		h := frameHeader{len: uint32(len(rest) - frameHeaderSize), form: formPad}
		h.encode(rest, g.seed)
		clear(rest[frameHeaderSize:])
		g.inline[k-1].len += len(rest)
		g.inlineLen += len(rest)
	}
	if q.buf != nil {
		q.buf.Release()
	}
	q.buf = l.pool.Overdraw(max(q.chunk, pageUp(n+frameHeaderSize)))
	q.used = 0
}

// recycle takes back a group that was written or given up.
func (q *queue) recycle(g *group) {
	g.reset()
	if len(q.free) < 8 {
		q.free = append(q.free, g)
	}
}
