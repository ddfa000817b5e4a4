package main

import (
	"bytes"
	"context"
	_ "embed" // librdkafka.py
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A driver is a client that runs a load, other than chronik-bench.
type driver func(b *bench, l load, s subject) (*benchReport, error)

const (
	perfRecord = 1024 // bytes of a value
	mebi       = 1.048576
)

// java runs one of Kafka's own tools.
func (b *bench) java(class string, args ...string) (string, error) {
	cmd := exec.CommandContext(b.ctx, "java", append([]string{"-Xmx512m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", b.Kafka + "/*", class}, args...)...)
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s%s", class, err, out, log.String())
	}
	return string(out), nil
}

// javaProduce is kafka-producer-perf-test. It sends a number of records, of which the first are its own warm-up.
func javaProduce(b *bench, _ load, s subject) (*benchReport, error) {
	const warm, perSecond = 50_000, 150_000
	records := warm + int(perSecond*b.Duration.Seconds())
	out, err := b.java("org.apache.kafka.tools.ProducerPerformance", "--bootstrap-server", s.brokers(), "--topic", topic,
		"--num-records", strconv.Itoa(records), "--warmup-records", strconv.Itoa(warm), "--record-size", strconv.Itoa(perfRecord), "--throughput", "-1",
		"--command-property", "acks=all", "linger.ms=5", "batch.size=262144")
	if err != nil {
		return nil, err
	}
	return javaProduced(out, records)
}

// steadyLine is what the tool says last: of all records, or of those behind its warm-up.
var steadyLine = regexp.MustCompile(`(\d+) (?:steady state )?records sent, .*\(([\d.]+) MB/sec\).* ([\d.]+) ms 50th, .* ([\d.]+) ms 99th, `)

func javaProduced(out string, records int) (*benchReport, error) {
	all := steadyLine.FindAllStringSubmatch(out, -1)
	if all == nil {
		return nil, fmt.Errorf("kafka-producer-perf-test says nothing that is known: %s", out)
	}
	last := all[len(all)-1]
	if last[1] == "0" {
		return nil, fmt.Errorf("kafka-producer-perf-test sent nothing: %s", out)
	}
	var t benchThroughput
	var errs [4]error
	t.Records, errs[0] = strconv.ParseInt(last[1], 10, 64)
	t.MBPerSec, errs[1] = strconv.ParseFloat(last[2], 64)
	t.Latency.P50, errs[2] = strconv.ParseFloat(last[3], 64)
	t.Latency.P99, errs[3] = strconv.ParseFloat(last[4], 64)
	t.MBPerSec *= mebi
	t.Bytes = t.Records * perfRecord
	r := new(benchReport)
	r.Produce = &benchProduced{benchThroughput: t, Acked: int64(records)}
	return r, errors.Join(errs[:]...)
}

// javaConsume is kafka-consumer-perf-test, in a new group; the time in which that forms does not count.
func javaConsume(b *bench, _ load, s subject) (*benchReport, error) {
	out, err := b.java("org.apache.kafka.tools.ConsumerPerformance", "--bootstrap-server", s.brokers(), "--topic", topic,
		"--num-records", strconv.Itoa(b.fillRecords()))
	if err != nil {
		return nil, err
	}
	return javaConsumed(out)
}

func javaConsumed(out string) (*benchReport, error) {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	names, values := strings.Split(lines[0], ", "), strings.Split(lines[len(lines)-1], ", ")
	found := map[string]float64{}
	for i := range min(len(names), len(values)) {
		if v, err := strconv.ParseFloat(values[i], 64); err == nil {
			found[names[i]] = v
		}
	}
	speed, total := found["fetch.MB.sec"], found["data.consumed.in.MB"]
	if speed == 0 || total == 0 {
		return nil, fmt.Errorf("kafka-consumer-perf-test says nothing that is known: %s", out)
	}
	t := benchThroughput{MBPerSec: speed * mebi, Bytes: int64(total * 1e6 * mebi)}
	return &benchReport{Consume: &t}, nil
}

//go:embed librdkafka.py
var rdkafkaProgram string

// rdkafkaProduce is librdkafka, through confluent-kafka.
func rdkafkaProduce(b *bench, _ load, s subject) (*benchReport, error) {
	out, err := exec.CommandContext(b.ctx, b.Python, "-c", rdkafkaProgram, s.brokers(), topic, strconv.Itoa(perfRecord),
		fmt.Sprint(b.Duration.Seconds())).Output()
	if err != nil {
		return nil, fmt.Errorf("librdkafka: %w", err)
	}
	r := new(benchReport)
	return r, json.Unmarshal(out, r)
}

// topicFlags are those that chronik-bench makes a topic by.
type topicFlags struct {
	partitions, replication int
	configs                 map[string]*string
}

func parseTopic(args []string) (topicFlags, error) {
	t := topicFlags{configs: map[string]*string{}}
	fs := flag.NewFlagSet("topic", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.IntVar(&t.partitions, "partitions", 1, "")
	fs.IntVar(&t.replication, "replication", -1, "")
	fs.Func("topic-config", "", func(text string) error {
		name, value, _ := strings.Cut(text, "=")
		t.configs[name] = &value
		return nil
	})
	return t, fs.Parse(args)
}

// makeTopic creates a topic where it is missing, and waits until a record is acknowledged in each of its partitions: what
// is measured afterwards is a topic at work and not one that begins.
func (b *bench) makeTopic(s subject, args []string, name string) error {
	t, err := parseTopic(args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(b.ctx, settle)
	defer cancel()
	made := false
	err = admin(s, func(a *kadm.Client) error {
		_, err := a.CreateTopic(ctx, int32(t.partitions), int16(t.replication), t.configs, name)
		made = err == nil
		if errors.Is(err, kerr.TopicAlreadyExists) {
			return nil
		}
		return err
	})
	if err != nil || !made {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(s.brokers(), ",")...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0), kgo.UnknownTopicRetries(-1), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	var records []*kgo.Record
	for p := range t.partitions {
		records = append(records, &kgo.Record{Topic: name, Partition: int32(p), Value: []byte("first")})
	}
	return client.ProduceSync(ctx, records...).FirstErr()
}

// admin does something with a client of one side.
func admin(s subject, do func(*kadm.Client) error) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(s.brokers(), ",")...))
	if err != nil {
		return err
	}
	defer client.Close()
	return do(kadm.NewClient(client))
}
