package arena

import (
	"fmt"
	"math/bits"
	"unsafe"

	"golang.org/x/sys/unix"
)

// region is one mapping from which runs of pages are handed out. A run is looked for behind the one that was handed out
// last: the log's tail, which holds most of the memory, lets go in the order in which it took, so the region is a ring
// as long as that is all there is, and finding a run is one step. The system's memory behind it is touched once and stays.
//
// Lost: lists of free buffers by size. Requests come in all sizes; when memory is full, nearly every one of them found
// its list empty and had another size's buffer unmapped and fresh pages mapped, which cost more than receiving it.
type region struct {
	mem  []byte
	used []uint64 // a bit a page
	next int      // page behind the last run
}

// newRegion maps size bytes; untouched ones cost nothing. Huge pages make fewer of them to look up, and to pin for
// a direct write.
func newRegion(size int64) region {
	mem := mapMemory(size)
	_ = unix.Madvise(mem, unix.MADV_HUGEPAGE) // a wish: not every kernel has them
	return region{mem: mem, used: make([]uint64, (size/Page+63)/64)}
}

// mapMemory gets fresh memory. The system gives none only when the machine is exhausted beyond the pool's limit, which
// is a misconfiguration that cannot be answered per request.
func mapMemory(size int64) []byte {
	mem, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err != nil {
		panic(fmt.Sprintf("arena: map %d bytes: %v", size, err))
	}
	return mem
}

func unmap(mem []byte) {
	if err := unix.Munmap(mem); err != nil {
		panic(fmt.Sprintf("arena: unmap: %v", err))
	}
}

func (r *region) pages() int { return len(r.mem) / Page }

// take returns a run of n pages, or nil when no free one is that long.
func (r *region) take(n int) []byte {
	at, ok := r.find(r.next, r.pages(), n)
	if !ok {
		if at, ok = r.find(0, min(r.next+n, r.pages()), n); !ok {
			return nil
		}
	}
	r.mark(at, n, true)
	r.next = at + n
	return r.mem[at*Page : (at+n)*Page : (at+n)*Page]
}

// put takes back a run.
func (r *region) put(run []byte) {
	at := int(uintptr(unsafe.Pointer(unsafe.SliceData(run))) - uintptr(unsafe.Pointer(unsafe.SliceData(r.mem))))
	r.mark(at/Page, len(run)/Page, false)
}

// find looks for n free pages in [from, to).
func (r *region) find(from, to, n int) (int, bool) {
	for from+n <= to {
		from = r.skip(from, to, true)
		end := r.skip(from, min(from+n, to), false)
		if end-from == n {
			return from, true
		}
		from = end
	}
	return 0, false
}

// skip returns the first page from there on that is not as said, used or free, at most to.
func (r *region) skip(from, to int, used bool) int {
	for from < to {
		word := r.used[from/64]
		if used {
			word = ^word
		}
		if word >>= from % 64; word != 0 {
			return min(from+bits.TrailingZeros64(word), to)
		}
		from = (from/64 + 1) * 64
	}
	return to
}

func (r *region) mark(at, n int, used bool) {
	for n > 0 {
		k := min(64-at%64, n)
		mask := ^uint64(0) >> (64 - k) << (at % 64)
		if used {
			r.used[at/64] |= mask
		} else {
			r.used[at/64] &^= mask
		}
		at, n = at+k, n-k
	}
}
