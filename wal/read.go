package wal

import (
	"errors"
	"fmt"
	"io"

	"chronik/kafka/batch"
	"chronik/wal/vfs"
)

// Read returns the bytes at loc, from memory or from the log's file, and keeps them there until the extent is released.
// A loc whose file was recycled is ErrGone: the bytes are in a segment by then. Where there is no OS file, bytes are
// copied into memory. Bytes that come from a file are not checked again here.
func (l *Log) Read(loc Loc) (batch.Extent, error) {
	if b, buf := l.tail.find(loc); buf != nil {
		return batch.Extent{Mem: b, Len: int64(len(b)), Ref: buf}, nil
	}
	f := l.files.hold(loc)
	if f == nil {
		return batch.Extent{}, ErrGone
	}
	off := loc.Pos - f.base
	if os := f.f.OS(); os != nil {
		f.sent.Store(true)
		return batch.Extent{File: os, Off: off, Len: int64(loc.Len), Ref: f}, nil
	}
	defer f.Release()
	b := make([]byte, loc.Len)
	if _, err := f.f.ReadAt(b, off); err != nil {
		return batch.Extent{}, fmt.Errorf("read %s at %d: %w", f.name, off, err)
	}
	return batch.Extent{Mem: b, Len: int64(len(b))}, nil
}

// Recent is Read of what is still in memory, and false for what is not.
func (l *Log) Recent(loc Loc) (batch.Extent, bool) {
	b, buf := l.tail.find(loc)
	if buf == nil {
		return batch.Extent{}, false
	}
	return batch.Extent{Mem: b, Len: int64(len(b)), Ref: buf}, true
}

// Copy reads what loc spans from the log's file through the page cache: for little, of what ReadAhead has read. It returns
// fewer bytes where the file ends, as Load does, with Load's errors.
func (l *Log) Copy(into []byte, loc Loc) ([]byte, error) {
	f := l.files.hold(Loc{Pos: loc.Pos})
	if f == nil {
		return nil, ErrGone
	}
	defer f.Release()
	off := loc.Pos - f.base
	n, err := f.f.ReadAt(into[:min(int64(loc.Len), f.size-off)], off)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s at %d: %w", f.name, off, err)
	}
	return into[:n], nil
}

// ReadAhead has what was written from pos to end read into the page cache, in the background.
func (l *Log) ReadAhead(pos, end int64) {
	for _, w := range l.files.within(pos, end) {
		vfs.ReadAhead(w.f.f, w.from, w.to-w.from)
		w.f.Release()
	}
}

// Load reads what loc spans from the log's file into the whole pages of into, past the page cache where it can: for much
// that is read once. It returns the bytes from loc on, fewer where the file ends; they are not checked here, and what
// lies between entries means nothing. into must have room for all pages that loc touches. A loc whose file was recycled
// is ErrGone.
func (l *Log) Load(into []byte, loc Loc) ([]byte, error) {
	f := l.files.hold(Loc{Pos: loc.Pos})
	if f == nil {
		return nil, ErrGone
	}
	defer f.Release()
	off := int(loc.Pos - f.base)
	first, end := pageDown(off), min(off+int(loc.Len), int(f.size))
	n, err := f.f.ReadAt(into[:pageUp(end)-first], int64(first))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s at %d: %w", f.name, off, err)
	}
	return into[min(off-first, n):min(end-first, n)], nil
}
