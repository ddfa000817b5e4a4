package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// reader reads records and writes them.
type reader struct {
	f      *adminFlags
	c      *consumeFlags
	cmd    *cobra.Command
	client *kgo.Client
	admin  *kadm.Client
	write  func(io.Writer, *kgo.Record) error

	mu       sync.Mutex               // the group's callbacks come from elsewhere
	ends     map[topicPartition]int64 // where to stop, of those that are not read to there yet
	total    int64                    // records to read
	assigned bool                     // the partitions are known
	failed   error                    // in a callback

	read int64
	bar  *bar
}

const (
	readAtOnce = 5000
	idleStep   = time.Second // after which it is looked whether there is anything to read at all
)

// options are those of the client.
func (r *reader) options(topics []string) []kgo.Opt {
	reset := kgo.NewOffset().AtStart()
	if r.c.offset == "latest" && r.c.group != "" {
		reset = kgo.NewOffset().AtEnd()
	}
	// The ends of transactions count: a partition may end with one.
	options := []kgo.Opt{kgo.KeepControlRecords(), kgo.ConsumeResetOffset(reset)}
	if r.c.group == "" {
		return options
	}
	if r.c.protocol == consumerGroup {
		options = append(options, kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer())) // which stands for the broker's uniform assignor
	}
	return append(options, kgo.ConsumerGroup(r.c.group), kgo.ConsumeTopics(topics...), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(r.gotPartitions), kgo.OnPartitionsRevoked(r.gavePartitions))
}

// begin says what is read: a group's member is told so later.
func (r *reader) begin(ctx context.Context, topics []string) error {
	if r.c.group != "" {
		return r.topicsThere(ctx, topics)
	}
	spans, err := r.c.spans(ctx, r.admin, topics)
	if err != nil {
		return err
	}
	from := map[string]map[int32]kgo.Offset{}
	for p, span := range spans {
		r.expect(p, span[0], span[1])
		if span[0] < span[1] || r.c.follow {
			if from[p.topic] == nil {
				from[p.topic] = map[int32]kgo.Offset{}
			}
			from[p.topic][p.partition] = kgo.NewOffset().At(span[0])
		}
	}
	r.assigned = true
	r.client.AddConsumePartitions(from)
	return nil
}

func (r *reader) topicsThere(ctx context.Context, topics []string) error {
	known, err := r.admin.ListTopics(ctx, topics...)
	for _, topic := range topics {
		if err == nil && known[topic].Err != nil {
			err = topicError(topic, known[topic].Err)
		}
	}
	return err
}

func (r *reader) expect(p topicPartition, from, end int64) {
	if from < end {
		r.ends[p] = end
		r.total += end - from
	}
}

// gotPartitions finds where the group goes on in them, and where they end.
func (r *reader) gotPartitions(ctx context.Context, _ *kgo.Client, got map[string][]int32) {
	if len(got) == 0 {
		return
	}
	topics := sortedKeys(got)
	committed, err := committedOf(ctx, r.admin, groupLine{Group: r.c.group})
	listed, missing, err2 := listedBy(ctx, topics, r.admin.ListStartOffsets, r.admin.ListEndOffsets)
	known, err3 := r.admin.ListTopics(ctx, topics...)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed = errors.Join(r.failed, err, err2, err3); r.failed != nil {
		return
	}
	for topic, numbers := range got {
		for _, n := range numbers {
			p := topicPartition{topic, n}
			if err := untold(p, known[topic].Partitions[n].Leader, listed, missing); err != nil {
				if !r.c.follow { // which waits for a leader
					r.failed = errors.Join(r.failed, err)
				}
				continue
			}
			start, end := listed[0][topic][n].Offset, listed[1][topic][n].Offset
			from, ok := committed[p]
			if !ok && r.c.offset == "latest" {
				from = end
			}
			r.expect(p, max(from, start), end)
		}
	}
	r.assigned = true
}

func (r *reader) gavePartitions(_ context.Context, _ *kgo.Client, gave map[string][]int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for topic, numbers := range gave {
		for _, n := range numbers {
			delete(r.ends, topicPartition{topic, n})
		}
	}
}

// run reads until it is done, or ctx ends it, as Ctrl-C does: that is no error.
func (r *reader) run(ctx context.Context) (err error) {
	file := r.cmd.OutOrStdout()
	if r.c.output != "" {
		made, err := os.Create(r.c.output)
		if err != nil {
			return fmt.Errorf("--output: %w", err)
		}
		defer func() { err = errors.Join(err, made.Close()) }()
		file = made
	}
	r.bar = newBar(r.cmd, "records", r.total, isTerminal(file))
	defer r.bar.end()
	out := bufio.NewWriterSize(file, 64<<10)
	if r.f.format == formatTable && r.c.template == "" {
		if err := writeRecordHead(out); err != nil {
			return err
		}
	}
	err = r.loop(ctx, out)
	return errors.Join(err, out.Flush())
}

func (r *reader) loop(ctx context.Context, out *bufio.Writer) error {
	idle := time.Now()
	for {
		done, err := r.done()
		if done || err != nil || ctx.Err() != nil {
			return err
		}
		polled, cancel := context.WithTimeout(ctx, idleStep)
		fetches := r.client.PollRecords(polled, r.room())
		cancel()
		if err := fetched(fetches); err != nil {
			return err
		}
		records := fetches.Records()
		err = r.writeAll(ctx, out, records)
		r.client.AllowRebalance()
		if err != nil {
			return err
		}
		if len(records) > 0 {
			idle = time.Now()
		} else if err := r.look(ctx, time.Since(idle)); err != nil {
			return err
		}
	}
}

func (r *reader) done() (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.c.count >= 0 && r.read >= r.c.count {
		return true, nil
	}
	return r.assigned && !r.c.follow && len(r.ends) == 0, r.failed
}

// room is how many records may be read at once.
func (r *reader) room() int {
	if r.c.count < 0 {
		return readAtOnce
	}
	return int(min(readAtOnce, r.c.count-r.read))
}

// fetched is what keeps partitions from being read; that nothing came in time does not.
func fetched(fetches kgo.Fetches) (err error) {
	fetches.EachError(func(topic string, _ int32, e error) {
		if err == nil && !errors.Is(e, context.DeadlineExceeded) && !errors.Is(e, context.Canceled) {
			err = topicError(topic, e)
		}
	})
	return err
}

// writeAll writes records, those of transactions' ends excepted, and commits them when that is done.
func (r *reader) writeAll(ctx context.Context, out *bufio.Writer, records []*kgo.Record) error {
	for _, record := range records {
		if !record.Attrs.IsControl() {
			if err := r.write(out, record); err != nil {
				return err
			}
			r.read++
		}
		r.passed(record)
	}
	if len(records) == 0 {
		return nil
	}
	r.mu.Lock()
	r.bar.set(r.read, r.total)
	r.mu.Unlock()
	if err := out.Flush(); err != nil || r.c.group == "" {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.f.timeout) // what is written is committed, also after Ctrl-C
	defer cancel()
	if err := r.client.CommitRecords(ctx, records...); err != nil {
		return groupError(r.c.group, err)
	}
	return nil
}

func (r *reader) passed(record *kgo.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := topicPartition{record.Topic, record.Partition}
	if end, ok := r.ends[p]; ok && record.Offset+1 >= end {
		delete(r.ends, p)
	}
}

// look forgets partitions whose records were deleted meanwhile, and gives up when nothing has come for too long.
func (r *reader) look(ctx context.Context, idle time.Duration) error {
	if r.c.follow || ctx.Err() != nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	left := slices.Collect(maps.Keys(r.ends))
	starts, _ := endsOf(ctx, r.admin, left)
	for _, p := range left {
		if start := listed(starts, p.topic, p.partition); start != nil && *start >= r.ends[p] {
			delete(r.ends, p)
		}
	}
	if idle < r.f.timeout || r.assigned && len(r.ends) == 0 {
		return nil
	}
	if !r.assigned {
		return fmt.Errorf("group %s gave no partitions to this member for %s: has it more members than partitions? chronik group describe %s", r.c.group, r.f.timeout, r.c.group)
	}
	return fmt.Errorf("nothing came for %s, and %s not read to the end: chronik cluster status shows whether there are leaders", r.f.timeout, countedWith(len(r.ends), "partition", "is", "are"))
}
