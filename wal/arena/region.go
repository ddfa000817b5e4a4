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
	bare []uint64 // the same: free, and given back to the system
	next int      // page behind the last run
	warm int      // pages that were touched ahead, from the first
}

// ahead is how many pages are touched before a run reaches them, and at a time: two huge pages.
const ahead = 4 << 20 / Page

// newRegion maps size bytes; untouched ones cost nothing. Huge pages make fewer of them to look up, and to pin for
// a direct write.
func newRegion(size int64) region {
	mem := Map(size)
	words := (size/Page + 63) / 64
	return region{mem: mem, used: make([]uint64, words), bare: make([]uint64, words)}
}

// Map gets size bytes of memory, aligned for direct reads, for who needs so much for a while: Unmap gives it back.
func Map(size int64) []byte {
	mem := mapMemory(size)
	wantHugePages(mem)
	return mem
}

// mapMemory gets fresh memory. The system gives none only when the machine is exhausted beyond the pool's limit, which
// is a misconfiguration that cannot be answered per request.
func mapMemory(size int64) []byte {
	mem, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|mapLazily)
	if err != nil {
		panic(fmt.Sprintf("arena: map %d bytes: %v", size, err))
	}
	return mem
}

// Unmap gives back what Map has got.
func Unmap(mem []byte) {
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
	mark(r.used, at, n, true)
	mark(r.bare, at, n, false)
	r.next = at + n
	return r.mem[at*Page : (at+n)*Page : (at+n)*Page]
}

// put takes back a run.
func (r *region) put(run []byte) {
	at := int(uintptr(unsafe.Pointer(unsafe.SliceData(run))) - uintptr(unsafe.Pointer(unsafe.SliceData(r.mem))))
	mark(r.used, at/Page, len(run)/Page, false)
}

// giveBack has the system take size bytes of free pages, or what there are of them: for memory that had to be found
// elsewhere because they lie in pieces. It begins where the next runs will come last.
func (r *region) giveBack(size int64) {
	for _, part := range [2][2]int{{0, min(r.next, r.pages())}, {min(r.next, r.pages()), r.pages()}} {
		for at := part[0]; size > 0; {
			at = r.skip(at, part[1], true)
			end := r.skip(at, min(at+int(size/Page), part[1]), false)
			if at == end {
				break
			}
			if held := skip(r.bare, at, end, true); held > at {
				at = held // those before are given back already
				continue
			}
			end = skip(r.bare, at, end, false)
			_ = unix.Madvise(r.mem[at*Page:end*Page], unix.MADV_DONTNEED) // it is free: what is in it means nothing
			mark(r.bare, at, end-at, true)
			size -= int64(end-at) * Page
			at = end
		}
	}
}

// cold returns the pages to be touched next, none while the runs are far from them: whoever touches a huge page first
// waits until the system has cleared it, milliseconds on some machines, and that must not be a request.
func (r *region) cold() []byte {
	if r.next+ahead/2 < r.warm || r.warm == r.pages() {
		return nil
	}
	from := max(r.warm, r.next)
	r.warm = min(from+ahead, r.pages())
	return r.mem[min(from, r.pages())*Page : r.warm*Page]
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
func (r *region) skip(from, to int, used bool) int { return skip(r.used, from, to, used) }

// skip returns the first place from there on whose bit is not as said, at most to.
func skip(words []uint64, from, to int, set bool) int {
	for from < to {
		word := words[from/64]
		if set {
			word = ^word
		}
		if word >>= from % 64; word != 0 {
			return min(from+bits.TrailingZeros64(word), to)
		}
		from = (from/64 + 1) * 64
	}
	return to
}

func mark(words []uint64, at, n int, set bool) {
	for n > 0 {
		k := min(64-at%64, n)
		mask := ^uint64(0) >> (64 - k) << (at % 64)
		if set {
			words[at/64] |= mask
		} else {
			words[at/64] &^= mask
		}
		at, n = at+k, n-k
	}
}
