package batch

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
)

func testRecords(n int) []Record {
	var rs []Record
	for i := range n {
		r := Record{Offset: int64(i), Timestamp: testNow + int64(i%7) - 3, Key: fmt.Appendf(nil, "key %d", i), Value: bytes.Repeat([]byte{byte(i)}, i%300)}
		if i%5 == 1 {
			r.Key = nil
		}
		if i%5 == 2 {
			r.Value = nil
		}
		for h := range i % 4 {
			r.Headers = append(r.Headers, Header{fmt.Sprint("header", h), []byte{byte(h)}})
		}
		rs = append(rs, r)
	}
	return rs
}

func collect(t testing.TB, b Batch) []Record {
	t.Helper()
	it, err := b.Records(0)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	var rs []Record
	for it.Next() {
		r := it.Record
		r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
		r.Headers = slices.Clone(r.Headers)
		for i := range r.Headers {
			r.Headers[i].Value = bytes.Clone(r.Headers[i].Value)
		}
		rs = append(rs, r)
	}
	if it.Err() != nil {
		t.Fatal(it.Err())
	}
	return rs
}

func same(a, b Record) bool {
	if (a.Key == nil) != (b.Key == nil) || (a.Value == nil) != (b.Value == nil) || len(a.Headers) != len(b.Headers) {
		return false
	}
	for i := range a.Headers {
		if a.Headers[i].Key != b.Headers[i].Key || !bytes.Equal(a.Headers[i].Value, b.Headers[i].Value) {
			return false
		}
	}
	return a.Offset == b.Offset && a.Timestamp == b.Timestamp && bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value)
}

func expect(t *testing.T, got, want []Record) {
	t.Helper()
	if !slices.EqualFunc(got, want, same) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestBuildAndReadEveryCodec(t *testing.T) {
	want := testRecords(400)
	for c := Uncompressed; c.Known(); c++ {
		for _, level := range []int{0, 1, 9} {
			w := Builder{BaseOffset: 100, LeaderEpoch: 3, Compression: Compression{c, level}}
			for i := range want {
				w.Add(&want[i])
			}
			b := build(t, &w)
			if err := b.CheckCRC(); err != nil || b.Codec() != c || b.BaseOffset() != 100 || b.LastOffset() != 499 || b.MaxTimestamp() != testNow+3 {
				t.Fatal(c, err, b[:HeaderSize])
			}
			b.Assign(0, 3)
			expect(t, collect(t, b), want)
		}
	}
}

func TestRecordsAgreeWithKmsg(t *testing.T) {
	want := testRecords(50)
	var w Builder
	for i := range want {
		w.Add(&want[i])
	}
	var rb kmsg.RecordBatch
	if err := rb.ReadFrom(build(t, &w)); err != nil {
		t.Fatal(err)
	}
	left := rb.Records
	for i, r := range want {
		var k kmsg.Record
		if err := k.ReadFrom(left); err != nil {
			t.Fatal(err)
		}
		left = left[int(k.Length)+sizeVarint(int64(k.Length)):]
		got := Record{Offset: int64(k.OffsetDelta), Timestamp: rb.FirstTimestamp + k.TimestampDelta64, Key: k.Key, Value: k.Value}
		for _, h := range k.Headers {
			got.Headers = append(got.Headers, Header{h.Key, h.Value})
		}
		if !same(got, r) {
			t.Errorf("record %d: %v, want %v", i, got, r)
		}
	}
	if len(left) != 0 {
		t.Error("bytes left")
	}
}

func TestOffsetsMayHaveGaps(t *testing.T) {
	want := []Record{{Offset: 12, Value: []byte("a")}, {Offset: 20, Value: []byte("b")}}
	w := Builder{BaseOffset: 10}
	for i := range want {
		w.AddAt(&want[i])
	}
	b := build(t, &w)
	if b.LastOffset() != 20 || b.Count() != 2 {
		t.Error(b.LastOffset(), b.Count())
	}
	expect(t, collect(t, b), want)
}

func TestRecompressChangesNothingElse(t *testing.T) {
	want := testRecords(100)
	w := Builder{LeaderEpoch: 9, Producer: &Producer{5, 1, 33}, Transactional: true}
	for i := range want {
		w.Add(&want[i])
	}
	b := build(t, &w)
	for c := Uncompressed; c.Known(); c++ {
		next, err := b.Recompress([]byte("before"), Compression{Codec: c}, 0)
		if err != nil || next.CheckCRC() != nil || next.Codec() != c {
			t.Fatal(c, err)
		}
		if next.ProducerID() != 5 || next.BaseSequence() != 33 || !next.IsTransactional() || next.LeaderEpoch() != 9 || next.MaxTimestamp() != b.MaxTimestamp() {
			t.Error(c, next[:HeaderSize])
		}
		expect(t, collect(t, next), want)
		b = next
	}
}

func TestMarker(t *testing.T) {
	for _, m := range []Marker{{7, 3, true, 12}, {1 << 40, 0, false, 0}} {
		b := AppendMarker(nil, m, testNow)
		if !b.IsControl() || !b.IsTransactional() || b.CheckCRC() != nil || b.BaseSequence() != NoSequence {
			t.Error(b)
		}
		got, err := b.Marker()
		if got != m || err != nil {
			t.Error(got, err)
		}
		var key kmsg.ControlRecordKey
		var value kmsg.EndTxnMarker
		r := collect(t, b)[0]
		if err := key.ReadFrom(r.Key); err != nil || (key.Type == kmsg.ControlRecordKeyTypeCommit) != m.Commit {
			t.Error(key, err)
		}
		if err := value.ReadFrom(r.Value); err != nil || value.CoordinatorEpoch != m.CoordinatorEpoch {
			t.Error(value, err)
		}
	}
	if _, err := Batch(oracleBatch(1, nil)).Marker(); kerr.Of(err) != kerr.InvalidRecord {
		t.Error(err)
	}
}

func TestMalformedRecordsAreAnErrorNotAPanic(t *testing.T) {
	w := Builder{}
	for _, r := range testRecords(20) {
		w.Add(&r)
	}
	good := build(t, &w)
	for pos := HeaderSize; pos < len(good); pos++ {
		for _, v := range []byte{0, 1, 0x7f, 0x80, 0xff} {
			bad := Batch(bytes.Clone(good))
			bad[pos] = v
			it, err := bad.Records(0)
			if err != nil {
				continue
			}
			for it.Next() {
			}
			if it.Err() != nil && kerr.Of(it.Err()) != kerr.InvalidRecord {
				t.Error(it.Err())
			}
			it.Close()
		}
	}
}
