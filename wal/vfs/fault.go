package vfs

import (
	"io"
	"sync"
)

// Fault is a file system that fails by script: before every operation it asks Script what to do.
type Fault struct {
	FS
	mu     sync.Mutex
	script func(Op) Outcome
}

// Outcome is what becomes of an operation. The zero Outcome lets it pass.
type Outcome struct {
	Err   error           // the operation fails with it
	Keep  int             // of a write that fails: how many of its bytes are written nevertheless
	Until <-chan struct{} // the operation waits until this is closed: a disk that hangs
}

// NewFault wraps under; all passes until Script is called.
func NewFault(under FS) *Fault {
	return &Fault{FS: under, script: func(Op) Outcome { return Outcome{} }}
}

// Script sets what happens from now on. fn is called concurrently.
func (f *Fault) Script(fn func(Op) Outcome) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script = fn
}

// ask returns the script's error, after the wait that it wants.
func (f *Fault) ask(op Op) Outcome {
	f.mu.Lock()
	fn := f.script
	f.mu.Unlock()
	o := fn(op)
	if o.Until != nil {
		<-o.Until
	}
	return o
}

func (f *Fault) Open(name string, flag Flag) (File, error) {
	if o := f.ask(Op{Kind: OpOpen, Name: name}); o.Err != nil {
		return nil, o.Err
	}
	file, err := f.FS.Open(name, flag)
	if err != nil {
		return nil, err
	}
	return &faultFile{file, f, name}, nil
}

func (f *Fault) MkdirAll(name string) error {
	if o := f.ask(Op{Kind: OpMkdir, Name: name}); o.Err != nil {
		return o.Err
	}
	return f.FS.MkdirAll(name)
}

func (f *Fault) Remove(name string) error {
	if o := f.ask(Op{Kind: OpRemove, Name: name}); o.Err != nil {
		return o.Err
	}
	return f.FS.Remove(name)
}

func (f *Fault) Rename(from, to string) error {
	if o := f.ask(Op{Kind: OpRename, Name: from}); o.Err != nil {
		return o.Err
	}
	return f.FS.Rename(from, to)
}

func (f *Fault) SyncDir(dir string) error {
	if o := f.ask(Op{Kind: OpSyncDir, Name: dir}); o.Err != nil {
		return o.Err
	}
	return f.FS.SyncDir(dir)
}

type faultFile struct {
	File
	f    *Fault
	name string
}

func (f *faultFile) ReadAt(p []byte, off int64) (int, error) {
	if o := f.f.ask(Op{OpRead, f.name, off, len(p)}); o.Err != nil {
		return 0, o.Err
	}
	return f.File.ReadAt(p, off)
}

func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	if o := f.f.ask(Op{OpWrite, f.name, off, len(p)}); o.Err != nil {
		n, err := f.File.WriteAt(p[:min(o.Keep, len(p))], off)
		if err != nil {
			return n, err
		}
		return n, o.Err
	}
	return f.File.WriteAt(p, off)
}

func (f *faultFile) park() File { return &faultFile{Park(f.File), f.f, f.name} }

func (f *faultFile) readAhead(off, n int64) {
	if o := f.f.ask(Op{OpReadAhead, f.name, off, int(n)}); o.Err == nil {
		ReadAhead(f.File, off, n)
	}
}

func (f *faultFile) uncache()       { Uncache(f.File) }
func (f *faultFile) forget()        { Forget(f.File) }
func (f *faultFile) unshares() bool { return Unshares(f.File) }

func (f *faultFile) WriteSync(bufs [][]byte, off int64, durable bool) error {
	kind := OpWrite
	if durable {
		kind = OpWriteSync
	}
	o := f.f.ask(Op{kind, f.name, off, total(bufs)})
	if o.Err == nil {
		return f.File.WriteSync(bufs, off, durable)
	}
	for _, b := range bufs {
		b = b[:min(o.Keep, len(b))]
		if _, err := f.File.WriteAt(b, off); err != nil {
			return err
		}
		off += int64(len(b))
		o.Keep -= len(b)
	}
	return o.Err
}

func total(bufs [][]byte) int {
	n := 0
	for _, b := range bufs {
		n += len(b)
	}
	return n
}

func (f *faultFile) Sync() error {
	if o := f.f.ask(Op{Kind: OpSync, Name: f.name}); o.Err != nil {
		return o.Err
	}
	return f.File.Sync()
}

func (f *faultFile) Allocate(size int64) error {
	if o := f.f.ask(Op{Kind: OpAllocate, Name: f.name, Off: size}); o.Err != nil {
		return o.Err
	}
	return f.File.Allocate(size)
}

func (f *faultFile) Truncate(size int64) error {
	if o := f.f.ask(Op{Kind: OpTruncate, Name: f.name, Off: size}); o.Err != nil {
		return o.Err
	}
	return f.File.Truncate(size)
}

var _, _, _ FS = (*Fault)(nil), (*Mem)(nil), (*osFS)(nil)
var _ io.Closer = (*osFS)(nil)
