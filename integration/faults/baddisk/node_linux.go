package baddisk

import (
	"context"
	"path"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// node is a file or a directory of the folder behind, with what a failed sync would lose of it.
type node struct {
	fs.LoopbackNode
	table *table

	mu       sync.Mutex // guards what follows
	unsynced unsynced
	faulty   bool // it had a fault
	since    int  // in which serial of the table
	bad      bad
}

// bad is where a write failed. The kernel cuts large writes in pieces and reports those before it as a short write, and
// its user goes on behind them: it would not learn of a fault that is gone by then.
type bad struct {
	from, to int64
	errno    syscall.Errno
}

// still is the error of a write at off, when it begins where one failed.
func (n *node) still(off int64) syscall.Errno {
	if n.faulty && n.table.remembers(n.since) && off >= n.bad.from && off < n.bad.to {
		return n.bad.errno
	}
	return 0
}

// WrapChild has every child be a node too.
func (n *node) WrapChild(context.Context, fs.InodeEmbedder) fs.InodeEmbedder {
	return &node{LoopbackNode: fs.LoopbackNode{RootData: n.RootData}, table: n.table}
}

func (n *node) name() string             { return n.Path(n.Root()) }
func (n *node) child(name string) string { return path.Join(n.name(), name) }
func (n *node) look(name string) (failed syscall.Errno) {
	v := n.table.ask(Look, name)
	return v.failed()
}

// marked remembers a fault of the node itself; the caller holds n.mu.
func (n *node) marked(v *verdict) { n.faulty, n.since = true, v.serial }

func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if errno := n.look(n.child(name)); errno != 0 {
		return nil, errno
	}
	return n.LoopbackNode.Lookup(ctx, name, out)
}

func (n *node) Getattr(ctx context.Context, f fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	if errno := n.look(n.name()); errno != 0 {
		return errno
	}
	return n.LoopbackNode.Getattr(ctx, f, out)
}

// Open opens the file behind for reading and writing, whatever the user wanted, to know what a write replaces and to take
// it back, and through its page cache: the kernel does not align what it passes on.
func (n *node) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if errno := n.look(n.name()); errno != 0 {
		return nil, 0, errno
	}
	return n.LoopbackNode.Open(ctx, asWeNeedIt(flags))
}

func asWeNeedIt(flags uint32) uint32 {
	return flags&^(syscall.O_ACCMODE|syscall.O_DIRECT) | syscall.O_RDWR
}

func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	v := n.table.ask(Create, n.child(name))
	if errno := v.failed(); errno != 0 {
		return nil, nil, 0, errno
	}
	return n.LoopbackNode.Create(ctx, name, asWeNeedIt(flags), mode, out)
}

func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	v := n.table.ask(Mkdir, n.child(name))
	if errno := v.failed(); errno != 0 {
		return nil, errno
	}
	return n.LoopbackNode.Mkdir(ctx, name, mode, out)
}

func (n *node) Rename(ctx context.Context, name string, to fs.InodeEmbedder, toName string, flags uint32) syscall.Errno {
	v := n.table.ask(Rename, path.Join(to.EmbeddedInode().Path(n.Root()), toName))
	if errno := v.failed(); errno != 0 {
		return errno
	}
	return n.LoopbackNode.Rename(ctx, name, to, toName, flags)
}

func (n *node) Unlink(ctx context.Context, name string) syscall.Errno {
	v := n.table.ask(Remove, n.child(name))
	if errno := v.failed(); errno != 0 {
		return errno
	}
	return n.LoopbackNode.Unlink(ctx, name)
}

func (n *node) Rmdir(ctx context.Context, name string) syscall.Errno {
	v := n.table.ask(Remove, n.child(name))
	if errno := v.failed(); errno != 0 {
		return errno
	}
	return n.LoopbackNode.Rmdir(ctx, name)
}

func (n *node) Read(ctx context.Context, f fs.FileHandle, to []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	v := n.table.ask(Read, n.name())
	if errno := v.failed(); errno != 0 {
		return nil, errno
	}
	return f.(fs.FileReader).Read(ctx, to, off)
}

func (n *node) Write(ctx context.Context, f fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	v := n.table.ask(Write, n.name())
	n.mu.Lock()
	defer n.mu.Unlock()
	if errno := n.still(off); errno != 0 {
		return 0, errno
	}
	end := off + int64(len(data))
	switch v.Fault {
	case EIO, ENOSPC:
		return 0, n.fails(&v, bad{off, end, v.errno()})
	case Torn, Short:
		data = half(data)
	}
	if errno := n.unsynced.write(ctx, f, off, len(data)); errno != 0 {
		return 0, errno
	}
	done, errno := f.(fs.FileWriter).Write(ctx, data, off)
	switch v.Fault {
	case Torn:
		return 0, n.fails(&v, bad{off, end, v.errno()})
	case Short:
		v.delivered()
	}
	return done, errno
}

// fails is a write that does; the caller holds n.mu.
func (n *node) fails(v *verdict, b bad) syscall.Errno {
	n.marked(v)
	n.bad = b
	return v.failed()
}

// half is at least a byte, and whole pages if it can be.
func half(data []byte) []byte {
	n := max(len(data)/2, 1)
	if n > 4096 {
		n -= n % 4096
	}
	return data[:n]
}

func (n *node) Setattr(ctx context.Context, f fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	size, resizes := in.GetSize()
	if !resizes {
		return n.LoopbackNode.Setattr(ctx, f, in, out)
	}
	v := n.table.ask(Truncate, n.name())
	n.mu.Lock()
	defer n.mu.Unlock()
	if v.Fault != "" {
		n.marked(&v)
		return v.failed()
	}
	if f == nil {
		var errno syscall.Errno
		if f, _, errno = n.LoopbackNode.Open(ctx, syscall.O_RDWR); errno != 0 {
			return errno
		}
		defer f.(fs.FileReleaser).Release(ctx)
	}
	if errno := n.unsynced.truncate(ctx, f, int64(size)); errno != 0 {
		return errno
	}
	return n.LoopbackNode.Setattr(ctx, f, in, out)
}

// Allocate loses nothing, neither when it fails nor when a sync fails after it: at most the file's size, and zeros.
func (n *node) Allocate(ctx context.Context, f fs.FileHandle, off, size uint64, mode uint32) syscall.Errno {
	v := n.table.ask(Allocate, n.name())
	if errno := v.failed(); errno != 0 {
		return errno
	}
	return f.(fs.FileAllocater).Allocate(ctx, off, size, mode)
}

// Fsync syncs nothing: there is no power cut here, and what counts as synced is decided here.
func (n *node) Fsync(ctx context.Context, f fs.FileHandle, _ uint32) syscall.Errno {
	v := n.table.ask(Sync, n.name())
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.faulty {
		n.table.synced(n.name(), n.since)
	}
	if v.Fault == "" {
		n.unsynced.forget()
		return 0
	}
	n.marked(&v)
	if errno := n.unsynced.lose(ctx, f); errno != 0 {
		return errno
	}
	return v.failed()
}

func (n *node) OpendirHandle(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if errno := n.look(n.name()); errno != 0 {
		return nil, 0, errno
	}
	f, more, errno := n.LoopbackNode.OpendirHandle(ctx, flags)
	if errno != 0 {
		return nil, 0, errno
	}
	return &dir{f.(listing), n}, more, 0
}

// listing is what the folder behind can of an open directory.
type listing interface {
	fs.FileReaddirenter
	fs.FileSeekdirer
	fs.FileReleasedirer
}

// dir is an open directory.
type dir struct {
	listing
	n *node
}

// Fsyncdir fails without consequence: names that are lost are the power cuts' affair.
func (d *dir) Fsyncdir(context.Context, uint32) syscall.Errno {
	n := d.n
	v := n.table.ask(Sync, n.name())
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.faulty {
		n.table.synced(n.name(), n.since)
	}
	if v.Fault != "" {
		n.marked(&v)
	}
	return v.failed()
}
