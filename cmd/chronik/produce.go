package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// produceFlags say what is written.
type produceFlags struct {
	input       string // lines, json or raw
	file        string
	key         string
	keySplit    string // what stands between key and value of a line
	headers     []string
	partition   int32 // -1: the key decides
	repartition bool
	timestamp   string
	null        bool // a record without a value
	nullEmpty   bool // empty keys and values of lines are null
	create      bool
	compression string
	acks        string
}

var (
	codecs = map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	ackOptions = map[string][]kgo.Opt{"all": {kgo.RequiredAcks(kgo.AllISRAcks())}, "1": {kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite()},
		"0": {kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite()}}
)

// Inputs of produce.
const (
	inputLines = "lines"
	inputJSON  = "json"
	inputRaw   = "raw"
)

func produceCommand() *cobra.Command {
	f, p := &adminFlags{}, &produceFlags{}
	cmd := &cobra.Command{
		Use: "produce TOPIC [VALUE...]", Short: "Write records", ValidArgsFunction: f.topicNames(1),
		Long: `Write records to a topic: the values that are named, or what --file or standard input has, a record for each line. It ends when
all are acknowledged, and says where they are.

Inputs: lines has a value on each line, and with --key-separator a key before it; json has an object on each line, as
chronik consume --format json writes it, of which all may be missing; raw is one record with all that there is.
In json, key_base64 and value_base64 stand for bytes that are no UTF-8, and topic and offset are not used.`,
		Example: `  chronik produce greetings hello
  chronik produce orders --key 17 --header source=shop '{"amount": 3}'
  printf '17:first\n18:second\n' | chronik produce orders --key-separator :
  chronik produce orders --key 17 --null                      # a tombstone
  chronik produce pictures --input raw --file cat.png
  chronik consume orders --format json | chronik produce copy --input json --create`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return oneTopic(cmd, args)
			}
			return p.check(cmd, args[1:])
		},
		RunE: func(cmd *cobra.Command, args []string) error { return f.produce(cmd, p, args[0], args[1:]) },
	}
	f.add(cmd, formatTable, formatJSON)
	p.add(cmd)
	return documented(cmd, produced{})
}

func (p *produceFlags) add(cmd *cobra.Command) {
	inputs := []string{inputLines, inputJSON, inputRaw}
	cmd.Flags().StringVar(&p.input, "input", inputLines, "`form` of what is read: lines, json, raw")
	cmd.Flags().StringVar(&p.file, "file", "", "`file` to read instead of standard input")
	cmd.Flags().StringVar(&p.key, "key", "", "`key` of each record")
	cmd.Flags().StringVarP(&p.keySplit, "key-separator", "K", "", "`text` between key and value on each line; a line without it has no key")
	cmd.Flags().StringArrayVar(&p.headers, "header", nil, "`name=value` of a header of each record; may be repeated")
	cmd.Flags().Int32Var(&p.partition, "partition", -1, "`number` of the partition; -1: the one that json names, or the key decides")
	cmd.Flags().BoolVar(&p.repartition, "repartition", false, "have the key decide, also where json names a partition")
	cmd.Flags().StringVar(&p.timestamp, "timestamp", "", "`time` of each record: 2026-05-01T08:00:00Z, how long ago (2h), or milliseconds since 1970; otherwise the one that json names, or now")
	cmd.Flags().BoolVar(&p.null, "null", false, "write one record without a value, which is no empty one: a tombstone")
	cmd.Flags().BoolVar(&p.nullEmpty, "null-empty", false, "keys and values of lines that are empty are none")
	cmd.Flags().BoolVar(&p.create, "create", false, "create the topic with the broker's defaults when it is not there")
	cmd.Flags().StringVar(&p.compression, "compression", "none", "`codec`: none, gzip, snappy, lz4, zstd")
	cmd.Flags().StringVar(&p.acks, "acks", "all", "who must have it: all replicas in sync, 1 (the leader), or 0 (nobody says)")
	complete(cmd, "input", inputs...)
	complete(cmd, "compression", sortedKeys(codecs)...)
	complete(cmd, "acks", sortedKeys(ackOptions)...)
}

func (p *produceFlags) check(cmd *cobra.Command, values []string) error {
	if codecs[p.compression] == (kgo.CompressionCodec{}) && p.compression != "none" {
		return fmt.Errorf("--compression %s: write one of none, gzip, snappy, lz4, zstd", p.compression)
	}
	if ackOptions[p.acks] == nil {
		return fmt.Errorf("--acks %s: write all, 1 or 0", p.acks)
	}
	if !slices.Contains([]string{inputLines, inputJSON, inputRaw}, p.input) {
		return fmt.Errorf("--input %s: write lines, json or raw", p.input)
	}
	given := len(values) > 0 || p.null
	if given && (p.file != "" || cmd.Flags().Changed("input")) || len(values) > 0 && p.null {
		return errors.New("what is to be written? name values, or write --null, or say what to read with --file and --input")
	}
	if p.keySplit != "" && (p.input != inputLines || given) {
		return errors.New("--key-separator is for lines that are read: leave it out")
	}
	if p.keySplit != "" && cmd.Flags().Changed("key") {
		return errors.New("which key? write --key or --key-separator")
	}
	if p.partition < -1 {
		return fmt.Errorf("--partition %d: write 0 or more", p.partition)
	}
	if p.timestamp != "" {
		if _, err := millisOf(p.timestamp); err != nil {
			return fmt.Errorf("--timestamp %w", err)
		}
	}
	_, _, err := settings("--header", p.headers)
	return err
}

func (f *adminFlags) produce(cmd *cobra.Command, p *produceFlags, topic string, values []string) error {
	from, err := p.source(cmd, values)
	if err != nil {
		return err
	}
	defer from.close()
	largest, err := f.prepare(cmd, p, topic)
	if err != nil {
		return err
	}
	options := append([]kgo.Opt{kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(newChooser()), kgo.ProducerBatchCompression(codecs[p.compression]),
		kgo.ProducerBatchMaxBytes(largest), kgo.BrokerMaxWriteBytes(max(100<<20, largest+1<<20))}, ackOptions[p.acks]...)
	client, err := f.client(options...)
	if err != nil {
		return err
	}
	defer client.Close()
	w := &writer{client: client, unheard: p.acks == "0", done: map[int32]*writtenTo{}, bar: newBar(cmd, "bytes", from.size, from.typed)}
	err = w.run(cmd.Context(), from, f.timeout)
	w.bar.end()
	result := w.result(topic)
	return errors.Join(f.print(cmd, result, result.show), produceError(topic, err))
}

// prepare sees that the topic is there, and how large its batches may be.
func (f *adminFlags) prepare(cmd *cobra.Command, p *produceFlags, topic string) (largest int32, err error) {
	err = f.askWithin(cmd, f.timeout, func(ctx context.Context, admin *kadm.Client, client *kgo.Client) error {
		if p.create {
			if _, err := admin.CreateTopic(ctx, -1, -1, nil, topic); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
				return topicError(topic, err)
			}
		}
		topics, err := admin.ListTopics(ctx, topic)
		if err != nil {
			return err
		}
		if errors.Is(topics[topic].Err, kerr.UnknownTopicOrPartition) {
			return fmt.Errorf("there is no topic %s: chronik topic create %s makes it, or --create here", topic, topic)
		}
		if err := topics[topic].Err; err != nil {
			return topicError(topic, err)
		}
		if _, ok := topics[topic].Partitions[p.partition]; p.partition >= 0 && !ok {
			return fmt.Errorf("topic %s has no partition %d: it has 0 to %d", topic, p.partition, len(topics[topic].Partitions)-1)
		}
		largest = largestBatch(ctx, client, topic)
		return nil
	})
	return largest, err
}

// maxMessageBytes bounds a topic's batches; defaultMaxMessageBytes is Kafka's default, and the client's.
const (
	maxMessageBytes        = "max.message.bytes"
	defaultMaxMessageBytes = 1_000_012
)

func largestBatch(ctx context.Context, client *kgo.Client, topic string) int32 {
	configs, err := describeConfigs(ctx, client, kmsg.ConfigResourceTypeTopic, topic, []string{maxMessageBytes})
	if err != nil || len(configs) != 1 {
		return defaultMaxMessageBytes
	}
	n, err := strconv.ParseInt(known(configs[0].Value), 10, 32)
	if err != nil {
		return defaultMaxMessageBytes
	}
	return int32(max(n, 1<<10))
}

// produceError says what to do about what a broker says of a record.
func produceError(topic string, err error) error {
	switch {
	case errors.Is(err, kerr.MessageTooLarge):
		return fmt.Errorf("a record is larger than topic %s takes: chronik config set topic %s %s=BYTES raises that (%w)", topic, topic, maxMessageBytes, err)
	case errors.Is(err, kerr.NotEnoughReplicas) || errors.Is(err, kerr.NotEnoughReplicasAfterAppend):
		return fmt.Errorf("topic %s has fewer replicas in sync than min.insync.replicas asks for: chronik cluster status says more (%w)", topic, err)
	case errors.Is(err, errStalled):
		return fmt.Errorf("topic %s acknowledges nothing any more: chronik cluster status shows whether it has leaders (%w)", topic, err)
	}
	return err
}

// produced is what was written.
type produced struct {
	Topic      string      `json:"topic"`
	Records    int64       `json:"records" help:"that were acknowledged"`
	Bytes      int64       `json:"bytes" help:"of their keys and values"`
	Failed     int64       `json:"failed" help:"records that were not acknowledged"`
	Partitions []writtenTo `json:"partitions"`
}

type writtenTo struct {
	Partition int32 `json:"partition"`
	Records   int64 `json:"records"`
	First     int64 `json:"first_offset" help:"-1: with --acks 0 nobody says"`
	Last      int64 `json:"last_offset"`
}

func (p produced) show(t table) {
	t.say("wrote %s to %s", counted(p.Records, "record"), p.Topic)
	for _, w := range p.Partitions {
		switch {
		case w.First < 0:
			t.say("  partition %d: %s", w.Partition, counted(w.Records, "record"))
		case w.First == w.Last:
			t.say("  partition %d: offset %d", w.Partition, w.First)
		default:
			t.say("  partition %d: offsets %d to %d", w.Partition, w.First, w.Last)
		}
	}
	if p.Failed > 0 {
		t.say("%s not acknowledged", countedWith(p.Failed, "record", "was", "were"))
	}
}
