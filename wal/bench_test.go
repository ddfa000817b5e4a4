package wal

import (
	"slices"
	"sync"
	"testing"
	"time"

	"chronik/wal/arena"
	"chronik/wal/vfs"
)

// The benchmarks run on the file system of the temporary directory. Trimming and checkpoints go on as in a server, so
// that files are recycled.

func openBench(b *testing.B) *Log {
	b.Helper()
	f, err := vfs.OS(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	l, err := Open(Options{FS: f, Pool: arena.New(256 << 20)}, nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	return l
}

// signal is a Sink that wakes the producer that waits for it.
type signal chan error

func (s signal) Durable(_ int64, _ Loc, err error) { s <- err }

// recycling trims and checkpoints every few files.
func recycling(b *testing.B, l *Log, end int64) {
	if len(l.Files()) > 6 {
		l.Trim(1, end)
		if err := l.Checkpoint(nil); err != nil {
			b.Error(err)
		}
	}
}

func benchAlone(b *testing.B, n int, zero bool) {
	l := openBench(b)
	var buf *arena.Buf
	data := make([]byte, n)
	if zero {
		buf = l.pool.Overdraw(n)
		data = buf.Bytes()
	}
	done := make(signal, 1)
	lat := make([]time.Duration, 0, 1<<20)
	b.SetBytes(int64(n))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		start := time.Now()
		if err := l.Append(Entry{Stream: 1, End: int64(i), Data: data, Buf: buf, Sink: done}); err != nil {
			b.Fatal(err)
		}
		l.Commit()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		if len(lat) < cap(lat) {
			lat = append(lat, time.Since(start))
		}
		if i*n%(32<<20) < n {
			recycling(b, l, int64(i))
		}
	}
	report(b, lat)
}

func report(b *testing.B, lat []time.Duration) {
	for _, q := range []struct {
		name string
		at   float64
	}{{"p50-us", 0.5}, {"p99-us", 0.99}} {
		b.ReportMetric(float64(quantile(lat, q.at).Nanoseconds())/1000, q.name)
	}
}

func benchTogether(b *testing.B, producers, n int) {
	l := openBench(b)
	b.SetBytes(int64(n))
	b.ReportAllocs()
	b.ResetTimer()
	var all sync.WaitGroup
	var mu sync.Mutex
	var lat []time.Duration
	end := int64(0)
	for p := range producers {
		all.Go(func() {
			buf, done := l.pool.Overdraw(n), make(signal, 1)
			defer buf.Release()
			data := buf.Bytes()
			mine := make([]time.Duration, 0, b.N/producers+1)
			for i := p; i < b.N; i += producers {
				start := time.Now()
				mu.Lock()
				end++
				at := end
				err := l.Append(Entry{Stream: 1, End: at, Data: data, Buf: buf, Sink: done})
				mu.Unlock()
				l.Commit()
				if err != nil || <-done != nil {
					b.Error(err)
					return
				}
				mine = append(mine, time.Since(start))
				if p == 0 && i*n%(16<<20) < n*producers {
					recycling(b, l, at-int64(producers))
				}
			}
			mu.Lock()
			lat = append(lat, mine...)
			mu.Unlock()
		})
	}
	all.Wait()
	b.StopTimer()
	report(b, lat)
}

func BenchmarkAlone1K(b *testing.B)         { benchAlone(b, 1<<10, false) }
func BenchmarkAlone64K(b *testing.B)        { benchAlone(b, 64<<10, true) }
func BenchmarkAlone1MZero(b *testing.B)     { benchAlone(b, 1<<20, true) }
func BenchmarkAlone1MCopied(b *testing.B)   { benchAlone(b, 1<<20, false) }
func Benchmark64Producers1K(b *testing.B)   { benchTogether(b, 64, 1<<10) }
func Benchmark64Producers16K(b *testing.B)  { benchTogether(b, 64, 16<<10) }
func Benchmark64Producers256K(b *testing.B) { benchTogether(b, 64, 256<<10) }

func BenchmarkOpenEmpty(b *testing.B) {
	pool := arena.New(64 << 20)
	for b.Loop() {
		f, err := vfs.OS(b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		l, err := Open(Options{FS: f, Pool: pool}, nil, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkRecover1G is the time to open a log of 1 GiB that has no checkpoint.
func BenchmarkRecover1G(b *testing.B) {
	f, err := vfs.OS(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	o := Options{FS: f, Pool: arena.New(256 << 20), Sync: SyncNever}
	l, err := Open(o, nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 16<<10)
	for i := range 1 << 16 {
		if err := l.Append(Entry{Stream: StreamID(i%1000 + 1), End: int64(i), Data: data}); err != nil {
			b.Fatal(err)
		}
		if i%50 == 0 {
			l.Commit()
		}
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(1 << 30)
	for b.Loop() {
		n := 0
		l, err := Open(o, nil, func(Replayed) error { n++; return nil })
		if err != nil || n != 1<<16 {
			b.Fatal(n, err)
		}
		b.StopTimer()
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func quantile(lat []time.Duration, at float64) time.Duration {
	slices.Sort(lat)
	return lat[int(at*float64(len(lat)-1))]
}
