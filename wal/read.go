package wal

import (
	"fmt"

	"chronik/kafka/batch"
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
