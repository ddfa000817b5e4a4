package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// readers read a topic from given offsets, verify every record, and stop at offsets that may be given later.
type readers struct {
	config *Config
	clock  clock
	errors *errorCounts
	grace  func() time.Duration            // how long to wait for what must come
	live   bool                            // they read what is being produced: latency is from intended to read
	ends   atomic.Pointer[map[int32]int64] // by partition: stop there
	read   atomic.Int64
	all    []*reader
}

// reader is one client with its part of the partitions.
type reader struct {
	*readers
	client  *kgo.Client
	checker *checker
	meter   *meter // from when a record was to be sent until it is read
	last    int64  // when a record was last read
}

func newReaders(c *Config, clk clock, live bool, from int64, starts map[int32]int64) (*readers, error) {
	rs := &readers{config: c, clock: clk, live: live, errors: new(errorCounts)}
	rs.grace = func() time.Duration { return c.Grace }
	shares := make([]map[int32]int64, c.Consumers)
	for i, partition := range slices.Sorted(maps.Keys(starts)) {
		share := &shares[i%c.Consumers]
		if *share == nil {
			*share = make(map[int32]int64)
		}
		(*share)[partition] = starts[partition]
	}
	for _, share := range shares {
		if share == nil {
			continue
		}
		r := &reader{readers: rs, checker: newChecker(), meter: newMeter(from)}
		var err error
		if r.client, err = kgo.NewClient(c.consumeOptions(r.checker, share)...); err != nil {
			rs.close()
			return nil, err
		}
		rs.all = append(rs.all, r)
	}
	return rs, nil
}

func (c *Config) consumeOptions(check *checker, starts map[int32]int64) []kgo.Opt {
	offsets := make(map[int32]kgo.Offset)
	for partition, offset := range starts {
		check.start(partition, offset)
		offsets[partition] = kgo.NewOffset().At(offset)
	}
	return append(c.baseOptions(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{c.Topic: offsets}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // an offset that is gone is a finding, not a reason to go elsewhere
		kgo.FetchMaxBytes(64<<20),
		kgo.FetchMaxPartitionBytes(4<<20),
	)
}

// stopAt may be called at any time, once.
func (rs *readers) stopAt(ends map[int32]int64) { rs.ends.Store(&ends) }

// run reads until the ends, the number of records or ctx end it, or until nothing comes for a whole grace while
// something must.
func (rs *readers) run(ctx context.Context) error {
	var wait sync.WaitGroup
	failed := make([]error, len(rs.all))
	for i, r := range rs.all {
		wait.Go(func() { failed[i] = r.run(ctx) })
	}
	wait.Wait()
	return errors.Join(failed...)
}

const pollTime = 100 * time.Millisecond

func (r *reader) run(ctx context.Context) error {
	r.last = r.clock.now()
	var ends *map[int32]int64
	for ctx.Err() == nil && !r.enough() {
		if e := r.ends.Load(); e != ends {
			ends, r.last = e, r.clock.now()
		}
		if ends != nil {
			left := r.left(*ends)
			if len(left) == 0 {
				return nil
			}
			if grace := r.grace(); time.Duration(r.clock.now()-r.last) > grace {
				return fmt.Errorf("nothing came for %s, and these partitions are not read to their ends: %v", grace, left)
			}
		}
		r.poll(ctx)
	}
	return nil
}

func (r *reader) enough() bool {
	return r.config.Records > 0 && r.ends.Load() == nil && r.read.Load() >= r.config.Records
}

// left returns the partitions that are not read to ends, in words.
func (r *reader) left(ends map[int32]int64) (left []string) {
	for partition, next := range r.checker.next {
		if next < ends[partition] {
			left = append(left, fmt.Sprintf("%d (at %d of %d)", partition, next, ends[partition]))
		}
	}
	slices.Sort(left)
	return left
}

func (r *reader) poll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, pollTime)
	defer cancel()
	fetches := r.client.PollFetches(ctx)
	fetches.EachError(func(_ string, partition int32, err error) {
		if ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
			r.errors.add(fmt.Errorf("partition %d: %w", partition, err))
		}
	})
	now, n := r.clock.now(), int64(0)
	fetches.EachRecord(func(record *kgo.Record) {
		n++
		sent := now
		if h, ok := r.checker.check(record); ok && r.live {
			sent = h.time
		}
		r.meter.record(sent, now, len(record.Value))
	})
	if n > 0 {
		r.read.Add(n)
		r.last = now
	}
}

func (rs *readers) close() {
	for _, r := range rs.all {
		r.client.Close()
	}
}

// findings and meter are those of all readers, after run.
func (rs *readers) findings() *findings {
	f := new(findings)
	for _, r := range rs.all {
		f.add(r.checker.found)
	}
	return f
}

func (rs *readers) checkers() (all []*checker) {
	for _, r := range rs.all {
		all = append(all, r.checker)
	}
	return all
}

func (rs *readers) meter(from int64) *meter {
	all := newMeter(from)
	for _, r := range rs.all {
		all.merge(r.meter)
	}
	return all
}
