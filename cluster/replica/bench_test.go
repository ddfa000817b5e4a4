package replica

import (
	"strings"
	"testing"
	"time"

	"chronik/kafka/batch"
	"chronik/wal/vfs"
)

// BenchmarkProduce is a request of three partitions from Begin to its results, synced to disk.
func BenchmarkProduce(b *testing.B) {
	fs, err := vfs.OS(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	n := newNode(b, fs)
	n.topic(3)
	data := [3]batch.Batch{}
	for i := range data {
		data[i] = records(strings.Repeat("v", 1000))
	}
	b.ReportAllocs()
	for b.Loop() {
		w := NewProduce(-1, len(data))
		for i := range data {
			p, err := n.Leader(topicID, int32(i), -1)
			w.Begin(i, p, err, data[i], nil, 9)
		}
		n.Commit()
		w.Wait(b.Context(), time.Minute)
		for _, r := range w.Results() {
			if r.Err != nil {
				b.Fatal(r.Err)
			}
		}
		w.Done()
	}
}
