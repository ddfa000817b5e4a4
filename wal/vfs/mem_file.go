package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"unsafe"
)

// memFile is an open file of a Mem.
type memFile struct {
	m        *Mem
	n        *memNode
	name     string
	readOnly bool
	direct   bool
	closed   bool // guarded by m.mu
}

func (f *memFile) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: f.name, Err: err}
}

// check returns the error that every operation on f has; the caller holds m.mu.
func (f *memFile) check(op string, writes bool) error {
	if f.closed {
		return f.fail(op, fs.ErrClosed)
	}
	if writes && f.readOnly {
		return f.fail(op, fs.ErrPermission)
	}
	return nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.check("read", false); err != nil {
		return 0, err
	}
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	k := copy(p, f.n.data[off:])
	if k < len(p) {
		return k, io.EOF
	}
	return k, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	if _, err := f.put([][]byte{p}, off); err != nil {
		return 0, err
	}
	f.m.told(Op{OpWrite, f.name, off, len(p)})
	return len(p), nil
}

func (f *memFile) WriteSync(bufs [][]byte, off int64, durable bool) error {
	if f.direct && !aligned(bufs, off) {
		return f.fail("write", fs.ErrInvalid)
	}
	upTo, err := f.put(bufs, off)
	if err != nil {
		return err
	}
	n := total(bufs)
	if !durable {
		f.m.told(Op{OpWrite, f.name, off, n})
		return nil
	}
	f.m.told(Op{OpWriteSync, f.name, off, n})
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.n.settleRange(off, off+int64(n), upTo)
	return nil
}

// put writes, and returns the number of its last change.
func (f *memFile) put(bufs [][]byte, off int64) (change int, err error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.check("write", true); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, f.fail("write", errors.New("negative offset"))
	}
	for _, b := range bufs {
		f.n.write(b, off)
		off += int64(len(b))
	}
	return f.n.changes, nil
}

// aligned says what O_DIRECT would: the real file system refuses the rest, this one must not be milder.
func aligned(bufs [][]byte, off int64) bool {
	ok := off%align == 0
	for _, b := range bufs {
		ok = ok && len(b)%align == 0 && uintptr(unsafe.Pointer(unsafe.SliceData(b)))%align == 0
	}
	return ok
}

func (f *memFile) Sync() error {
	f.m.mu.Lock()
	err := f.check("sync", false)
	upTo := f.n.changes
	f.m.mu.Unlock()
	if err != nil {
		return err
	}
	f.m.told(Op{Kind: OpSync, Name: f.name})
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.n.settle(upTo)
	return nil
}

func (f *memFile) Truncate(size int64) error { return f.resize(OpTruncate, size) }

func (f *memFile) Allocate(size int64) error {
	if f.m.NoAllocate {
		return errors.ErrUnsupported
	}
	have, err := f.Size()
	if err != nil || have >= size {
		return err
	}
	return f.resize(OpAllocate, size)
}

func (f *memFile) resize(how OpKind, size int64) error {
	f.m.mu.Lock()
	err := f.check(string(how), true)
	if err == nil {
		f.n.resize(size)
	}
	f.m.mu.Unlock()
	if err == nil {
		f.m.told(Op{Kind: how, Name: f.name, Off: size})
	}
	return err
}

func (f *memFile) Size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return int64(len(f.n.data)), f.check("size", false)
}

func (f *memFile) forget() {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.n.forget()
}

func (f *memFile) Direct() bool { return f.direct }
func (f *memFile) OS() *os.File { return nil }

func (f *memFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	err := f.check("close", false)
	f.closed = true
	return err
}
