package wire

import (
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// sendFile sends n bytes from off by sendfile with an explicit offset: the file's own offset is shared with every other
// reader, and io.Copy would use it.
func (s *Sender) sendFile(f *os.File, off, n int64) error {
	if s.raw == nil {
		raw, err := s.tcp.SyscallConn()
		if err != nil {
			return err
		}
		s.raw = raw
	}
	src, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = src.Control(func(in uintptr) {
		sendErr = s.sendFD(int(in), off, n)
	})
	if err == nil {
		err = sendErr
	}
	if err != nil {
		return fmt.Errorf("send records at %d of %s: %w", off, f.Name(), err)
	}
	return nil
}

func (s *Sender) sendFD(in int, off, n int64) error {
	var sendErr error
	err := s.raw.Write(func(out uintptr) bool {
		for n > 0 {
			// The kernel moves on off by what it sent.
			sent, err := unix.Sendfile(int(out), in, &off, int(min(n, 1<<30)))
			n -= int64(max(0, sent))
			switch {
			case err == syscall.EAGAIN:
				return false
			case err == syscall.EINTR:
			case err != nil:
				sendErr = err
				return true
			case sent == 0:
				sendErr = io.ErrUnexpectedEOF
				return true
			}
		}
		return true
	})
	if err == nil {
		err = sendErr
	}
	return err
}
