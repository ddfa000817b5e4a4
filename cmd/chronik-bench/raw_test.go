package main

import (
	"bytes"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/batch"
)

func TestRawBatch(t *testing.T) {
	for _, c := range []struct{ size, value, records int }{
		{1 << 10, 1 << 10, 1}, {64 << 10, 1 << 10, 63}, {1 << 20, 1 << 10, 1014}, {100, 1 << 10, 1},
	} {
		b := newRawBatch(c.size, c.value)
		checked, rest, err := batch.Next(b.bytes)
		if err != nil || len(rest) > 0 {
			t.Fatalf("%+v: %v, %d bytes more", c, err, len(rest))
		}
		if err := checked.CheckCRC(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
		if len(b.bytes) > c.size || len(b.bytes) < c.size-c.value-40 {
			t.Errorf("%+v: %d bytes", c, len(b.bytes))
		}
		if b.records != c.records || int(checked.NextOffset()) != c.records {
			t.Errorf("%+v: %d records, the last offset says %d", c, b.records, checked.NextOffset())
		}
	}
}

func rawLoadOf(topic string) *rawLoad {
	return &rawLoad{Config: &Config{Topic: topic, Acks: "all"}, batch: newRawBatch(4<<10, 1<<10)}
}

func TestRawRequest(t *testing.T) {
	l := rawLoadOf("t")
	r := l.request(7)
	all := bytes.Join(r.parts[:], nil)
	const header = 4 + 2 + 2 + 4 + 2 + len("chronik-bench") + 1
	req := kmsg.NewPtrProduceRequest()
	req.Version = rawProduceVersion
	if err := req.ReadFrom(all[header:]); err != nil {
		t.Fatal(err)
	}
	if p := req.Topics[0].Partitions[0]; req.Acks != -1 || p.Partition != 7 || !bytes.Equal(p.Records, l.batch.bytes) {
		t.Errorf("it says %+v", req)
	}
}

// What is wrong with an answer must not pass for a fast one.
func TestRawAnswers(t *testing.T) {
	for _, c := range []struct {
		topic string
		code  int16
	}{{"bench", 0}, {"bench", kerr.NotEnoughReplicas.Code}, {string(bytes.Repeat([]byte("x"), 200)), kerr.NotEnoughReplicas.Code}} {
		p := kmsg.NewProduceResponseTopicPartition()
		p.ErrorCode = c.code
		topic := kmsg.NewProduceResponseTopic()
		topic.Topic, topic.Partitions = c.topic, append(topic.Partitions, p)
		r := kmsg.NewPtrProduceResponse()
		r.Version = rawProduceVersion
		r.Topics = append(r.Topics, topic)
		producer := &rawProducer{load: rawLoadOf(c.topic), response: r.AppendTo(make([]byte, 5))}
		if err := producer.check(); !errors.Is(err, kerr.ErrorForCode(c.code)) {
			t.Errorf("%d: %v", c.code, err)
		}
	}
}

func TestRawFetchAnswers(t *testing.T) {
	answer := func(code int16, records []byte) []byte {
		p := kmsg.NewFetchResponseTopicPartition()
		p.ErrorCode, p.RecordBatches = code, records
		topic := kmsg.NewFetchResponseTopic()
		topic.Partitions = append(topic.Partitions, p)
		r := kmsg.NewPtrFetchResponse()
		r.Version = rawFetchVersion
		r.Topics = append(r.Topics, topic)
		return r.AppendTo(make([]byte, 5))
	}
	if err := checkFetch(answer(0, []byte("records"))); err != nil {
		t.Error(err)
	}
	if err := checkFetch(answer(0, nil)); err == nil {
		t.Error("nothing came, and that was right")
	}
	if err := checkFetch(answer(kerr.OffsetOutOfRange.Code, []byte("records"))); !errors.Is(err, kerr.OffsetOutOfRange) {
		t.Error(err)
	}
}
