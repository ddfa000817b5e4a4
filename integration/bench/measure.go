package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

const topic = "bench"

// measured is one run of a load on one server.
type measured struct {
	mbps, cpuPerGB float64
	p50, p99       float64 // ms, of acknowledgements
	end50, end99   float64 // ms, from a record's time to be sent until it is read
	memory         float64 // MiB, resident after it
	bytes          float64 // of records

	clientShare, serverShare float64 // of the machine's CPU time while it ran, in percent
	written                  float64 // MB/s, to disk
}

// load warms both servers up, has them take turns, and leaves nothing behind.
func (b *bench) load(l load) error {
	servers := []*server{b.null, b.real}
	if l.realOne {
		servers = servers[1:]
	}
	var subjects []subject
	for _, s := range servers {
		if err := b.prepare(l, s); err != nil {
			return err
		}
		subjects = append(subjects, s)
	}
	got, err := b.turns(l, subjects...)
	if err == nil {
		b.result.add(l, got[b.null], got[b.real], nil, latency{})
	}
	return errors.Join(err, b.leave(subjects...))
}

// turns has the subjects take turns.
func (b *bench) turns(l load, subjects ...subject) (map[subject][]measured, error) {
	order := slices.Clone(subjects)
	got := map[subject][]measured{}
	for round := range b.Rounds {
		for _, s := range order {
			if round >= b.roundsOf(s) {
				continue
			}
			m, err := b.turn(l, s)
			if err != nil {
				return nil, err
			}
			got[s] = append(got[s], m)
		}
		slices.Reverse(order) // none is always the first
	}
	return got, b.ctx.Err()
}

// mostKept is how many bytes a topic gets that several runs have in common, before it makes room for a new one: minutes of
// load, which a JVM needs to be warm, fill any disk.
const mostKept = 8 << 30

// turn is run, on a topic that is there before it. A load whose runs have each a topic of its own has left nothing to write
// or to delete to the run of the other side.
func (b *bench) turn(l load, s subject) (m measured, err error) {
	grows := b.Versus && !l.reads
	if grows {
		err = b.makeTopic(s, l.topicOf(s), topic)
	}
	if _, begun := b.kept[s]; err == nil && grows && !l.fresh && !begun {
		err = b.begin(l, s)
	}
	if err == nil {
		m, err = b.run(l, s)
		b.keep(s, m)
	}
	if err == nil && grows && (l.fresh || b.kept[s] > mostKept) {
		err = b.leave(s)
	}
	if err != nil {
		return m, fmt.Errorf("%s: %w", s.label(), err)
	}
	return m, nil
}

// begin has a topic of many partitions take records: Kafka takes seconds for the first batch in each of a thousand, during which
// a run may come to nothing.
func (b *bench) begin(l load, s subject) error {
	const most = 5
	for range most {
		m, err := b.saying(warmingLine).run(l, s)
		if err != nil {
			return err
		}
		if b.keep(s, m); m.mbps > 0 {
			break
		}
	}
	return nil
}

// keep counts what a run has left in the topic; it may have come to nothing.
func (b *bench) keep(s subject, m measured) {
	if !math.IsNaN(m.bytes) {
		b.kept[s] += m.bytes
	}
}

// leave deletes the topic of a load where it is, also after one that failed: the next has another one of that name.
func (b *bench) leave(subjects ...subject) (err error) {
	for _, s := range subjects {
		delete(b.kept, s)
		err = errors.Join(err, b.deleteTopic(s, topic), b.settle())
	}
	return err
}

// prepare creates the topic, fills it where the load reads, and warms the server up.
func (b *bench) prepare(l load, s *server) error {
	if strings.HasPrefix(l.args, "raw-fetch") {
		fill := load{name: "fill", args: "raw --connections 4 --batch 65536", topic: l.topic}
		if _, err := b.saying(warmingLine).run(fill, s); err != nil {
			return err
		}
	}
	if l.restart {
		if err := s.stop(); err != nil {
			return err
		}
		if _, err := s.start(b.ctx); err != nil {
			return err
		}
	}
	_, err := b.saying(warmingLine).run(l, s)
	return err
}

// benchReport is what the bench takes of chronik-bench's report.
type benchReport struct {
	Produce *benchProduced   `json:"produce"`
	Consume *benchThroughput `json:"consume"`
	Fetch   *struct {
		benchThroughput
		Total int64 `json:"total_bytes"`
	} `json:"fetch"`
	Failure string `json:"failure"`
}

type benchProduced struct {
	benchThroughput
	Acked int64 `json:"acked"` // warm-up included
}

type benchThroughput struct {
	Records  int64   `json:"records"`
	Bytes    int64   `json:"bytes"`
	MBPerSec float64 `json:"mb_per_second"`
	Latency  struct {
		P50 float64 `json:"p50"`
		P99 float64 `json:"p99"`
	} `json:"latency_ms"`
}

// run is one run of a load; the CPU time counts over all of it, as its bytes do.
func (b *bench) run(l load, s subject) (m measured, err error) {
	r, u, err := b.drive(l, s)
	if err != nil {
		return m, err
	}
	t, bytes := r.counts()
	m = measured{mbps: t.MBPerSec, p50: t.Latency.P50, p99: t.Latency.P99, cpuPerGB: u.server / (bytes / 1e9), bytes: bytes,
		clientShare: u.share(u.client), serverShare: u.share(u.server), written: u.written / 1e6 / u.took}
	if r.Produce != nil && r.Consume != nil {
		m.end50, m.end99 = r.Consume.Latency.P50, r.Consume.Latency.P99
	}
	if m.memory, err = s.memory("VmRSS"); err != nil {
		return m, err
	}
	fmt.Fprintf(b.progress, "%-70s %-9s %8.1f MB/s %7.3f CPU-s/GB  p50 %7.3f p99 %8.3f ms\n", b.before+l.name, s.label(), m.mbps, m.cpuPerGB, m.p50, m.p99)
	return m, nil
}

// drive runs the load's client, and what goes on beside it.
func (b *bench) drive(l load, s subject) (r *benchReport, u usage, err error) {
	for _, begin := range l.beside {
		end, beginErr := begin(b, l, s)
		if beginErr != nil {
			return nil, u, errors.Join(beginErr, err)
		}
		defer func() { err = errors.Join(err, end()) }()
	}
	by := l.by
	if by == nil {
		by = (*bench).chronikBench
	}
	u, err = using(s, func() (err error) { r, err = by(b, l, s); return err })
	return r, u, err
}

// counts returns what was measured, and the bytes of the whole run, warm-up included.
func (r *benchReport) counts() (benchThroughput, float64) {
	switch {
	case r.Fetch != nil:
		return r.Fetch.benchThroughput, float64(r.Fetch.Total)
	case r.Produce == nil:
		return *r.Consume, float64(r.Consume.Bytes) // there is no warm-up
	}
	t := r.Produce.benchThroughput
	return t, float64(t.Bytes) / float64(t.Records) * float64(r.Produce.Acked)
}

func (b *bench) chronikBench(l load, s subject) (*benchReport, error) {
	args := strings.Fields(l.args)
	args = append(args, "--brokers", s.brokers(), "--topic", topic, "--format", "json")
	if args[0] != "consume" { // that reads what there is
		args = append(args, "--duration", (b.Duration + l.warmup).String(), "--warmup", (leastWarmup + l.warmup).String())
	}
	if args[0] != "raw-fetch" && args[0] != "consume" {
		args = append(args, l.topicOf(s)...)
	}
	return b.chronikBenchWith(args)
}

func (b *bench) chronikBenchWith(args []string) (*benchReport, error) {
	cmd := exec.CommandContext(b.ctx, filepath.Join(b.Bin, "chronik-bench"), args...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	r := new(benchReport)
	if json.Unmarshal(out.Bytes(), r) != nil || r.Produce == nil && r.Fetch == nil && r.Consume == nil {
		return nil, fmt.Errorf("chronik-bench: %w: %s%s", err, out.String(), log.String())
	}
	if err != nil || r.Failure != "" {
		return nil, fmt.Errorf("chronik-bench: %w: %s", err, r.Failure)
	}
	return r, nil
}

// topicOf is the flags that the topic is made with.
func (l load) topicOf(s subject) []string {
	flags := slices.Clone(l.topic)
	if s.label() == kafkaName {
		for _, config := range l.kafka {
			flags = append(flags, "--topic-config", config)
		}
	}
	return flags
}

// deleteTopic deletes a topic where it is.
func (b *bench) deleteTopic(s subject, name string) error {
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	return admin(s, func(a *kadm.Client) error {
		_, err := a.DeleteTopic(ctx, name)
		if errors.Is(err, kerr.UnknownTopicOrPartition) {
			return nil
		}
		return err
	})
}

// idle is the memory of a server that has nothing to do yet.
func (b *bench) idle() error {
	if err := b.pause(2 * time.Second); err != nil {
		return err
	}
	rss, err := b.real.memory("VmRSS")
	b.result.line("idle resident memory", "30 MiB", "", fmt.Sprintf("%.0f MiB", rss), "")
	return err
}

// pause is for what a server still does by itself.
func (b *bench) pause(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-b.ctx.Done():
		return b.ctx.Err()
	}
}

// memory is the most that the loads have had the server use.
func (b *bench) memory() error {
	rss, err := b.real.memory("VmHWM")
	b.result.line("greatest resident memory under these loads", "256 MiB", "", fmt.Sprintf("%.0f MiB", rss), "")
	return err
}
