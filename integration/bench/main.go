// Command bench measures the server against the null sink, a build of the same server that writes nothing to disk: what
// the two differ by is what durability costs. Both run at once and take turns at every load, warm, in one run, so that
// whatever else the machine does meets both; only one is loaded at a time. It prints a table and keeps it in RESULTS.md.
// With -kafka it measures three nodes beside three of Apache Kafka's in the same way.
// It knows the commands' flags and the Kafka protocol, nothing else of the server.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// Config is the flags.
type Config struct {
	Bin      string        // folder of the commands
	Rounds   int           // of each load, a null sink's and a real server's run in each
	Duration time.Duration // of a run
	Loads    *regexp.Regexp
	Out      string   // file for the table
	Server   []string // more flags of both servers

	Kafka     string        // folder of Apache Kafka's jars: three nodes beside three of it, instead
	KafkaWarm time.Duration // of load before anything counts: a JVM needs minutes
	Settings  []string      // of Kafka's brokers, beside those that three nodes need
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, parse(), os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse() Config {
	var c Config
	loads := ".*"
	server := ""
	flag.StringVar(&c.Bin, "bin", "bin", "`folder` with chronik-server, chronik-server-null and chronik-bench")
	flag.IntVar(&c.Rounds, "rounds", 5, "`number` of runs of each load on each server")
	flag.DurationVar(&c.Duration, "duration", 4*time.Second, "`time` of a run, half a second of it not measured")
	flag.StringVar(&loads, "loads", loads, "regular `expression` of the loads to run, see loads.go")
	flag.StringVar(&c.Out, "out", "integration/bench/RESULTS.md", "`file` for the table; empty: only print it")
	flag.StringVar(&server, "server", "", "more `flags` of both servers, with spaces between them")
	settings := ""
	flag.StringVar(&c.Kafka, "kafka", "", "`folder` of Apache Kafka's jars: measure three nodes beside three of Apache Kafka's instead")
	flag.DurationVar(&c.KafkaWarm, "kafka-warm", 2*time.Minute, "`time` of load on three nodes before anything counts: a JVM needs minutes")
	flag.StringVar(&settings, "kafka-settings", "", "more `settings` of Kafka's brokers, name=value with spaces between them")
	flag.Parse()
	c.Settings = strings.Fields(settings)
	c.Server = strings.Fields(server)
	c.Loads = regexp.MustCompile(loads)
	return c
}

// run keeps what was measured also when a later load fails.
func run(ctx context.Context, c Config, out, progress io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "chronik-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{Config: c, ctx: ctx, progress: progress, result: newResult(durability, dir)}
	measure := b.all
	if c.Kafka != "" {
		b.result.table, measure = threeNodes, b.nodes
	}
	err = measure(dir)
	b.result.end()
	text := b.result.text(err)
	fmt.Fprint(out, text)
	if c.Out == "" {
		return err
	}
	return errors.Join(err, os.WriteFile(c.Out, []byte(text), 0o644))
}

// apart measures what needs servers of its own.
func (b *bench) apart(dir string) error {
	for _, m := range []struct {
		load string
		run  func(dir string) error
	}{{startLoad, b.starts}, {partitionsLoad, b.partitions}, {recoveryLoad, b.recovery}, {commitsLoad, b.oneNodeCommits}} {
		if !b.Loads.MatchString(m.load) {
			continue
		}
		if err := m.run(dir); err != nil {
			return fmt.Errorf("%s: %w", m.load, err)
		}
	}
	return nil
}

// bench is one run of everything.
type bench struct {
	Config
	ctx        context.Context
	progress   io.Writer
	null, real *server
	result     *result
}

func (b *bench) all(dir string) error {
	for _, s := range []struct {
		at            **server
		name, command string
	}{{&b.null, "null", "chronik-server-null"}, {&b.real, "real", "chronik-server"}} {
		path, err := filepath.Abs(filepath.Join(b.Bin, s.command))
		if err != nil {
			return err
		}
		*s.at = &server{name: s.name, command: path, dir: filepath.Join(dir, s.name), flags: b.Server}
	}
	if err := b.apart(dir); err != nil {
		return err
	}
	for _, s := range []*server{b.null, b.real} {
		if _, err := s.start(b.ctx); err != nil {
			return err
		}
		defer s.kill()
	}
	if err := b.idle(); err != nil {
		return err
	}
	for _, l := range loads {
		if b.ctx.Err() == nil && b.Loads.MatchString(l.name) {
			if err := b.load(l); err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
		}
	}
	return b.memory()
}
