package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// runRawFetch asks for the same records again and again and counts the bytes that come.
func runRawFetch(ctx context.Context, c *Config) (*report, error) {
	t, err := openTarget(ctx, c, false)
	if err != nil {
		return nil, err
	}
	defer t.close()
	all, err := t.leaders(ctx, c.Grace)
	if err != nil {
		return nil, err
	}
	clk := newClock()
	from := clk.now() + int64(c.Warmup)
	ctx, cancel := context.WithTimeout(ctx, c.Duration)
	defer cancel()
	var stopped atomic.Bool
	context.AfterFunc(ctx, func() { stopped.Store(true) })
	fetchers := make([]*rawFetcher, c.Connections)
	err = c.eachConn(ctx, all, func(_ context.Context, i int, conn *rawConn, on led) error {
		f := &rawFetcher{conn: conn, clock: clk, meter: newMeter(from), stopped: &stopped}
		f.request = c.fetchRequest(t, on.partitions)
		fetchers[i] = f
		return f.run()
	})
	return &report{Topic: c.Topic, Fetch: fetchReportOf(fetchers, from)}, err
}

// fetchReport is of responses, not of records.
type fetchReport struct {
	throughput
	TotalBytes int64 `json:"total_bytes"` // warm-up included
}

func fetchReportOf(fetchers []*rawFetcher, from int64) *fetchReport {
	all, r := newMeter(from), new(fetchReport)
	for _, f := range fetchers {
		if f != nil {
			all.merge(f.meter)
			r.TotalBytes += f.total
		}
	}
	r.throughput = all.throughput()
	return r
}

const rawFetchVersion = 12 // flexible, and topics have names

// fetchRequest asks for records that lie c.Behind before the end of each partition, without a session.
func (c *Config) fetchRequest(t *target, partitions []int32) []byte {
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic = c.Topic
	for _, number := range partitions {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.PartitionMaxBytes = number, c.FetchPartitionBytes
		p.FetchOffset = max(t.starts[number], t.ends[number]-c.Behind)
		topic.Partitions = append(topic.Partitions, p)
	}
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.SessionEpoch, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = rawFetchVersion, -1, 500, 1, c.FetchBytes
	req.Topics = append(req.Topics, topic)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("chronik-bench")).AppendRequest(nil, req, 1)
}

// rawFetcher has one request in flight, as consumers do.
type rawFetcher struct {
	conn    *rawConn
	clock   clock
	meter   *meter
	stopped *atomic.Bool
	request []byte
	least   int   // bytes of a response that is not suspicious
	total   int64 // bytes of responses
	scratch []byte
}

var errFewBytes = errors.New("the answers became much shorter: the records are gone, or cannot be read")

func (f *rawFetcher) run() error {
	f.scratch = make([]byte, 256<<10)
	for !f.stopped.Load() {
		begin := f.clock.now()
		f.conn.out = append(f.conn.out, f.request)
		if err := f.conn.send(); err != nil {
			return err
		}
		n, err := f.conn.size()
		if err != nil {
			return err
		}
		if err := f.take(n); err != nil {
			return err
		}
		f.total += int64(n)
		f.meter.batch(begin, f.clock.now(), 1, n)
	}
	return nil
}

// take looks into the first response and throws the others away.
func (f *rawFetcher) take(n int) error {
	if f.least == 0 {
		first := make([]byte, n)
		if _, err := io.ReadFull(f.conn.in, first); err != nil {
			return err
		}
		f.least = n / 4
		return checkFetch(first)
	}
	if n < f.least {
		return errFewBytes
	}
	for n > 0 {
		k, err := f.conn.in.Read(f.scratch[:min(n, len(f.scratch))])
		if err != nil {
			return err
		}
		n -= k
	}
	return nil
}

func checkFetch(response []byte) error {
	r := kmsg.NewPtrFetchResponse()
	r.Version = rawFetchVersion
	const before = 4 + 1 // the correlation id and tags
	if err := r.ReadFrom(response[min(before, len(response)):]); err != nil {
		return err
	}
	if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
		return err
	}
	empty := true
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("partition %d: %w", p.Partition, err)
			}
			empty = empty && len(p.RecordBatches) == 0
		}
	}
	if empty {
		return errors.New("no records: produce some first")
	}
	return nil
}
