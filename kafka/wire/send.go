package wire

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"chronik/kafka/batch"
)

const (
	piece       = 1 << 20  // of what lies in memory, after which Moved is called
	smallExtent = 16 << 10 // file extents below it are read and sent together with the bytes around them
	copyBuffer  = 64 << 10
	keepBufs    = 256 // slices of memory that an idle sender keeps room for
)

// Sender sends replies over one connection. Over TCP, memory goes out by writev and files by sendfile; over anything
// else (TLS) both are copied. It is used by one goroutine at a time.
type Sender struct {
	// Moved is called whenever another piece of memory was sent.
	Moved func()

	w    io.Writer
	tcp  *net.TCPConn
	raw  syscall.RawConn
	bufs net.Buffers // gathered, not yet sent
	held []*[]byte   // pooled memory that bufs lies in
	sent net.Buffers // what of bufs is not written yet: its header is here so that writing does not allocate
}

// NewSender returns a sender to w.
func NewSender(w io.Writer) *Sender {
	s := &Sender{w: w, Moved: func() {}}
	s.tcp, _ = w.(*net.TCPConn)
	return s
}

// Send sends the replies in order, in as few system calls as it can. They stay the caller's to release. After an error
// the connection is of no use any more.
func (s *Sender) Send(replies ...*Reply) error {
	defer s.drop()
	for _, r := range replies {
		if err := s.add(r); err != nil {
			return err
		}
	}
	return s.flush()
}

func (s *Sender) add(r *Reply) error {
	at, extent := 0, 0
	for _, c := range r.cuts {
		s.bytes(r.bytes[at:c.at])
		for ; extent < c.end; extent++ {
			if err := s.extent(&r.extents[extent]); err != nil {
				return err
			}
		}
		at = c.at
	}
	s.bytes(r.bytes[at:])
	return nil
}

func (s *Sender) bytes(b []byte) {
	if len(b) > 0 {
		s.bufs = append(s.bufs, b)
	}
}

func (s *Sender) extent(x *batch.Extent) error {
	switch {
	case x.File == nil:
		s.bytes(x.Mem)
		return nil
	case x.Len < smallExtent:
		return s.read(x.File, x.Off, int(x.Len))
	}
	if err := s.flush(); err != nil {
		return err
	}
	if s.tcp == nil {
		return s.copyFile(x.File, x.Off, x.Len)
	}
	return s.sendFile(x.File, x.Off, x.Len)
}

// read gathers n bytes of the file, which are fewer than smallExtent.
func (s *Sender) read(f *os.File, off int64, n int) error {
	b := extentBuffers.Get().(*[]byte)
	s.held = append(s.held, b)
	if err := readAt(f, (*b)[:n], off); err != nil {
		return err
	}
	s.bytes((*b)[:n])
	return nil
}

func readAt(f *os.File, b []byte, off int64) error {
	if n, err := f.ReadAt(b, off); n < len(b) {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read records at %d of %s: %w", off, f.Name(), err)
	}
	return nil
}

func (s *Sender) flush() error {
	defer s.drop()
	if len(s.bufs) == 0 {
		return nil
	}
	if s.tcp == nil {
		return s.copyBufs()
	}
	for at := 0; at < len(s.bufs); {
		end := at
		for n := 0; end < len(s.bufs) && n < piece; end++ {
			n += len(s.bufs[end])
		}
		s.sent = s.bufs[at:end]
		if _, err := s.sent.WriteTo(s.tcp); err != nil {
			return err
		}
		if at = end; at < len(s.bufs) {
			s.Moved()
		}
	}
	return nil
}

// drop forgets what was gathered.
func (s *Sender) drop() {
	clear(s.bufs)
	s.bufs, s.sent = s.bufs[:0], nil
	if cap(s.bufs) > keepBufs {
		s.bufs = nil
	}
	for i, b := range s.held {
		extentBuffers.Put(b)
		s.held[i] = nil
	}
	s.held = s.held[:0]
}

// copyBufs writes through a buffer, so that many short runs do not become as many TLS records.
func (s *Sender) copyBufs() error {
	p := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(p)
	b := (*p)[:0]
	for _, run := range s.bufs {
		if len(b)+len(run) > copyBuffer {
			if _, err := s.w.Write(b); err != nil {
				return err
			}
			b = b[:0]
		}
		if len(run) > copyBuffer {
			if _, err := s.w.Write(run); err != nil {
				return err
			}
			continue
		}
		b = append(b, run...)
	}
	_, err := s.w.Write(b)
	return err
}

func (s *Sender) copyFile(f *os.File, off, n int64) error {
	p := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(p)
	for n > 0 {
		b := (*p)[:min(n, copyBuffer)]
		if err := readAt(f, b, off); err != nil {
			return err
		}
		if _, err := s.w.Write(b); err != nil {
			return err
		}
		off += int64(len(b))
		n -= int64(len(b))
	}
	return nil
}

var (
	extentBuffers = sync.Pool{New: func() any { b := make([]byte, smallExtent); return &b }}
	copyBuffers   = sync.Pool{New: func() any { b := make([]byte, copyBuffer); return &b }}
)
