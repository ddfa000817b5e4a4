package metalog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/bits"
	"os"

	"chronik/metalog/image"
)

// bbolt trusts its pages. One that is damaged has it panic in a goroutine of its own, where nobody can catch that, or
// hides entries without a word: a smaller count of elements is a shorter log. So every page that the file leads to is
// checked before bbolt sees any of them. The layout is bbolt's (internal/common), its numbers are the machine's own:
//
//	page    id u64 | flags u16 | elements u16 | further pages u32
//	meta    magic u32 | version u32 | page size u32 | flags u32 | root page u64 | sequence u64 | free list u64 |
//	        pages in use u64 | transaction u64 | FNV-1a of these u64
//	branch  for each element: place of the key, from here u32 | length u32 | page u64;     then the keys, without gaps
//	leaf    for each element: flags u32 | place of the key, from here u32 | its length u32 | length of the value u32;
//	        then keys and values, without gaps
//	bucket  the value of an element of the root: root page u64 | sequence u64, and with page 0 a leaf page
const (
	pageHead    = 16
	elementSize = 16
	metaSize    = 64
	bucketHead  = 16

	branchPage = 1
	leafPage   = 2
	metaPage   = 4

	bucketElement = 1

	boltMagic   = 0xED0CDAED
	boltVersion = 2

	logsBucket = "logs"
	confBucket = "conf"
)

var native = binary.NativeEndian

// PageError says which page of the store's file is not what was written.
type PageError struct {
	Pos int64 // in the file
	Why string
}

func (e *PageError) Error() string {
	return fmt.Sprintf("at byte %d: %s", e.Pos, e.Why)
}

func (e *PageError) Unwrap() error { return image.ErrCorrupt }

// pageCheck goes through the pages of one file.
type pageCheck struct {
	file   io.ReaderAt
	size   int64  // of a page
	pages  uint64 // in use
	seen   []uint64
	bucket string
	next   uint64 // index of the next entry of the log, 0 before the first
}

func checkPages(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	c := &pageCheck{file: f}
	root, err := c.metas(info.Size())
	if err != nil {
		return err
	}
	c.seen = make([]uint64, c.pages/64+1)
	return c.tree(root, nil, nil)
}

// damaged is a PageError at a place of a page.
func (c *pageCheck) damaged(page uint64, at int, why string, args ...any) error {
	return &PageError{int64(page)*c.size + int64(at), fmt.Sprintf(why, args...)}
}

type meta struct{ root, pages, transaction uint64 }

// metas reads both meta pages and returns the root page of the newer one. Each transaction writes one of them, in turns,
// within one sector, which a power cut leaves old or new: so both must be whole, and of transactions that follow each
// other. bbolt alone would go back to the older one: that is an acknowledged entry, or a vote, less.
func (c *pageCheck) metas(fileSize int64) (root uint64, err error) {
	var both [2]meta
	for i := range both {
		if err := c.meta(uint64(i), &both[i]); err != nil {
			return 0, err
		}
	}
	newer, older := both[0], both[1]
	if newer.transaction < older.transaction {
		newer, older = older, newer
	}
	at := newer.transaction % 2
	if newer.transaction != older.transaction+1 {
		return 0, c.damaged(1-at, pageHead, "transaction %d, the other meta page is of %d", older.transaction, newer.transaction)
	}
	c.pages = newer.pages
	if c.pages > uint64(fileSize/c.size) {
		return 0, &PageError{fileSize, fmt.Sprintf("the file ends, it had %d bytes", c.pages*uint64(c.size))}
	}
	return newer.root, nil
}

// meta reads a meta page. The size of pages is in both; where it is a wrong one, so is the checksum.
func (c *pageCheck) meta(page uint64, m *meta) error {
	if c.size == 0 {
		c.size = int64(os.Getpagesize())
	}
	b := make([]byte, pageHead+metaSize)
	if _, err := c.file.ReadAt(b, int64(page)*c.size); err != nil {
		return c.unread(page, err)
	}
	head, body := b[:pageHead], b[pageHead:]
	sum := fnv.New64a()
	_, _ = sum.Write(body[:56])
	size := int64(native.Uint32(body[8:]))
	switch {
	case native.Uint32(body) != boltMagic || native.Uint32(body[4:]) != boltVersion:
		return c.damaged(page, pageHead, "no meta page of this version of bbolt")
	case native.Uint64(body[56:]) != sum.Sum64():
		return c.damaged(page, pageHead, "the checksum of the meta page is wrong")
	case native.Uint64(head) != page || native.Uint16(head[8:]) != metaPage:
		return c.damaged(page, 0, "the head of the meta page is wrong")
	case page == 1 && size != c.size || size < 1024 || bits.OnesCount64(uint64(size)) != 1:
		return c.damaged(page, pageHead, "pages of %d bytes", size)
	}
	c.size = size
	*m = meta{native.Uint64(body[16:]), native.Uint64(body[40:]), native.Uint64(body[48:])}
	if m.transaction%2 != page {
		return c.damaged(page, pageHead, "the meta page is that of transaction %d", m.transaction)
	}
	return nil
}

func (c *pageCheck) unread(page uint64, err error) error {
	if errors.Is(err, io.EOF) {
		return c.damaged(page, 0, "the file ends before it")
	}
	return err
}

// tree checks the pages from this one down. Its keys are at least low, and below high unless that is nil.
func (c *pageCheck) tree(page uint64, low, high []byte) error {
	b, err := c.read(page)
	if err != nil {
		return err
	}
	p := parsed{pageCheck: c, page: page, data: b}
	if native.Uint16(b[8:]) == branchPage {
		return p.branch(low, high)
	}
	return p.leaf(low, high)
}

// read returns a page with those that it goes on in; no page may be a part of two.
func (c *pageCheck) read(page uint64) ([]byte, error) {
	head := make([]byte, pageHead)
	if page < 2 || page >= c.pages {
		return nil, c.damaged(page, 0, "there is no page %d to be led to", page)
	}
	if _, err := c.file.ReadAt(head, int64(page)*c.size); err != nil {
		return nil, c.unread(page, err)
	}
	n := uint64(native.Uint32(head[12:])) + 1
	if native.Uint64(head) != page || n > c.pages-page {
		return nil, c.damaged(page, 0, "its head is that of page %d, with %d further ones", native.Uint64(head), n-1)
	}
	for i := page; i < page+n; i++ {
		if c.seen[i/64]&(1<<(i%64)) != 0 {
			return nil, c.damaged(page, 0, "page %d is in two places", i)
		}
		c.seen[i/64] |= 1 << (i % 64)
	}
	b := make([]byte, int64(n)*c.size)
	if _, err := c.file.ReadAt(b, int64(page)*c.size); err != nil {
		return nil, c.unread(page, err)
	}
	return b, nil
}

// parsed is a page whose elements are looked at, or the leaf in a bucket's value.
type parsed struct {
	*pageCheck
	page uint64
	at   int // of data in the page
	data []byte
	end  int // of the keys and values so far, in data
}

func (p *parsed) wrong(at int, why string, args ...any) error {
	return p.damaged(p.page, p.at+at, why, args...)
}

// begin returns the number of elements, when there is room for them.
func (p *parsed) begin(flags uint16) (int, error) {
	if len(p.data) < pageHead {
		return 0, p.wrong(0, "no whole page")
	}
	n := int(native.Uint16(p.data[10:]))
	p.end = pageHead + n*elementSize
	if native.Uint16(p.data[8:]) != flags || p.end > len(p.data) {
		return 0, p.wrong(0, "neither a leaf nor a branch, or %d elements in %d bytes", n, len(p.data))
	}
	return n, nil
}

// take returns the next n bytes of keys and values.
func (p *parsed) take(n uint32) ([]byte, bool) {
	if uint64(n) > uint64(len(p.data)-p.end) {
		return nil, false
	}
	b := p.data[p.end : p.end+int(n)]
	p.end += int(n)
	return b, true
}

func (p *parsed) branch(low, high []byte) error {
	n, err := p.begin(branchPage)
	if err == nil && n == 0 {
		err = p.wrong(0, "a branch without elements")
	}
	if err != nil {
		return err
	}
	keys, pages := make([][]byte, n, n+1), make([]uint64, n)
	for i := range n {
		e := p.data[pageHead+i*elementSize:]
		begins := p.end
		key, ok := p.take(native.Uint32(e[4:]))
		if at := pageHead + i*elementSize; !ok || int64(at)+int64(native.Uint32(e)) != int64(begins) || !ordered(low, key, high, i == 0) {
			return p.wrong(at, "element %d does not fit the one before", i)
		}
		keys[i], pages[i], low = key, native.Uint64(e[8:]), key
	}
	keys = append(keys, high)
	for i, page := range pages {
		if err := p.tree(page, keys[i], keys[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// ordered says whether key comes behind the one before, or for the first of a page is not before low.
func ordered(low, key, high []byte, first bool) bool {
	c := bytes.Compare(low, key)
	return len(key) > 0 && (c < 0 || c == 0 && first) && (high == nil || bytes.Compare(key, high) < 0)
}

func (p *parsed) leaf(low, high []byte) error {
	n, err := p.begin(leafPage)
	if err != nil {
		return err
	}
	for i := range n {
		at := pageHead + i*elementSize
		e := p.data[at:]
		begins := p.end
		key, ok1 := p.take(native.Uint32(e[8:]))
		value, ok2 := p.take(native.Uint32(e[12:]))
		if !ok1 || !ok2 || int64(at)+int64(native.Uint32(e[4:])) != int64(begins) || !ordered(low, key, high, i == 0) {
			return p.wrong(at, "element %d does not fit the one before", i)
		}
		if err := p.element(at, native.Uint32(e), key, value, p.end-len(value)); err != nil {
			return err
		}
		low = key
	}
	if p.page != 0 && p.bucket == "" && n != 2 {
		return p.wrong(0, "%d buckets", n)
	}
	return nil
}

// element looks at what stands in a leaf: a bucket, an entry of the log, or a value of raft's.
func (p *parsed) element(at int, flags uint32, key, value []byte, valueAt int) error {
	isBucket := p.bucket == ""
	switch {
	case isBucket != (flags == bucketElement) || !isBucket && flags != 0:
		return p.wrong(at, "an element with flags %x", flags)
	case isBucket:
		return p.inBucket(at, string(key), value, valueAt)
	case p.bucket == confBucket:
		if n := len(value) - 4; n < 0 || binary.BigEndian.Uint32(value[n:]) != sumValue(key, value[:n]) {
			return p.wrong(valueAt-len(key), "the checksum of a value is wrong")
		}
	case len(key) != 8 || p.next != 0 && binary.BigEndian.Uint64(key) != p.next:
		return p.wrong(valueAt-len(key), "the entry is not number %d", p.next)
	default:
		p.next = binary.BigEndian.Uint64(key) + 1
	}
	return nil
}

func (p *parsed) inBucket(at int, name string, value []byte, valueAt int) (err error) {
	if name != logsBucket && name != confBucket || len(value) < bucketHead {
		return p.wrong(at, "a bucket that raft has not made")
	}
	p.bucket = name
	if root := native.Uint64(value); root != 0 {
		if len(value) != bucketHead {
			return p.wrong(at, "a bucket of %d bytes", len(value))
		}
		err = p.tree(root, nil, nil)
	} else {
		inline := parsed{pageCheck: p.pageCheck, page: p.page, at: p.at + valueAt + bucketHead, data: value[bucketHead:]}
		if err = inline.leaf(nil, nil); err == nil && inline.end != len(inline.data) {
			err = inline.wrong(0, "%d bytes behind the last element", len(inline.data)-inline.end)
		}
	}
	p.bucket = ""
	return err
}
