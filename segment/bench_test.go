package segment

import (
	"math"
	"runtime"
	"testing"

	"chronik/kafka/batch"
)

func benchSegment(b *testing.B) *Segment {
	s, err := Create(osFS(b), "p", 0, Options{})
	must(b, err)
	for base := int64(0); s.Size() < 64<<20; base = s.End() {
		must(b, s.Append(makeBatch(base, 16, testTime+base, 1000, batch.Uncompressed)))
	}
	must(b, s.Seal())
	return s
}

// BenchmarkRead reads 1 MiB from the middle of a batch, its chunks checked before.
func BenchmarkRead(b *testing.B) {
	s := benchSegment(b)
	must(b, s.Verify())
	var dst []batch.Extent
	at := int64(5)
	for range 64 {
		read(b, s, at, math.MaxInt64, 1<<20, true)
		at += 1000
	}
	b.ReportAllocs()
	for b.Loop() {
		at = (at + 1000) % 60_000
		xs, err := s.Read(dst[:0], at, math.MaxInt64, 1<<20, true)
		must(b, err)
		xs[0].Release()
		dst = xs
	}
}

func BenchmarkFindTime(b *testing.B) {
	s := benchSegment(b)
	b.ReportAllocs()
	at := int64(0)
	for b.Loop() {
		at = (at + 7919) % 60_000
		if _, found, err := s.FindTime(testTime + at); !found || err != nil {
			b.Fatal(found, err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	s, err := Create(osFS(b), "p", 0, Options{})
	must(b, err)
	data := makeBatch(0, 250, testTime, 1000, batch.Uncompressed)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		data.Assign(s.End(), 0)
		must(b, s.Append(data))
		if s.Size() > 1<<30 {
			must(b, s.Remove())
			s, err = Create(osFS(b), "p", 0, Options{})
			must(b, err)
		}
	}
}

// BenchmarkIdle is what a segment costs that nobody uses: bytes of memory each.
func BenchmarkIdle(b *testing.B) {
	s := benchSegment(b)
	var all []*Segment
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for b.Loop() {
		o, err := Open(s.fs, "p", 0, Footer, Options{})
		must(b, err)
		all = append(all, o)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(len(all)), "bytes/segment")
	runtime.KeepAlive(all)
}
