package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Config is what the flags say, checked.
type Config struct {
	Brokers     []string
	Topic       string
	Partitions  int32
	Replication int16
	TopicConfig []string // name=value

	Records     int64 // 0: as many as Duration allows
	Duration    time.Duration
	Warmup      time.Duration
	Rate        float64 // records per second of all clients together; 0: as fast as it goes
	Size        sizes
	Batch       int32
	Linger      time.Duration
	Compression string
	Acks        string
	Idempotent  bool
	Buffer      int
	Clients     int
	Consumers   int

	Connections         int // of raw and raw-fetch
	InFlight            int
	Serial              bool
	Behind              int64 // records before the end of a partition
	FetchBytes          int32
	FetchPartitionBytes int32

	VerifyFile      string
	AllowDuplicates bool
	Grace           time.Duration
	DeliveryTimeout time.Duration // what Grace is while it produces, where no Duration ends that
	SignalGrace     time.Duration // what Grace is at most after a signal
	Format          string
}

// graceAfter is how long to wait without progress: whoever sent a signal wants the run to end.
func (c *Config) graceAfter(signalled context.Context) time.Duration {
	if signalled.Err() == nil {
		return c.Grace
	}
	return min(c.Grace, c.SignalGrace)
}

const (
	signalGrace     = time.Second
	bothSignalGrace = 5 * time.Second // it reads everything again to verify it
)

// commonFlags are those of every subcommand.
func (c *Config) commonFlags(fs *pflag.FlagSet) {
	fs.StringSliceVar(&c.Brokers, "brokers", []string{"localhost:9092"}, "`addresses` to start from, with commas")
	fs.StringVar(&c.Topic, "topic", "bench", "`topic` to use")
	fs.DurationVar(&c.Warmup, "warmup", 0, "`time` at the start that is not measured")
	fs.StringVar(&c.Format, "format", "table", "`format` of the result: table or json")
}

// loadFlags are those of every subcommand that produces.
func (c *Config) loadFlags(fs *pflag.FlagSet) {
	fs.Int64Var(&c.Records, "records", 0, "stop after this `number`; 0 is no limit")
	fs.DurationVar(&c.Duration, "duration", 0, "stop after this `time` (default 10s without --records)")
	fs.DurationVar(&c.Grace, "grace", time.Minute, "`time` to wait without progress for the last acknowledgements and, in both, reads")
}

func (c *Config) produceFlags(fs *pflag.FlagSet) {
	c.Size = sizes{1024, 1024}
	c.loadFlags(fs)
	c.topicFlags(fs)
	fs.BoolVar(&c.Idempotent, "idempotent", true, "produce idempotently, so that no record may stand there twice")
	fs.StringVar(&c.VerifyFile, "verify-file", "", "`file` to add the acknowledged records to, at least every second; consume checks against it")
	fs.Float64Var(&c.Rate, "rate", 0, "open loop at this many `records` per second of all clients together; 0 is as fast as it goes")
	fs.Var(&c.Size, "size", "size of a record's value, or a range as in 100-2000")
	fs.Int32Var(&c.Batch, "batch", 1_000_000, "most `bytes` in a batch, before compression")
	fs.DurationVar(&c.Linger, "linger", 5*time.Millisecond, "`time` that a batch waits to be filled")
	fs.StringVar(&c.Compression, "compression", "none", "`codec`: none, gzip, snappy, lz4 or zstd")
	fs.StringVar(&c.Acks, "acks", "all", "`replicas` to wait for: all, 1 or 0")
	fs.IntVar(&c.Buffer, "buffer", 64<<20, "most `bytes` that a client holds unacknowledged")
	fs.DurationVar(&c.DeliveryTimeout, "delivery-timeout", 2*time.Minute, "`time` without any acknowledgement that ends a run without --duration")
	fs.IntVar(&c.Clients, "clients", 1, "`number` of producers, each with its own connections")
}

// topicFlags are those of every subcommand that may have to create the topic.
func (c *Config) topicFlags(fs *pflag.FlagSet) {
	fs.Int32Var(&c.Partitions, "partitions", 12, "`number` of partitions if the topic has to be created")
	fs.Int16Var(&c.Replication, "replication", -1, "`number` of replicas if the topic has to be created; -1 is the broker's default")
	fs.StringArrayVar(&c.TopicConfig, "topic-config", nil, "`name=value` if the topic has to be created; may be repeated")
}

// connFlags are those of raw and raw-fetch.
func (c *Config) connFlags(fs *pflag.FlagSet) {
	fs.IntVar(&c.Connections, "connections", 4, "`number` of connections")
}

func (c *Config) rawFlags(fs *pflag.FlagSet) {
	c.Size = sizes{1024, 1024}
	c.loadFlags(fs)
	fs.IntVar(&c.InFlight, "in-flight", 5, "`number` of requests that a connection has in flight")
	fs.Int32Var(&c.Batch, "batch", 1<<20, "`bytes` of a batch, of which a request has one")
	fs.Var(&c.Size, "size", "size of a record's value; a smaller batch has one smaller record")
	fs.StringVar(&c.Acks, "acks", "all", "`replicas` to wait for: all or 1")
	fs.BoolVar(&c.Serial, "serial", false, "one connection, one request of 1 KiB at a time")
}

func (c *Config) rawFetchFlags(fs *pflag.FlagSet) {
	fs.DurationVar(&c.Duration, "duration", 10*time.Second, "stop after this `time`")
	fs.DurationVar(&c.Grace, "grace", time.Minute, "`time` to wait for an answer after that")
	fs.Int64Var(&c.Behind, "behind", 1024, "`records` before the end of a partition at which to read")
	fs.Int32Var(&c.FetchBytes, "fetch-bytes", 8<<20, "most `bytes` of a response")
	fs.Int32Var(&c.FetchPartitionBytes, "fetch-partition-bytes", 1<<20, "most `bytes` of a partition in a response")
}

func (c *Config) consumeFlags(fs *pflag.FlagSet) {
	fs.Int64Var(&c.Records, "records", 0, "stop after this `number` with --duration; 0 is no limit")
	fs.DurationVar(&c.Duration, "duration", 0, "read what the topic holds and what comes for this `time`; 0, or with a verify file: what it holds")
	fs.DurationVar(&c.Grace, "grace", time.Minute, "`time` to wait without progress for what the topic holds")
	fs.StringVar(&c.VerifyFile, "verify-file", "", "`file` that produce or both made: its topic is read, and every record in it has to be there")
	fs.BoolVar(&c.AllowDuplicates, "allow-duplicates", false, "accept a record that stands there twice, as producers leave that are not idempotent")
	c.readFlags(fs)
}

// readFlags are those of consume and both.
func (c *Config) readFlags(fs *pflag.FlagSet) {
	fs.IntVar(&c.Consumers, "consumers", 1, "`number` of consumers; they share the partitions")
}

var (
	codecs = map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	ackModes = map[string]kgo.Acks{"all": kgo.AllISRAcks(), "-1": kgo.AllISRAcks(), "1": kgo.LeaderAck(), "0": kgo.NoAck()}
)

// check also settles the defaults that depend on other flags.
func (c *Config) check(fs *pflag.FlagSet, subcommand string) error {
	if subcommand != "consume" && c.Records == 0 && c.Duration == 0 {
		c.Duration = 10 * time.Second
	}
	if c.SignalGrace = signalGrace; subcommand == "both" {
		c.SignalGrace = bothSignalGrace
	}
	err := c.checkRanges(fs)
	switch subcommand {
	case "produce", "both":
		err = cmp.Or(err, c.checkProduce(fs))
	case "raw":
		err = cmp.Or(err, c.checkRaw())
	}
	switch {
	case err != nil:
		return err
	case c.Duration > 0 && c.Warmup >= c.Duration:
		return errors.New("--warmup leaves nothing of --duration to measure")
	case !slices.Contains([]string{"table", "json"}, c.Format):
		return fmt.Errorf("--format %q is unknown: write table or json", c.Format)
	}
	return nil
}

// checkRanges looks at the flags that the subcommand has.
func (c *Config) checkRanges(fs *pflag.FlagSet) error {
	for _, r := range []struct {
		flag  string
		right bool
		write string
	}{
		{"records", c.Records >= 0, "0 or more"},
		{"duration", c.Duration >= 0, "0 or more"},
		{"warmup", c.Warmup >= 0, "0 or more"},
		{"grace", c.Grace > 0, "more than 0"},
		{"delivery-timeout", c.DeliveryTimeout > 0, "more than 0"},
		{"rate", c.Rate >= 0, "0 or more"},
		{"linger", c.Linger >= 0, "0 or more"},
		{"clients", c.Clients >= 1, "1 or more"},
		{"partitions", c.Partitions >= 1, "1 or more"},
		{"consumers", c.Consumers >= 1, "1 or more"},
		{"connections", c.Connections >= 1, "1 or more"},
		{"in-flight", c.InFlight >= 1, "1 or more"},
		{"behind", c.Behind >= 0, "0 or more"},
		{"fetch-bytes", c.FetchBytes >= 1, "1 or more"},
		{"fetch-partition-bytes", c.FetchPartitionBytes >= 1, "1 or more"},
	} {
		if f := fs.Lookup(r.flag); f != nil && !r.right {
			return fmt.Errorf("--%s %s is out of range: write %s", r.flag, f.Value, r.write)
		}
	}
	return nil
}

func (c *Config) checkProduce(fs *pflag.FlagSet) error {
	const batchOverhead = 100 // the headers of a batch and of its record
	if _, ok := codecs[c.Compression]; !ok {
		return fmt.Errorf("--compression %q is unknown: write none, gzip, snappy, lz4 or zstd", c.Compression)
	}
	acks, ok := ackModes[c.Acks]
	if !ok {
		return fmt.Errorf("--acks %q is unknown: write all, 1 or 0", c.Acks)
	}
	if acks != kgo.AllISRAcks() && c.Idempotent {
		if fs.Changed("idempotent") {
			return errors.New("--idempotent needs --acks all")
		}
		c.Idempotent = false
	}
	switch {
	case c.Size.most+batchOverhead > int(c.Batch):
		return fmt.Errorf("--batch %d is too small for a record of %d bytes", c.Batch, c.Size.most)
	case c.Buffer < int(c.Batch):
		return fmt.Errorf("--buffer %d is smaller than a batch", c.Buffer)
	}
	return nil
}

func (c *Config) checkRaw() error {
	if c.Serial {
		c.Connections, c.InFlight, c.Batch = 1, 1, 1<<10
	}
	switch {
	case c.Acks != "all" && c.Acks != "-1" && c.Acks != "1":
		return fmt.Errorf("--acks %q: write all or 1, a request without an answer cannot be measured", c.Acks)
	case c.Batch < 100:
		return fmt.Errorf("--batch %d is too small for a record", c.Batch)
	}
	return nil
}

// topicConfigs are the configs to create the topic with.
func (c *Config) topicConfigs() (map[string]*string, error) {
	configs := make(map[string]*string)
	for _, text := range c.TopicConfig {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("--topic-config %q: write name=value", text)
		}
		configs[name] = &value
	}
	return configs, nil
}
