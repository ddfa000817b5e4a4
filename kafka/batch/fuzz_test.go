package batch

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
)

func seeds(f *testing.F) {
	golden, err := filepath.Glob("testdata/kafka-clients-*/v*.bin")
	if err != nil || len(golden) == 0 {
		f.Fatal(golden, err)
	}
	for _, file := range golden {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	for c := Uncompressed; c.Known(); c++ {
		w := Builder{Compression: Compression{Codec: c}}
		for _, r := range testRecords(5) {
			w.Add(&r)
		}
		f.Add([]byte(build(f, &w)))
	}
	f.Add([]byte(AppendMarker(nil, Marker{ProducerID: 3}, testNow)))
	f.Add(oracleSet(0, testRecords(3)))
	f.Add(oracleSet(1, testRecords(3)))
	f.Add(oracleMessage(0, 2, 0, 1, nil, compressed(f, Gzip, oracleSet(0, testRecords(3)))))
}

// Whatever a client sends: an error of Kafka's, or a batch that every reader can walk.
func FuzzCheck(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		in = bytes.Clone(in)
		fixCRC(in)
		o := anyTime()
		o.NeedKey = len(in)%2 == 0
		b, err := Check(bytes.Clone(in), o)
		if err != nil {
			known(t, err)
			return
		}
		if b.CheckCRC() != nil || b.Count() <= 0 || b.NextOffset()-b.BaseOffset() != int64(b.Count()) || b.IsControl() || b.Size() != len(b) {
			t.Errorf("accepted: %x", []byte(b))
		}
		var oracle kmsg.RecordBatch
		if err := oracle.ReadFrom(b); err != nil {
			t.Errorf("kmsg cannot read it: %v", err)
		}
		walk(t, b, o.NeedKey)
	})
}

func walk(t *testing.T, b Batch, must bool) {
	t.Helper()
	it, err := b.Records(1 << 20)
	if err == nil {
		defer it.Close()
		for it.Next() {
		}
		err = it.Err()
	}
	known(t, err)
	if must && err != nil {
		t.Errorf("checked to the last record, and yet: %v", err)
	}
	_, _ = b.FindTime(b.MaxTimestamp(), b.BaseOffset(), 1<<20)
	_, _ = b.MaxTime(b.BaseOffset(), 1<<20)
	_, _ = b.Marker()
	_, err = ConvertDown(b, 1, b.BaseOffset())
	known(t, err)
}

// fixCRC lets the fuzzer past the CRC of a batch.
func fixCRC(in []byte) {
	if len(in) >= HeaderSize && MagicOf(in) == 2 {
		Batch(in).putCRC()
	}
}

func known(t *testing.T, err error) {
	t.Helper()
	if kerr.Of(err) == kerr.UnknownServerError {
		t.Errorf("not an error for a client: %v", err)
	}
}

func FuzzConvertUp(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		b, err := ConvertUp(in, 1<<20)
		if err != nil {
			known(t, err)
			return
		}
		o := anyTime()
		o.NeedKey, o.MaxBytes = true, 0
		if _, err := Check(b, o); err != nil && kerr.Message(err) != kerr.Message(errKey) {
			t.Errorf("converted into a batch that Check refuses: %v", err)
		}
	})
}

func FuzzNext(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		total := 0
		for left := in; len(left) > 0; {
			b, rest, err := Next(left)
			if err != nil {
				known(t, err)
				return
			}
			if len(b) < HeaderSize || len(b) != b.Size() || len(b)+len(rest) != len(left) {
				t.Fatalf("%d bytes of %d, rest %d", len(b), len(left), len(rest))
			}
			total, left = total+len(b), rest
		}
		if total != len(in) {
			t.Error(total, len(in))
		}
	})
}

// FuzzWalk reads batches that nothing has checked but where they end: what producers sent and nobody looked into, and
// what other tools left in a log.
func FuzzWalk(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		in = bytes.Clone(in)
		fixCRC(in)
		b, _, err := Next(in)
		if err != nil {
			known(t, err)
			return
		}
		walk(t, b, false)
		for _, c := range []Codec{Uncompressed, Snappy} {
			again, err := b.Recompress(nil, Compression{Codec: c}, 1<<20)
			if err != nil {
				known(t, err)
				continue
			}
			if again.CheckCRC() != nil || again.Codec() != c || again.Size() != len(again) {
				t.Errorf("recompressed into %x", []byte(again))
			}
		}
		if _, err = ConvertDown(in, 0, b.BaseOffset()+1); err != nil {
			known(t, err)
		}
		if len(large) != 0 {
			t.Fatalf("%d large buffers are kept", len(large))
		}
	})
}
