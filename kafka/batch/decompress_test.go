package batch

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"chronik/kafka/kerr"
)

func compressed(t testing.TB, c Codec, p []byte) []byte {
	t.Helper()
	out, err := Compression{Codec: c}.compress(nil, p)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDecompressReturnsWhatWasCompressed(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 100, 32 << 10, 32<<10 + 1, 3 << 20} {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(r.IntN(4))
		}
		for c := Gzip; c.Known(); c++ {
			got, err := decompress(nil, compressed(t, c, p), c, 0)
			if err != nil || !bytes.Equal(got, p) {
				t.Errorf("%s, %d bytes: %v, %d bytes", c, n, err, len(got))
			}
			letGo(got)
			if n > 0 {
				if _, err := decompress(nil, compressed(t, c, p), c, n-1); n > 1 && kerr.Of(err) != kerr.MessageTooLarge {
					t.Errorf("%s, %d bytes: %v", c, n, err)
				}
				if got, err = decompress(nil, compressed(t, c, p), c, n); err != nil {
					t.Errorf("%s, %d bytes, just enough: %v", c, n, err)
				}
				letGo(got)
			}
		}
	}
}

func TestBareSnappyBlocksAreReadToo(t *testing.T) {
	p := bytes.Repeat([]byte("as librdkafka writes it "), 1000)
	got, err := decompress(nil, snappy.Encode(nil, p), Snappy, 0)
	if err != nil || !bytes.Equal(got, p) {
		t.Error(err)
	}
}

// A few hundred bytes must never cost a broker gigabytes.
func TestBombsDoNotGoOff(t *testing.T) {
	zeros := make([]byte, 20<<20)
	huge := append(binary.AppendUvarint(nil, 1<<32-1), make([]byte, 100)...)
	wide, err := zstd.NewWriter(nil, zstd.WithWindowSize(16<<20), zstd.WithSingleSegment(false))
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 12<<20)
	for i := range noise {
		noise[i] = byte(i >> 12 * i >> 3)
	}
	for name, c := range map[string]struct {
		codec Codec
		bytes []byte
		want  kerr.Code
	}{
		"gzip":                    {Gzip, compressed(t, Gzip, zeros), kerr.MessageTooLarge},
		"gzip, many members":      {Gzip, bytes.Repeat(compressed(t, Gzip, zeros[:1<<20]), 20), kerr.MessageTooLarge},
		"snappy":                  {Snappy, compressed(t, Snappy, zeros), kerr.MessageTooLarge},
		"snappy declares 4 GiB":   {Snappy, huge, kerr.InvalidRecord},
		"xerial declares 4 GiB":   {Snappy, append(append(bytes.Clone(appendXerial(nil, nil)), 0, 0, 0, byte(len(huge))), huge...), kerr.InvalidRecord},
		"lz4":                     {LZ4, compressed(t, LZ4, zeros), kerr.MessageTooLarge},
		"zstd":                    {Zstd, compressed(t, Zstd, zeros), kerr.MessageTooLarge},
		"zstd with a wide window": {Zstd, wide.EncodeAll(noise, nil), kerr.InvalidRecord},
	} {
		out, err := decompress(nil, c.bytes, c.codec, 16<<20)
		if code := kerr.Of(err); code != c.want {
			t.Errorf("%s: %v, %d bytes", name, err, len(out))
		}
		if allocated := testing.AllocsPerRun(1, func() { _, _ = decompress(nil, c.bytes, c.codec, 1<<20) }); allocated > 1000 {
			t.Errorf("%s: %v allocations", name, allocated)
		}
	}
	if _, err := decompress(nil, compressed(t, Zstd, zeros), Zstd, 0); kerr.Of(err) != kerr.MessageTooLarge {
		t.Errorf("more than 8 MiB, 1000 times the input: %v", err)
	}
}

// However many connections send bombs, few go off at a time.
func TestLargeBuffersMustNotBeMany(t *testing.T) {
	p := make([]byte, 7<<20)
	for c := Gzip; c.Known(); c++ {
		b := compressed(t, c, p)
		out, err := decompress(nil, b, c, 0)
		if err != nil || len(large) != 1 {
			t.Errorf("%s: %v, %d large buffers are counted", c, err, len(large))
		}
		letGo(out)
		_, errSmall := decompress(nil, b, c, 6<<20)
		_, errCut := decompress(nil, b[:len(b)-len(b)/8], c, 0)
		if kerr.Of(errSmall) != kerr.MessageTooLarge || kerr.Of(errCut) != kerr.InvalidRecord || len(large) != 0 {
			t.Errorf("%s: %v, %v, %d large buffers are counted in the end", c, errSmall, errCut, len(large))
		}
	}
}

// An old client's fetch must not cost gigabytes of decompression because the batches are small.
func TestConvertingBombsDownStopsEarly(t *testing.T) {
	var records []byte
	for i := range int64(20) {
		w := Builder{BaseOffset: i, Compression: Compression{Codec: Gzip}}
		w.Add(&Record{Value: make([]byte, 6<<20)})
		records = append(records, build(t, &w)...)
	}
	down, err := ConvertDown(records, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; len(down) > 0; n++ {
		if _, down, err = nextMessage(down); err != nil {
			t.Fatal(err)
		}
	}
	if n != 3 {
		t.Errorf("%d batches of 6 MiB were converted", n)
	}
}

func FuzzDecompress(f *testing.F) {
	p := bytes.Repeat([]byte("some text, some more "), 50)
	for c := Gzip; c.Known(); c++ {
		f.Add(byte(c), compressed(f, c, p))
	}
	f.Add(byte(Snappy), snappy.Encode(nil, p))
	f.Add(byte(Snappy), appendXerial(nil, nil)[:9])
	f.Fuzz(func(t *testing.T, codec byte, in []byte) {
		const limit = 1 << 20
		out, err := decompress(nil, in, Codec(codec%8), limit)
		defer letGo(out)
		switch kerr.Of(err) {
		case kerr.None:
			if len(out) > limit {
				t.Errorf("%d bytes", len(out))
			}
		case kerr.InvalidRecord, kerr.MessageTooLarge, kerr.UnsupportedCompressionType:
		default:
			t.Error(err)
		}
	})
}
