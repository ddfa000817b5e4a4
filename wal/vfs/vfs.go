// Package vfs is the part of a file system that Chronik's storage uses: the real one (os.go), one in memory that can
// lose what was not synced (mem.go), and one that fails by script (fault.go). It does not know what is in the files.
package vfs

import (
	"errors"
	"io"
	"os"
)

// Flag says how a file is opened. Files are always readable and, unless ReadOnly is given, writable.
type Flag int

const (
	Create   Flag = 1 << iota // create the file when it is missing
	Excl                      // with Create: fail with fs.ErrExist when it is there
	Truncate                  // start with an empty file
	ReadOnly                  // never written
	Direct                    // past the page cache (O_DIRECT) where the file system allows it; see File.Direct
)

// ErrLocked is in the error of a lock that is taken.
var ErrLocked = errors.New("another process holds it")

// FS is a directory tree. Names are slash-separated and relative to its root; "." is the root. Errors wrap io/fs's
// (fs.ErrNotExist, ...) and name the file and the operation.
type FS interface {
	Open(name string, flag Flag) (File, error)
	MkdirAll(name string) error
	Remove(name string) error
	Rename(from, to string) error
	List(dir string) ([]string, error) // base names, sorted; syscall.ENOTDIR of what is no directory
	// SyncDir makes creations, renames and removals in dir durable.
	SyncDir(dir string) error
	// Lock takes the exclusive, process-wide lock that the file name stands for, or fails at once: with ErrLocked when it
	// is taken.
	Lock(name string) (io.Closer, error)
}

// File is one open file. ReadAt and WriteAt are as in package io and may be called concurrently.
type File interface {
	io.ReaderAt
	io.WriterAt
	// WriteSync writes bufs one after the other from off on. When durable is true the bytes (and the file size, when
	// it grew) survive a power cut once it has returned nil. A short write is an error. With Direct in force, off, the
	// address and the length of every buffer must be multiples of 4096.
	WriteSync(bufs [][]byte, off int64, durable bool) error
	// Sync makes all that was written durable. A failed Sync is final: the caller must not try again (fsyncgate).
	Sync() error
	Truncate(size int64) error
	// Allocate makes the file size bytes long, if it is shorter, with zeros behind its end and blocks for all of them. It
	// takes no time, but the first synced write to such a block takes nearly twice as long as one to a block that was
	// written before. errors.ErrUnsupported where the file system has nothing of the kind.
	Allocate(size int64) error
	Size() (int64, error)
	// Direct says whether writes ask for the page cache to be bypassed; false where the file system refused O_DIRECT.
	Direct() bool
	// OS is the operating system's file, for sendfile; nil where there is none (mem).
	OS() *os.File
	Close() error
}

// ReadAhead begins to read n bytes of f from off on into the page cache, for small ReadAts that follow. It is advice:
// where it is not taken, or fails, they are as slow as they were.
func ReadAhead(f File, off, n int64) {
	if a, ok := f.(advised); ok {
		a.readAhead(off, n)
	}
}

// Uncache frees the page cache of what was read of f, if f is written past it.
func Uncache(f File) {
	if a, ok := f.(advised); ok {
		a.uncache()
	}
}

// Forget has what is read of f from now on come from the disk, but for what was written and not synced yet. After a failed sync the
// page cache holds what the disk does not have, and calls it clean: no later sync writes it, and each one succeeds.
func Forget(f File) {
	if c, ok := f.(interface{ forget() }); ok {
		c.forget()
	}
}

// advised is a File with a page cache.
type advised interface {
	readAhead(off, n int64)
	uncache()
}

// Unshares says whether pages of f that sendfile has given to a socket stay as they are when WriteSync writes over them: they do
// where it is known to go past the page cache. Direct alone does not say so: tmpfs takes O_DIRECT and writes through the page
// cache all the same, and so does btrfs where it keeps checksums.
func Unshares(f File) bool {
	u, ok := f.(interface{ unshares() bool })
	return ok && u.unshares()
}

// Park returns f for a caller that is in no hurry: its WriteSync leaves the thread to others while the disk works, and
// returns a little later for it. What it returns is the same open file: one of the two is closed.
func Park(f File) File {
	if p, ok := f.(interface{ park() File }); ok {
		return p.park()
	}
	return f
}
