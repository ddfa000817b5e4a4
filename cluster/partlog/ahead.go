package partlog

import (
	"fmt"
	"io"

	"chronik/wal"
	"chronik/wal/arena"
)

const (
	// aheadSize is how much of the write-ahead log is read at once for cutting: as much as a large batch takes.
	aheadSize = cutRun + 64<<10
	// directGap is how far apart entries may lie and still be read in one go past the page cache: reading what is between
	// them costs less than another read.
	directGap = 64 << 10
	// directLeast is how large such a read has to be. At least three quarters of it must be of the entries: what lies between
	// them belongs to other partitions, and is read again for each of those.
	directLeast = 32 << 10
	// copyGap is how far apart entries may lie and still be copied from the page cache in one go.
	copyGap = 4 << 10
)

// ahead reads entries for cutting from the write-ahead log's files. Large runs are read past the page cache: what is read
// here is not wanted there any more. Entries that lie scattered among those of other partitions are read once for all of
// these, into the page cache, and copied from there.
type ahead struct {
	pieces    *pieces
	buf       *arena.Buf
	data      []byte // of the log, from position pos on
	pos       int64
	scattered int64 // up to here entries are
}

// read returns the bytes of the first of the entries, unchecked; they are good until the next call. The others are going to
// be read after it.
func (a *ahead) read(s *Store, entries []located) ([]byte, error) {
	e := entries[0]
	if data := a.of(e); data != nil {
		return data, nil
	}
	a.data = nil
	a.room(s.options.Pool, int(e.size)+2*arena.Page)
	var err error
	if a.data, err = a.fetch(s, entries); err != nil {
		return nil, err
	}
	a.pos = e.pos
	data := a.of(e)
	if data == nil {
		return nil, fmt.Errorf("the write-ahead log at %d: %w", e.pos, io.ErrUnexpectedEOF)
	}
	return data, nil
}

// fetch reads what begins with the first of the entries.
func (a *ahead) fetch(s *Store, entries []located) ([]byte, error) {
	if entries[0].pos >= a.scattered {
		loc, wanted := a.span(entries, directGap)
		if loc.Len >= directLeast && wanted >= loc.Len/4*3 {
			return s.wal.Load(a.buf.Bytes(), loc)
		}
		a.scattered = loc.Pos + int64(loc.Len)
	}
	loc, _ := a.span(entries, copyGap)
	a.pieces.want(loc)
	return s.wal.Copy(a.buf.Bytes(), loc)
}

// of is e's bytes if they have been read, else nil. Positions tell: a recycled file has new ones.
func (a *ahead) of(e located) []byte {
	at := e.pos - a.pos
	if at < 0 || at+int64(e.size) > int64(len(a.data)) {
		return nil
	}
	return a.data[at : at+int64(e.size)]
}

func (a *ahead) room(pool *arena.Pool, n int) {
	if a.buf != nil && len(a.buf.Bytes()) >= n {
		return
	}
	if a.buf != nil {
		a.buf.Release()
	}
	a.buf = pool.Overdraw(max(n, aheadSize))
}

// span is from the first entry to the end of the last one that lies no more than gap behind the one before it, and how much
// of that is the entries': a group has its large entries behind the small ones, whatever their offsets.
func (a *ahead) span(entries []located, gap int64) (loc wal.Loc, wanted int32) {
	first := entries[0].pos
	end := first
	most := first + int64(len(a.buf.Bytes())) - 2*arena.Page // both ends may lie within pages
	for _, e := range entries {
		if e.pos < end || e.pos-end > gap || e.pos+int64(e.size) > most {
			break
		}
		end, wanted = e.pos+int64(e.size), wanted+e.size
	}
	return wal.Loc{Pos: first, Len: int32(end - first)}, wanted
}

func (a *ahead) release() {
	if a.buf != nil {
		a.buf.Release()
	}
	*a = ahead{}
}
