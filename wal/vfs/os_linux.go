package vfs

import (
	"errors"
	"io"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

const oDirect = unix.O_DIRECT

// maxIovecs is Linux's UIO_MAXIOV.
const maxIovecs = 1024

// directWorks asks the kernel (statx, Linux 6.1) whether fd takes direct writes at our alignment. An older kernel does
// not say; there, an open that was let through has to do.
func directWorks(fd int) bool {
	var st unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &st)
	if err != nil || st.Mask&unix.STATX_DIOALIGN == 0 {
		return true
	}
	fits := func(want uint32) bool { return want != 0 && align%want == 0 }
	return fits(st.Dio_mem_align) && fits(st.Dio_offset_align)
}

// journaled says whether fd is on one of the file systems that direct writes are known of: with O_DIRECT in force they go past the
// page cache, asynchronous ones too, and are synced when they are said to be.
func journaled(fd int) bool {
	var st unix.Statfs_t
	err := unix.Fstatfs(fd, &st)
	return err == nil && (st.Type == unix.EXT4_SUPER_MAGIC || st.Type == unix.XFS_SUPER_MAGIC)
}

// iovecs are recycled: a commit must not allocate.
var iovecs = sync.Pool{New: func() any { return new([maxIovecs]unix.Iovec) }}

// writeSync is pwritev2(2), with RWF_DSYNC when durable: one system call that writes and flushes. What a call leaves
// over is written by another; each of them flushes what it wrote. A parked caller waits for it without a thread.
func writeSync(fd int, bufs [][]byte, off int64, durable, parked bool) error {
	iov := iovecs.Get().(*[maxIovecs]unix.Iovec)
	defer iovecs.Put(iov)
	for skip := 0; ; {
		var n int
		n, skip, bufs = fill(iov, bufs, skip)
		if n == 0 {
			return nil
		}
		done, err := 0, errNoAIO
		if parked {
			done, err = theAIO().write(fd, iov[:n], off, durable)
		}
		if errors.Is(err, errNoAIO) {
			done, err = pwritev2(fd, iov[:n], off, durable)
		}
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if done == 0 {
			return io.ErrShortWrite
		}
		off += int64(done)
		skip += done
	}
}

// fill points iov at bufs from byte skip on, and returns how many it used and what is left of skip and bufs.
func fill(iov *[maxIovecs]unix.Iovec, bufs [][]byte, skip int) (int, int, [][]byte) {
	for len(bufs) > 0 && skip >= len(bufs[0]) {
		skip -= len(bufs[0])
		bufs = bufs[1:]
	}
	n, from := 0, skip
	for _, b := range bufs {
		if n == maxIovecs {
			break
		}
		if b = b[from:]; len(b) > 0 {
			iov[n].Base = unsafe.SliceData(b)
			iov[n].SetLen(len(b))
			n++
		}
		from = 0
	}
	return n, skip, bufs
}

func pwritev2(fd int, iov []unix.Iovec, off int64, durable bool) (int, error) {
	var flags uintptr
	if durable {
		flags = unix.RWF_DSYNC
	}
	// The offset is passed in two halves; on 64-bit machines the kernel ignores the second.
	n, _, errno := unix.Syscall6(unix.SYS_PWRITEV2, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(iov))),
		uintptr(len(iov)), uintptr(off), uintptr(uint64(off)>>32), flags)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func allocate(fd int, size int64) error {
	for {
		switch err := unix.Fallocate(fd, 0, 0, size); {
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return errors.ErrUnsupported
		case !errors.Is(err, unix.EINTR):
			return err
		}
	}
}

// aheadMost is the least that any disk's readahead may be limited to; the kernel passes over what exceeds the limit.
const aheadMost = 128 << 10

func readAhead(fd int, off, n int64) {
	for ; n > 0; off, n = off+aheadMost, n-aheadMost {
		_ = unix.Fadvise(fd, off, min(n, aheadMost), unix.FADV_WILLNEED)
	}
}

func uncache(fd int) { _ = unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED) }

func syncData(fd int) error {
	for {
		// A sync that was interrupted did not fail: nothing was marked clean that is not.
		if err := unix.Fdatasync(fd); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
