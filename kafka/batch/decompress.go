package batch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"golang.org/x/sys/unix"

	"chronik/kafka/kerr"
)

// MaxDecompressed is the largest size, in bytes, to which a batch is ever decompressed.
const MaxDecompressed = 64 << 20

const (
	maxRatio  = 1000    // output per input byte, where
	freeRatio = 8 << 20 // up to so much output any ratio will do: constant records shrink a lot
	maxWindow = 8 << 20 // of zstd
	keepCap   = 4 << 20 // larger buffers are not kept for reuse, and there are few at a time
)

// large has a value for each buffer of more than keepCap. It bounds what all connections together make of a few small
// bombs; whoever holds such a buffer waits for nothing until it lets go of it, so that the others' turn comes. They are
// mapped: on the heap each would be twice as much garbage in the end, and the heap grows by what it had to hold once.
var large = make(chan struct{}, 2)

// mapLarge returns a large buffer of n bytes, of which those take memory that are used.
func mapLarge(n int) ([]byte, error) {
	large <- struct{}{}
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		<-large
		return nil, fmt.Errorf("batch: map %d bytes: %w: %w", n, kerr.MessageTooLarge, err)
	}
	return b, nil
}

// letGo is the end of a buffer that decompress returned.
func letGo(b []byte) {
	if cap(b) <= keepCap {
		return
	}
	if err := unix.Munmap(b[:cap(b)]); err != nil {
		panic(fmt.Sprintf("batch: unmap: %v", err))
	}
	<-large
}

// enlarge copies b into a buffer with room for n bytes; when that is a large one, it has room for most, and need not be
// enlarged again.
func enlarge(b []byte, n, most int) ([]byte, error) {
	if n <= keepCap {
		return append(make([]byte, 0, n), b...), nil
	}
	bigger, err := mapLarge(most)
	if err != nil {
		return b, err
	}
	return bigger[:copy(bigger, b)], nil
}

var (
	errCodec      = fmt.Errorf("batch: unknown compression codec: %w", kerr.UnsupportedCompressionType)
	errCompressed = kerr.Detail(kerr.InvalidRecord, "the records cannot be decompressed")
	errBomb       = kerr.Detail(kerr.MessageTooLarge, "the records are too large when decompressed")
)

// DecompressLimit is the bound on decompressing a batch of a topic with this max.message.bytes.
func DecompressLimit(maxMessageBytes int) int {
	return int(min(int64(maxMessageBytes)*64, MaxDecompressed))
}

// decompress returns src decompressed, in dst's memory when that is large enough, in at most limit bytes (0 for
// MaxDecompressed); the caller lets go of it in the end. Errors are INVALID_RECORD, UNSUPPORTED_COMPRESSION_TYPE, and MESSAGE_TOO_LARGE beyond the limit.
func decompress(dst, src []byte, c Codec, limit int) ([]byte, error) {
	if limit <= 0 || limit > MaxDecompressed {
		limit = MaxDecompressed
	}
	limit = min(limit, max(freeRatio, maxRatio*len(src)))
	var err error
	switch c {
	case Snappy:
		dst, err = decompressSnappy(dst[:0], src, limit)
	case Gzip, LZ4, Zstd:
		p := &decoderPools[c]
		d, _ := p.Get().(*decoder)
		if d == nil {
			d = newDecoder(c)
		}
		defer p.Put(d)
		dst, err = d.decode(dst[:0], src, limit)
	default:
		return nil, errCodec
	}
	if err != nil {
		letGo(dst)
		return nil, err
	}
	return dst, nil
}

var decoderPools [Zstd + 1]sync.Pool // of *decoder

type decoder struct {
	src bytes.Reader
	zr  interface {
		io.Reader
		reset(io.Reader) error
	}
}

type gzipReader struct{ gzip.Reader }
type lz4Reader struct{ *lz4.Reader }
type zstdReader struct{ *zstd.Decoder }

func (r *gzipReader) reset(src io.Reader) error { return r.Reset(src) }
func (r lz4Reader) reset(src io.Reader) error   { r.Reset(src); return nil }
func (r zstdReader) reset(src io.Reader) error  { return r.Reset(src) }

func newDecoder(c Codec) *decoder {
	switch c {
	case Gzip:
		return &decoder{zr: &gzipReader{}}
	case LZ4:
		return &decoder{zr: lz4Reader{lz4.NewReader(nil)}}
	}
	// The options are constants in range: no error is possible. With a concurrency of one no goroutine is started, so
	// that a decoder may be dropped without Close.
	zr, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(MaxDecompressed+1))
	return &decoder{zr: zstdReader{zr}}
}

func (d *decoder) decode(dst, src []byte, limit int) ([]byte, error) {
	d.src.Reset(src)
	defer d.src.Reset(nil)
	if err := d.zr.reset(&d.src); err != nil {
		return dst, errCompressed
	}
	for {
		if len(dst) > limit {
			return dst, errBomb
		}
		if len(dst) == cap(dst) {
			var err error
			if dst, err = grow(dst, len(src), limit); err != nil {
				return dst, err
			}
		}
		n, err := d.zr.Read(dst[len(dst):min(cap(dst), limit+1)])
		dst = dst[:len(dst)+n]
		switch {
		case err == io.EOF && len(dst) <= limit:
			return dst, nil
		case err != nil && err != io.EOF:
			return dst, errCompressed
		}
	}
}

// grow starts at four times the compressed size, which is what text shrinks to, and then doubles.
func grow(dst []byte, compressed, limit int) ([]byte, error) {
	n := min(max(2*cap(dst), min(4*compressed, keepCap), 4<<10), limit+1)
	return enlarge(dst, n, limit+1)
}

// decompressSnappy reads a bare block, as librdkafka and others write it, or snappy-java's framing.
func decompressSnappy(dst, src []byte, limit int) ([]byte, error) {
	if !bytes.HasPrefix(src, xerialMagic) {
		return appendSnappyBlock(dst, src, limit)
	}
	if len(src) < xerialHeader {
		return dst, errCompressed
	}
	var err error
	for src = src[xerialHeader:]; len(src) > 0; {
		if len(src) < 4 {
			return dst, errCompressed
		}
		n := int64(binary.BigEndian.Uint32(src))
		if n > int64(len(src)-4) {
			return dst, errCompressed
		}
		if dst, err = appendSnappyBlock(dst, src[4:4+n], limit); err != nil {
			return dst, err
		}
		src = src[4+n:]
	}
	return dst, nil
}

// appendSnappyBlock believes the size that a block declares only after comparing it with what the input could give:
// one element of two or three bytes yields at most 64.
func appendSnappyBlock(dst, block []byte, limit int) ([]byte, error) {
	n, err := snappy.DecodedLen(block)
	if err != nil || n > 64*len(block) {
		return dst, errCompressed
	}
	if len(dst)+n > limit {
		return dst, errBomb
	}
	at := len(dst)
	if cap(dst)-at < n {
		if dst, err = enlarge(dst, max(at+n, min(2*cap(dst), limit)), limit); err != nil {
			return dst, err
		}
	}
	// snappy.Decode takes the length of its destination for its capacity.
	if _, err := snappy.Decode(dst[at:at+n], block); err != nil {
		return dst, errCompressed
	}
	return dst[:at+n], nil
}

// scratch is memory for decompressed records, kept for reuse unless it grew large.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

func putScratch(p *[]byte, used []byte) {
	if letGo(used); cap(used) > keepCap {
		used = nil
	}
	*p = used[:0]
	scratch.Put(p)
}
