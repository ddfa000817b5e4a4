package baddisk

import (
	"context"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// unsynced is what a file held when it was last synced, where that is not what it holds now.
type unsynced struct {
	dirty bool
	size  int64   // then
	old   []piece // oldest first
}

type piece struct {
	off  int64
	data []byte
}

// write keeps what n bytes at off will replace.
func (u *unsynced) write(ctx context.Context, f fs.FileHandle, off int64, n int) syscall.Errno {
	if errno := u.begin(ctx, f); errno != 0 {
		return errno
	}
	return u.keep(ctx, f, off, int64(n))
}

// truncate keeps what will be cut off.
func (u *unsynced) truncate(ctx context.Context, f fs.FileHandle, size int64) syscall.Errno {
	if errno := u.begin(ctx, f); errno != 0 {
		return errno
	}
	return u.keep(ctx, f, size, u.size-size)
}

func (u *unsynced) begin(ctx context.Context, f fs.FileHandle) syscall.Errno {
	if u.dirty {
		return 0
	}
	var now fuse.AttrOut
	if errno := f.(fs.FileGetattrer).Getattr(ctx, &now); errno != 0 {
		return errno
	}
	u.dirty, u.size = true, int64(now.Size)
	return 0
}

// keep needs nothing of what lies beyond the size then.
func (u *unsynced) keep(ctx context.Context, f fs.FileHandle, off, n int64) syscall.Errno {
	if n = min(n, u.size-off); n <= 0 {
		return 0
	}
	data := make([]byte, n)
	result, errno := f.(fs.FileReader).Read(ctx, data, off)
	if errno != 0 {
		return errno
	}
	got, status := result.Bytes(data)
	if !status.Ok() {
		return syscall.Errno(status)
	}
	u.old = append(u.old, piece{off, append([]byte(nil), got...)})
	return 0
}

func (u *unsynced) forget() { *u = unsynced{} }

// lose makes the file what it was when it was last synced.
func (u *unsynced) lose(ctx context.Context, f fs.FileHandle) syscall.Errno {
	if !u.dirty {
		return 0
	}
	for i := len(u.old) - 1; i >= 0; i-- {
		if _, errno := f.(fs.FileWriter).Write(ctx, u.old[i].data, u.old[i].off); errno != 0 {
			return errno
		}
	}
	var in fuse.SetAttrIn
	in.Valid, in.Size = fuse.FATTR_SIZE, uint64(u.size)
	var out fuse.AttrOut
	errno := f.(fs.FileSetattrer).Setattr(ctx, &in, &out)
	u.forget()
	return errno
}
