package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	retryPause  = 100 * time.Millisecond
	dialTimeout = 2 * time.Second
)

// baseOptions make a client that finds a restarted broker within about retryPause.
func (c *Config) baseOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.ClientID("chronik-bench"),
		kgo.DialTimeout(dialTimeout),
		kgo.MetadataMinAge(retryPause),
		kgo.RetryBackoffFn(func(int) time.Duration { return retryPause }),
		kgo.AlwaysRetryEOF(),
	}
}

// A target is the topic as it was when the run began.
type target struct {
	client *kgo.Client
	admin  *kadm.Client
	topic  string
	starts map[int32]int64 // by partition: its first offset
	ends   map[int32]int64 // by partition: the offset after its last
}

// openTarget creates the topic if create says so and it is missing.
func openTarget(ctx context.Context, c *Config, create bool) (*target, error) {
	client, err := kgo.NewClient(c.baseOptions()...)
	if err != nil {
		return nil, err
	}
	t := &target{client: client, admin: kadm.NewClient(client), topic: c.Topic}
	if create {
		err = t.create(ctx, c)
	}
	if err == nil {
		t.starts, err = t.offsets(ctx, c.Grace, t.admin.ListStartOffsets)
	}
	if err == nil {
		t.ends, err = t.offsets(ctx, c.Grace, t.admin.ListEndOffsets)
	}
	if err != nil {
		client.Close()
		return nil, err
	}
	return t, nil
}

func (t *target) close() { t.client.Close() }

func (t *target) create(ctx context.Context, c *Config) error {
	configs, err := c.topicConfigs()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Grace)
	defer cancel()
	_, err = t.admin.CreateTopic(ctx, c.Partitions, c.Replication, configs, c.Topic)
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("create topic %s: %w", c.Topic, err)
	}
	return nil
}

// offsets asks until every partition has answered, for grace at most: partitions that have just been created or
// restarted have no leader yet.
func (t *target) offsets(ctx context.Context, grace time.Duration, list func(context.Context, ...string) (kadm.ListedOffsets, error)) (map[int32]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	for {
		offsets, err := t.listOnce(ctx, list)
		if err == nil {
			return offsets, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("list offsets of %s: %w", t.topic, err)
		case <-time.After(retryPause):
		}
	}
}

func (t *target) listOnce(ctx context.Context, list func(context.Context, ...string) (kadm.ListedOffsets, error)) (map[int32]int64, error) {
	listed, err := list(ctx, t.topic)
	if err != nil {
		return nil, err
	}
	if err := listed.Error(); err != nil {
		return nil, err
	}
	offsets := make(map[int32]int64)
	listed.Each(func(o kadm.ListedOffset) { offsets[o.Partition] = o.Offset })
	if len(offsets) == 0 {
		return nil, kerr.UnknownTopicOrPartition
	}
	return offsets, nil
}
