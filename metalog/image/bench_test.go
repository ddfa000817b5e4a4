package image

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/uuid"
)

// manyOffsets is an image with groups of ten offsets each.
func manyOffsets(b *testing.B, groups int) *Image {
	id := uuid.UUID{1}
	m, _, err := Empty().Apply(1, []Record{TopicRecord{ID: id, Name: "t"}})
	for g := 0; g < groups && err == nil; g++ {
		r := OffsetsRecord{Group: fmt.Sprintf("group-%06d", g)}
		for p := range int32(10) {
			r.Offsets = append(r.Offsets, PartitionOffset{TopicPartition{id, p}, Offset{Offset: 1}})
		}
		m, _, err = m.Apply(Index(g+2), []Record{r})
	}
	if err != nil {
		b.Fatal(err)
	}
	return m
}

func BenchmarkSnapshot(b *testing.B) {
	m := manyOffsets(b, 10_000)
	snapshot := encoded(b, m)
	b.Run("encode", func(b *testing.B) {
		for range b.N {
			encoded(b, m)
		}
	})
	b.Run("read", func(b *testing.B) {
		for range b.N {
			if _, err := Read(bytes.NewReader(snapshot)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkApply(b *testing.B) {
	m := manyOffsets(b, 10_000)
	topic := uuid.UUID{1}
	b.Run("commit", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			r := OffsetsRecord{Group: fmt.Sprintf("group-%06d", i%10_000), Offsets: []PartitionOffset{{TopicPartition{topic, 3}, Offset{Offset: int64(i)}}}}
			var err error
			if m, _, err = m.Apply(Index(i), []Record{r}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("delete a topic of 10000 groups", func(b *testing.B) {
		for range b.N {
			if _, _, err := m.Apply(1<<40, []Record{RemoveTopicRecord{topic}}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// A commit of one offset each by many groups, in one entry.
func BenchmarkApplyEntry(b *testing.B) {
	m := brokers(b, 3)
	topic := uuid.UUID{1}
	m = applied(b, m, TopicRecord{ID: topic, Name: "t"})
	var proposals [][]Record
	for i := range 256 {
		proposals = append(proposals, []Record{OffsetsRecord{Group: fmt.Sprint("group", i), Offsets: []PartitionOffset{
			{TopicPartition{topic, 0}, Offset{Offset: int64(i)}}}, OwnerEpoch: -1, OwnerSince: -1}})
	}
	b.ReportAllocs()
	for range b.N {
		var err error
		if m, _, _, err = m.ApplyAll(m.Index()+1, proposals); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/256, "ns/commit")
}
