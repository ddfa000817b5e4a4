package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

const topic = "bench"

// measured is one run of a load on one server.
type measured struct {
	mbps, cpuPerGB float64
	p50, p99       float64 // ms, of acknowledgements
	end50, end99   float64 // ms, from a record's time to be sent until it is read
	memory         float64 // MiB, resident after it
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
	return b.turns(l, subjects...)
}

// turns has the subjects take turns. The last of them is what is measured, one before it what it is measured against.
func (b *bench) turns(l load, subjects ...subject) error {
	order := slices.Clone(subjects)
	got := map[subject][]measured{}
	for range b.Rounds {
		for _, s := range order {
			m, err := b.turn(l, s)
			if err != nil {
				return err
			}
			got[s] = append(got[s], m)
		}
		slices.Reverse(order) // neither is always the first
	}
	b.result.add(l, got[subjects[0]][:len(got[subjects[0]])*(len(subjects)-1)], got[subjects[len(subjects)-1]])
	if !l.fresh {
		for _, s := range subjects {
			if err := errors.Join(b.deleteTopic(s), b.settle()); err != nil {
				return err
			}
		}
	}
	return b.ctx.Err()
}

// turn is run, after which a load whose runs have each a topic of its own has left nothing to write or to delete to the
// run of the other side.
func (b *bench) turn(l load, s subject) (m measured, err error) {
	if l.fresh {
		err = b.makeTopic(s, l.topicOf(s), topic)
	}
	if err == nil {
		m, err = b.run(l, s)
	}
	if err == nil && l.fresh {
		err = errors.Join(b.deleteTopic(s), b.settle())
	}
	if err != nil {
		return m, fmt.Errorf("%s: %w", s.label(), err)
	}
	return m, nil
}

// prepare creates the topic, fills it where the load reads, and warms the server up.
func (b *bench) prepare(l load, s *server) error {
	if strings.HasPrefix(l.args, "raw-fetch") {
		fill := load{name: "fill", args: "raw --connections 4 --batch 65536", topic: l.topic}
		if _, err := b.run(fill, s); err != nil {
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
	_, err := b.run(l, s)
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
	before, err := s.cpu()
	if err != nil {
		return m, err
	}
	r, err := b.drive(l, s)
	if err != nil {
		return m, err
	}
	after, err := s.cpu()
	if err != nil {
		return m, err
	}
	t, bytes := r.counts()
	m = measured{mbps: t.MBPerSec, p50: t.Latency.P50, p99: t.Latency.P99, cpuPerGB: (after - before) / (bytes / 1e9)}
	if r.Produce != nil && r.Consume != nil {
		m.end50, m.end99 = r.Consume.Latency.P50, r.Consume.Latency.P99
	}
	if m.memory, err = s.memory("VmRSS"); err != nil {
		return m, err
	}
	fmt.Fprintf(b.progress, "%-50s %-4s %8.1f MB/s %7.3f CPU-s/GB  p50 %7.3f p99 %8.3f ms\n", l.name, s.label(), m.mbps, m.cpuPerGB, m.p50, m.p99)
	return m, nil
}

// drive runs the load's client, and what goes on beside it.
func (b *bench) drive(l load, s subject) (r *benchReport, err error) {
	for _, begin := range l.beside {
		end, beginErr := begin(b, l, s)
		if beginErr != nil {
			return nil, errors.Join(beginErr, err)
		}
		defer func() { err = errors.Join(err, end()) }()
	}
	if l.by != nil {
		return l.by(b, l, s)
	}
	return b.chronikBench(l, s)
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

func (b *bench) deleteTopic(s subject) error {
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	return admin(s, func(a *kadm.Client) error {
		_, err := a.DeleteTopic(ctx, topic)
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
