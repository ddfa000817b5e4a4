package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	partitionsLoad = "10,000 idle partitions"
	recoveryLoad   = "recovery of 1 GiB of write-ahead log"
)

// partitions measures the memory of a server with many partitions: just created, with a record in each, and after a
// restart.
func (b *bench) partitions(dir string) error {
	s := &server{name: "real", command: b.real.command, dir: filepath.Join(dir, "partitions"), flags: b.Server}
	if _, err := s.start(b.ctx); err != nil {
		return err
	}
	defer func() { s.kill() }()
	if err := b.fillPartitions(s); err != nil {
		return err
	}
	if err := s.resident(b, partitionsLoad+", a record in each: resident memory", "300 MiB"); err != nil {
		return err
	}
	if err := s.stop(); err != nil {
		return err
	}
	if _, err := s.start(b.ctx); err != nil {
		return err
	}
	return s.resident(b, partitionsLoad+", after a restart: resident memory", "300 MiB")
}

func (b *bench) fillPartitions(s *server) error {
	const topics, each = 10, 1000
	client, err := kgo.NewClient(kgo.SeedBrokers(s.addr), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(b.ctx, 2*time.Minute)
	defer cancel()
	var records []*kgo.Record
	for i := range topics {
		name := fmt.Sprint(topic, i)
		if _, err := kadm.NewClient(client).CreateTopic(ctx, each, 1, nil, name); err != nil {
			return err
		}
		for p := range each {
			records = append(records, &kgo.Record{Topic: name, Partition: int32(p), Value: []byte("one")})
		}
	}
	return client.ProduceSync(ctx, records...).FirstErr()
}

// resident adds a row with the server's memory once it has had nothing to do for a while.
func (s *server) resident(b *bench, what, target string) error {
	if err := s.serves(b.ctx); err != nil {
		return err
	}
	if err := b.pause(3 * time.Second); err != nil {
		return err
	}
	rss, err := s.memory("VmRSS")
	b.result.line(what, target, "", fmt.Sprintf("%.0f MiB", rss), "")
	return err
}

// recovery measures the start after kill -9 with a long log. Its memory must not depend on the log's length, so a log
// of a quarter of that is measured too.
func (b *bench) recovery(dir string) error {
	for _, mib := range []int{256, 1024} {
		s := &server{name: "real", command: b.real.command, dir: filepath.Join(dir, fmt.Sprint("recovery", mib)),
			flags: append([]string{"--wal-size", "4GiB"}, b.Server...)}
		took, err := b.recover(s, mib)
		if err != nil {
			return err
		}
		rss, err := s.memory("VmHWM")
		s.kill()
		if err != nil {
			return err
		}
		target, memory := "", ""
		if mib == 1024 {
			target, memory = "4 s", "as the one before"
		}
		b.result.line(fmt.Sprintf("recovery of %d MiB of log after kill -9: time", mib), target, "", fmt.Sprintf("%.2f s", took.Seconds()), "")
		b.result.line(fmt.Sprintf("recovery of %d MiB of log after kill -9: resident memory", mib), memory, "", fmt.Sprintf("%.0f MiB", rss), "")
	}
	return nil
}

// recover fills the log, kills the server and starts it again; it leaves it running.
func (b *bench) recover(s *server, mib int) (time.Duration, error) {
	if _, err := s.start(b.ctx); err != nil {
		return 0, err
	}
	fill := load{args: fmt.Sprintf("raw --connections 4 --batch 65536 --records %d", mib<<10), topic: keeping(12)}
	_, err := b.chronikBench(fill, s)
	s.kill()
	if err != nil {
		return 0, err
	}
	begin, err := s.start(b.ctx)
	if err != nil {
		return 0, err
	}
	err = s.serves(b.ctx)
	return time.Since(begin), err
}

// serves waits until a connection is answered, and not only taken by the system.
func (s *server) serves(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.addr))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return client.Ping(ctx)
}
