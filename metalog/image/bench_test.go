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
