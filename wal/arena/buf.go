package arena

import (
	"sync/atomic"
	"unsafe"
)

// Buf is a counted buffer. The zero Buf is not usable.
type Buf struct{ buf }

type buf struct {
	pool   *Pool
	mem    []byte   // whole pages
	mapped bool     // mem is a mapping of its own, outside of the region
	n      int      // bytes asked for
	sums   []uint32 // see Arrived
	refs   atomic.Int32
}

// Bytes is the n bytes asked for; its capacity reaches to the end of the last page, so whole pages can be written.
func (b *Buf) Bytes() []byte { return b.mem[:b.n] }

// Pool is where the buffer came from.
func (b *Buf) Pool() *Pool { return b.pool }

// Offset says where in the buffer data lies: data must be a slice of Bytes, however its capacity was cut. It is false
// when data lies elsewhere.
func (b *Buf) Offset(data []byte) (off int, ok bool) {
	start := uintptr(unsafe.Pointer(unsafe.SliceData(b.mem)))
	at := uintptr(unsafe.Pointer(unsafe.SliceData(data)))
	if at < start || at+uintptr(len(data)) > start+uintptr(b.n) {
		return 0, false
	}
	return int(at - start), true
}

// Retain adds a reference; Release drops one, and with the last the memory goes back to the pool. Releasing more often
// than retained panics.
func (b *Buf) Retain() {
	if b.refs.Add(1) <= 1 {
		panic("arena: Retain of a buffer that nobody holds")
	}
}

// Release drops a reference.
func (b *Buf) Release() {
	switch n := b.refs.Add(-1); {
	case n == 0:
		b.pool.put(b)
	case n < 0:
		panic("arena: Release of a buffer that nobody holds")
	}
}

// pagesOf is the bytes that a buffer of n takes, at least a page.
func pagesOf(n int) int64 { return int64(max(n+Page-1, Page)) &^ (Page - 1) }
