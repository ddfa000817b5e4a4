package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// scenario runs one phase of the contract with franz-go.
func scenario(ctx context.Context, c Contract, _ []string) error {
	phases := map[string]func(context.Context, Contract) error{"1": phaseOne, "2": phaseTwo, "3": readPeers}
	if phases[c.Phase] == nil {
		return fmt.Errorf("PHASE %q is not 1, 2 or 3", c.Phase)
	}
	return phases[c.Phase](ctx, c)
}

func phaseOne(ctx context.Context, c Contract) error {
	if err := report("version", nil, "%s", version()); err != nil {
		return err
	}
	if err := create(ctx, c); err != nil {
		return err
	}
	for _, s := range c.Steps() {
		if err := produce(ctx, c, s); err != nil {
			return err
		}
	}
	if err := consumeAndCommitHalf(ctx, c); err != nil {
		return err
	}
	return fromTime(ctx, c)
}

func phaseTwo(ctx context.Context, c Contract) error {
	if err := produce(ctx, c, c.After()); err != nil {
		return err
	}
	return resume(ctx, c)
}

func readPeers(ctx context.Context, c Contract) error {
	var topics []string
	for _, p := range c.Peers {
		err := read(ctx, NewTally(p.Topic, 0, p.Total),
			c.client(kgo.ConsumeTopics(p.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())))
		if err != nil {
			return report("peers", fmt.Errorf("%s: %w", p.Topic, err), "")
		}
		topics = append(topics, p.Topic)
	}
	return report("peers", nil, "read %s", strings.Join(topics, " "))
}

// version is that of the franz-go module which this program was built with.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range info.Deps {
		if m.Path == "github.com/twmb/franz-go" {
			return strings.TrimPrefix(m.Version, "v")
		}
	}
	return "unknown"
}

// opener delays the making of a client to where its errors are reported.
type opener func() (*kgo.Client, error)

func (c Contract) client(opts ...kgo.Opt) opener {
	return func() (*kgo.Client, error) {
		return kgo.NewClient(append(opts, kgo.SeedBrokers(c.Bootstrap))...)
	}
}

func create(ctx context.Context, c Contract) error {
	partitions, err := func() (int, error) {
		cl, err := c.client()()
		if err != nil {
			return 0, err
		}
		defer cl.Close()
		adm := kadm.NewClient(cl)
		if _, err := adm.CreateTopic(ctx, int32(c.Partitions), c.Replication, nil, c.Topic); err != nil {
			return 0, err
		}
		return shown(ctx, adm, c.Topic)
	}()
	if err == nil && partitions != c.Partitions {
		err = fmt.Errorf("%d partitions, not %d", partitions, c.Partitions)
	}
	return report("create", err, "%d partitions", partitions)
}

// shown waits for the topic: Kafka may show one a moment after it has said that it is there.
func shown(ctx context.Context, adm *kadm.Client, topic string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		topics, err := adm.ListTopics(ctx, topic)
		if n := len(topics[topic].Partitions); n > 0 || err != nil {
			return n, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func produce(ctx context.Context, c Contract, s Step) error {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	opts := []kgo.Opt{kgo.DefaultProduceTopic(c.Topic), kgo.ProducerBatchCompression(codecs[s.Codec])}
	if !s.Idempotent {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	cl, err := c.client(opts...)()
	if err != nil {
		return report(s.Name, err, "")
	}
	defer cl.Close()
	batch := make([]*kgo.Record, c.Records)
	for n := range batch {
		batch[n] = c.record(s.Codec, s.First+n)
	}
	return report(s.Name, cl.ProduceSync(ctx, batch...).FirstErr(), "%d records", c.Records)
}

func (c Contract) record(codec string, i int) *kgo.Record {
	r := &kgo.Record{Key: Key(i), Value: []byte(Value(c.Topic, codec, i))}
	r.Timestamp = msTime(c.BaseTime + int64(i))
	r.Headers = []kgo.RecordHeader{{Key: "codec", Value: []byte(codec)}, {Key: "seq", Value: []byte(strconv.Itoa(i))}}
	return r
}

// read polls until the tally is done and checks that nothing more comes with the last poll.
func read(ctx context.Context, t *Tally, open opener) error {
	cl, err := open()
	if err != nil {
		return err
	}
	defer cl.Close()
	return poll(ctx, t, cl)
}

func poll(ctx context.Context, t *Tally, cl *kgo.Client) error {
	for !t.Done() {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return errors.Join(err, t.Err())
		}
		fetches.EachRecord(func(r *kgo.Record) { t.Add(r.Partition, r.Offset, r.Key, string(r.Value)) })
	}
	return t.Err()
}

func (c Contract) groupMember() opener {
	return c.client(kgo.ConsumerGroup(c.Group), kgo.ConsumeTopics(c.Topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
}

func consumeAndCommitHalf(ctx context.Context, c Contract) error {
	cl, err := c.groupMember()()
	if err != nil {
		return report("consume", err, "")
	}
	defer cl.Close()
	t := NewTally(c.Topic, 0, c.Total())
	for p := range c.Partitions {
		t.StartAt(int32(p), 0)
	}
	if err := report("consume", poll(ctx, t, cl), "%d records, each once", c.Total()); err != nil {
		return err
	}
	half := map[int32]int64{}
	for p, end := range t.next {
		half[p] = end / 2
	}
	return report("commit", commit(ctx, c, cl, half), "%v", half)
}

// commit commits the offsets as a member of the group, reads them back and keeps them for phase 2.
func commit(ctx context.Context, c Contract, cl *kgo.Client, offsets map[int32]int64) error {
	if err := commitSync(ctx, c, cl, offsets); err != nil {
		return err
	}
	b, err := json.Marshal(offsets)
	if err != nil {
		return err
	}
	return os.WriteFile(c.State+".json", b, 0o644)
}

func commitSync(ctx context.Context, c Contract, cl *kgo.Client, offsets map[int32]int64) error {
	uncommitted := map[int32]kgo.EpochOffset{}
	for p, o := range offsets {
		uncommitted[p] = kgo.EpochOffset{Epoch: -1, Offset: o}
	}
	var err error
	cl.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{c.Topic: uncommitted},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, failed error) {
			err = errors.Join(failed, commitErrors(resp))
		})
	if err != nil {
		return err
	}
	return compareCommitted(ctx, c, cl, offsets)
}

func commitErrors(resp *kmsg.OffsetCommitResponse) error {
	if resp == nil {
		return nil
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("commit of partition %d: %w", p.Partition, err)
			}
		}
	}
	return nil
}

func compareCommitted(ctx context.Context, c Contract, cl *kgo.Client, want map[int32]int64) error {
	got, err := kadm.NewClient(cl).FetchOffsets(ctx, c.Group)
	if err != nil {
		return err
	}
	for p, o := range want {
		if r, ok := got.Lookup(c.Topic, p); !ok || r.At != o {
			return fmt.Errorf("partition %d: committed %d, read back %d", p, o, r.At)
		}
	}
	return nil
}

func fromTime(ctx context.Context, c Contract) error {
	first := c.Total()/2 + 3
	offsets := map[int32]kgo.Offset{}
	t := NewTally(c.Topic, first, c.Total())
	err := func() error {
		cl, err := c.client()()
		if err != nil {
			return err
		}
		defer cl.Close()
		listed, err := kadm.NewClient(cl).ListOffsetsAfterMilli(ctx, c.BaseTime+int64(first), c.Topic)
		listed.Each(func(o kadm.ListedOffset) {
			offsets[o.Partition] = kgo.NewOffset().At(o.Offset)
			t.StartAt(o.Partition, o.Offset)
		})
		return err
	}()
	if err == nil {
		err = read(ctx, t, c.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{c.Topic: offsets})))
	}
	return report("time", err, "%d records from record %d's time", c.Total()-first, first)
}

// resume joins the group again after the crash and must get exactly what stands after the committed offsets.
func resume(ctx context.Context, c Contract) error {
	committed := map[int32]int64{}
	b, err := os.ReadFile(c.State + ".json")
	if err == nil {
		err = json.Unmarshal(b, &committed)
	}
	if err != nil {
		return report("resume", err, "")
	}
	cl, err := c.groupMember()()
	if err != nil {
		return report("resume", err, "")
	}
	defer cl.Close()
	if err := compareCommitted(ctx, c, cl, committed); err != nil {
		return report("resume", err, "")
	}
	n, err := pollRest(ctx, c, cl, committed)
	if err != nil {
		return report("resume", err, "")
	}
	return report("resume", nil, "%d records from the committed offsets on", n)
}

// pollRest reads from the committed offsets to the ends, each offset once, and commits the ends.
func pollRest(ctx context.Context, c Contract, cl *kgo.Client, committed map[int32]int64) (int, error) {
	listed, err := kadm.NewClient(cl).ListEndOffsets(ctx, c.Topic)
	if err != nil {
		return 0, err
	}
	ends, left, all := map[int32]int64{}, 0, 0
	listed.Each(func(o kadm.ListedOffset) {
		ends[o.Partition] = o.Offset
		left += int(o.Offset - committed[o.Partition])
		all += int(o.Offset)
	})
	if all != c.Total()+c.Records {
		return 0, fmt.Errorf("the ends are %v, not %d records", ends, c.Total()+c.Records)
	}
	n, t := left, NewTally(c.Topic, 0, c.Total()+c.Records)
	for p := range ends {
		t.StartAt(p, committed[p])
	}
	for left > 0 && t.err == nil {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return 0, fmt.Errorf("%d records left: %w", left, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			t.Add(r.Partition, r.Offset, r.Key, string(r.Value))
			left--
		})
	}
	if t.err != nil {
		return 0, t.err
	}
	return n, commitSync(ctx, c, cl, ends)
}
