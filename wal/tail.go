package wal

import (
	"sort"
	"sync"

	"chronik/wal/arena"
)

// tail is the newest bytes of the log, in the buffers that they were written from. It is a ring of runs in the order
// of their positions; memory pressure takes the oldest.
type tail struct {
	mu   sync.Mutex
	runs []run // a ring: n of them from head on
	head int
	n    int
}

// run is bytes that lie together in the log and in a buffer, of which it holds a reference.
type run struct {
	pos, len int64
	buf      *arena.Buf
	off      int
}

// add takes over the buffers of a group that was written.
func (t *tail) add(g *group) {
	t.mu.Lock()
	defer t.mu.Unlock()
	pos := g.base
	for _, p := range g.inline {
		t.push(run{pos, int64(p.len), p.buf, p.off})
		pos += int64(p.len)
	}
	for _, p := range g.spans {
		t.push(run{pos, int64(p.len), p.buf, p.off})
		pos += int64(p.len)
	}
}

// push appends r. Small groups follow each other in a chunk as they do in the file: together they are one run.
func (t *tail) push(r run) {
	if t.n > 0 {
		last := t.at(t.n - 1)
		if last.buf == r.buf && last.pos+last.len == r.pos && last.off+int(last.len) == r.off {
			last.len += r.len
			r.buf.Release() // one reference is enough
			return
		}
	}
	if t.n == len(t.runs) {
		t.grow()
	}
	t.n++
	*t.at(t.n - 1) = r
}

func (t *tail) at(i int) *run { return &t.runs[(t.head+i)%len(t.runs)] }

func (t *tail) grow() {
	runs := make([]run, max(64, 2*t.n))
	for i := range t.n {
		runs[i] = *t.at(i)
	}
	t.runs, t.head = runs, 0
}

// find returns the bytes at loc, with a reference to their buffer; nil when they are not in memory.
func (t *tail) find(loc Loc) ([]byte, *arena.Buf) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := sort.Search(t.n, func(i int) bool { return t.at(i).pos > loc.Pos }) - 1
	if i < 0 {
		return nil, nil
	}
	r := t.at(i)
	if loc.Pos+int64(loc.Len) > r.pos+r.len {
		return nil, nil
	}
	r.buf.Retain()
	from := r.off + int(loc.Pos-r.pos)
	b := r.buf.Bytes()
	return b[:cap(b)][from : from+int(loc.Len) : from+int(loc.Len)], r.buf
}

// evict lets go of the oldest runs until the pool has need bytes more, or none is left. Readers that hold a buffer
// keep it, so the pool's own account is what counts.
func (t *tail) evict(pool *arena.Pool, need int64) {
	goal := pool.InUse() - need
	for pool.InUse() > goal {
		buf := t.pop()
		if buf == nil {
			return
		}
		buf.Release()
	}
}

func (t *tail) pop() *arena.Buf {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == 0 {
		return nil
	}
	r := t.at(0)
	buf := r.buf
	*r = run{}
	t.head = (t.head + 1) % len(t.runs)
	t.n--
	return buf
}

// relieve gives memory back when little is left, so that the next requests find room without asking, and when somebody
// waits for memory that was still on its way to the disk when the pool asked for it.
func (l *Log) relieve() {
	if over := l.pool.InUse() - l.pool.Limit()/32*31; over > 0 {
		l.tail.evict(l.pool, over)
	}
	for l.pool.Waiting() > 0 {
		buf := l.tail.pop()
		if buf == nil {
			return
		}
		buf.Release()
	}
}

// press is the pool's hook. It takes more than is needed, or else every request would come this way once memory is full.
func (l *Log) press(need int64) {
	l.tail.evict(l.pool, max(need, l.pool.Limit()/64))
}
