package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// runRaw sends the same batch again and again, one to a request, and looks at nothing of the answers but the error. It is
// not idempotent, and what it writes cannot be verified.
func runRaw(ctx context.Context, c *Config) (*report, error) {
	t, err := openTarget(ctx, c, true)
	if err != nil {
		return nil, err
	}
	defer t.close()
	all, err := t.leaders(ctx, c.Grace)
	if err != nil {
		return nil, err
	}
	clk := newClock()
	l := &rawLoad{Config: c, clock: clk, batch: newRawBatch(int(c.Batch), c.Size.most), from: clk.now() + int64(c.Warmup)}
	err = l.run(ctx, all)
	m := newMeter(l.from)
	for i := range l.meters {
		m.merge(l.meters[i])
	}
	r := &produceReport{throughput: m.throughput(), Sent: l.sent.Load(), Acked: l.acked.Load()}
	return &report{Topic: c.Topic, Produce: r}, err
}

// rawLoad is all connections of a run.
type rawLoad struct {
	*Config
	clock  clock
	batch  rawBatch
	from   int64
	meters []*meter // by connection

	stopped     atomic.Bool
	sent, acked atomic.Int64 // records
}

func (l *rawLoad) run(ctx context.Context, all []led) error {
	if l.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.Duration)
		defer cancel()
	}
	context.AfterFunc(ctx, func() { l.stopped.Store(true) })
	for range l.Connections {
		l.meters = append(l.meters, newMeter(l.from))
	}
	return l.eachConn(ctx, all, func(_ context.Context, i int, conn *rawConn, on led) error {
		p := &rawProducer{load: l, conn: conn, meter: l.meters[i], sent: make([]int64, l.InFlight), next: i}
		for _, partition := range on.partitions {
			p.requests = append(p.requests, l.request(partition))
		}
		return p.run()
	})
}

// rawBatch is a record batch without a producer.
type rawBatch struct {
	bytes   []byte
	records int
	values  int // bytes of the records' values
}

// newRawBatch fills up to size bytes with records of value bytes, or with one smaller record.
func newRawBatch(size, value int) rawBatch {
	const header, recordHeader = 61, 20 // of a batch, and at most of a record without key and headers
	value = max(min(value, size-header-recordHeader), 0)
	var b rawBatch
	var records []byte
	for next := rawRecord(0, value); header+len(records)+len(next) <= size; next = rawRecord(b.records, value) {
		records = append(records, next...)
		b.records++
		b.values += value
	}
	now := time.Now().UnixMilli()
	whole := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, LastOffsetDelta: int32(b.records - 1), FirstTimestamp: now, MaxTimestamp: now,
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: int32(b.records), Records: records,
	}
	b.bytes = whole.AppendTo(nil)
	const length, crc, summed = 8, 17, 21 // where they are, and where what the CRC covers begins
	binary.BigEndian.PutUint32(b.bytes[length:], uint32(len(b.bytes)-length-4))
	binary.BigEndian.PutUint32(b.bytes[crc:], crc32.Checksum(b.bytes[summed:], castagnoli))
	return b
}

func rawRecord(delta, value int) []byte {
	r := kmsg.Record{OffsetDelta: int32(delta), Value: make([]byte, value)}
	fill(r.Value, int64(delta))
	r.Length = int32(len(r.AppendTo(nil)) - 1) // a length of 0 takes a byte
	return r.AppendTo(nil)
}

// rawRequest is a Produce request in three parts; the one in the middle is the batch, which all requests share.
type rawRequest struct{ parts [3][]byte }

const rawProduceVersion = 9 // flexible, and topics have names

// request encodes the request for a partition, whose number is its correlation id.
func (l *rawLoad) request(partition int32) rawRequest {
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, l.batch.bytes
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.Partitions = l.Topic, append(t.Partitions, p)
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = rawProduceVersion, l.acks(), 30_000
	req.Topics = append(req.Topics, t)
	all := kmsg.NewRequestFormatter(kmsg.FormatterClientID("chronik-bench")).AppendRequest(nil, req, partition)
	at := bytes.Index(all, l.batch.bytes)
	return rawRequest{[3][]byte{all[:at], l.batch.bytes, all[at+len(l.batch.bytes):]}}
}

func (c *Config) acks() int16 {
	if c.Acks == "1" {
		return 1
	}
	return -1
}

// rawProducer keeps a number of requests in flight on one connection: the answer to one sends the next.
type rawProducer struct {
	load     *rawLoad
	conn     *rawConn
	meter    *meter
	requests []rawRequest // by index of the partition
	next     int          // index of the next request's partition
	sent     []int64      // when those in flight were sent: a ring
	head     int          // of sent
	flying   int
	response []byte
}

func (p *rawProducer) run() error {
	for p.flying < len(p.sent) {
		p.queue()
	}
	for p.flying > 0 {
		if !p.conn.here() {
			if err := p.conn.send(); err != nil {
				return err
			}
		}
		if err := p.answer(); err != nil {
			return err
		}
		if !p.enough() {
			p.queue()
		}
	}
	return nil
}

func (p *rawProducer) enough() bool {
	l := p.load
	return l.stopped.Load() || l.Records > 0 && l.sent.Load() >= l.Records
}

func (p *rawProducer) queue() {
	r := p.requests[p.next%len(p.requests)]
	p.next++
	p.conn.out = append(p.conn.out, r.parts[0], r.parts[1], r.parts[2])
	p.sent[(p.head+p.flying)%len(p.sent)] = p.load.clock.now()
	p.flying++
	p.load.sent.Add(int64(p.load.batch.records))
}

// answer waits for the oldest request's.
func (p *rawProducer) answer() error {
	n, err := p.conn.size()
	if err != nil {
		return err
	}
	if cap(p.response) < n {
		p.response = make([]byte, n)
	}
	p.response = p.response[:n]
	if _, err := io.ReadFull(p.conn.in, p.response); err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return err
	}
	now := p.load.clock.now()
	p.meter.batch(p.sent[p.head], now, p.load.batch.records, p.load.batch.values)
	p.load.acked.Add(int64(p.load.batch.records))
	p.head = (p.head + 1) % len(p.sent)
	p.flying--
	return nil
}

// check looks where the error of the only partition is: behind the correlation id, tags, the number of topics, the
// topic's name, the number of partitions and the partition's index. Anything unusual is decoded.
func (p *rawProducer) check() error {
	const before = 4 + 1
	name := len(p.load.Topic)
	at := before + 1 + 1 + name + 1 + 4
	if b := p.response; name < 127 && len(b) > at+2 && b[before] == 2 && binary.BigEndian.Uint16(b[at:]) == 0 {
		return nil
	}
	r := kmsg.NewPtrProduceResponse()
	r.Version = rawProduceVersion
	if err := r.ReadFrom(p.response[min(before, len(p.response)):]); err != nil {
		return err
	}
	for _, t := range r.Topics {
		for _, partition := range t.Partitions {
			if err := kerr.ErrorForCode(partition.ErrorCode); err != nil {
				return fmt.Errorf("partition %d: %w", partition.Partition, err)
			}
		}
	}
	return nil
}
