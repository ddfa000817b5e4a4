package segment

import (
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"chronik/kafka/batch"
	"chronik/wal/mutant"
	"chronik/wal/vfs"
)

const (
	scanWindow = 256 << 10
	headWindow = 8 << 10 // for a look at a few headers
	keepBuffer = 256 << 10
)

// buffers is memory for bytes on their way through a check, kept for reuse unless it grew large.
var buffers = sync.Pool{New: func() any { return new(buffer) }}

type buffer struct{ b []byte }

// sized returns n bytes of the buffer's memory, what they hold is nobody's.
func (b *buffer) sized(n int64) []byte {
	if int64(cap(b.b)) < n {
		b.b = make([]byte, max(n, 2*chunkSize))
	}
	return b.b[:n]
}

func getBuffer() *buffer { return buffers.Get().(*buffer) }

func (b *buffer) free() {
	if cap(b.b) <= keepBuffer {
		buffers.Put(b)
	}
}

// reader walks batches of a file through a window of memory.
type reader struct {
	file   vfs.File
	end    int64 // of the bytes that may be read
	window int64
	mem    *buffer
	buf    []byte
	off    int64 // of buf in the file
}

// batch returns the batch at pos; it is valid until the next call. ErrTruncated says that it would reach past the end.
func (r *reader) batch(pos int64) (batch.Batch, error) {
	head, err := r.bytes(pos, batch.HeaderSize)
	if err != nil {
		return nil, err
	}
	n, err := batch.SizeHint(head)
	if err != nil {
		return nil, err
	}
	b, err := r.bytes(pos, n)
	return batch.Batch(b), err
}

// header returns the header of the batch at pos, valid until the next call, and the size of the batch.
func (r *reader) header(pos int64) (batch.Batch, int64, error) {
	head, err := r.bytes(pos, batch.HeaderSize)
	if err != nil {
		return nil, 0, err
	}
	n, err := batch.SizeHint(head)
	return batch.Batch(head), int64(n), err
}

func (r *reader) bytes(pos int64, n int) ([]byte, error) {
	if pos+int64(n) > r.end {
		return nil, batch.ErrTruncated
	}
	if pos < r.off || pos+int64(n) > r.off+int64(len(r.buf)) {
		if err := r.fill(pos, n); err != nil {
			return nil, err
		}
	}
	at := int(pos - r.off)
	return r.buf[at : at+n : at+n], nil
}

func (r *reader) fill(pos int64, n int) error {
	r.off, r.buf = pos, r.mem.sized(min(max(int64(n), r.window), r.end-pos))
	if err := readFull(r.file, r.buf, pos); err != nil {
		r.buf = r.buf[:0]
		return err
	}
	return nil
}

// readFull is ReadAt that takes the end of the file, when all bytes came, for no error.
func readFull(f vfs.File, p []byte, off int64) error {
	n, err := f.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}

// check compares the bytes of chunk i with its CRC, once since the segment was opened.
func (s *Segment) check(o *opened, i int, c chunk) error {
	s.mu.Lock()
	done := s.verified.has(i)
	s.mu.Unlock()
	if done {
		return nil
	}
	mem := getBuffer()
	defer mem.free()
	sum := uint32(0)
	for at := int64(0); at < c.length; {
		p := mem.sized(min(c.length-at, scanWindow))
		if err := readFull(o.data, p, c.pos+at); err != nil {
			return s.readFailed(c.pos+at, err)
		}
		sum = crc32.Update(sum, castagnoli, p)
		at += int64(len(p))
	}
	if sum != c.crc && !mutant.On(mutant.TrustSegments) {
		return s.damaged(c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i < len(o.ix.chunks) && o.ix.chunks[i] == c { // else the index was made again meanwhile
		s.verified.set(i)
	}
	return nil
}

// chunkBytes returns the bytes of a chunk, checked, in mem.
func (s *Segment) chunkBytes(o *opened, c chunk, mem *buffer) ([]byte, error) {
	buf := mem.sized(c.length)
	if err := readFull(o.data, buf, c.pos); err != nil {
		return nil, s.readFailed(c.pos, err)
	}
	if crc32.Checksum(buf, castagnoli) != c.crc {
		return nil, s.damaged(c)
	}
	return buf, nil
}

func (s *Segment) damaged(c chunk) error {
	return s.corrupt(c.pos, "the CRC of the %d bytes with offsets %d to %d does not match", c.length, c.base, c.end-1)
}

// readFailed tells a file that became shorter from a disk that does not answer.
func (s *Segment) readFailed(pos int64, err error) error {
	if err == io.ErrUnexpectedEOF {
		return s.corrupt(pos, "the file ends before the data")
	}
	return s.storage(fmt.Sprintf("read %s at %d", s.dataName(), pos), err)
}

// bitmap is a set of small numbers.
type bitmap []uint64

func (m bitmap) has(i int) bool { return i/64 < len(m) && m[i/64]&(1<<(i%64)) != 0 }

func (m *bitmap) set(i int) {
	for i/64 >= len(*m) {
		*m = append(*m, 0)
	}
	(*m)[i/64] |= 1 << (i % 64)
}
