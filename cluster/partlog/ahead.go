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
	// aheadGap is how far apart entries may lie and still be read in one go: reading what is between them costs less
	// than another read.
	aheadGap = 64 << 10
)

// ahead reads entries for cutting from the write-ahead log's files, those that lie near each other in one go, and past the
// page cache: what is read here is not wanted there any more.
type ahead struct {
	buf  *arena.Buf
	data []byte // of the log, from position pos on
	pos  int64
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
	if a.data, err = s.wal.Load(a.buf.Bytes(), a.span(entries)); err != nil {
		return nil, err
	}
	a.pos = e.pos
	data := a.of(e)
	if data == nil {
		return nil, fmt.Errorf("the write-ahead log at %d: %w", e.pos, io.ErrUnexpectedEOF)
	}
	return data, nil
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
	a.release()
	a.buf = pool.Overdraw(max(n, aheadSize))
}

// span is from the first entry to the end of the last one that lies nearby, behind those before it: a group has its large
// entries behind the small ones, whatever their offsets.
func (a *ahead) span(entries []located) wal.Loc {
	first := entries[0].pos
	end := first + int64(entries[0].size)
	most := first + int64(len(a.buf.Bytes())) - 2*arena.Page // both ends may lie within pages
	for _, e := range entries[1:] {
		if e.pos < end || e.pos-end > aheadGap || e.pos+int64(e.size) > most {
			break
		}
		end = e.pos + int64(e.size)
	}
	return wal.Loc{Pos: first, Len: int32(end - first)}
}

func (a *ahead) release() {
	if a.buf != nil {
		a.buf.Release()
	}
	*a = ahead{}
}
