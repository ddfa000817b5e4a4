package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// startWithin bounds a start: after a kill Kafka reads all that it has not flushed, which may be half of 20 GiB.
const startWithin = 5 * time.Minute

const startLoad = "start to the first acknowledged record"

// starts measures how long a record has to wait for a server that is only being started, on an empty data directory
// and on the one that it has used.
func (b *bench) starts(dir string) error {
	var empty, used []float64
	for i := range b.Rounds {
		s := &server{name: "real", command: b.real.command, dir: filepath.Join(dir, fmt.Sprint("start", i)), flags: b.Server}
		for _, into := range []*[]float64{&empty, &used} {
			ms, err := b.startOnce(s)
			if err != nil {
				return err
			}
			*into = append(*into, ms)
		}
	}
	b.result.line(startLoad+", empty directory", "150 ms", "", fmt.Sprintf("%.0f ms", median(empty)), "")
	b.result.line(startLoad+", used directory", "150 ms", "", fmt.Sprintf("%.0f ms", median(used)), "")
	return nil
}

func (b *bench) startOnce(s *server) (ms float64, err error) {
	begin, err := s.start(b.ctx)
	if err != nil {
		return 0, err
	}
	defer s.kill()
	if err := firstRecord(b.ctx, s.addr); err != nil {
		return 0, err
	}
	took := time.Since(begin)
	if err := s.stop(); err != nil {
		return 0, err
	}
	fmt.Fprintf(b.progress, "%-50s %-4s %8.1f ms\n", startLoad, s.name, float64(took.Microseconds())/1000)
	return float64(took.Microseconds()) / 1000, nil
}

// firstRecord creates the topic where it is missing and produces one record.
func firstRecord(ctx context.Context, addr string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(topic), kgo.ProducerLinger(0), kgo.UnknownTopicRetries(-1),
		kgo.MetadataMinAge(10*time.Millisecond), kgo.RetryBackoffFn(func(int) time.Duration { return time.Millisecond }))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	admin := kadm.NewClient(client)
	for {
		topics, err := admin.ListTopics(ctx, topic)
		if err == nil && !topics.Has(topic) {
			_, err = admin.CreateTopic(ctx, 1, 1, nil, topic)
		}
		if err == nil {
			return client.ProduceSync(ctx, kgo.StringRecord("first")).FirstErr()
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Millisecond):
		}
	}
}
