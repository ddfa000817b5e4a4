package partlog

import (
	"reflect"
	"testing"
)

func sample() *saved {
	p := producer{id: 7, epoch: 2, lastTime: 99, txnFirst: 3}
	for i := range int64(3) {
		p.newest = (p.newest + 1) % remembered
		p.count++
		p.batches[p.newest] = batchMark{10 + i, 90 + i, int32(20 + i), 1}
	}
	return &saved{
		id: testID(5), start: 1, cut: 4, asOf: 13, untimed: 8,
		epochs: epochs{{0, 0}, {3, 9}}, producers: []producer{p}, aborted: []rolledBack{{7, 1, 12}},
		truncated: 8192, stable: 12, ended: []endedTxn{{3, 12, 7, 2}},
	}
}

func encode(logs ...*saved) []byte {
	b := []byte{checkpointVersion, 42}
	for _, v := range logs {
		b = v.append(append(b, 1))
	}
	return append(b, 0)
}

func TestCheckpointRoundTrip(t *testing.T) {
	want := []*saved{sample(), {id: testID(6), dying: true}, {id: testID(7), asOf: 1}}
	var got []*saved
	facts, err := decodeCheckpoint(encode(want...), func(v *saved) error { got = append(got, v); return nil })
	if err != nil || facts != 42 || !reflect.DeepEqual(got, want) {
		t.Fatalf("%d %v\n%+v\n%+v", facts, err, got, want)
	}
}

// The format is public: what was written once must be read for ever.
func TestCheckpointGolden(t *testing.T) {
	const golden = "\x03*\x01\x05\xf7\x97\xf6\x1e\xa3\x92Z\xcf\xaf%\xb4`W\xf1\xc8\xe8\n\x00\x02\b\x1a\x10\x04\x00\x00\x06\x12\x02\x0e\x04\xc6\x01" +
		"\x06\x06\x14(\x02\xb4\x01\x16*\x02\xb6\x01\x18,\x02\xb8\x01\x02\x0e\x02\x18\x80\x80\x01\x18\x02\x06\x18\x0e\x04\x00"
	if b := encode(sample()); string(b) != golden {
		t.Fatalf("%d bytes: %q", len(b), b)
	}
	const version2 = "\x02*\x01\x05\xf7\x97\xf6\x1e\xa3\x92Z\xcf\xaf%\xb4`W\xf1\xc8\xe8\n\x00\x02\b\x1a\x10\x04\x00\x00\x06\x12\x02\x0e\x04\xc6\x01" +
		"\x06\x06\x14(\x02\xb4\x01\x16*\x02\xb6\x01\x18,\x02\xb8\x01\x02\x0e\x02\x18\x00"
	const version1 = "\x01*\x01\x05\xf7\x97\xf6\x1e\xa3\x92Z\xcf\xaf%\xb4`W\xf1\xc8\xe8\n\x00\x02\b\x1a\x10\x04\x00\x00\x06\x12\x02\x0e\x04\xc6\x01" +
		"\x06\x06\x14(\x02\x16*\x02\x18,\x02\x02\x0e\x02\x18\x00"
	want := sample()
	want.truncated, want.stable, want.ended = 0, want.asOf, nil
	for _, old := range []string{version2, version1} {
		if old == version1 {
			for i := range want.producers[0].batches[1:4] {
				want.producers[0].batches[1+i].time = want.producers[0].lastTime
			}
		}
		facts, err := decodeCheckpoint([]byte(old), func(v *saved) error {
			if !reflect.DeepEqual(v, want) {
				t.Errorf("%+v", v)
			}
			return nil
		})
		if facts != 42 || err != nil {
			t.Fatal(facts, err)
		}
	}
}

func TestTruncatedCheckpoint(t *testing.T) {
	whole := encode(sample())
	for n := range whole {
		if _, err := decodeCheckpoint(whole[:n], func(*saved) error { return nil }); err == nil {
			t.Fatalf("%d of %d bytes pass", n, len(whole))
		}
	}
	if _, err := decodeCheckpoint(append(whole, 0), func(*saved) error { return nil }); err == nil {
		t.Fatal("a byte too many passes")
	}
}

func FuzzCheckpoint(f *testing.F) {
	f.Add(encode(sample()))
	f.Fuzz(func(t *testing.T, data []byte) {
		var logs []*saved
		facts, err := decodeCheckpoint(data, func(v *saved) error { logs = append(logs, v); return nil })
		if err != nil || facts != 42 {
			return
		}
		var again []*saved
		if _, err := decodeCheckpoint(encode(logs...), func(v *saved) error { again = append(again, v); return nil }); err != nil || !reflect.DeepEqual(again, logs) {
			t.Fatalf("%v: %+v, %+v", err, logs, again)
		}
	})
}
