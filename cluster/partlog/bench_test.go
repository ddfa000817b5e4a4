package partlog

import (
	"strings"
	"testing"

	"chronik/kafka/batch"
	"chronik/wal"
	"chronik/wal/vfs"
)

// The disk is left out: these measure what a batch costs on its way through here.
func benchStore(b *testing.B) (*disk, *Store) {
	fs, err := vfs.OS(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	d := newDisk(b)
	d.fs, d.fileSize, d.budget = fs, 64<<20, 8<<30
	o := d.options()
	o.Sync = wal.SyncNever
	s, err := Open(o)
	if err != nil {
		b.Fatal(err)
	}
	return d, s
}

// BenchmarkAppend queues batches and commits every 64: allocations are per batch.
func BenchmarkAppend(b *testing.B) {
	for name, data := range map[string][]byte{
		"1KiB":            records(1, strings.Repeat("v", 1000)),
		"16KiB":           records(1, strings.Repeat("v", 16<<10)),
		"1KiB/idempotent": idempotent(1, 0, 0, 1, strings.Repeat("v", 1000)),
	} {
		b.Run(name, func(b *testing.B) {
			d, s := benchStore(b)
			l := d.log(s, 1)
			in := batch.Batch(data)
			seq := int32(0)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if in.ProducerID() >= 0 {
					resequence(in, seq)
					seq++
				}
				if _, err := l.AppendAsLeader(Append{Data: data, Version: 9}); err != nil {
					b.Fatal(err)
				}
				if l.end%64 == 0 {
					s.Commit()
				}
			}
			b.StopTimer()
			closeStore(b, s)
		})
	}
}

// resequence gives the batch another base sequence, with its CRC.
func resequence(b batch.Batch, seq int32) {
	b[53], b[54], b[55], b[56] = byte(seq>>24), byte(seq>>16), byte(seq>>8), byte(seq)
	b.SetAppendTime(1)
	b[22] &^= 0x08
	b.SetAppendTime(1)
}

// BenchmarkRead reads a MiB at a time from memory.
func BenchmarkRead(b *testing.B) {
	for name, size := range map[string]int{"1KiB": 1000, "64KiB": 64 << 10} {
		b.Run(name, func(b *testing.B) {
			d, s := benchStore(b)
			l := d.log(s, 1)
			for range (16 << 20) / size {
				if _, err := l.AppendAsLeader(Append{Data: records(1, strings.Repeat("v", size)), Version: 9}); err != nil {
					b.Fatal(err)
				}
			}
			s.Commit()
			settle(b, l, l.end)
			var xs []batch.Extent
			var err error
			end := l.Offsets().Durable
			b.SetBytes(1 << 20)
			b.ReportAllocs()
			at := int64(0)
			for b.Loop() {
				xs, err = l.Read(xs[:0], at%(end/2), everything, 1<<20, true)
				if err != nil {
					b.Fatal(err)
				}
				at += int64(len(xs))
				for i := range xs {
					xs[i].Release()
				}
			}
			b.StopTimer()
			closeStore(b, s)
		})
	}
}

// BenchmarkReadCold reads a MiB at a time of one partition in eight from the write-ahead log's files.
func BenchmarkReadCold(b *testing.B) {
	for name, size := range map[string]int{"100B": 100, "1KiB": 1000, "16KiB": 16 << 10} {
		b.Run(name, func(b *testing.B) {
			d, s := benchStore(b)
			for i := range (16 << 20) / size {
				l := d.log(s, wal.StreamID(1+i%8))
				if _, err := l.AppendAsLeader(Append{Data: records(1, strings.Repeat("v", size)), Version: 9}); err != nil {
					b.Fatal(err)
				}
			}
			s.Commit()
			closeStore(b, s)
			s = d.open()
			l := d.log(s, 1)
			end := l.Offsets().Durable
			b.ReportAllocs()
			bytes, at := int64(0), int64(0)
			for b.Loop() {
				xs, err := l.Read(nil, at%(end/2), everything, 1<<20, true)
				if err != nil {
					b.Fatal(err)
				}
				at += 7
				for i := range xs {
					bytes += xs[i].Size()
					xs[i].Release()
				}
			}
			b.ReportMetric(float64(bytes)/1e6/b.Elapsed().Seconds(), "MB/s")
			b.StopTimer()
			closeStore(b, s)
		})
	}
}
