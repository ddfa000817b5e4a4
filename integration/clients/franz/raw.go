package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Raw is what the verifier finds in one topic, reading its batches as the broker sent them.
type Raw struct {
	c       Contract
	tally   *Tally
	batches int
	codecs  map[string]bool // what batches say about themselves, where the records agree
}

var codecNames = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// verify reads TOPIC from its first to its last batch: offsets without a gap, CRC-32C, the codec, and every record.
func verify(ctx context.Context, c Contract, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: franz verify TOTAL")
	}
	total, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	raw := &Raw{c: c, tally: NewTally(c.Topic, 0, total), codecs: map[string]bool{}}
	if err = raw.topic(ctx); err == nil {
		err = raw.complete()
	}
	found := strings.Join(slices.Sorted(maps.Keys(raw.codecs)), " ")
	return report("raw", err, "%d records in %d batches, CRC-32C right, codecs %s", total, raw.batches, found)
}

func (r *Raw) complete() error {
	for _, codec := range r.c.Codecs {
		if !r.codecs[codec] {
			return fmt.Errorf("no batch is compressed with %s", codec)
		}
	}
	return r.tally.Err()
}

func (r *Raw) topic(ctx context.Context) error {
	cl, err := r.c.client()()
	if err != nil {
		return err
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, r.c.Topic)
	if err != nil {
		return err
	}
	if len(ends[r.c.Topic]) != r.c.Partitions {
		return fmt.Errorf("%d partitions, not %d", len(ends[r.c.Topic]), r.c.Partitions)
	}
	for p, end := range ends[r.c.Topic] {
		r.tally.StartAt(p, 0)
		if err := r.partition(ctx, cl, p, end.Offset); err != nil {
			return fmt.Errorf("partition %d: %w", p, err)
		}
	}
	return nil
}

func (r *Raw) partition(ctx context.Context, cl *kgo.Client, partition int32, end int64) error {
	for next := int64(0); next < end; {
		got, err := r.fetch(ctx, cl, partition, next)
		if err != nil {
			return err
		}
		after, err := r.batchesOf(got.RecordBatches, next)
		if err != nil {
			return err
		}
		if after == next {
			return fmt.Errorf("nothing at offset %d, the end is %d", next, end)
		}
		if err := r.records(got, next); err != nil {
			return err
		}
		next = after
	}
	return nil
}

// fetch asks in version 11, the last that names topics, sessions and leader epochs but needs no topic id.
func (r *Raw) fetch(ctx context.Context, cl *kgo.Client, partition int32, offset int64) (*kmsg.FetchResponseTopicPartition, error) {
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, 1<<20
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.Partitions = r.c.Topic, append(t.Partitions, p)
	rq := kmsg.NewPtrFetchRequest()
	rq.MaxWaitMillis, rq.MinBytes, rq.MaxBytes, rq.Topics = 500, 1, 4<<20, append(rq.Topics, t)
	rq.SessionEpoch = -1
	broker, err := r.leader(ctx, cl, partition)
	if err != nil {
		return nil, err
	}
	response, err := broker.Request(ctx, &pinned{rq})
	if err != nil {
		return nil, err
	}
	f := response.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(f.ErrorCode); err != nil {
		return nil, err
	}
	if len(f.Topics) != 1 || len(f.Topics[0].Partitions) != 1 {
		return nil, errors.New("the answer does not hold the partition")
	}
	got := &f.Topics[0].Partitions[0]
	return got, kerr.ErrorForCode(got.ErrorCode)
}

// pinned is a fetch request that never goes out in a higher version.
type pinned struct{ *kmsg.FetchRequest }

func (*pinned) MaxVersion() int16 { return 11 }

func (r *Raw) leader(ctx context.Context, cl *kgo.Client, partition int32) (*kgo.Broker, error) {
	topics, err := kadm.NewClient(cl).ListTopics(ctx, r.c.Topic)
	if err != nil {
		return nil, err
	}
	return cl.Broker(int(topics[r.c.Topic].Partitions[partition].Leader)), nil
}

// batchesOf walks the batches of an answer and returns the offset after the last whole one.
func (r *Raw) batchesOf(b []byte, next int64) (int64, error) {
	table := crc32.MakeTable(crc32.Castagnoli)
	for len(b) >= 61 {
		base, length := int64(binary.BigEndian.Uint64(b)), int(binary.BigEndian.Uint32(b[8:]))+12
		if length > len(b) {
			break // the answer's size limit cut it
		}
		if magic := b[16]; magic != 2 {
			return 0, fmt.Errorf("batch at %d has magic %d", base, magic)
		}
		if want, got := binary.BigEndian.Uint32(b[17:]), crc32.Checksum(b[21:length], table); want != got {
			return 0, fmt.Errorf("batch at %d: CRC-32C %08x, its bytes give %08x", base, want, got)
		}
		last := base + int64(binary.BigEndian.Uint32(b[23:]))
		if base != next {
			return 0, fmt.Errorf("batch at %d, expected one at %d", base, next)
		}
		next = last + 1
		r.batches++
		b = b[length:]
	}
	return next, nil
}

// records decodes an answer and adds every record to the tally.
func (r *Raw) records(got *kmsg.FetchResponseTopicPartition, offset int64) error {
	decoded, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Topic: r.c.Topic, Partition: got.Partition, Offset: offset},
		got, kgo.DefaultDecompressor(), nil)
	if decoded.Err != nil {
		return decoded.Err
	}
	for _, rec := range decoded.Records {
		r.tally.Add(rec.Partition, rec.Offset, rec.Key, string(rec.Value))
		if err := r.details(rec); err != nil {
			return fmt.Errorf("offset %d: %w", rec.Offset, err)
		}
	}
	return nil
}

// details checks a record's codec, headers and timestamp as far as its client can set them.
func (r *Raw) details(rec *kgo.Record) error {
	codec, i, err := Parse(r.c.Topic, string(rec.Value))
	if err != nil {
		return err
	}
	if name := codecNames[rec.Attrs.CompressionType()]; name == codec {
		r.codecs[codec] = true
	} else if name != "none" { // a producer may leave a batch alone that would only grow
		return fmt.Errorf("record %d was sent with %s and came with %s", i, codec, name)
	}
	return errors.Join(r.headers(rec, codec, i), r.timestamp(rec, i))
}

func (r *Raw) headers(rec *kgo.Record, codec string, i int) error {
	want := map[string]string{"codec": codec, "seq": strconv.Itoa(i)}
	for _, h := range rec.Headers {
		if want[h.Key] != string(h.Value) {
			return fmt.Errorf("record %d: header %s=%q", i, h.Key, h.Value)
		}
	}
	if len(rec.Headers) == 0 && r.c.Features["headers"] {
		return fmt.Errorf("record %d has lost its headers", i)
	}
	return nil
}

func (r *Raw) timestamp(rec *kgo.Record, i int) error {
	at, want := rec.Timestamp.UnixMilli(), r.c.BaseTime+int64(i)
	if r.c.Features["times"] && at != want {
		return fmt.Errorf("record %d: timestamp %d, not %d", i, at, want)
	}
	if !r.c.Features["times"] && (at < r.c.StartTime || at > time.Now().UnixMilli()) {
		return fmt.Errorf("record %d: timestamp %d is not of this run", i, at)
	}
	return nil
}

func msTime(ms int64) time.Time { return time.UnixMilli(ms) }
