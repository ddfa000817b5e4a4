package metalog

import (
	"fmt"
	"sync"
	"testing"

	"chronik/metalog/image"
)

// limits: one caller is bound by two fdatasync of bbolt; more callers share entries.
func BenchmarkPropose(b *testing.B) {
	for _, callers := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			l := mustOpen(b, b.TempDir())
			r := topic("t")
			mustPropose(b, l, r)
			left := make(chan struct{}, callers)
			go func() {
				for range b.N {
					left <- struct{}{}
				}
				close(left)
			}()
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for c := range callers {
				wg.Go(func() {
					group := fmt.Sprintf("group-%d", c)
					for range left {
						mustPropose(b, l, commit(group, r.ID, 3))
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "proposals/s")
		})
	}
}

func commit(group string, t image.TopicID, partition int32) image.OffsetsRecord {
	return image.OffsetsRecord{Group: group, Offsets: []image.PartitionOffset{{
		TopicPartition: image.TopicPartition{Topic: t, Partition: partition}, Offset: image.Offset{Offset: 1},
	}}}
}

func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	l := mustOpen(b, dir)
	for i := range 500 {
		mustPropose(b, l, topic(fmt.Sprint(i)))
	}
	mustClose(b, l)
	b.Run("used", func(b *testing.B) {
		for range b.N {
			mustClose(b, mustOpen(b, dir))
		}
	})
	b.Run("empty", func(b *testing.B) {
		for range b.N {
			mustClose(b, mustOpen(b, b.TempDir()))
		}
	})
}
