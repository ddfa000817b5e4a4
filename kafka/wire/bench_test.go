package wire

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/batch"
)

func produceResponse(partitions int) *ProduceResponse {
	t := ProduceTopic{Name: "topic", Partitions: make([]ProducePartition, partitions)}
	for i := range t.Partitions {
		t.Partitions[i] = ProducePartition{Partition: int32(i), BaseOffset: 1 << 40, AppendTime: -1}
	}
	return &ProduceResponse{Topics: []ProduceTopic{t}}
}

func fetchResponse(partitions, bytes int) *FetchResponse {
	t := FetchTopic{Name: "topic", Partitions: make([]FetchPartition, partitions)}
	records := make([]byte, bytes)
	for i := range t.Partitions {
		t.Partitions[i] = FetchPartition{
			Partition: int32(i), HighWatermark: 1 << 40, PreferredReplica: -1, DivergingEpoch: -1, DivergingEnd: -1,
			LeaderID: -1, LeaderEpoch: -1, Records: []batch.Extent{{Mem: records, Len: int64(bytes)}},
		}
	}
	return &FetchResponse{Topics: []FetchTopic{t}}
}

// The hot path's responses are written without allocating.
func TestEncodingDoesNotAllocate(t *testing.T) {
	p, f := produceResponse(100), fetchResponse(10, 1000)
	var r Reply
	encode := func(key, version int16, fill func()) float64 {
		return testing.AllocsPerRun(100, func() {
			r.reply = reply{key: key, version: version, bytes: r.bytes[:0], extents: r.extents[:0], cuts: r.cuts[:0]}
			fill()
		})
	}
	if n := encode(0, 10, func() { r.Produce(p) }); n >= 1 {
		t.Errorf("produce: %v allocations", n)
	}
	if n := encode(1, 16, func() { r.Fetch(f) }); n >= 1 {
		t.Errorf("fetch: %v allocations", n)
	}
}

func BenchmarkProduceResponse(b *testing.B) {
	for _, n := range []int{1, 12, 100} {
		p, rq := produceResponse(n), &Request{Key: 0, Version: 10}
		b.Run(fmt.Sprintf("partitions=%d/by=hand", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := NewReply(rq)
				r.Produce(p)
				r.Release()
			}
		})
		m := kmsgProduce(p, 10)
		b.Run(fmt.Sprintf("partitions=%d/by=kmsg", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := NewReply(rq)
				r.Message(m)
				r.Release()
			}
		})
	}
}

func BenchmarkFetchResponse(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		f, rq := fetchResponse(n, 100<<10), &Request{Key: 1, Version: 16}
		b.Run(fmt.Sprintf("partitions=%d/by=hand", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := NewReply(rq)
				r.Fetch(f)
				r.Release()
			}
		})
		records := make([][]byte, n)
		for i := range records {
			records[i] = f.Topics[0].Partitions[i].Records[0].Mem
		}
		m := kmsgFetch(f, records, 16)
		b.Run(fmt.Sprintf("partitions=%d/by=kmsg", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := NewReply(rq)
				r.Message(m)
				r.Release()
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{1, 12, 100} {
		produce := kmsg.NewPtrProduceRequest()
		produce.Version = 9
		fetch := kmsg.NewPtrFetchRequest()
		fetch.Version = 12
		pt, ft := kmsg.ProduceRequestTopic{Topic: "topic"}, kmsg.FetchRequestTopic{Topic: "topic"}
		for i := range n {
			pt.Partitions = append(pt.Partitions, kmsg.ProduceRequestTopicPartition{Partition: int32(i), Records: make([]byte, 1000)})
			ft.Partitions = append(ft.Partitions, kmsg.NewFetchRequestTopicPartition())
		}
		produce.Topics, fetch.Topics = append(produce.Topics, pt), append(fetch.Topics, ft)
		for name, rq := range map[string]kmsg.Request{"produce": produce, "fetch": fetch} {
			f := Frame{Bytes: frameOf(rq)}
			body := rq.AppendTo(nil)
			b.Run(fmt.Sprintf("%s/partitions=%d/part=all", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Decode(f, servedByKmsg, nil, nil, "test"); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(fmt.Sprintf("%s/partitions=%d/part=check", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := check(rq, body); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
