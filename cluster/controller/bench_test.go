package controller

import (
	"testing"

	"chronik/metalog/image"
)

// One of three brokers dies that has a replica of each of 10,000 partitions and leads a third of them.
func BenchmarkElections(b *testing.B) {
	m := with(b, brokersOf(b, "lll"), image.TopicRecord{ID: topicID, Name: "t"})
	s := newSpread(m)
	for n := range int32(10_000) {
		p, _ := s.partition(n, uint64(n+1), s.place(uint64(n+1), 3))
		m = with(b, m, image.PartitionRecord{Topic: topicID, Partition: p})
		if n == 0 {
			b.Log(p)
		}
	}
	cfg := compiled(b, nil)
	b.Run("nothing to do", func(b *testing.B) {
		for b.Loop() {
			if recs := planElections(m, cfg); len(recs) > 0 {
				b.Fatal(recs)
			}
		}
	})
	m = with(b, m, image.FenceRecord{ID: 2, Epoch: 2, Fenced: true})
	b.Run("a broker dies", func(b *testing.B) {
		for b.Loop() {
			if recs := planElections(m, cfg); len(recs) != 10_000 {
				b.Fatal(len(recs))
			}
		}
	})
}
