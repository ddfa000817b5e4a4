package wire

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"chronik/wal/arena"
)

const (
	readBuffer = 4 << 10  // per connection: several small requests by one read
	wideMemory = 64       // times in a row that less has come by which a connection has readBuffer again
	smallFrame = 16 << 10 // frames of this size and more lie in the arena, for the log to write them from there
	firstPart  = 8 << 10  // is read before a frame gets its whole buffer
	midPart    = 64 << 10 // the same of a frame of over midFrame
	midFrame   = 512 << 10
	bigPart    = 1 << 20 // the same of a frame of over bigFrame, which Large has allowed
	bigFrame   = 4 << 20
	readPiece  = 256 << 10 // of a large frame
)

// WideBuffer is the bytes of the buffer of a connection whose small requests fill what others have: as many as its client has in
// flight come by one read.
const WideBuffer = 16 << 10

// LargeFrame is the size from which on Frames asks Large.
const LargeFrame = bigFrame

// ErrFrame is wrapped by what is wrong with the bytes of a frame. There is no way to find the next one: close.
var ErrFrame = errors.New("bad frame")

// Frame is the bytes of one request without its size; they lie in Buf, or in a small pooled buffer.
type Frame struct {
	Bytes []byte
	Buf   *arena.Buf
	small *[]byte
}

// Release gives the bytes back. A frame that was decoded is released by its request instead.
func (f *Frame) Release() {
	if f.Buf != nil {
		f.Buf.Release()
	}
	putSmall(f.small)
	*f = Frame{}
}

// Frames reads the frames of one connection. A peer's word about a size is believed in steps: the more of the frame
// has come, the more memory it gets. It is used by one goroutine.
type Frames struct {
	from   source
	src    *bufio.Reader                     // nil while it is lent to others, which it is only in Wait
	await  func(func(fd uintptr) bool) error // syscall.RawConn's Read, nil for what is not a socket: that keeps src
	look   func(fd uintptr) bool             // lookAt: made once, it costs no allocation
	looked error                             // lookAt's
	width  int                               // the size that src has
	suits  int                               // the size that src is to have
	narrow int                               // how often in a row less than WideBuffer was of use
	pool   *arena.Pool
	max    int
	// Await is called before each wait for n bytes (of a size: 4) that are not there yet: the place for a deadline. 0: the
	// wait is for memory, and not the peer's fault.
	Await func(n int)
	// Large is called when midPart of a frame of more than LargeFrame bytes has come, and may wait.
	Large func(n int) error
	// Wide is how many more connections may have a buffer of WideBuffer, for all that share it; nil: any number.
	Wide *atomic.Int64
}

// NewFrames reads from src; a frame of more than max bytes is an error.
func NewFrames(src io.Reader, pool *arena.Pool, max int) *Frames {
	f := &Frames{
		from: source{of: src}, await: awaitOf(src), width: readBuffer, suits: readBuffer, pool: pool, max: max,
		Await: func(int) {}, Large: func(int) error { return nil },
	}
	f.look = f.lookAt
	f.borrow()
	return f
}

// Wait waits for the first byte of the next frame. io.EOF is the orderly end.
func (f *Frames) Wait() error {
	if f.src.Buffered() > 0 {
		return nil
	}
	if f.width != f.suits {
		f.resize()
	}
	err := f.idle()
	f.suit()
	return err
}

// resize gives the connection, of which nothing is buffered, the buffer that suits it, or leaves it as it is where too many have a
// wide one.
func (f *Frames) resize() {
	switch {
	case f.Wide == nil:
	case f.suits == readBuffer:
		f.Wide.Add(1)
	case f.Wide.Add(-1) < 0:
		f.Wide.Add(1)
		f.suits = readBuffer
		return
	}
	f.lend()
	f.width = f.suits
	f.borrow()
}

// Close lets others have what the connection had. Nothing is read any more.
func (f *Frames) Close() {
	if f.suits = readBuffer; f.width != f.suits {
		f.resize()
	}
}

// suit decides on the buffer's size by what the first read of a burst has brought. Frames of smallFrame and more are read into
// it with their beginning only.
func (f *Frames) suit() {
	switch n := f.src.Buffered(); {
	case n > readBuffer:
		f.narrow = 0
	case f.suits == WideBuffer:
		if f.narrow++; f.narrow == wideMemory {
			f.suits = readBuffer
		}
	case n == readBuffer:
		if b, _ := f.src.Peek(4); binary.BigEndian.Uint32(b) < smallFrame {
			f.suits, f.narrow = WideBuffer, 0
		}
	}
}

// Buffered says whether the next frame is here as a whole, so that Next would neither wait nor read.
func (f *Frames) Buffered() bool {
	if f.src.Buffered() < 4 {
		return false
	}
	b, _ := f.src.Peek(4)
	return int64(f.src.Buffered()) >= 4+int64(binary.BigEndian.Uint32(b))
}

// More says whether bytes of the next frame are here.
func (f *Frames) More() bool { return f.src.Buffered() > 0 }

// Next returns the next frame. An error that wraps ErrFrame says what the peer did wrong; io.ErrUnexpectedEOF is a
// connection that broke within a frame. ctx ends the wait for memory, which is what holds back a peer that sends faster
// than its requests are done with.
func (f *Frames) Next(ctx context.Context) (Frame, error) {
	n, err := f.size()
	if err != nil {
		return Frame{}, err
	}
	if n < smallFrame {
		return f.small(n)
	}
	return f.large(ctx, n)
}

func (f *Frames) size() (int, error) {
	if f.src.Buffered() < 4 {
		f.Await(4)
	}
	b, err := f.src.Peek(4)
	if err != nil {
		if err == io.EOF && len(b) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return 0, err
	}
	n := int32(binary.BigEndian.Uint32(b))
	if n <= 0 || int(n) > f.max {
		return 0, fmt.Errorf("%w: size %d, the limit is %d (max-request-size): %s", ErrFrame, n, f.max, looksLike(b))
	}
	_, err = f.src.Discard(4)
	return int(n), err
}

// looksLike names the protocol that a connection opens with these bytes.
func looksLike(b []byte) string {
	if b[0] == 0x16 && b[1] == 3 {
		return "the peer speaks TLS to a plaintext listener"
	}
	switch string(b[:4]) {
	case "GET ", "PUT ", "POST", "HEAD", "OPTI", "DELE", "PATC", "CONN", "TRAC", "PRI ":
		return "the peer speaks HTTP to a Kafka listener"
	}
	return "the request is too large, or the peer does not speak Kafka"
}

func (f *Frames) small(n int) (Frame, error) {
	b, err := f.parts(n, min(n, firstPart), n)
	if err != nil {
		return Frame{}, err
	}
	return Frame{Bytes: (*b)[:n], small: b}, nil
}

// large holds nothing of the arena while it waits for a buffer there: two that did could wait for each other.
func (f *Frames) large(ctx context.Context, n int) (Frame, error) {
	first, err := f.first(n)
	if err != nil {
		return Frame{}, err
	}
	defer putSmall(first)
	f.Await(0)
	buf, err := f.pool.Get(ctx, n)
	if err != nil {
		return Frame{}, err
	}
	if err := f.rest(buf, copy(buf.Bytes(), *first)); err != nil {
		buf.Release()
		return Frame{}, err
	}
	return Frame{Bytes: buf.Bytes(), Buf: buf}, nil
}

// first reads what must have come of a large frame of n bytes before the pool is asked. Any number of peers may wait for
// Large, and for as long as others take: none does with bigPart in its hands, which nobody counts.
func (f *Frames) first(n int) (*[]byte, error) {
	if n <= midFrame {
		return f.parts(n, firstPart)
	}
	b, err := f.parts(n, firstPart, midPart)
	if err != nil || n <= LargeFrame {
		return b, err
	}
	f.Await(0)
	if err := f.Large(n); err != nil {
		putSmall(b)
		return nil, err
	}
	return f.more(b, midPart, bigPart, n)
}

// rest reads what buf lacks, in pieces that fit the processor's cache.
func (f *Frames) rest(buf *arena.Buf, have int) error {
	for b := buf.Bytes(); have < len(b); {
		end := min(len(b), have/readPiece*readPiece+readPiece)
		if err := f.fill(b[have:end], len(b)-have); err != nil {
			return err
		}
		have = end
		buf.Arrived(have)
	}
	return nil
}

// parts reads the beginning of a frame of n bytes, up to one end after the other; each part gets its buffer when the
// one before it has come.
func (f *Frames) parts(n int, ends ...int) (*[]byte, error) {
	var b *[]byte
	at := 0
	for _, end := range ends {
		if end == at {
			break
		}
		var err error
		if b, err = f.more(b, at, end, n); err != nil {
			return nil, err
		}
		at = end
	}
	return b, nil
}

// more reads up to end into a buffer that replaces b, the first at bytes of n. When it fails, nothing is left of either.
func (f *Frames) more(b *[]byte, at, end, n int) (*[]byte, error) {
	next := getSmall(end)
	if b != nil {
		copy(*next, (*b)[:at])
		putSmall(b)
	}
	if err := f.fill((*next)[at:end], n-at); err != nil {
		putSmall(next)
		return nil, err
	}
	return next, nil
}

// fill reads all of b, which is the beginning of the rest bytes that the frame still lacks.
func (f *Frames) fill(b []byte, rest int) error {
	if f.src.Buffered() < len(b) {
		f.Await(rest)
	}
	_, err := io.ReadFull(f.src, b)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// Small buffers come in few sizes, so that a connection that sends little does not hold much.
var (
	smallSizes = [...]int{1 << 10, firstPart, smallFrame, midPart, bigPart}
	smallPools [len(smallSizes)]sync.Pool
)

// getSmall returns a buffer of n bytes or more: of exactly n where n is one of the sizes.
func getSmall(n int) *[]byte {
	c := sizeClass(n)
	if b, ok := smallPools[c].Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, smallSizes[c])
	return &b
}

func putSmall(b *[]byte) {
	if b != nil {
		smallPools[sizeClass(len(*b))].Put(b)
	}
}

func sizeClass(n int) int {
	for c, size := range smallSizes {
		if n <= size {
			return c
		}
	}
	panic(fmt.Sprintf("wire: a small buffer of %d bytes", n))
}
