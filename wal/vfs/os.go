package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// osFS is a directory of the operating system; names cannot leave it, not by links either.
type osFS struct{ root *os.Root }

// OS returns the file system below the directory dir, which must exist. Close it with its io.Closer when done.
func OS(dir string) (FS, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &osFS{root}, nil
}

// Close lets go of the directory; open files stay usable.
func (f *osFS) Close() error { return f.root.Close() }

func (f *osFS) Open(name string, flag Flag) (File, error) {
	file, err := f.root.OpenFile(name, osFlags(flag), 0o600)
	if err != nil {
		return nil, err
	}
	o := &osFile{f: file, fd: int(file.Fd())}
	if flag&Direct != 0 && flag&ReadOnly == 0 {
		o.direct = f.openDirect(name, file)
	}
	if o.direct != nil {
		o.fd = int(o.direct.Fd())
	}
	return o, nil
}

// openDirect opens name once more, past the page cache; nil where the file system refuses that. Reads and sendfile
// keep to the first descriptor: they are not aligned, and the kernel keeps the two views of one file coherent.
func (f *osFS) openDirect(name string, same *os.File) *os.File {
	d, err := f.root.OpenFile(name, os.O_RDWR|oDirect, 0)
	if err != nil {
		return nil
	}
	a, err1 := same.Stat()
	b, err2 := d.Stat()
	if err1 != nil || err2 != nil || !os.SameFile(a, b) || !directWorks(int(d.Fd())) {
		_ = d.Close() // never written
		return nil
	}
	return d
}

func osFlags(flag Flag) int {
	if flag&ReadOnly != 0 {
		return os.O_RDONLY
	}
	n := os.O_RDWR
	if flag&Create != 0 {
		n |= os.O_CREATE
	}
	if flag&Excl != 0 {
		n |= os.O_EXCL
	}
	if flag&Truncate != 0 {
		n |= os.O_TRUNC
	}
	return n
}

func (f *osFS) MkdirAll(name string) error   { return f.root.MkdirAll(name, 0o700) }
func (f *osFS) Remove(name string) error     { return f.root.Remove(name) }
func (f *osFS) Rename(from, to string) error { return f.root.Rename(from, to) }

func (f *osFS) List(dir string) ([]string, error) {
	d, err := f.root.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0) // opening a pipe would wait for its other end
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

func (f *osFS) SyncDir(dir string) error {
	d, err := f.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Lock takes flock(2), which ends with the process however it ends.
func (f *osFS) Lock(name string) (io.Closer, error) {
	file, err := f.root.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return flock(file, name, unix.LOCK_EX)
}

func flock(file *os.File, name string, how int) (io.Closer, error) {
	err := unix.Flock(int(file.Fd()), how|unix.LOCK_NB)
	if err == nil {
		return file, nil
	}
	_ = file.Close() // the lock's error is the one that counts
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	return nil, &fs.PathError{Op: "lock", Path: name, Err: err}
}

// OSReader is OS for one who changes nothing, maybe because he may not: his Lock keeps a writer out, but no other
// reader, and makes no file. Where there is none, no writer has ever been.
func OSReader(dir string) (FS, error) {
	f, err := OS(dir)
	if err != nil {
		return nil, err
	}
	return &osReader{f.(*osFS)}, nil
}

type osReader struct{ *osFS }

func (f *osReader) Lock(name string) (io.Closer, error) {
	file, err := f.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return io.NopCloser(nil), nil
	}
	if err != nil {
		return nil, err
	}
	return flock(file, name, unix.LOCK_SH)
}

// align is what direct reads and writes need of addresses, offsets and lengths.
const align = 4096

// osFile is an open file: f for reads, and the descriptor fd for what is written.
type osFile struct {
	f      *os.File
	direct *os.File // nil where the page cache is not bypassed
	fd     int
	parked bool // WriteSync waits without a thread
}

// ReadAt goes past the page cache where it can: whoever reads whole aligned pages reads much, and filling the cache
// with it costs more than the disk.
func (o *osFile) ReadAt(p []byte, off int64) (int, error) {
	if o.direct != nil && off%align == 0 && len(p)%align == 0 && uintptr(unsafe.Pointer(unsafe.SliceData(p)))%align == 0 {
		if n, err := o.direct.ReadAt(p, off); err == nil || errors.Is(err, io.EOF) {
			return n, err
		}
	}
	return o.f.ReadAt(p, off)
}

func (o *osFile) WriteAt(p []byte, off int64) (int, error) { return o.f.WriteAt(p, off) }
func (o *osFile) Truncate(size int64) error                { return o.f.Truncate(size) }
func (o *osFile) Allocate(size int64) error                { return o.fail("allocate", allocate(o.fd, size)) }
func (o *osFile) Direct() bool                             { return o.direct != nil }
func (o *osFile) OS() *os.File                             { return o.f }

func (o *osFile) Size() (int64, error) {
	st, err := o.f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func (o *osFile) Sync() error { return o.fail("fdatasync", syncData(o.fd)) }

func (o *osFile) WriteSync(bufs [][]byte, off int64, durable bool) error {
	return o.fail("write", writeSync(o.fd, bufs, off, durable, o.parked))
}

// park is for Park. A write through the page cache would not wait for the disk but in the system call. Elsewhere than on ext4 and
// XFS what is written asynchronously and durably may be said to be done before it is synced: FUSE does not sync it, where it takes
// such writes at all, nor did btrfs always. There RWF_DSYNC counts in pwritev2(2) alone.
func (o *osFile) park() File {
	p := *o
	p.parked = o.direct != nil && journaled(o.fd)
	return &p
}

func (o *osFile) unshares() bool { return o.direct != nil && journaled(o.fd) }

func (o *osFile) readAhead(off, n int64) { readAhead(int(o.f.Fd()), off, n) }

// uncache leaves a file alone that is written through the page cache: there it makes writing faster.
func (o *osFile) uncache() {
	if o.direct != nil {
		uncache(int(o.f.Fd()))
	}
}

func (o *osFile) forget() { uncache(int(o.f.Fd())) }

func (o *osFile) fail(op string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: o.f.Name(), Err: err}
}

func (o *osFile) Close() error {
	if o.direct == nil {
		return o.f.Close()
	}
	return errors.Join(o.direct.Close(), o.f.Close())
}
