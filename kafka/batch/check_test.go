package batch

import (
	"bytes"
	"errors"
	"hash/crc32"
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
)

const testNow = int64(1_700_000_000_000)

func anyTime() CheckOptions {
	return CheckOptions{Version: 9, MaxBytes: 1 << 20, Now: testNow, BeforeMax: math.MaxInt64, AfterMax: math.MaxInt64}
}

// oracleBatch is a batch as kmsg encodes it, with n records.
func oracleBatch(n int, edit func(*kmsg.RecordBatch)) []byte {
	var records []byte
	for i := range n {
		r := kmsg.Record{TimestampDelta64: int64(i), OffsetDelta: int32(i), Key: []byte("k"), Value: []byte{byte(i)},
			Headers: []kmsg.Header{{Key: "h", Value: []byte("v")}}}
		r.Length = int32(len(r.AppendTo(nil)) - 1) // of a length that takes one byte
		records = r.AppendTo(records)
	}
	b := kmsg.RecordBatch{FirstOffset: 7, PartitionLeaderEpoch: -1, Magic: 2, LastOffsetDelta: int32(n - 1), FirstTimestamp: testNow,
		MaxTimestamp: testNow + int64(n) - 1, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: int32(n), Records: records}
	if edit != nil {
		edit(&b)
	}
	b.Length = int32(HeaderSize - lengthOverhead + len(b.Records))
	raw := b.AppendTo(nil)
	b.CRC = int32(crc32.Checksum(raw[posAttributes:], crc32.MakeTable(crc32.Castagnoli)))
	return b.AppendTo(nil)
}

func TestViewAgreesWithKmsg(t *testing.T) {
	raw := oracleBatch(3, func(b *kmsg.RecordBatch) {
		b.ProducerID, b.ProducerEpoch, b.FirstSequence, b.Attributes, b.PartitionLeaderEpoch = 11, 2, math.MaxInt32-1, 0x10, 5
	})
	b, rest, err := Next(append(raw[:len(raw):len(raw)], "more"...))
	if err != nil || string(rest) != "more" || !bytes.Equal(b, raw) {
		t.Fatal(b, rest, err)
	}
	if err := b.CheckCRC(); err != nil {
		t.Fatal(err)
	}
	got := []int64{b.BaseOffset(), b.LastOffset(), b.NextOffset(), int64(b.LeaderEpoch()), int64(b.Magic()), int64(b.Attributes()),
		b.BaseTimestamp(), b.MaxTimestamp(), b.ProducerID(), int64(b.ProducerEpoch()), int64(b.BaseSequence()), int64(b.LastSequence()),
		int64(b.Count()), int64(b.Size())}
	want := []int64{7, 9, 10, 5, 2, 0x10, testNow, testNow + 2, 11, 2, math.MaxInt32 - 1, 0, 3, int64(len(raw))}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("field %d is %d, want %d", i, got[i], want[i])
		}
	}
	if !b.IsTransactional() || b.IsControl() || b.IsLogAppendTime() || b.Codec() != Uncompressed {
		t.Error("attributes")
	}
}

func TestNextWantsWholeBatches(t *testing.T) {
	raw := oracleBatch(1, nil)
	for n := range raw {
		if _, _, err := Next(raw[:n]); !errors.Is(err, ErrTruncated) || kerr.Of(err) != kerr.CorruptMessage {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	for _, c := range []struct{ pos, value byte }{{posMagic, 1}, {posMagic, 3}, {posLength, 0xff}, {posLength + 3, 48}} {
		bad := bytes.Clone(raw)
		bad[c.pos] = c.value
		if _, _, err := Next(bad); err == nil || errors.Is(err, ErrTruncated) {
			t.Errorf("byte %d = %d: %v", c.pos, c.value, err)
		}
	}
}

func TestAssignLeavesTheCRCValid(t *testing.T) {
	b := Batch(oracleBatch(2, nil))
	crc := b.CRC()
	b.Assign(1<<40, 77)
	if b.CheckCRC() != nil || b.CRC() != crc || b.BaseOffset() != 1<<40 || b.LastOffset() != 1<<40+1 || b.LeaderEpoch() != 77 {
		t.Error(b[:HeaderSize])
	}
	b.SetAppendTime(testNow + 99)
	if b.CheckCRC() != nil || !b.IsLogAppendTime() || b.MaxTimestamp() != testNow+99 || b.BaseTimestamp() != testNow {
		t.Error(b[:HeaderSize])
	}
}

func TestCheck(t *testing.T) {
	type options = CheckOptions
	for _, c := range []struct {
		name    string
		batch   []byte
		options func(*options)
		want    kerr.Code
	}{
		{"plain", oracleBatch(3, nil), nil, kerr.None},
		{"empty", nil, nil, kerr.InvalidRecord},
		{"two batches", append(oracleBatch(1, nil), oracleBatch(1, nil)...), nil, kerr.InvalidRecord},
		{"bytes after it", append(oracleBatch(1, nil), 0), nil, kerr.InvalidRecord},
		{"cut", oracleBatch(1, nil)[:70], nil, kerr.InvalidRecord},
		{"magic 1", oracleBatch(1, func(b *kmsg.RecordBatch) { b.Magic = 1 }), nil, kerr.InvalidRecord},
		{"magic 3", oracleBatch(1, func(b *kmsg.RecordBatch) { b.Magic = 3 }), nil, kerr.CorruptMessage},
		{"flipped bit", flip(oracleBatch(1, nil), 65), nil, kerr.CorruptMessage},
		{"too large", oracleBatch(3, nil), func(o *options) { o.MaxBytes = 80 }, kerr.MessageTooLarge},
		{"no records", oracleBatch(0, nil), nil, kerr.InvalidRecord},
		{"count lies", oracleBatch(3, func(b *kmsg.RecordBatch) { b.NumRecords = 4 }), nil, kerr.InvalidRecord},
		{"count and delta lie", oracleBatch(3, func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta = 1000, 999 }), nil, kerr.InvalidRecord},
		{"negative delta", oracleBatch(3, func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta = -2, -3 }), nil, kerr.InvalidRecord},
		{"overflowing delta", oracleBatch(3, func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta = math.MinInt32, math.MaxInt32 }), nil, kerr.InvalidRecord},
		{"control", oracleBatch(1, func(b *kmsg.RecordBatch) { b.Attributes = 0x20 }), nil, kerr.InvalidRecord},
		{"idempotent", oracleBatch(1, func(b *kmsg.RecordBatch) { b.ProducerID, b.ProducerEpoch, b.FirstSequence = 1, 0, 0 }), nil, kerr.None},
		{"no sequence", oracleBatch(1, func(b *kmsg.RecordBatch) { b.ProducerID, b.ProducerEpoch = 1, 0 }), nil, kerr.InvalidRecord},
		{"no epoch", oracleBatch(1, func(b *kmsg.RecordBatch) { b.ProducerID, b.FirstSequence = 1, 0 }), nil, kerr.InvalidProducerEpoch},
		{"transaction of nobody", oracleBatch(1, func(b *kmsg.RecordBatch) { b.Attributes = 0x10 }), nil, kerr.InvalidRecord},
		{"unknown codec", oracleBatch(1, func(b *kmsg.RecordBatch) { b.Attributes = 5 }), nil, kerr.UnsupportedCompressionType},
		{"zstd too early", oracleBatch(1, func(b *kmsg.RecordBatch) { b.Attributes = 4 }), func(o *options) { o.Version = 6 }, kerr.UnsupportedCompressionType},
		{"payload not looked at", oracleBatch(1, func(b *kmsg.RecordBatch) { b.Attributes = 4 }), nil, kerr.None},
		{"payload looked at", oracleBatch(1, func(b *kmsg.RecordBatch) { b.Attributes = 4 }), func(o *options) { o.NeedKey = true }, kerr.InvalidRecord},
		{"late", oracleBatch(2, nil), func(o *options) { o.AfterMax = 0 }, kerr.InvalidTimestamp},
		{"just in time", oracleBatch(2, nil), func(o *options) { o.AfterMax = 1 }, kerr.None},
		{"early", oracleBatch(2, nil), func(o *options) { o.Now, o.BeforeMax = testNow+100, 99 }, kerr.InvalidTimestamp},
		{"early enough", oracleBatch(2, nil), func(o *options) { o.Now, o.BeforeMax = testNow+100, 100 }, kerr.None},
		{"time not looked at", oracleBatch(2, nil), func(o *options) { o.AfterMax, o.LogAppendTime = 0, true }, kerr.None},
		{"greatest possible time", oracleBatch(1, func(b *kmsg.RecordBatch) { b.MaxTimestamp = math.MaxInt64 }), func(o *options) { o.AfterMax = 1 }, kerr.InvalidTimestamp},
		{"append time from a client", oracleBatch(1, func(b *kmsg.RecordBatch) { b.Attributes = 8 }), func(o *options) { o.LogAppendTime = true }, kerr.InvalidTimestamp},
		{"keys", oracleBatch(3, nil), func(o *options) { o.NeedKey = true }, kerr.None},
	} {
		o := anyTime()
		if c.options != nil {
			c.options(&o)
		}
		b, err := Check(c.batch, o)
		if got := kerr.Of(err); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if err == nil && !bytes.Equal(b, c.batch) {
			t.Errorf("%s: another batch came back", c.name)
		}
	}
}

func flip(b []byte, at int) []byte { b[at] ^= 1; return b }

func TestCompactedTopicTakesNoRecordWithoutKey(t *testing.T) {
	for c := Uncompressed; c.Known(); c++ {
		w := Builder{Compression: Compression{Codec: c}}
		w.Add(&Record{Timestamp: testNow, Key: []byte{}, Value: []byte("an empty key is a key")})
		good := build(t, &w)
		w.Add(&Record{Timestamp: testNow, Value: []byte("v")})
		bad := build(t, &w)
		o := anyTime()
		o.NeedKey = true
		if _, err := Check(good, o); err != nil {
			t.Errorf("%s: %v", c, err)
		}
		if _, err := Check(bad, o); kerr.Of(err) != kerr.InvalidRecord {
			t.Errorf("%s: %v", c, err)
		}
	}
}

func TestCheckCorrectsTimestampsThatContradictEachOther(t *testing.T) {
	for name, raw := range map[string][]byte{
		"no greatest":     oracleBatch(3, func(b *kmsg.RecordBatch) { b.MaxTimestamp = 0 }),
		"not append time": oracleBatch(3, func(b *kmsg.RecordBatch) { b.Attributes, b.MaxTimestamp = 8, testNow+5000 }),
	} {
		b, err := Check(raw, anyTime())
		if err != nil || b.CheckCRC() != nil || b.IsLogAppendTime() || b.MaxTimestamp() != testNow+2 {
			t.Errorf("%s: %v %d", name, err, b.MaxTimestamp()-testNow)
		}
	}
}

func TestCheckDoesNotAllocate(t *testing.T) {
	raw := oracleBatch(3, nil)
	o := anyTime()
	o.AfterMax = 3_600_000
	if n := testing.AllocsPerRun(100, func() {
		b, err := Check(raw, o)
		if err != nil {
			t.Fatal(err)
		}
		b.Assign(5, 1)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func build(t testing.TB, w *Builder) Batch {
	t.Helper()
	b, err := w.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
