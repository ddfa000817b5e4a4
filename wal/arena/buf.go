package arena

import (
	"fmt"
	"math/bits"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Buf is a counted buffer. The zero Buf is not usable.
type Buf struct{ buf }

type buf struct {
	pool  *Pool
	class class
	mem   []byte // the mapping
	n     int    // bytes asked for
	refs  atomic.Int32
}

// Bytes is the n bytes asked for; its capacity reaches to the end of the last page, so whole pages can be written.
func (b *Buf) Bytes() []byte { return b.mem[:b.n:roundUp(b.n)] }

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

// allocate maps fresh memory. The system gives none only when the machine's memory is exhausted beyond the pool's
// limit, which is a misconfiguration that cannot be answered per request.
func allocate(p *Pool, c class) *Buf {
	mem, err := unix.Mmap(-1, 0, int(c.size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		panic(fmt.Sprintf("arena: map %d bytes: %v", c.size(), err))
	}
	b := &Buf{}
	b.pool, b.class, b.mem = p, c, mem
	return b
}

func (b *buf) unmap() {
	if err := unix.Munmap(b.mem); err != nil {
		panic(fmt.Sprintf("arena: unmap: %v", err))
	}
	b.mem = nil
}

// class numbers the sizes of buffers: four steps for each doubling, so that at most a fifth of a buffer is unused
// (and untouched: an unused page of a mapping costs nothing).
type class int

const classes = 4 * 36

// classOf is the smallest class that holds n bytes.
func classOf(n int) class {
	pages := uint64(max(roundUp(n), Page) / Page)
	if pages <= 4 {
		return class(pages - 1)
	}
	shift := bits.Len64(pages-1) - 3 // the three highest bits tell the step
	step := (pages - 1) >> shift     // 4 to 7
	return class(4*shift + int(step))
}

// size is the class's bytes.
func (c class) size() int64 {
	if c < 4 {
		return int64(c+1) * Page
	}
	shift := (int(c) - 4) / 4
	step := (int(c)-4)%4 + 4
	return int64(step+1) << shift * Page
}

func roundUp(n int) int { return (n + Page - 1) &^ (Page - 1) }
