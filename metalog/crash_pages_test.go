package metalog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// raft.db is mapped into memory, so it cannot lie on a file system of ours. Instead its pages are compared before and
// after each transaction, and from the difference comes what a power cut in between could leave. That relies on what
// bbolt 1.5.0 does in a commit (tx.go: Commit, write, writeMeta; db.go: grow, meta):
//
//  1. Where the file has to grow, it is truncated to its new size, and fsynced.
//  2. The pages of the transaction are written, none of which the meta page in force leads to; then fdatasync.
//  3. One meta page is written, the one that is not in force, with the next transaction's number; then fdatasync. Only
//     then the commit has happened. At a start the valid meta page with the greater number is in force.
//
// A disk may keep any of what was written since the last sync, in sectors, in any order.

const (
	pageSize   = 4096
	sectorSize = 512
)

// pages is the content of a file: its size, and the pages that are not all zeros.
type pages struct {
	size int64
	at   map[int64][]byte
}

var zeros = make([]byte, pageSize)

// page is always whole.
func (p pages) page(i int64) []byte {
	if b, ok := p.at[i]; ok {
		return b
	}
	return zeros
}

func (p pages) clone() pages { return pages{p.size, maps.Clone(p.at)} }

// readPages skips the holes: bbolt grows its file by 16 MiB at once.
func readPages(t testing.TB, path string) pages {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	p := pages{info.Size(), map[int64][]byte{}}
	for at := int64(0); at < p.size; {
		from, err := f.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // no data behind
		}
		if err != nil {
			t.Fatal(err)
		}
		if at, err = f.Seek(from, unix.SEEK_HOLE); err != nil {
			t.Fatal(err)
		}
		p.read(t, f, from/pageSize, (at+pageSize-1)/pageSize)
	}
	return p
}

// read takes the pages [from, end) out of f.
func (p pages) read(t testing.TB, f io.ReaderAt, from, end int64) {
	t.Helper()
	b := make([]byte, (end-from)*pageSize)
	if _, err := f.ReadAt(b, from*pageSize); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	for i := from; i < end; i++ {
		if page := b[(i-from)*pageSize:][:pageSize:pageSize]; !bytes.Equal(page, zeros) {
			p.at[i] = page
		}
	}
}

// write makes a file of it, another one than was there: bbolt, where it gave up in a panic, has that locked for ever.
func (p pages) write(t testing.TB, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i, b := range p.at {
		if i*pageSize < p.size {
			if _, err := f.WriteAt(b, i*pageSize); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := f.Truncate(p.size); err != nil {
		t.Fatal(err)
	}
}

// transaction is what a commit changed: pages of data, and the one meta page.
type transaction struct {
	before, after pages
	data          []int64 // their numbers
	meta          int64
}

// difference sees that the two files are one transaction apart, as the comment at the top says.
func difference(before, after pages) (transaction, error) {
	tx := transaction{before: before, after: after, meta: -1}
	all := maps.Clone(before.at)
	maps.Copy(all, after.at)
	for _, i := range slices.Sorted(maps.Keys(all)) {
		switch {
		case bytes.Equal(before.page(i), after.page(i)):
		case i > 1:
			tx.data = append(tx.data, i)
		case tx.meta >= 0:
			return tx, errors.New("both meta pages changed")
		default:
			tx.meta = i
		}
	}
	if tx.meta < 0 || txid(after, tx.meta) != txid(before, 1-tx.meta)+1 || after.size < before.size {
		return tx, fmt.Errorf("meta page %d: the transactions %d, %d became %d, %d", tx.meta,
			txid(before, 0), txid(before, 1), txid(after, 0), txid(after, 1))
	}
	return tx, nil
}

// txid is the number of the transaction that wrote a meta page.
func txid(p pages, meta int64) uint64 { return binary.LittleEndian.Uint64(p.page(meta)[64:]) }

// cut is a state that a power cut may leave of a transaction, and whether the transaction must be, or may be, in it.
type cut struct {
	what          string
	left          pages
	done, unknown bool
}

// cuts is some of the states, another choice each time.
func (tx transaction) cuts(r *rand.Rand) []cut {
	grown := tx.before.clone()
	grown.size = tx.after.size
	written := tx.torn(grown, func() bool { return true })
	all := []cut{
		{"nothing", tx.before, false, false},
		{"the size", grown, false, false},
		{"the data", written, false, false},
		{"everything", tx.after, true, false},
	}
	for i := range 4 {
		chance := []int{2, 2, 8, 16}[i] // nearly all, or nearly nothing of it
		keep := func() bool { return (r.IntN(chance) == 0) == (i != 3) }
		all = append(all, cut{"some of the data's sectors", tx.torn(grown, keep), false, false})
	}
	for range 2 {
		// What a meta page says stands in its first sector. A disk writes that whole or not at all, and checkPages takes one
		// that is neither for damage.
		at := sectorSize * (1 + r.IntN(pageSize/sectorSize-1))
		torn := written.clone()
		torn.at[tx.meta] = slices.Concat(tx.after.page(tx.meta)[:at], tx.before.page(tx.meta)[at:])
		all = append(all, cut{fmt.Sprintf("the data and %d bytes of the meta page", at), torn, false, true})
	}
	return all
}

// torn is p with those sectors of the data written that are kept.
func (tx transaction) torn(p pages, keep func() bool) pages {
	left := p.clone()
	for _, i := range tx.data {
		page := slices.Clone(left.page(i))
		for at := 0; at < pageSize; at += sectorSize {
			if keep() {
				copy(page[at:at+sectorSize], tx.after.page(i)[at:])
			}
		}
		left.at[i] = page
	}
	return left
}
