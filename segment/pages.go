package segment

import (
	"chronik/wal/arena"
	"chronik/wal/crc"
	"chronik/wal/vfs"
)

// pages collects what is appended to a data file and writes whole pages, past the page cache where the file system allows
// it: filling the cache costs many times what the disk does. A page that is begun or ended in the middle goes through
// the cache, with just the bytes that are new: an earlier Sync may have promised the others, or a later Append bring them.
type pages struct {
	file vfs.File
	mem  []byte // whole pages, aligned
	at   int64  // of mem in the file: where a page begins
	from int    // mem[from:to] is not in the file yet
	to   int
	own  *arena.Buf // that mem is of, unless it was lent
}

// ownPages is for those who lend none.
var ownPages = arena.New(4 * ownSize)

const ownSize = 64 << 10

// newPages goes on at the end of a file of size bytes. mem is whole pages, or nil.
func newPages(file vfs.File, size int64, mem []byte) *pages {
	w := &pages{file: file, mem: mem}
	if len(mem) == 0 {
		w.own = ownPages.Overdraw(ownSize)
		w.mem = w.own.Bytes()
	}
	w.from = int(size % arena.Page)
	w.at, w.to = size-int64(w.from), w.from
	return w
}

// sumBlock is how much is copied before its sum is made: so much stays in the processor's cache in between.
const sumBlock = 32 << 10

// add takes p over, writes what it has when there is no more room, and returns the CRC of what it took.
func (w *pages) add(p []byte) (sum uint32, err error) {
	for len(p) > 0 {
		n := copy(w.mem[w.to:min(w.to+sumBlock, len(w.mem))], p)
		sum = crc.Update(sum, w.mem[w.to:w.to+n])
		w.to, p = w.to+n, p[n:]
		if w.to < len(w.mem) {
			continue
		}
		if err := w.flush(); err != nil {
			return 0, err
		}
		w.at, w.from, w.to = w.at+int64(w.to), 0, 0
	}
	return sum, nil
}

// flush writes all that was added.
func (w *pages) flush() error {
	const within = arena.Page - 1
	if begun := (w.from + within) &^ within; begun > w.from {
		if err := w.cached(min(begun, w.to)); err != nil {
			return err
		}
	}
	if whole := w.to &^ within; whole > w.from {
		if err := w.file.WriteSync([][]byte{w.mem[w.from:whole]}, w.at+int64(w.from), false); err != nil {
			return err
		}
		w.from = whole
	}
	return w.cached(w.to)
}

// cached writes up to end through the page cache.
func (w *pages) cached(end int) error {
	if end == w.from {
		return nil
	}
	if _, err := w.file.WriteAt(w.mem[w.from:end], w.at+int64(w.from)); err != nil {
		return err
	}
	w.from = end
	return nil
}

// giveUp lets go of the memory. All was flushed.
func (w *pages) giveUp() {
	if w.own != nil {
		w.own.Release()
	}
	w.own, w.mem = nil, nil
}

// close lets go of file and memory. What was flushed and synced is not in danger, and nobody was promised the rest.
func (w *pages) close() {
	_ = w.file.Close()
	w.giveUp()
}
