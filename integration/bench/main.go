// Command bench measures the server against the null sink, a build of the same server that writes nothing to disk: what
// the two differ by is what durability costs. Both run at once and take turns at every load, warm, in one run, so that
// whatever else the machine does meets both; only one is loaded at a time. It prints a table and keeps it in RESULTS.md.
// With -kafka it measures three nodes beside three of Apache Kafka's in the same way, and with -versus every load that
// contests.go has beside Apache Kafka.
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
	Bin        string        // folder of the commands
	Rounds     int           // of each load, a run of either side in each
	Duration   time.Duration // of a run
	Loads      *regexp.Regexp
	LoadsGiven bool     // they were asked for
	Out        string   // file for the table
	Server     []string // more flags of both servers

	Kafka     string        // folder of Apache Kafka's jars: three nodes beside three of it, instead
	KafkaWarm time.Duration // of load before anything counts: a JVM needs minutes
	KafkaHeap string        // as Java has it
	Settings  []string      // of Kafka's brokers, beside those that its documentation has

	Versus                    bool          // every load beside Apache Kafka, instead
	Quick                     bool          // a part of them
	Within                    time.Duration // no load begins later; 0 is no limit
	Bootstrap, BootstrapKafka string
	Python                    string // interpreter that has confluent-kafka
	Fill, RestartFill         int    // MiB in a topic that is read, and in a node that starts
	Readme                    string // file with a part for the table
	Profiles                  string // folder for profiles of loads that miss a target
	Go                        string // command that reads them
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	c, err := parse(os.Args[1:], os.Stderr)
	if err == nil {
		err = run(ctx, c, os.Stdout, os.Stderr)
	}
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string, messages io.Writer) (c Config, err error) {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(messages)
	var loads, server, settings string
	fs.StringVar(&c.Bin, "bin", "bin", "`folder` with chronik-server, chronik-server-null and chronik-bench")
	fs.IntVar(&c.Rounds, "rounds", 5, "`number` of runs of each load on each server")
	fs.DurationVar(&c.Duration, "duration", 4*time.Second, "`time` of a run, half a second of it not measured")
	fs.StringVar(&loads, "loads", ".*", "regular `expression` of the loads to run, see loads.go and contests.go; with -versus, all is every combination")
	fs.StringVar(&c.Out, "out", "integration/bench/RESULTS.md", "`file` for the table; empty: only print it")
	fs.StringVar(&server, "server", "", "more `flags` of both servers, with spaces between them")
	fs.StringVar(&c.Kafka, "kafka", "", "`folder` of Apache Kafka's jars: measure three nodes beside three of Apache Kafka's instead")
	fs.DurationVar(&c.KafkaWarm, "kafka-warm", 2*time.Minute, "`time` of load before anything counts (-versus: at most), because a JVM needs minutes")
	fs.StringVar(&c.KafkaHeap, "kafka-heap", "1g", "`size` of the heap of Kafka's brokers")
	fs.StringVar(&settings, "kafka-settings", "", "more `settings` of Kafka's brokers, name=value with spaces between them")
	fs.BoolVar(&c.Versus, "versus", false, "measure every load beside Apache Kafka instead, one node and three")
	fs.BoolVar(&c.Quick, "quick", false, "with -versus: a part of the loads")
	fs.DurationVar(&c.Within, "within", 0, "with -versus: `time` after which no load begins; 0 is no limit")
	fs.StringVar(&c.Bootstrap, "bootstrap", "", "with -versus: `addresses` of Chronik's brokers, with commas, that run elsewhere")
	fs.StringVar(&c.BootstrapKafka, "bootstrap-kafka", "", "with -versus: `addresses` of Apache Kafka's")
	fs.StringVar(&c.Python, "python", "", "with -versus: `interpreter` that has confluent-kafka; empty: without librdkafka")
	fs.IntVar(&c.Fill, "fill", 4096, "with -versus: `MiB` in a topic that is read")
	fs.IntVar(&c.RestartFill, "restart-fill", 20480, "with -versus: `MiB` in a node that is started again")
	fs.StringVar(&c.Readme, "readme", "", "with -versus: `file` with a marked part for the rows that have a target")
	fs.StringVar(&c.Profiles, "profiles", "", "with -versus: `folder` for profiles of Chronik under each load that misses a target; PROFILES.md beside -out says what they show")
	fs.StringVar(&c.Go, "go", "go", "Go `command`, whose pprof reads them")
	if err := fs.Parse(args); err != nil {
		return c, err
	}
	fs.Visit(func(f *flag.Flag) { c.LoadsGiven = c.LoadsGiven || f.Name == "loads" })
	c.Settings, c.Server = strings.Fields(settings), strings.Fields(server)
	if c.Loads, err = regexp.Compile(loads); err != nil {
		return c, fmt.Errorf("-loads: %w", err)
	}
	return c, c.check(fs.Args())
}

const leastWarmup = 500 * time.Millisecond // of a run; it is not measured

func (c Config) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%q is no flag", rest[0])
	case c.Rounds < 1:
		return fmt.Errorf("-rounds %d: write 1 or more", c.Rounds)
	case c.Duration <= leastWarmup:
		return fmt.Errorf("-duration %s: write more than %s", c.Duration, leastWarmup)
	case c.Fill < 1 || c.RestartFill < 1:
		return errors.New("-fill and -restart-fill: write 1 or more")
	case !c.Versus && (c.Quick || c.Bootstrap != "" || c.BootstrapKafka != "" || c.Readme != "" || c.Profiles != ""):
		return errors.New("-quick, -bootstrap, -bootstrap-kafka, -readme and -profiles need -versus")
	case (c.Bootstrap == "") != (c.BootstrapKafka == ""):
		return errors.New("-bootstrap and -bootstrap-kafka: name the brokers of both sides, or of neither")
	case c.Versus && c.Kafka == "" && c.Bootstrap == "":
		return errors.New("-versus needs -kafka, or -bootstrap and -bootstrap-kafka")
	}
	return nil
}

// run keeps what was measured also when a later load fails. A run that is interrupted is only printed: the files keep the last
// one, which may have taken hours.
func run(ctx context.Context, c Config, out, progress io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "chronik-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{Config: c, ctx: ctx, progress: progress, result: newResult(durability, dir), kept: map[subject]float64{}}
	measure := b.all
	switch {
	case c.Versus:
		b.result.table, measure = besideKafka, b.versus
	case c.Kafka != "":
		b.result.table, measure = threeNodes, b.nodes
	}
	err = measure(dir)
	if err != nil && len(b.result.entries) == 0 {
		return err // the table of the last run is better than an empty one
	}
	b.result.end()
	text := b.result.text(err)
	fmt.Fprint(out, text)
	if ctx.Err() != nil {
		return errors.New("interrupted: what was measured is printed above, and the files are left as they were")
	}
	return errors.Join(err, b.publish(text))
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
	before     string  // each line of a run in it
	course     *course // of what is beside Kafka
	null, real *server
	result     *result
	dataDir    string              // of the sides that run now, where they run here
	kept       map[subject]float64 // bytes in the topic that runs have in common
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
