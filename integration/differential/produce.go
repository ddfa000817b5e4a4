package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const produceKey, initProducerKey = 0, 22

func init() {
	scenarios = append(scenarios,
		scenario{"produce", produce},
		scenario{"produce bad batches", produceBad},
		scenario{"produce old formats", produceOld},
		scenario{"produce by topic settings", produceSettings},
		scenario{"init producer id", initProducer},
		scenario{"idempotence", idempotence},
	)
}

// produceRequest writes raw to a partition of a topic by its name, or by its id where the version has only ids.
func (s *script) produceRequest(v int16, topic string, partition int32, raw []byte) *kmsg.ProduceRequest {
	rq := kmsg.NewPtrProduceRequest()
	rq.Acks, rq.TimeoutMillis = -1, 5000
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	if v >= 13 {
		for id, name := range s.ids {
			if name == topic {
				t.TopicID = id
			}
		}
		if t.TopicID == [16]byte{} {
			t.TopicID = [16]byte{0xee, 1}
		}
	}
	t.Partitions = []kmsg.ProduceRequestTopicPartition{{Partition: partition, Records: raw}}
	rq.Topics = append(rq.Topics, t)
	return rq
}

// write produces without recording the answer.
func (s *script) write(topic string, partition int32, batches ...[]byte) {
	for _, b := range batches {
		resp := s.quiet(7, s.produceRequest(7, topic, partition, b)).(*kmsg.ProduceResponse)
		if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
			panic(stop{fmt.Errorf("produce to %s: error %d", topic, code)})
		}
	}
}

// modern calls fn for the versions that carry batches of format 2.
func (s *script) modern(label string, fn func(v int16) *kmsg.ProduceRequest) {
	s.all(produceKey, label, func(v int16) kmsg.Request {
		if v < 3 {
			return nil
		}
		return fn(v)
	})
}

func produce(s *script) {
	t := s.topic("produce", 2)
	to := func(v int16, partition int32, raw []byte) *kmsg.ProduceRequest {
		return s.produceRequest(v, t, partition, raw)
	}
	s.modern("a batch", func(v int16) *kmsg.ProduceRequest { return to(v, 0, sealed(plain("a", "b"))) })
	s.modern("acks=1", func(v int16) *kmsg.ProduceRequest {
		rq := to(v, 1, sealed(plain("a")))
		rq.Acks = 1
		return rq
	})
	for _, acks := range []int16{2, -2, 100} {
		s.modern(fmt.Sprint("acks=", acks), func(v int16) *kmsg.ProduceRequest {
			rq := to(v, 0, sealed(plain("a")))
			rq.Acks = acks
			return rq
		})
	}
	s.modern("unknown partition", func(v int16) *kmsg.ProduceRequest { return to(v, 7, sealed(plain("a"))) })
	s.modern("negative partition", func(v int16) *kmsg.ProduceRequest { return to(v, -1, sealed(plain("a"))) })
	s.modern("unknown topic", func(v int16) *kmsg.ProduceRequest {
		return s.produceRequest(v, s.name("never"), 0, sealed(plain("a")))
	})
	s.modern("odd topic", func(v int16) *kmsg.ProduceRequest { return s.produceRequest(v, "a b", 0, sealed(plain("a"))) })
	s.modern("no topic", func(v int16) *kmsg.ProduceRequest {
		rq := s.produceRequest(v, "", 0, sealed(plain("a")))
		rq.Topics[0].TopicID = [16]byte{}
		return rq
	})
	s.modern("no topics", func(int16) *kmsg.ProduceRequest {
		rq := kmsg.NewPtrProduceRequest()
		rq.Acks, rq.TimeoutMillis = -1, 1000
		return rq
	})
	s.modern("no partitions", func(v int16) *kmsg.ProduceRequest {
		rq := to(v, 0, nil)
		rq.Topics[0].Partitions = nil
		return rq
	})
	s.modern("a good and a bad partition", func(v int16) *kmsg.ProduceRequest {
		rq := to(v, 0, sealed(plain("a")))
		rq.Topics[0].Partitions = append(rq.Topics[0].Partitions, kmsg.ProduceRequestTopicPartition{Partition: 9, Records: sealed(plain("b"))})
		return rq
	})
	twice := s.topic("produce-twice", 2)
	s.modern("a partition twice", func(v int16) *kmsg.ProduceRequest {
		rq := s.produceRequest(v, twice, 1, sealed(plain("a")))
		rq.Topics[0].Partitions = append(rq.Topics[0].Partitions, kmsg.ProduceRequestTopicPartition{Partition: 1, Records: sealed(plain("b"))})
		return rq
	})
	s.modern("a transactional id that was never begun", func(v int16) *kmsg.ProduceRequest {
		rq := s.produceRequest(v, twice, 0, sealed(plain("a")))
		id := s.name("txn")
		rq.TransactionID = &id
		return rq
	})
	nobody := func(v int16, acks int16, partition int32, raw []byte) *kmsg.ProduceRequest {
		rq := to(v, partition, raw)
		rq.Acks = acks
		return rq
	}
	s.each(produceKey, func(v int16) {
		if v >= 3 {
			s.unanswered("acks=0", v, nobody(v, 0, 0, sealed(plain("a"))))
			s.unanswered("acks=0, unknown partition", v, nobody(v, 0, 9, sealed(plain("a"))))
			s.unanswered("acks=0, corrupt", v, nobody(v, 0, 0, damaged(sealed(plain("a")), 66)))
		}
	})
	s.fetched("after all", t, 1)
}

func damaged(raw []byte, at int) []byte {
	raw[at] ^= 0x55
	return raw
}

func with(b *kmsg.RecordBatch, change func(b *kmsg.RecordBatch)) []byte {
	change(b)
	return sealed(b)
}

func produceBad(s *script) {
	ask := func(label string, raw []byte) {
		t := s.topic(strings.NewReplacer(" ", "-", ",", "").Replace(label), 1)
		s.modern(label, func(v int16) *kmsg.ProduceRequest { return s.produceRequest(v, t, 0, raw) })
		s.fetched(label, t, 0)
	}
	ask("null records", nil)
	ask("no records", []byte{})
	ask("garbage", []byte("this is not a batch"))
	ask("a long garbage", []byte(strings.Repeat("x", 300)))
	ask("wrong sum", damaged(sealed(plain("a")), 66))
	ask("cut", sealed(plain("a"))[:65])
	ask("header only", sealed(plain("a"))[:61])
	ask("a batch and garbage", append(sealed(plain("a")), "garbage"...))
	ask("two batches", append(sealed(plain("a")), sealed(plain("b"))...))
	ask("magic 3", setByte(sealed(plain("a")), 16, 3))
	ask("magic -1", setByte(sealed(plain("a")), 16, 0xff))
	ask("no record in it", with(plain(), func(b *kmsg.RecordBatch) { b.LastOffsetDelta = 0 }))
	ask("no record in it, last offset -1", sealed(plain()))
	ask("count too high", with(plain("a"), func(b *kmsg.RecordBatch) { b.NumRecords = 2; b.LastOffsetDelta = 1 }))
	ask("count too low", with(plain("a", "b"), func(b *kmsg.RecordBatch) { b.NumRecords = 1; b.LastOffsetDelta = 0 }))
	ask("count negative", with(plain("a"), func(b *kmsg.RecordBatch) { b.NumRecords = -1 }))
	ask("last offset not that of the count", with(plain("a", "b"), func(b *kmsg.RecordBatch) { b.LastOffsetDelta = 5 }))
	ask("last offset negative", with(plain("a"), func(b *kmsg.RecordBatch) { b.LastOffsetDelta = -1 }))
	ask("base offset 7", with(plain("a"), func(b *kmsg.RecordBatch) { b.FirstOffset = 7 }))
	ask("control batch", with(plain("a"), func(b *kmsg.RecordBatch) { b.Attributes = control }))
	ask("transactional without a producer", with(plain("a"), func(b *kmsg.RecordBatch) { b.Attributes = transactional }))
	ask("transactional with a producer", with(from(plain("a"), 3, 0, 0), func(b *kmsg.RecordBatch) { b.Attributes = transactional }))
	ask("producer without sequence", sealed(from(plain("a"), 3, 0, -1)))
	ask("producer without epoch", sealed(from(plain("a"), 3, -1, 0)))
	ask("sequence without producer", sealed(from(plain("a"), -1, -1, 4)))
	ask("codec 5", with(plain("a"), func(b *kmsg.RecordBatch) { b.Attributes = 5 }))
	ask("codec 7", with(plain("a"), func(b *kmsg.RecordBatch) { b.Attributes = 7 }))
	ask("said to be gzip", with(plain("a"), func(b *kmsg.RecordBatch) { b.Attributes = gzipCodec }))
	ask("gzip", sealed(compressed(plain("a", "b"), gzipCodec)))
	ask("zstd", sealed(compressed(plain("a", "b"), zstdCodec)))
	ask("append time said by the producer", with(plain("a"), func(b *kmsg.RecordBatch) { b.Attributes = appendTime }))
	ask("unknown attribute bits", with(plain("a"), func(b *kmsg.RecordBatch) { b.Attributes = 1 << 9 }))
	ask("delete horizon", with(plain("a"), func(b *kmsg.RecordBatch) { b.Attributes = 1 << 6 }))
	ask("timestamp -1", sealed(at(plain("a"), -1)))
	ask("timestamp -2", sealed(at(plain("a"), -2)))
	ask("max timestamp too low", with(at(plain("a"), 2000), func(b *kmsg.RecordBatch) { b.MaxTimestamp = 5 }))
	ask("timestamp far in the future", sealed(at(plain("a"), math.MaxInt64/2)))
	ask("timestamp in an hour and a half", sealed(at(plain("a"), time.Now().Add(90*time.Minute).UnixMilli())))
	ask("offset deltas not in order", with(plain("a", "b"), func(b *kmsg.RecordBatch) {
		b.Records = append(record(1, 0, nil, []byte("a")), record(0, 0, nil, []byte("b"))...)
	}))
	ask("record cut", with(plain("a"), func(b *kmsg.RecordBatch) { b.Records = b.Records[:4] }))
	ask("record with more after it", with(plain("a"), func(b *kmsg.RecordBatch) { b.Records = append(b.Records, 0, 0) }))
	ask("null key and value", with(plain("a"), func(b *kmsg.RecordBatch) { b.Records = record(0, 0, nil, nil) }))
	ask("length too low", setLength(sealed(plain("a")), 40))
	ask("length zero", setLength(sealed(plain("a")), 0))
	ask("length negative", setLength(sealed(plain("a")), -5))
	ask("too large", sealed(plain(strings.Repeat("x", 1<<20))))
}

func setByte(raw []byte, at int, to byte) []byte {
	raw[at] = to
	return raw
}

func setLength(raw []byte, n int32) []byte {
	binary.BigEndian.PutUint32(raw[8:], uint32(n))
	return raw
}

func produceOld(s *script) {
	s.each(produceKey, func(v int16) {
		t := s.topic(fmt.Sprintf("old%d", v), 1)
		ask := func(label string, raw []byte) { s.do(label, v, s.produceRequest(v, t, 0, raw)) }
		ask("message 0", legacy(0, 0, "k", "v"))
		ask("message 1", legacy(1, 1234, "k", "v"))
		ask("two messages 0", append(legacy(0, 0, "k", "v"), legacy(0, 0, "l", "w")...))
		ask("two messages 1", append(legacy(1, 5, "k", "v"), legacy(1, 3, "l", "w")...))
		ask("both", append(legacy(0, 5, "k", "v"), legacy(1, 3, "l", "w")...))
		ask("message 1 with a wrong sum", damaged(legacy(1, 1, "k", "v"), 30))
		ask("batch", sealed(plain("a")))
		ask("zstd", sealed(compressed(plain("a"), zstdCodec)))
		ask("codec 5", setAttributes(legacy(1, 1, "k", "v"), 5))
		s.fetched("", t, 0)
	})
}

// setAttributes changes an old message's, without mending its sum.
func setAttributes(raw []byte, to byte) []byte {
	raw[17] = to
	return raw
}

// fetched records all that a partition holds.
func (s *script) fetched(label, topic string, partition int32) {
	rq := fetchRequest(topic, partition, 0)
	rq.MaxWaitMillis = 0
	s.do(label+" of "+strings.TrimPrefix(topic, s.prefix), 11, rq)
}

func produceSettings(s *script) {
	ask := func(label string, raw []byte, configs ...string) {
		t := s.topic(strings.ReplaceAll(label, " ", "-"), 1, configs...)
		s.modern(label, func(v int16) *kmsg.ProduceRequest { return s.produceRequest(v, t, 0, raw) })
		s.fetched(label, t, 0)
	}
	noKey := plain("a")
	noKey.Records = record(0, 0, nil, []byte("a"))
	two := plain("a", "b")
	two.Records = append(record(0, 0, []byte("k"), []byte("a")), record(1, 0, nil, []byte("b"))...)
	ask("compacted with a key", sealed(plain("a")), "cleanup.policy", "compact")
	ask("compacted without a key", sealed(noKey), "cleanup.policy", "compact")
	ask("compacted one without a key", sealed(two), "cleanup.policy", "compact")
	ask("compacted and deleted without a key", sealed(noKey), "cleanup.policy", "compact,delete")
	ask("append time", sealed(plain("a", "b")), "message.timestamp.type", "LogAppendTime")
	ask("append time gzip", sealed(compressed(plain("a", "b"), gzipCodec)), "message.timestamp.type", "LogAppendTime")
	ask("small limit", sealed(plain("a", "b")), "max.message.bytes", "70")
	ask("limit just met", sealed(plain("a")), "max.message.bytes", fmt.Sprint(len(sealed(plain("a")))))
	ask("limit just missed", sealed(plain("a")), "max.message.bytes", fmt.Sprint(len(sealed(plain("a")))-1))
	ask("two batches over the limit", append(sealed(plain("a")), sealed(plain("b"))...), "max.message.bytes", "80")
	ask("larger than a segment", sealed(plain(strings.Repeat("x", 1<<21))), "max.message.bytes", "4000000", "segment.bytes", "1048576")
	ask("too old", sealed(plain("a")), "message.timestamp.before.max.ms", "1000")
	ask("too new", sealed(at(plain("a"), time.Now().Add(time.Hour).UnixMilli())), "message.timestamp.after.max.ms", "1000")
	ask("no time with limits", sealed(at(plain("a"), -1)), "message.timestamp.before.max.ms", "1000")
	ask("to zstd", sealed(plain(strings.Repeat("a", 500), "b")), "compression.type", "zstd")
	ask("to uncompressed", sealed(compressed(plain("a", "b"), gzipCodec)), "compression.type", "uncompressed")
	ask("two batches to gzip", append(sealed(plain("a")), sealed(plain("b"))...), "compression.type", "gzip")
	ask("min isr 2", sealed(plain("a")), "min.insync.replicas", "2")
	ask("no time", sealed(at(plain("a"), -1)))
}

func initProducer(s *script) {
	ask := func(label string, change func(rq *kmsg.InitProducerIDRequest)) {
		s.all(initProducerKey, label, func(int16) kmsg.Request {
			rq := kmsg.NewPtrInitProducerIDRequest()
			rq.ProducerID, rq.ProducerEpoch, rq.TransactionTimeoutMillis = -1, -1, 60000
			change(rq)
			return rq
		})
	}
	ask("new", func(*kmsg.InitProducerIDRequest) {})
	ask("timeout 0", func(rq *kmsg.InitProducerIDRequest) { rq.TransactionTimeoutMillis = 0 })
	ask("timeout -1", func(rq *kmsg.InitProducerIDRequest) { rq.TransactionTimeoutMillis = -1 })
	ask("empty transactional id", func(rq *kmsg.InitProducerIDRequest) { id := ""; rq.TransactionalID = &id })
	ask("with a producer", func(rq *kmsg.InitProducerIDRequest) { rq.ProducerID, rq.ProducerEpoch = 5, 3 })
	ask("with an id only", func(rq *kmsg.InitProducerIDRequest) { rq.ProducerID = 5 })
	ask("with an epoch only", func(rq *kmsg.InitProducerIDRequest) { rq.ProducerEpoch = 5 })
}

func idempotence(s *script) {
	rq := kmsg.NewPtrInitProducerIDRequest()
	rq.ProducerID, rq.ProducerEpoch = -1, -1
	id := s.quiet(3, rq).(*kmsg.InitProducerIDResponse).ProducerID
	s.each(produceKey, func(v int16) {
		if v < 3 {
			return
		}
		t := s.topic(fmt.Sprintf("once%d", v), 1)
		ask := func(label string, batches ...*kmsg.RecordBatch) {
			var raw []byte
			for _, b := range batches {
				raw = append(raw, sealed(b)...)
			}
			s.do(label, v, s.produceRequest(v, t, 0, raw))
		}
		ask("new producer, sequence 3", from(plain("a"), id, 0, 3))
		ask("new producer, sequence 0", from(plain("a"), id, 0, 0))
		ask("again", from(plain("a"), id, 0, 0))
		ask("next", from(plain("b", "c"), id, 0, 4))
		ask("gap", from(plain("b", "c"), id, 0, 9))
		for i := range int32(5) {
			ask(fmt.Sprint("run ", i), from(plain("d"), id, 0, 6+i))
		}
		ask("the last again", from(plain("d"), id, 0, 10))
		ask("the fifth last again", from(plain("d"), id, 0, 6))
		ask("the sixth last again", from(plain("b", "c"), id, 0, 4))
		ask("half of one again", from(plain("b"), id, 0, 5))
		ask("new epoch, sequence 5", from(plain("e"), id, 1, 5))
		ask("new epoch, sequence 0", from(plain("e"), id, 1, 0))
		ask("old epoch", from(plain("e"), id, 0, 11))
		ask("two batches", from(plain("f"), id, 1, 1), from(plain("f"), id, 1, 2))
		ask("another producer, sequence 7", from(plain("g"), id+1000, 0, 7))
		ask("another producer, wrapping", from(plain("g", "h"), id+1001, 0, math.MaxInt32-1))
		ask("another producer, wrapped", from(plain("g", "h"), id+1001, 0, 0))
		ask("another producer, epoch 5 at once", from(plain("g"), id+1002, 5, 0))
		s.fetched("", t, 0)
	})
}
