package partlog

import (
	"sync"

	"chronik/wal"
)

// pieceSize is how much of the write-ahead log's files is read into the page cache at once.
const pieceSize = 512 << 10

// pieces is what of the files a round has read into the page cache: each piece once, whichever partition needs it first.
type pieces struct {
	store *Store
	end   int64 // of what the round cuts

	mu   sync.Mutex
	have map[int64]struct{}
}

// want sees that loc is being read, and what comes behind it, so that the disk is at work when that is wanted.
func (p *pieces) want(loc wal.Loc) {
	last := (loc.Pos + int64(loc.Len)) / pieceSize
	for i := loc.Pos / pieceSize; i <= last+1 && i*pieceSize < p.end; i++ {
		if p.claim(i) {
			p.store.wal.ReadAhead(i*pieceSize, min((i+1)*pieceSize, p.end))
			p.store.yield(pieceSize, readShare*p.store.cutRate())
		}
	}
}

// readShare is how many times faster than segments are written the files may be read for them: the disk is there for both.
const readShare = 4

// claim says whether the caller has to read piece i.
func (p *pieces) claim(i int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.have[i]; ok {
		return false
	}
	p.have[i] = struct{}{}
	return true
}
