package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"sync"
)

// Op is one operation on a file system, as Mem's Watch and Fault see it.
type Op struct {
	Kind OpKind
	Name string // of the file or directory; the old name of a Rename
	Off  int64  // of a write
	Len  int    // of a write
}

// OpKind is what an Op does.
type OpKind string

const (
	OpOpen      OpKind = "open"
	OpWrite     OpKind = "write" // WriteAt, and WriteSync that is not durable
	OpWriteSync OpKind = "write-sync"
	OpSync      OpKind = "sync"
	OpTruncate  OpKind = "truncate"
	OpRemove    OpKind = "remove"
	OpRename    OpKind = "rename"
	OpSyncDir   OpKind = "sync-dir"
	OpMkdir     OpKind = "mkdir"
	OpRead      OpKind = "read"
)

// Changes says whether the operation writes or makes something durable.
func (k OpKind) Changes() bool { return k != OpRead && k != OpOpen }

// Mem is a file system in memory that knows, like a disk behind a cache, what would survive a power cut: see Crash.
// Directories are durable at once; the names in them are not. All methods may be called concurrently.
type Mem struct {
	mu    sync.Mutex
	dirs  map[string]*memDir
	locks map[string]bool
	watch func(Op)
}

// memDir is the names of one directory: as seen now, as they are on the disk, and the changes between.
type memDir struct {
	names   map[string]*memNode
	durable map[string]*memNode
	pending []dirChange
}

// dirChange sets names together, as a rename does; nil removes.
type dirChange map[string]*memNode

// NewMem returns an empty file system.
func NewMem() *Mem {
	return &Mem{dirs: map[string]*memDir{".": newMemDir()}, locks: map[string]bool{}}
}

func newMemDir() *memDir {
	return &memDir{names: map[string]*memNode{}, durable: map[string]*memNode{}}
}

// Watch calls fn in every operation that changes something, at its worst moment: the change is made, but none of what
// the operation promises to be durable is. fn may call Crash, but nothing else of Mem.
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

// lookup returns the directory and the base of name; the caller holds m.mu.
func (m *Mem) lookup(op, name string) (*memDir, string, error) {
	if !fs.ValidPath(name) {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	d := m.dirs[path.Dir(name)]
	if d == nil {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return d, path.Base(name), nil
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
	f := &memFile{m: m, n: n, name: name, readOnly: flag&ReadOnly != 0, direct: flag&Direct != 0}
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
	case n != nil:
		return n, false, nil
	case m.dirs[name] != nil:
		return nil, false, &fs.PathError{Op: "open", Path: name, Err: errors.New("is a directory")}
	case flag&Create == 0:
		return nil, false, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	n = &memNode{}
	d.change(dirChange{base: n})
	return n, true, nil
}

func (d *memDir) change(c dirChange) {
	apply(d.names, c)
	d.pending = append(d.pending, c)
}

func apply(names map[string]*memNode, c dirChange) {
	for name, n := range c {
		if n == nil {
			delete(names, name)
		} else {
			names[name] = n
		}
	}
}

// MkdirAll is FS.MkdirAll.
func (m *Mem) MkdirAll(name string) error {
	if !fs.ValidPath(name) {
		return &fs.PathError{Op: "mkdir", Path: name, Err: fs.ErrInvalid}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for dir := name; m.dirs[dir] == nil; dir = path.Dir(dir) {
		if d := m.dirs[path.Dir(dir)]; d != nil && d.names[path.Base(dir)] != nil {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: fs.ErrExist}
		}
		m.dirs[dir] = newMemDir()
	}
	return nil
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
	if d.names[base] != nil {
		d.change(dirChange{base: nil})
		return nil
	}
	switch sub := m.dirs[name]; {
	case sub == nil || name == ".":
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	case len(m.list(name)) > 0:
		return &fs.PathError{Op: "remove", Path: name, Err: errors.New("directory not empty")}
	}
	delete(m.dirs, name)
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
	n := d.names[base]
	switch {
	case n == nil:
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	case d != d2:
		d2.change(dirChange{base2: n})
		d.change(dirChange{base: nil})
	case base != base2:
		d.change(dirChange{base: nil, base2: n})
	}
	return nil
}

// List is FS.List.
func (m *Mem) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dirs[dir] == nil {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: fs.ErrNotExist}
	}
	return m.list(dir), nil
}

func (m *Mem) list(dir string) []string {
	var names []string
	for name := range m.dirs[dir].names {
		names = append(names, name)
	}
	for sub := range m.dirs {
		if sub != "." && path.Dir(sub) == dir {
			names = append(names, path.Base(sub))
		}
	}
	slices.Sort(names)
	return names
}

// SyncDir is FS.SyncDir.
func (m *Mem) SyncDir(dir string) error {
	m.mu.Lock()
	d := m.dirs[dir]
	m.mu.Unlock()
	if d == nil {
		return &fs.PathError{Op: "sync", Path: dir, Err: fs.ErrNotExist}
	}
	m.told(Op{Kind: OpSyncDir, Name: dir})
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range d.pending {
		apply(d.durable, c)
	}
	d.pending = nil
	return nil
}

// Lock is FS.Lock. A crash lets go of it.
func (m *Mem) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locks[name] {
		return nil, &fs.PathError{Op: "lock", Path: name, Err: fmt.Errorf("held: %w", fs.ErrPermission)}
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
