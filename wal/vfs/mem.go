package vfs

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Op is one operation on a file system, as Mem's Watch and Fault see it.
type Op struct {
	Kind OpKind
	Name string // of the file or directory; the old name of a Rename
	Off  int64  // of a write or read
	Len  int    // of a write or read
}

// OpKind is what an Op does.
type OpKind string

const (
	OpOpen      OpKind = "open"
	OpWrite     OpKind = "write" // WriteAt, and WriteSync that is not durable
	OpWriteSync OpKind = "write-sync"
	OpSync      OpKind = "sync"
	OpTruncate  OpKind = "truncate"
	OpAllocate  OpKind = "allocate"
	OpRemove    OpKind = "remove"
	OpRename    OpKind = "rename"
	OpSyncDir   OpKind = "sync-dir"
	OpMkdir     OpKind = "mkdir"
	OpRead      OpKind = "read"
	OpReadAhead OpKind = "read-ahead" // nothing comes of its failure
)

// Changes says whether the operation writes or makes something durable.
func (k OpKind) Changes() bool { return k != OpRead && k != OpReadAhead && k != OpOpen }

// Mem is a file system in memory that knows, like a disk behind a cache, what would survive a power cut: see Crash.
// All methods may be called concurrently.
type Mem struct {
	mu    sync.Mutex
	root  *memNode
	locks map[string]bool
	watch func(Op)

	// NoAllocate has Allocate unsupported, and NoDirect refuses to write past the page cache, as some file systems do. Set them before
	// the first use; Crash and Kill keep them.
	NoAllocate, NoDirect bool
}

// NewMem returns an empty file system.
func NewMem() *Mem {
	return &Mem{root: &memNode{dir: newMemDir()}, locks: map[string]bool{}}
}

// Watch calls fn in every operation that changes something, at its worst moment: the change is made, but none of what
// the operation promises to be durable is. fn may call Crash and Kill, but nothing else of Mem.
func (m *Mem) Watch(fn func(Op)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watch = fn
}

func (m *Mem) told(op Op) {
	m.mu.Lock()
	fn := m.watch
	m.mu.Unlock()
	if fn != nil {
		fn(op)
	}
}

// find returns what name stands for, nil when there is nothing; the caller holds m.mu.
func (m *Mem) find(name string) *memNode {
	n := m.root
	if name == "." {
		return n
	}
	for _, base := range strings.Split(name, "/") {
		if n == nil || n.dir == nil {
			return nil
		}
		n = n.dir.names[base]
	}
	return n
}

func (m *Mem) findDir(op, name string) (*memDir, error) {
	if n := m.find(name); n != nil && n.dir != nil {
		return n.dir, nil
	}
	return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

// lookup returns the directory and the base of name; the caller holds m.mu.
func (m *Mem) lookup(op, name string) (*memDir, string, error) {
	if !fs.ValidPath(name) {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	d, err := m.findDir(op, path.Dir(name))
	return d, path.Base(name), err
}

// Open is FS.Open.
func (m *Mem) Open(name string, flag Flag) (File, error) {
	n, created, err := m.open(name, flag)
	if err != nil {
		return nil, err
	}
	if created {
		m.told(Op{Kind: OpOpen, Name: name})
	}
	f := &memFile{m: m, n: n, name: name, readOnly: flag&ReadOnly != 0, direct: flag&Direct != 0 && !m.NoDirect}
	if flag&Truncate != 0 {
		return f, f.Truncate(0)
	}
	return f, nil
}

func (m *Mem) open(name string, flag Flag) (n *memNode, created bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, base, err := m.lookup("open", name)
	if err != nil {
		return nil, false, err
	}
	n = d.names[base]
	switch {
	case n != nil && flag&Create != 0 && flag&Excl != 0:
		return nil, false, &fs.PathError{Op: "open", Path: name, Err: fs.ErrExist}
	case name == "." || n != nil && n.dir != nil:
		return nil, false, &fs.PathError{Op: "open", Path: name, Err: errIsDirectory}
	case n != nil:
		return n, false, nil
	case flag&Create == 0:
		return nil, false, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	n = &memNode{}
	d.change(map[string]*memNode{base: n})
	return n, true, nil
}

var errIsDirectory = errors.New("is a directory")

// MkdirAll is FS.MkdirAll.
func (m *Mem) MkdirAll(name string) error {
	if !fs.ValidPath(name) {
		return &fs.PathError{Op: "mkdir", Path: name, Err: fs.ErrInvalid}
	}
	if parent := path.Dir(name); parent != "." {
		if err := m.MkdirAll(parent); err != nil {
			return err
		}
	}
	made, err := m.mkdir(name)
	if made {
		m.told(Op{Kind: OpMkdir, Name: name})
	}
	return err
}

func (m *Mem) mkdir(name string) (made bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.find(name); n != nil {
		if n.dir == nil {
			err = &fs.PathError{Op: "mkdir", Path: name, Err: fs.ErrExist}
		}
		return false, err
	}
	d, base, err := m.lookup("mkdir", name)
	if err != nil {
		return false, err
	}
	d.change(map[string]*memNode{base: {dir: newMemDir()}})
	return true, nil
}

// Remove is FS.Remove.
func (m *Mem) Remove(name string) error {
	if err := m.remove(name); err != nil {
		return err
	}
	m.told(Op{Kind: OpRemove, Name: name})
	return nil
}

func (m *Mem) remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, base, err := m.lookup("remove", name)
	if err != nil {
		return err
	}
	switch n := d.names[base]; {
	case n == nil:
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	case n.dir != nil && len(n.dir.names) > 0:
		return &fs.PathError{Op: "remove", Path: name, Err: errors.New("directory not empty")}
	}
	d.change(map[string]*memNode{base: nil})
	return nil
}

// Rename is FS.Rename, for files, within one directory or across. Across directories its two halves are durable
// separately, each with its own directory.
func (m *Mem) Rename(from, to string) error {
	if err := m.rename(from, to); err != nil {
		return err
	}
	m.told(Op{Kind: OpRename, Name: from})
	return nil
}

func (m *Mem) rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, base, err := m.lookup("rename", from)
	if err != nil {
		return err
	}
	d2, base2, err := m.lookup("rename", to)
	if err != nil {
		return err
	}
	n, over := d.names[base], d2.names[base2]
	switch {
	case n == nil:
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	case n.dir != nil || over != nil && over.dir != nil:
		return &fs.PathError{Op: "rename", Path: from, Err: errIsDirectory}
	case d != d2:
		d2.change(map[string]*memNode{base2: n})
		d.change(map[string]*memNode{base: nil})
	case base != base2:
		d.change(map[string]*memNode{base: nil, base2: n})
	}
	return nil
}

// List is FS.List.
func (m *Mem) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := m.findDir("list", dir)
	if err != nil && m.find(dir) != nil {
		err = &fs.PathError{Op: "list", Path: dir, Err: syscall.ENOTDIR}
	}
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(d.names)), nil
}

// SyncDir is FS.SyncDir.
func (m *Mem) SyncDir(dir string) error {
	m.mu.Lock()
	d, err := m.findDir("sync", dir)
	if err != nil {
		m.mu.Unlock()
		return err
	}
	upTo := d.changes
	m.mu.Unlock()
	m.told(Op{Kind: OpSyncDir, Name: dir})
	m.mu.Lock()
	defer m.mu.Unlock()
	d.settle(upTo)
	return nil
}

// Lock is FS.Lock. A crash lets go of it.
func (m *Mem) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locks[name] {
		return nil, &fs.PathError{Op: "lock", Path: name, Err: ErrLocked}
	}
	m.locks[name] = true
	return &memLock{m: m, name: name}, nil
}

type memLock struct {
	once sync.Once
	m    *Mem
	name string
}

// Close lets go of the lock.
func (l *memLock) Close() error {
	l.once.Do(func() {
		l.m.mu.Lock()
		defer l.m.mu.Unlock()
		delete(l.m.locks, l.name)
	})
	return nil
}
