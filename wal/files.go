package wal

import (
	"fmt"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"chronik/wal/vfs"
)

// file is one file of the log. Its number of holders is the log, while the file is part of it, and the readers of its
// bytes; the last one closes it.
type file struct {
	f    vfs.File
	slow vfs.File // the same for the log's own goroutine; see vfs.Park
	name string
	seq  uint64
	base int64
	size int64 // of its range of Pos
	refs atomic.Int32
	sent atomic.Bool // was given to a reader as a file

	// Guarded by files.mu.
	first uint64 // number of its first group, 0 before there is one
	used  int64  // bytes up to the end of its last group
	live  live
	dirty bool // written since it was last synced
}

func fileName(seq uint64) string { return fmt.Sprintf("%020d.wal", seq) }

// Release lets go of the file's bytes. The error of closing a file that is only read any more says nothing.
func (f *file) Release() {
	if f.refs.Add(-1) == 0 {
		_ = f.f.Close()
	}
}

// files is the list of the log's files, oldest first, never empty once the log is open.
type files struct {
	mu   sync.RWMutex
	list []*file
	last uint64 // number of the last group in them
	// needing is the sum of the streams that are live in each.
	needing atomic.Int64
	// Trims, for entries that are trimmed before they are written: new ones, and those that are forgotten once the
	// groups before number are written.
	trimmed, before map[StreamID]int64
	number          uint64
}

// active is the file that is written. Only the writer, and those before there is one, may rely on it for longer than
// a moment.
func (s *files) active() *file {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.list[len(s.list)-1]
}

// reached is the active file and how far it is used.
func (s *files) reached() (*file, int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	f := s.list[len(s.list)-1]
	return f, f.used
}

func (s *files) add(f *file) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, f)
}

// wrote accounts for g at off in f, and says whether it is f's first group.
func (s *files) wrote(f *file, g *group, off int64) (first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first = f.first == 0
	if first {
		f.first = g.number
	}
	s.last = g.number
	f.used = off + int64(g.size())
	f.dirty = true
	for i := range g.frames {
		if g.frames[i].cuts {
			s.truncate(g.frames[i].stream, g.frames[i].end)
		}
		s.needs(f, g.frames[i].stream, g.frames[i].end)
	}
	return first
}

// truncate has the stream's entries written so far needed up to end only, and forgets that it was trimmed further: what
// comes next begins at end. The caller holds s.mu.
func (s *files) truncate(stream StreamID, end int64) {
	for _, trims := range [...]map[StreamID]int64{s.trimmed, s.before} {
		if trimmed, ok := trims[stream]; ok && trimmed > end {
			trims[stream] = end
		}
	}
	lower(s.list, stream, end)
}

// lower has none of the files needed for more of the stream than up to end.
func lower(list []*file, stream StreamID, end int64) {
	for _, f := range list {
		f.live.lower(stream, end)
	}
}

// needs notes that f holds an entry of stream; the caller holds s.mu.
func (s *files) needs(f *file, stream StreamID, end int64) {
	for _, trims := range [...]map[StreamID]int64{s.trimmed, s.before} {
		if len(trims) == 0 {
			continue
		}
		if trimmed, ok := trims[stream]; ok && end <= trimmed {
			return
		}
	}
	if f.live.set(stream, end) {
		s.needing.Add(1)
	}
}

// forget drops old trims: groups up to written are written, next is the first that is not begun.
func (s *files) forget(next, written uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if written+1 < s.number {
		return
	}
	s.before, s.number = s.trimmed, next
	s.trimmed = map[StreamID]int64{}
}

// Trim says that the stream's entries with End <= end are not needed from the log any more (in memory; see Checkpoint).
// It counts for entries that are still queued too.
func (l *Log) Trim(s StreamID, end int64) {
	l.files.mu.Lock()
	defer l.files.mu.Unlock()
	if old, ok := l.files.trimmed[s]; !ok || old < end {
		l.files.trimmed[s] = end
	}
	for _, f := range l.files.list {
		if f.live.trim(s, end) {
			l.files.needing.Add(-1)
		}
	}
}

// File describes one file of the log, oldest first in Files.
type File struct {
	Pos, Size int64 // its range in the address space
	Streams   int   // how many have untrimmed entries in it
}

// Files lists the log's files that hold entries, the one being written last.
func (l *Log) Files() []File {
	l.files.mu.RLock()
	defer l.files.mu.RUnlock()
	var all []File
	for i, f := range l.files.list {
		if f.first != 0 || i == len(l.files.list)-1 {
			all = append(all, File{Pos: f.base, Size: f.size, Streams: f.live.len()})
		}
	}
	return all
}

// Needing is the sum of File.Streams of all files. Each of them takes 16 bytes of memory once its file is full, or 8 where
// the file before has the same ones.
func (l *Log) Needing() int64 { return l.files.needing.Load() }

// Streams lists the streams with untrimmed entries in the files that begin before end, in order.
func (l *Log) Streams(end int64) []StreamID {
	l.files.mu.RLock()
	list := slices.Clone(l.files.list)
	l.files.mu.RUnlock()
	var all []StreamID
	for _, f := range list {
		if f.base >= end {
			break
		}
		// One by one: the writer must not wait until all are copied.
		l.files.mu.RLock()
		all = f.live.appendTo(all)
		l.files.mu.RUnlock()
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// hold returns the file with the bytes at loc, which the caller must Release.
func (s *files) hold(loc Loc) *file {
	s.mu.RLock()
	defer s.mu.RUnlock()
	i := sort.Search(len(s.list), func(i int) bool { return s.list[i].base > loc.Pos }) - 1
	if i < 0 {
		return nil
	}
	f := s.list[i]
	if loc.Pos+int64(loc.Len) > f.base+f.used {
		return nil
	}
	f.refs.Add(1)
	return f
}

// part is what lies from offset from of f up to offset to.
type part struct {
	f        *file
	from, to int64
}

// within returns what was written from pos to end, file by file; the caller must Release the files.
func (s *files) within(pos, end int64) (all []part) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, f := range s.list {
		from, to := max(pos-f.base, 0), min(end-f.base, f.used)
		if from < to {
			f.refs.Add(1)
			all = append(all, part{f, from, to})
		}
	}
	return all
}

// place returns the file and the offset for a group of n bytes. Only the writer calls it.
func (l *Log) place(n int64) (*file, int64, error) {
	f := l.files.active()
	if f.used+n <= f.size {
		return f, f.used, nil
	}
	f, err := l.turn(f, n)
	if err != nil {
		return nil, 0, err
	}
	return f, f.used, nil
}

// end empties the list and returns what was in it.
func (s *files) end() []*file {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.list
	s.list = nil
	return list
}
