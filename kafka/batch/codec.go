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
)

// Codec is a compression of records, numbered as in a batch's attributes.
type Codec int8

const (
	Uncompressed Codec = iota
	Gzip
	Snappy
	LZ4
	Zstd
)

var codecNames = [...]string{"none", "gzip", "snappy", "lz4", "zstd"}

// Known says that c is one of the codecs above.
func (c Codec) Known() bool { return c >= 0 && int(c) < len(codecNames) }

// String is the name as in compression.type, "none" for Uncompressed.
func (c Codec) String() string {
	if c.Known() {
		return codecNames[c]
	}
	return fmt.Sprintf("codec-%d", int8(c))
}

// ParseCodec is the codec of a name as in compression.type; "uncompressed" is "none". It does not know "producer".
func ParseCodec(name string) (Codec, bool) {
	if name == "uncompressed" {
		return Uncompressed, true
	}
	for i, n := range codecNames {
		if n == name {
			return Codec(i), true
		}
	}
	return 0, false
}

// Compression is a codec and how hard it tries; Level is that of compression.<codec>.level, 0 for the codec's default.
type Compression struct {
	Codec Codec
	Level int
}

// compress appends src, compressed, to dst. Snappy is framed and LZ4 cut into independent blocks of 64 KiB because the
// Java client reads nothing else.
func (c Compression) compress(dst, src []byte) ([]byte, error) {
	switch c.Codec {
	case Uncompressed:
		return append(dst, src...), nil
	case Snappy:
		return appendXerial(dst, src), nil
	case Gzip, LZ4, Zstd:
		p := c.encoders()
		e := p.Get().(encoder)
		defer p.Put(e)
		return e.encode(dst, src)
	}
	return nil, errCodec
}

type encoder interface {
	encode(dst, src []byte) ([]byte, error)
}

var encoderPools sync.Map // Compression -> *sync.Pool of encoder

func (c Compression) encoders() *sync.Pool {
	if p, ok := encoderPools.Load(c); ok {
		return p.(*sync.Pool)
	}
	p, _ := encoderPools.LoadOrStore(c, &sync.Pool{New: func() any { return c.newEncoder() }})
	return p.(*sync.Pool)
}

// The constructors fail only on options out of range, and these are made to fit.
func (c Compression) newEncoder() encoder {
	switch c.Codec {
	case Gzip:
		level := gzip.DefaultCompression
		if c.Level != 0 {
			level = min(max(c.Level, gzip.BestSpeed), gzip.BestCompression)
		}
		w, _ := gzip.NewWriterLevel(nil, level)
		return &streamEncoder{w: w}
	case LZ4:
		w := lz4.NewWriter(nil)
		level := lz4.Fast
		if c.Level > 0 {
			level = lz4.CompressionLevel(1 << (8 + min(c.Level, 9)))
		}
		_ = w.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false), lz4.CompressionLevelOption(level))
		return &streamEncoder{w: w}
	}
	level := zstd.SpeedDefault
	if c.Level != 0 {
		level = zstd.EncoderLevelFromZstd(c.Level)
	}
	w, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(level),
		zstd.WithEncoderCRC(false), zstd.WithWindowSize(maxWindow))
	return (*zstdEncoder)(w)
}

type zstdEncoder zstd.Encoder

func (e *zstdEncoder) encode(dst, src []byte) ([]byte, error) {
	return (*zstd.Encoder)(e).EncodeAll(src, dst), nil
}

type streamEncoder struct {
	w interface {
		io.WriteCloser
		Reset(io.Writer)
	}
}

func (e *streamEncoder) encode(dst, src []byte) ([]byte, error) {
	out := bytes.NewBuffer(dst)
	e.w.Reset(out)
	if _, err := e.w.Write(src); err != nil {
		return nil, fmt.Errorf("batch: compress: %w", err)
	}
	if err := e.w.Close(); err != nil {
		return nil, fmt.Errorf("batch: compress: %w", err)
	}
	return out.Bytes(), nil
}

// The framing of snappy-java (xerial): a magic, two versions, then blocks, each behind its length.
var xerialMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

const (
	xerialHeader = 16
	xerialBlock  = 32 << 10
)

func appendXerial(dst, src []byte) []byte {
	dst = append(dst, xerialMagic...)
	dst = binary.BigEndian.AppendUint32(dst, 1) // version
	dst = binary.BigEndian.AppendUint32(dst, 1) // lowest version that can read it
	for len(src) > 0 {
		n := min(len(src), xerialBlock)
		at := len(dst)
		dst = append(dst, make([]byte, 4+snappy.MaxEncodedLen(n))...)
		block := snappy.Encode(dst[at+4:], src[:n])
		binary.BigEndian.PutUint32(dst[at:], uint32(len(block)))
		dst = dst[:at+4+len(block)]
		src = src[n:]
	}
	return dst
}
