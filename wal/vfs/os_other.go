//go:build !linux

package vfs

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Elsewhere than on Linux the page cache stays between, and a write is made durable by a second call.
const oDirect = 0

func directWorks(int) bool { return false }

func writeSync(fd int, bufs [][]byte, off int64, durable, _ bool) error {
	for _, b := range bufs {
		for len(b) > 0 {
			n, err := unix.Pwrite(fd, b, off)
			if err != nil {
				return err
			}
			b, off = b[n:], off+int64(n)
		}
	}
	if durable {
		return syncData(fd)
	}
	return nil
}

func journaled(int) bool { return false }

func allocate(int, int64) error { return errors.ErrUnsupported }

func readAhead(int, int64, int64) {}

func uncache(int) {}

func syncData(fd int) error { return unix.Fsync(fd) }
