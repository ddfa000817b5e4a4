package batch

import (
	"fmt"
	"testing"
)

func benchBatch(b *testing.B, records int, c Codec) Batch {
	w := Builder{Compression: Compression{Codec: c}, Producer: &Producer{ID: 1}}
	value := make([]byte, 1000)
	for i := range value {
		value[i] = byte(i * i >> 3)
	}
	for i := range records {
		w.Add(&Record{Timestamp: testNow + int64(i), Key: fmt.Appendf(nil, "key %d", i), Value: value})
	}
	return build(b, &w)
}

func BenchmarkCheck(b *testing.B) {
	for _, n := range []int{1, 16, 1000} {
		raw := benchBatch(b, n, Uncompressed)
		b.Run(fmt.Sprintf("%d bytes", len(raw)), func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			o := anyTime()
			o.MaxBytes = 0
			for b.Loop() {
				if _, err := Check(raw, o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRecords(b *testing.B) {
	for c := Uncompressed; c.Known(); c++ {
		raw := benchBatch(b, 1000, c)
		b.Run(c.String(), func(b *testing.B) {
			b.SetBytes(1_000_000)
			b.ReportAllocs()
			for b.Loop() {
				it, err := raw.Records(0)
				if err != nil {
					b.Fatal(err)
				}
				for it.Next() {
				}
				it.Close()
			}
		})
	}
}
