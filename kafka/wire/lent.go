package wire

import (
	"bufio"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Most connections of a broker are idle at a time, and most of what they would hold is the buffer that they read into. So
// one that waits for a request has none: it gets one with the first byte.

// lentNarrow and lentWide are buffers that nobody needs now.
var lentNarrow, lentWide sync.Pool

func (f *Frames) lentTo() *sync.Pool {
	if f.width == WideBuffer {
		return &lentWide
	}
	return &lentNarrow
}

func (f *Frames) borrow() {
	if src, ok := f.lentTo().Get().(*bufio.Reader); ok {
		src.Reset(&f.from)
		f.src = src
		return
	}
	f.src = bufio.NewReaderSize(&f.from, f.width)
}

// lend is called when nothing is buffered.
func (f *Frames) lend() {
	f.src.Reset(nil)
	f.lentTo().Put(f.src)
	f.src = nil
}

// idle waits until something has come, and has nothing lent afterwards.
func (f *Frames) idle() error {
	if f.await == nil {
		_, err := f.src.Peek(1)
		return err
	}
	f.lend()
	err := f.await(f.look)
	if f.src == nil {
		f.borrow()
	}
	if err != nil {
		return err
	}
	return f.looked
}

// lookAt reads what is there of the socket, and is false when that is nothing yet.
func (f *Frames) lookAt(fd uintptr) bool {
	f.borrow()
	f.from.fd, f.from.now = fd, true
	_, f.looked = f.src.Peek(1)
	f.from.now = false
	if errors.Is(f.looked, errNothing) {
		f.lend()
		return false
	}
	return true
}

var errNothing = errors.New("nothing is there yet")

// source reads from a connection; while now is set, without waiting: errNothing.
type source struct {
	of  io.Reader
	fd  uintptr
	now bool
}

func (s *source) Read(b []byte) (int, error) {
	if s.now {
		return readNow(s.fd, b)
	}
	return s.of.Read(b)
}

// awaitOf is nil for what is not a socket.
func awaitOf(r io.Reader) func(func(fd uintptr) bool) error {
	of, ok := r.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := of.SyscallConn()
	if err != nil {
		return nil
	}
	return raw.Read
}

func readNow(fd uintptr, b []byte) (int, error) {
	for {
		n, err := unix.Read(int(fd), b)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return 0, errNothing
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}
