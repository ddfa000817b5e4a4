package batch

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"math"
	"testing"

	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
)

// oracleMessage is a message as kmsg encodes it; kmsg writes neither size nor CRC itself.
func oracleMessage(magic int8, offset, ts int64, attributes int8, key, value []byte) []byte {
	var raw []byte
	if magic == 0 {
		raw = (&kmsg.MessageV0{Offset: offset, Magic: 0, Attributes: attributes, Key: key, Value: value}).AppendTo(nil)
	} else {
		raw = (&kmsg.MessageV1{Offset: offset, Magic: 1, Attributes: attributes, Timestamp: ts, Key: key, Value: value}).AppendTo(nil)
	}
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[12:], crc32.ChecksumIEEE(raw[16:]))
	return raw
}

func plainRecords(n int, withTime bool) []Record {
	rs := testRecords(n)
	for i := range rs {
		rs[i].Headers = nil
		if !withTime {
			rs[i].Timestamp = NoTimestamp
		}
	}
	return rs
}

func oracleSet(magic int8, rs []Record) []byte {
	var set []byte
	for _, r := range rs {
		set = append(set, oracleMessage(magic, r.Offset, r.Timestamp, 0, r.Key, r.Value)...)
	}
	return set
}

func TestConvertUpKeepsEveryMessage(t *testing.T) {
	for magic := int8(0); magic <= 1; magic++ {
		want := plainRecords(60, magic == 1)
		set := oracleSet(magic, want)
		b, err := ConvertUp(set, 1<<20)
		if err != nil || b.CheckCRC() != nil || b.Codec() != Uncompressed {
			t.Fatal(magic, err)
		}
		expect(t, collect(t, b), want)
		if _, err := Check(b, anyTime()); err != nil {
			t.Error(magic, err)
		}
		for c := Gzip; c < Zstd; c++ {
			value, err := Compression{Codec: c}.compress(nil, set)
			if err != nil {
				t.Fatal(err)
			}
			wrapper := oracleMessage(magic, 59, testNow, int8(c), nil, value)
			b, err := ConvertUp(wrapper, 1<<20)
			if err != nil || b.Codec() != c {
				t.Fatal(magic, c, err)
			}
			expect(t, collect(t, b), want)
		}
	}
}

// The bytes of a message of format 0, by hand: key "k", value "v", offset 5.
func TestConvertUpReadsBytesMadeByHand(t *testing.T) {
	raw, err := hex.DecodeString("0000000000000005" + "00000010" + "1fecd70a" + "00" + "00" + "00000001" + "6b" + "00000001" + "76")
	if err != nil {
		t.Fatal(err)
	}
	if want := oracleMessage(0, 5, 0, 0, []byte("k"), []byte("v")); !bytes.Equal(raw, want) {
		t.Fatalf("golden %x\noracle %x", raw, want)
	}
	b, err := ConvertUp(raw, 0)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, collect(t, b), []Record{{Timestamp: NoTimestamp, Key: []byte("k"), Value: []byte("v")}})
	if b.MaxTimestamp() != NoTimestamp {
		t.Error(b.MaxTimestamp())
	}
}

func TestConvertUpTakesTheWrappersAppendTime(t *testing.T) {
	value, _ := Compression{Codec: Gzip}.compress(nil, oracleSet(1, plainRecords(3, true)))
	b, err := ConvertUp(oracleMessage(1, 2, 12345, 1|8, nil, value), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range collect(t, b) {
		if r.Timestamp != 12345 {
			t.Error(r)
		}
	}
}

func TestConvertUpReadsOldLZ4Frames(t *testing.T) {
	want := plainRecords(20, false)
	for name, options := range map[string][]lz4.Option{
		"plain":        nil,
		"content size": {lz4.SizeOption(uint64(len(oracleSet(0, want))))},
	} {
		var frame bytes.Buffer
		w := lz4.NewWriter(&frame)
		if err := w.Apply(options...); err != nil {
			t.Fatal(err)
		}
		w.Write(oracleSet(0, want))
		w.Close()
		n := lz4Descriptor(frame.Bytes())
		if right := frame.Bytes()[n]; right != byte(xxh32(frame.Bytes()[4:n])>>8) {
			t.Errorf("%s: the library's checksum differs", name)
		}
		frame.Bytes()[n] ^= 0x55
		b, err := ConvertUp(oracleMessage(0, 19, 0, int8(LZ4), nil, frame.Bytes()), 0)
		if err != nil {
			t.Fatal(name, err)
		}
		expect(t, collect(t, b), want)
	}
}

func TestXXH32(t *testing.T) { // vectors of the reference implementation
	for in, want := range map[string]uint32{"": 0x02cc5d05, "a": 0x550d7456, "abc": 0x32d153ff, "abcd": 0xa3643705} {
		if got := xxh32([]byte(in)); got != want {
			t.Errorf("%q: %08x, want %08x", in, got, want)
		}
	}
}

func TestConvertUpRefuses(t *testing.T) {
	good := oracleMessage(1, 0, testNow, 0, nil, []byte("v"))
	nested, _ := Compression{Codec: Gzip}.compress(nil, oracleMessage(1, 0, testNow, 1, nil, []byte("v")))
	mixed, _ := Compression{Codec: Gzip}.compress(nil, oracleMessage(0, 0, testNow, 0, nil, []byte("v")))
	bomb, _ := Compression{Codec: Gzip}.compress(nil, make([]byte, 10<<20))
	for _, c := range []struct {
		name string
		set  []byte
		want kerr.Code
	}{
		{"empty", nil, kerr.InvalidRecord},
		{"cut", good[:len(good)-1], kerr.CorruptMessage},
		{"short", good[:10], kerr.CorruptMessage},
		{"flipped bit", flip(bytes.Clone(good), 30), kerr.CorruptMessage},
		{"mixed", append(bytes.Clone(good), oracleMessage(0, 0, 0, 0, nil, []byte("v"))...), kerr.InvalidRecord},
		{"magic 2", oracleMessage2(good), kerr.CorruptMessage},
		{"zstd", oracleMessage(1, 0, testNow, 4, nil, []byte("v")), kerr.InvalidRecord},
		{"unknown codec", oracleMessage(1, 0, testNow, 7, nil, []byte("v")), kerr.UnsupportedCompressionType},
		{"wrapper of null", oracleMessage(1, 0, testNow, 1, nil, nil), kerr.InvalidRecord},
		{"wrapper of nothing", oracleMessage(1, 0, testNow, 2, nil, appendXerial(nil, nil)), kerr.InvalidRecord},
		{"wrapper of garbage", oracleMessage(1, 0, testNow, 1, nil, []byte("garbage")), kerr.InvalidRecord},
		{"nested", oracleMessage(1, 0, testNow, 1, nil, nested), kerr.InvalidRecord},
		{"mixed within", oracleMessage(1, 0, testNow, 1, nil, mixed), kerr.InvalidRecord},
		{"too large", oracleMessage(1, 0, testNow, 0, nil, make([]byte, 70_000)), kerr.MessageTooLarge},
		{"bomb", oracleMessage(1, 0, testNow, 1, nil, bomb), kerr.MessageTooLarge},
	} {
		if _, err := ConvertUp(c.set, 65536); kerr.Of(err) != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func oracleMessage2(good []byte) []byte {
	raw := bytes.Clone(good)
	raw[posMagic] = 2
	binary.BigEndian.PutUint32(raw[12:], crc32.ChecksumIEEE(raw[16:]))
	return raw
}

func TestConvertDownKeepsOffsets(t *testing.T) {
	rs := testRecords(30)
	for magic := int8(0); magic <= 1; magic++ {
		for c := Uncompressed; c < Zstd; c++ {
			w := Builder{BaseOffset: 1000, Compression: Compression{Codec: c}}
			for i := range rs {
				w.Add(&rs[i])
			}
			first := build(t, &w)
			marker := AppendMarker(nil, Marker{ProducerID: 1, Commit: true}, testNow)
			marker.Assign(1030, 0)
			w.BaseOffset = 1031
			second := build(t, &w)
			set, err := ConvertDown(bytes.Join([][]byte{first, marker, second}, nil), magic, 1010)
			if err != nil {
				t.Fatal(err)
			}
			var want []Record
			for _, b := range []Batch{first, second} {
				for _, r := range collect(t, b) {
					r.Headers = nil
					if magic == 0 {
						r.Timestamp = NoTimestamp
					}
					if c != Uncompressed || r.Offset >= 1010 {
						want = append(want, r)
					}
				}
			}
			expect(t, oracleRead(t, magic, set), want)
		}
	}
}

// oracleRead reads a message set as a client does, by kmsg's types.
func oracleRead(t *testing.T, magic int8, set []byte) (rs []Record) {
	t.Helper()
	for len(set) > 0 {
		size := 12 + int(binary.BigEndian.Uint32(set[8:]))
		raw := set[:size]
		set = set[size:]
		if crc32.ChecksumIEEE(raw[16:]) != binary.BigEndian.Uint32(raw[12:]) {
			t.Fatal("CRC")
		}
		r, attributes := oracleParse(t, magic, raw)
		c := Codec(attributes & 7)
		if c == Uncompressed {
			rs = append(rs, r)
			continue
		}
		value := r.Value
		if c == LZ4 && magic == 0 {
			if value[6] != byte(xxh32(value[:6])>>8) {
				t.Error("an LZ4 frame that old clients refuse")
			}
			value = mendLZ4(value)
		}
		inner, err := decompress(nil, value, c, 0)
		if err != nil {
			t.Fatal(err)
		}
		within := oracleRead(t, magic, inner)
		greatest := int64(math.MinInt64)
		for i := range within {
			if magic == 1 { // relative to the first, the wrapper has the last one's
				within[i].Offset += r.Offset - int64(len(within)-1)
			}
			greatest = max(greatest, within[i].Timestamp)
		}
		if within[len(within)-1].Offset != r.Offset || greatest != r.Timestamp {
			t.Errorf("wrapper at %d of time %d around %v", r.Offset, r.Timestamp, within[len(within)-1])
		}
		rs = append(rs, within...)
	}
	return rs
}

func oracleParse(t *testing.T, magic int8, raw []byte) (Record, int8) {
	t.Helper()
	if magic == 0 {
		var m kmsg.MessageV0
		if err := m.ReadFrom(raw); err != nil || m.Magic != 0 {
			t.Fatal(m, err)
		}
		return Record{Offset: m.Offset, Timestamp: NoTimestamp, Key: m.Key, Value: m.Value}, m.Attributes
	}
	var m kmsg.MessageV1
	if err := m.ReadFrom(raw); err != nil || m.Magic != 1 {
		t.Fatal(m, err)
	}
	return Record{Offset: m.Offset, Timestamp: m.Timestamp, Key: m.Key, Value: m.Value}, m.Attributes
}

func TestDownAndUpIsTheSame(t *testing.T) {
	want := plainRecords(50, true)
	for c := Uncompressed; c < Zstd; c++ {
		w := Builder{Compression: Compression{Codec: c}}
		for i := range want {
			w.Add(&want[i])
		}
		set, err := ConvertDown(build(t, &w), 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		b, err := ConvertUp(set, 0)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, collect(t, b), want)
	}
}

func TestTheOldFormatsHaveNoZstd(t *testing.T) {
	w := Builder{Compression: Compression{Codec: Zstd}}
	w.Add(&Record{Value: []byte("v")})
	b := build(t, &w)
	if _, err := ConvertDown(b, 1, 0); kerr.Of(err) != kerr.UnsupportedCompressionType {
		t.Error(err)
	}
}
