package vfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
)

const sector = 512

// memNode is a file's content: as it reads now, as it is on the disk, and which versions of each sector and of the size
// were there between: a power cut may leave any of them. Mem's lock guards it.
type memNode struct {
	data    []byte
	disk    []byte
	sectors map[int64][][]byte // by number: contents since the last sync, oldest first
	sizes   []int64
}

// write changes data and remembers a version of each sector that it touches.
func (n *memNode) write(p []byte, off int64) {
	end := off + int64(len(p))
	if end > int64(len(n.data)) {
		n.resize(end)
	}
	copy(n.data[off:], p)
	n.remember(off, end)
}

func (n *memNode) resize(size int64) {
	if size < int64(len(n.data)) {
		old := int64(len(n.data))
		clear(n.data[size:])
		n.remember(size, old)
		n.data = n.data[:size]
	} else {
		n.data = append(n.data, make([]byte, size-int64(len(n.data)))...)
	}
	n.sizes = append(n.sizes, size)
}

func (n *memNode) remember(off, end int64) {
	if n.sectors == nil {
		n.sectors = map[int64][][]byte{}
	}
	all := bytes.Clone(n.data[off/sector*sector : min((end+sector-1)/sector*sector, int64(len(n.data)))])
	for s := off / sector; len(all) > 0; s++ {
		k := min(sector, len(all))
		n.sectors[s] = append(n.sectors[s], all[:k:k])
		all = all[k:]
	}
}

// settle makes [off, end) durable, and the size as it is now.
func (n *memNode) settle(off, end int64) {
	n.fit(int64(len(n.data)))
	n.sizes = nil
	if off == 0 && end == int64(len(n.data)) {
		copy(n.disk, n.data)
		clear(n.sectors)
		return
	}
	for s := off / sector; s*sector < end; s++ {
		to := min((s+1)*sector, int64(len(n.data)))
		copy(n.disk[s*sector:to], n.data[s*sector:to])
		delete(n.sectors, s)
	}
}

// fit gives the disk's image a size.
func (n *memNode) fit(size int64) {
	if size <= int64(len(n.disk)) {
		n.disk = n.disk[:size]
		return
	}
	n.disk = append(n.disk, make([]byte, size-int64(len(n.disk)))...)
}

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
	if err := f.put([][]byte{p}, off); err != nil {
		return 0, err
	}
	f.m.told(Op{OpWrite, f.name, off, len(p)})
	return len(p), nil
}

func (f *memFile) WriteSync(bufs [][]byte, off int64, durable bool) error {
	if f.direct && !aligned(bufs, off) {
		return f.fail("write", fs.ErrInvalid)
	}
	if err := f.put(bufs, off); err != nil {
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
	f.n.settle(off, min(off+int64(n), int64(len(f.n.data))))
	return nil
}

func (f *memFile) put(bufs [][]byte, off int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.check("write", true); err != nil {
		return err
	}
	if off < 0 {
		return f.fail("write", errors.New("negative offset"))
	}
	for _, b := range bufs {
		f.n.write(b, off)
		off += int64(len(b))
	}
	return nil
}

func aligned(bufs [][]byte, off int64) bool {
	ok := off%4096 == 0
	for _, b := range bufs {
		ok = ok && len(b)%4096 == 0
	}
	return ok
}

func (f *memFile) Sync() error {
	f.m.mu.Lock()
	err := f.check("sync", false)
	f.m.mu.Unlock()
	if err != nil {
		return err
	}
	f.m.told(Op{Kind: OpSync, Name: f.name})
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.n.settle(0, int64(len(f.n.data)))
	return nil
}

func (f *memFile) Truncate(size int64) error {
	f.m.mu.Lock()
	err := f.check("truncate", true)
	if err == nil {
		f.n.resize(size)
	}
	f.m.mu.Unlock()
	if err == nil {
		f.m.told(Op{Kind: OpTruncate, Name: f.name, Off: size})
	}
	return err
}

func (f *memFile) Size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return int64(len(f.n.data)), f.check("size", false)
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
