package main

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"gopkg.in/yaml.v3"

	"chronik/cluster"
	"chronik/wal"
	"chronik/wal/vfs"
)

func load(t *testing.T, args, environ []string) (Config, error) {
	t.Helper()
	fs := pflag.NewFlagSet("chronik-server", pflag.ContinueOnError)
	AddFlags(fs)
	if err := fs.Parse(joinSwitches(args)); err != nil {
		t.Fatal(err)
	}
	return Load(fs, environ)
}

func mustLoad(t *testing.T, args, environ []string) Config {
	t.Helper()
	c, err := load(t, args, environ)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

var defaults = Config{
	DataDir: "./data", BindAddr: "0.0.0.0",
	KafkaPort: 9092, HTTPPort: 6092, RaftPort: 9192, GossipPort: 7946,
	NodeID: 1, LogLevel: slog.LevelInfo, LogFormat: "text",
	WALSync: wal.SyncAlways, WALSyncInterval: 50 * time.Millisecond, WALFileSize: 64 << 20,
	MemoryLimit: 176 << 20, MaxRequestSize: 100 << 20,
	Kafka: map[string]string{},
}

func TestDefaults(t *testing.T) {
	if got := mustLoad(t, nil, nil); !reflect.DeepEqual(got, defaults) {
		t.Errorf("got %+v, want %+v", got, defaults)
	}
}

const someKey = "the key of all these nodes"

// Each setting with two values that are not its default, and what the first does.
var examples = map[string]struct {
	value, other string
	want         func(*Config)
}{
	"data-dir":         {"d1", "d2", func(c *Config) { c.DataDir = "d1" }},
	"bind-addr":        {"::1", "localhost", func(c *Config) { c.BindAddr = "::1" }},
	"kafka-port":       {"19092", "29092", func(c *Config) { c.KafkaPort = 19092 }},
	"advertised-addr":  {"broker.example.org", "192.0.2.1", func(c *Config) { c.AdvertisedAddr = "broker.example.org" }},
	"advertised-port":  {"31000", "31001", func(c *Config) { c.AdvertisedPort = 31000 }},
	"http-port":        {"0", "8081", func(c *Config) { c.HTTPPort = 0 }},
	"http-pprof":       {"true", "false", func(c *Config) { c.HTTPPprof = true }},
	"raft-port":        {"19192", "29192", func(c *Config) { c.RaftPort = 19192 }},
	"gossip-port":      {"17946", "27946", func(c *Config) { c.GossipPort = 17946 }},
	"node-id":          {"0", "7", func(c *Config) { c.NodeID = 0 }},
	"cluster-id":       {"MkU3OEVBNTcwNTJENDM2Qg", "4c9e6b1f-3a92-4d4e-9b76-0d6f0f3c5f10", func(c *Config) { c.ClusterID = "MkU3OEVBNTcwNTJENDM2Qg" }},
	"join":             {"n1,n2:7947, [::1]:7946", "n3", func(c *Config) { c.Join = []string{"n1", "n2:7947", "[::1]:7946"} }},
	"bootstrap-expect": {"1", "0", func(c *Config) { c.BootstrapExpect = 1 }},
	"initial-voters": {"1@n1:9192", "2@n2:9192", func(c *Config) {
		c.InitialVoters = []cluster.Voter{{Node: 1, Addr: "n1:9192"}}
	}},
	"cluster-addr":      {"n1.example.org", "192.0.2.1", func(c *Config) { c.ClusterAddr = "n1.example.org" }},
	"cluster-key":       {"0123456789abcdef0", "fedcba98765432100", func(c *Config) { c.ClusterKey = "0123456789abcdef0" }},
	"cluster-key-file":  {"", "", func(c *Config) { c.ClusterKey = someKey }},
	"file-metadata":     {"true", "false", func(c *Config) { c.FileMetadata = true }},
	"log-level":         {"debug", "error", func(c *Config) { c.LogLevel = slog.LevelDebug }},
	"log-format":        {"json", "text", func(c *Config) { c.LogFormat = "json" }},
	"wal-sync":          {"interval", "never", func(c *Config) { c.WALSync = wal.SyncInterval }},
	"wal-sync-interval": {"100ms", "1s", func(c *Config) { c.WALSyncInterval = 100 * time.Millisecond }},
	"wal-size":          {"2GiB", "3GB", func(c *Config) { c.WALSize = 2 << 30 }},
	"wal-file-size":     {"8MiB", "4MiB", func(c *Config) { c.WALFileSize = 8 << 20 }},
	"memory-limit":      {"268435456", "1GiB", func(c *Config) { c.MemoryLimit = 256 << 20 }},
	"max-request-size":  {"1MiB", "2MiB", func(c *Config) { c.MaxRequestSize = 1 << 20 }},
	"max-connections":   {"10", "20", func(c *Config) { c.MaxConnections = 10 }},
}

// Every setting means the same from every source, and a source nearer to the
// command line wins over one further away.
func TestSources(t *testing.T) {
	for _, s := range settings {
		t.Run(s.name, func(t *testing.T) {
			ex, ok := examples[s.name]
			if !ok {
				t.Fatal("no example")
			}
			base := defaults
			var also []string
			switch s.name {
			case "join", "bootstrap-expect", "initial-voters":
				also, base.ClusterKey = []string{"CHRONIK_CLUSTER_KEY=" + someKey}, someKey
			case "cluster-key-file":
				ex.value, ex.other = write(t, "key", someKey+"\n"), write(t, "key", "another key of theirs")
			}
			env := envName(s.name) + "="
			toml := func(v string) string { return write(t, "c.toml", fmt.Sprintf("%s = %q\n", s.name, v)) }
			for source, c := range map[string]struct{ args, environ []string }{
				"flag":          {[]string{"--" + s.name, ex.value}, nil},
				"environment":   {nil, []string{env + ex.value}},
				"TOML":          {[]string{"--config", toml(ex.value)}, nil},
				"YAML":          {[]string{"--config", write(t, "c.yaml", s.name+": "+ex.value+"\n")}, nil},
				"YML by env":    {nil, []string{"CHRONIK_CONFIG=" + write(t, "c.YML", s.name+": \""+ex.value+"\"\n")}},
				"flag > env":    {[]string{"--" + s.name, ex.value}, []string{env + ex.other}},
				"env > file":    {[]string{"--config", toml(ex.other)}, []string{env + ex.value}},
				"flag > file":   {[]string{"--config", toml(ex.other), "--" + s.name, ex.value}, nil},
				"empty env":     {[]string{"--config", toml(ex.value)}, []string{env}},
				"default given": {[]string{"--" + s.name, ex.value}, []string{env + s.value}},
			} {
				want := base
				ex.want(&want)
				got := mustLoad(t, c.args, append(c.environ, also...))
				got.File = ""
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%s: got %+v, want %+v", source, got, want)
				}
			}
		})
	}
}

// A flag that is true or false may stand alone, and may have its value behind it as any other flag.
func TestASwitchNeedsNoValue(t *testing.T) {
	for _, c := range []struct {
		args string
		want bool
	}{
		{"--http-pprof", true},
		{"--http-pprof --node-id 2", true},
		{"--http-pprof=false", false},
		{"--http-pprof true", true},
		{"--http-pprof false", false},
		{"--http-pprof --http-pprof false", false},
	} {
		if got := mustLoad(t, strings.Fields(c.args), []string{"CHRONIK_HTTP_PPROF=" + fmt.Sprint(!c.want)}).HTTPPprof; got != c.want {
			t.Errorf("%s: %v", c.args, got)
		}
	}
	if _, err := load(t, []string{"--http-pprof=maybe"}, nil); message(err) != `--http-pprof: "maybe" is unknown: write true or false` {
		t.Error(err)
	}
	if got := joinSwitches([]string{"all", "--http-pprof", "standalone", "--", "--http-pprof", "true"}); len(got) != 6 {
		t.Errorf("%q", got)
	}
}

// --help said "--http-pprof bool   bool: the HTTP port ...".
func TestHelpSaysNothingTwice(t *testing.T) {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	AddFlags(fs)
	fs.VisitAll(func(f *pflag.Flag) {
		if name, usage := pflag.UnquoteUsage(f); name != "" && strings.HasPrefix(usage, name+":") {
			t.Errorf("--%s %s   %s", f.Name, name, usage)
		}
	})
	if usages := fs.FlagUsages(); !strings.Contains(usages, "--http-pprof  ") {
		t.Error(usages)
	}
}

func TestKafkaConfigs(t *testing.T) {
	inTOML := write(t, "c.toml", "[kafka]\nnum.partitions = 3\nlog.cleaner.min.cleanable.ratio = 0.5\n"+
		"\"auto.create.topics.enable\" = false\nlog.retention.ms = -1\nlog.cleanup.policy = [\"compact\", \"delete\"]\n")
	inYAML := write(t, "c.yaml", "kafka:\n  num.partitions: 3\n  log.cleaner.min.cleanable.ratio: 0.5\n"+
		"  auto.create.topics.enable: false\n  log:\n    retention.ms: -1\n  log.cleanup.policy: [compact, delete]\n")
	for _, file := range []string{inTOML, inYAML} {
		got := mustLoad(t, []string{"--config", file, "--set", "num.partitions=5", "--set", "broker.rack=a=b"},
			[]string{"CHRONIK_KAFKA_NUM_PARTITIONS=4", "CHRONIK_KAFKA_LOG_RETENTION_MS=60000"}).Kafka
		want := map[string]string{
			"num.partitions": "5", "log.cleaner.min.cleanable.ratio": "0.5", "auto.create.topics.enable": "false",
			"log.retention.ms": "60000", "log.cleanup.policy": "compact,delete", "broker.rack": "a=b",
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", filepath.Base(file), got, want)
		}
	}
}

// A wrong setting stops the start, and its message has the name, what is wrong
// and what to write.
func TestWrong(t *testing.T) {
	for _, c := range []struct {
		args, environ []string
		want          string
	}{
		{[]string{"--kafka-port", "70000"}, nil, `--kafka-port: "70000" is no port: write a number from 0 to 65535`},
		{nil, []string{"CHRONIK_KAFKA_PORT=x"}, `CHRONIK_KAFKA_PORT: "x" is no port: write a number from 0 to 65535`},
		{nil, []string{"CHRONIK_ADVERTISED_ADRR=a"}, `CHRONIK_ADVERTISED_ADRR: there is no such setting: write CHRONIK_ADVERTISED_ADDR`},
		{nil, []string{"CHRONIK_FOO=a"}, `CHRONIK_FOO: there is no such setting: see chronik-server --help for those that there are`},
		{nil, []string{"CHRONIK_KAFKA_="}, ``},
		{nil, []string{"CHRONIK_BROKERS=localhost:9093"}, ``},
		{[]string{"--data-dir", ""}, nil, `--data-dir: is empty: write a value or leave it out`},
		{[]string{"--bind-addr", "localhost:9092"}, nil, `--bind-addr: "localhost:9092" has a port: write localhost here and 9092 in kafka-port`},
		{[]string{"--bind-addr", "[::1]:9092"}, nil, `--bind-addr: "[::1]:9092" has a port: write ::1 here and 9092 in kafka-port`},
		{[]string{"--bind-addr", ""}, nil, `--bind-addr: "" is no IP address and no host name: write one, as in 192.0.2.1, 2001:db8::1 or broker.example.org`},
		{[]string{"--bind-addr", "300.1.1.1"}, nil, `--bind-addr: "300.1.1.1" is no IP address and no host name: write one, as in 192.0.2.1, 2001:db8::1 or broker.example.org`},
		{[]string{"--bind-addr", "a b"}, nil, `--bind-addr: "a b" is no IP address and no host name: write one, as in 192.0.2.1, 2001:db8::1 or broker.example.org`},
		{[]string{"--advertised-addr", "b.example.org:9092"}, nil, `--advertised-addr: "b.example.org:9092" has a port: write b.example.org here and 9092 in advertised-port`},
		{[]string{"--advertised-addr", "PLAINTEXT://[::1]:9092/"}, nil, `--advertised-addr: "PLAINTEXT://[::1]:9092/" is a URL: write the address alone, as in ::1`},
		{[]string{"--advertised-addr", "0.0.0.0"}, nil, `--advertised-addr: nobody can connect to 0.0.0.0: write the address that others reach this host by, or leave it out`},
		{[]string{"--advertised-addr", "[::]"}, nil, `--advertised-addr: nobody can connect to ::: write the address that others reach this host by, or leave it out`},
		{[]string{"--node-id", "-1"}, nil, `--node-id: "-1" is out of range: write a whole number from 0 to 2147483647`},
		{[]string{"--cluster-id", "a b"}, nil, `--cluster-id: "a b" is no cluster id: write 22 characters as kafka-storage random-uuid prints them, or a UUID`},
		{[]string{"--join", "n1:x"}, nil, `--join: "n1:x" has no port that can be joined: write host or host:port, where the port is the gossip-port of that node`},
		{[]string{"--join", "n1"}, nil, "cluster-key is missing: nodes of a cluster prove by it that they belong together; " +
			"write the same secret at each of them, as in CHRONIK_CLUSTER_KEY=$(openssl rand -hex 16)"},
		{[]string{"--cluster-key", "short"}, nil, `--cluster-key: has 5 characters: write 16 or more, as openssl rand -hex 16 prints them`},
		{[]string{"--cluster-key-file", "absent"}, nil, `--cluster-key-file: stat absent: no such file or directory`},
		{[]string{"--bootstrap-expect", "2"}, nil, `--bootstrap-expect: "2" nodes cannot found a cluster: write 1, 3, 5 or 7`},
		{[]string{"--bootstrap-expect", "3", "--cluster-key", someKey}, nil,
			`bootstrap-expect is 3 and join is missing: write where some of the other nodes are, as in --join node1,node2,node3`},
		{[]string{"--bootstrap-expect", "1", "--initial-voters", "1@a:1", "--cluster-key", someKey}, nil,
			`bootstrap-expect and initial-voters both say who founds the cluster: leave one of them out`},
		{[]string{"--initial-voters", "1@a:1,2@b:1"}, nil, `--initial-voters: 2 nodes cannot found a cluster: name 1, 3, 5 or 7`},
		{[]string{"--initial-voters", "1@a:1,1@b:1,2@c:1"}, nil, `--initial-voters: node 1 is there twice: each node has a node-id of its own`},
		{[]string{"--initial-voters", "a:1"}, nil, `--initial-voters: "a:1" is no voter: write node-id@host:raft-port, as in 1@node1:9192`},
		{[]string{"--join", "n1", "--cluster-key", someKey, "--raft-port", "0"}, nil,
			`raft-port is 0, and other nodes would not find this one after a restart: write a port`},
		{[]string{"--cluster-addr", "0.0.0.0"}, nil, `--cluster-addr: nobody can connect to 0.0.0.0: write the address that others reach this host by, or leave it out`},
		{[]string{"--log-level", "verbose"}, nil, `--log-level: "verbose" is unknown: write debug, info, warn or error`},
		{[]string{"--log-format", "xml"}, nil, `--log-format: "xml" is unknown: write text or json`},
		{[]string{"--wal-sync", "sometimes"}, nil, `--wal-sync: "sometimes" is unknown: write always, interval or never`},
		{[]string{"--wal-sync-interval", "50"}, nil, `--wal-sync-interval: "50" is no duration that fits: write one from 1ms to 1m0s with its unit, as in 50ms`},
		{[]string{"--wal-size", "1.5GiB"}, nil, `--wal-size: "1.5GiB" is no size: write bytes or a whole number with a unit, as in 64MiB`},
		{[]string{"--wal-size", "9999999999TiB"}, nil, `--wal-size: "9999999999TiB" is out of range: write from 2MiB to 1PiB`},
		{[]string{"--wal-file-size", "3MB"}, nil, `wal-file-size is 3000000 bytes: write a multiple of 4KiB, as in 64MiB`},
		{[]string{"--wal-size", "64MiB"}, nil, `wal-size is less than two files of wal-file-size: write at least 128MiB`},
		{[]string{"--memory-limit", "64MiB"}, nil, `max-request-size is more than memory-limit, so the largest request would never be taken: write at most 64MiB`},
		{[]string{"--http-port", "9092"}, nil, `kafka-port and http-port are both 9092: give one of them another port`},
		{[]string{"--max-connections", "many"}, nil, `--max-connections: "many" is out of range: write a whole number from 0 to 2147483647`},
		{[]string{"--set", "num.partitions"}, nil, `--set num.partitions: write name=value, as in --set num.partitions=3`},
		{[]string{"--set", "socket.request.max.bytes=1"}, nil, `socket.request.max.bytes is not set by Kafka's name: write max-request-size`},
		{[]string{"--set", "num.partition=3"}, nil, `num.partition: there is no such broker config of Kafka: write num.partitions`},
		{[]string{"--set", "wal-size=2GiB"}, nil, `wal-size: there is no such broker config of Kafka: write wal-size, a setting of the server's own`},
		{[]string{"--set", "foo=bar", "--set", "num.partitions=x"}, nil, "foo: there is no such broker config of Kafka: leave it out\n" +
			`broker configs of Kafka: Invalid value x for configuration num.partitions: Not a number of type INT`},
		{nil, []string{"CHRONIK_KAFKA_NUM_PARTITION=3"}, `num.partition: there is no such broker config of Kafka: write num.partitions`},
		{nil, []string{"CHRONIK_KAFKA_LISTENERS=PLAINTEXT://:1"}, `listeners is not set by Kafka's name: write bind-addr and kafka-port`},
		{[]string{"--set", "queued.max.requests=1"}, nil, `queued.max.requests has no effect here: memory-limit bounds the requests that wait: leave it out`},
		{[]string{"--node-id", "x"}, []string{"CHRONIK_KAFKA_PORT=x"}, "CHRONIK_KAFKA_PORT: \"x\" is no port: write a number from 0 to 65535\n" +
			`--node-id: "x" is out of range: write a whole number from 0 to 2147483647`},
	} {
		_, err := load(t, c.args, c.environ)
		if got := message(err); got != c.want {
			t.Errorf("%v %v:\n got %s\nwant %s", c.args, c.environ, got, c.want)
		}
	}
}

func TestWrongFile(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"c.toml", "kafka_port = 1", `FILE: kafka_port: there is no such setting: write kafka-port`},
		{"c.toml", "num.partitions = 1", `FILE: num.partitions: there is no such setting: write Kafka's configs below the key kafka`},
		{"c.toml", "node-id = 'x'", `node-id in FILE: "x" is out of range: write a whole number from 0 to 2147483647`},
		{"c.toml", "data-dir = 2026-01-01", `FILE: data-dir: 2026-01-01 is no text, number or boolean: put it in quotes`},
		{"c.toml", "config = 'b.toml'", `FILE: config: a file cannot name another one: leave it out`},
		{"c.yaml", "zzzzzzzz: 1", `FILE: zzzzzzzz: there is no such setting: see chronik-server --help for those that there are`},
		{"c.yaml", "kafka:\n  1: 2", `FILE: kafka: map[1:2] is no text, number or boolean: put it in quotes`},
		{"c.json", "{}", `FILE: what it holds is told by its name: write one that ends in .toml, .yaml or .yml`},
	} {
		file := write(t, c.name, c.text)
		_, err := load(t, []string{"--config", file}, nil)
		if got := strings.ReplaceAll(message(err), file, "FILE"); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.text, got, c.want)
		}
	}
	for _, c := range []struct{ name, text string }{{"c.toml", "a ="}, {"c.yaml", "a: ]"}, {"c.yaml", "a: 1\na: 2"}} {
		file := write(t, c.name, c.text)
		if _, err := load(t, []string{"--config", file}, nil); !strings.HasPrefix(message(err), file+": ") {
			t.Errorf("%s: got %v", c.text, err)
		}
	}
	if _, err := load(t, []string{"--config", "absent.toml"}, nil); message(err) != "config: open absent.toml: no such file or directory" {
		t.Errorf("a file that is absent: got %v", err)
	}
}

// Kubernetes sets these for services named chronik and chronik-kafka.
func TestServiceLinksAreNotSettings(t *testing.T) {
	got := mustLoad(t, nil, []string{
		"CHRONIK_SERVICE_HOST=10.0.0.1", "CHRONIK_SERVICE_PORT=9092", "CHRONIK_SERVICE_PORT_KAFKA=9092",
		"CHRONIK_PORT=tcp://10.0.0.1:9092", "CHRONIK_PORT_9092_TCP=tcp://10.0.0.1:9092", "CHRONIK_PORT_9092_TCP_ADDR=10.0.0.1",
		"CHRONIK_KAFKA_PORT=tcp://10.0.0.1:9092", "CHRONIK_KAFKA_SERVICE_HOST=10.0.0.1", "PATH=/bin",
	})
	if !reflect.DeepEqual(got, defaults) {
		t.Errorf("got %+v", got)
	}
}

// What an error says to write must be taken.
func TestSizesAreWrittenAsTheyAreRead(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0B", 1: "1B", 1000: "1KB", 64 << 10: "64KiB", 2 << 20: "2MiB", 1536 << 20: "1536MiB", 1 << 50: "1PiB", 1<<31 - 1: "2147483647B",
		1000 << 10: "1000KiB", 5e8: "500MB", 1e14: "100TB",
	} {
		var got int64
		if text := sizeOf(n); text != want || parseSize(&got, text, 0, 1<<50) != nil || got != n {
			t.Errorf("%d is written %s, not %s, and read as %d", n, text, want, got)
		}
	}
}

// What the machine cannot hold ended in a panic, or under load in the system's killing the broker.
func TestMoreMemoryThanTheMachineHasIsRefused(t *testing.T) {
	defer func(real func() int64) { machineMemory = real }(machineMemory)
	for _, c := range []struct {
		memory      int64
		write, want string
	}{
		{24<<30 - 5000, "200GiB", `--memory-limit: "200GiB" is more than this machine's memory of 23GiB: write less, as in 11GiB`},
		{24<<30 - 5000, "999TiB", `--memory-limit: "999TiB" is more than this machine's memory of 23GiB: write less, as in 11GiB`},
		{1<<30 + 1, "1025MiB", `--memory-limit: "1025MiB" is more than this machine's memory of 1GiB: write less, as in 512MiB`},
		{24 << 30, "24GiB", ""},
		{0, "999TiB", ""},
	} {
		machineMemory = func() int64 { return c.memory }
		if _, err := load(t, []string{"--memory-limit", c.write}, nil); message(err) != c.want {
			t.Errorf("%s of %d:\n got %v\nwant %s", c.write, c.memory, err, c.want)
		}
	}
	if n := systemMemory(); runtime.GOOS == "linux" && (n < 64<<20 || n > 1<<50) {
		t.Errorf("this machine is said to have %d bytes", n)
	}
}

// A log that the disk could never hold was taken, filled the disk under load, and ended the broker.
func TestALogThatTheDiskCannotHoldIsRefused(t *testing.T) {
	defer func(real func(string) (int64, int64, error)) { diskOf = real }(diskOf)
	root := t.TempDir()
	dir := filepath.Join(root, "not", "yet")
	for _, c := range []struct {
		disk        int64
		write, want string
	}{
		{95<<30 + 5000, "100TiB", "wal-size is 100TiB, and the log may take twice that under load, but the disk of " + root + " has 95GiB: " +
			"write at most 47GiB, or leave it out for a size that follows the disk"},
		{3 << 30, "2GiB", "wal-size is 2GiB, and the log may take twice that under load, but the disk of " + root + " has 3GiB: " +
			"write at most 1536MiB, or leave it out for a size that follows the disk"},
		{4 << 30, "2GiB", ""},
		{0, "100TiB", ""}, // it does not say
	} {
		diskOf = func(at string) (int64, int64, error) {
			if at != root {
				return 0, 0, &fs.PathError{Op: "statfs", Path: at, Err: syscall.ENOENT}
			}
			return c.disk, 0, nil
		}
		if _, err := load(t, []string{"--wal-size", c.write, "--data-dir", dir}, nil); message(err) != c.want {
			t.Errorf("%s of %d:\n got %v\nwant %s", c.write, c.disk, err, c.want)
		}
	}
	diskOf = vfs.SpaceOf
	if _, err := load(t, []string{"--wal-size", "1PiB", "--data-dir", dir}, nil); err == nil {
		t.Error("1 PiB is taken on this machine")
	}
}

func TestHosts(t *testing.T) {
	for in, want := range map[string]string{
		"::1": "::1", "[::1]": "::1", "2001:DB8:0::1": "2001:db8::1", "fe80::1%eth0": "fe80::1%eth0",
		"192.0.2.1": "192.0.2.1", "broker-1": "broker-1", "a_b.example.org.": "a_b.example.org.",
	} {
		if got, err := parseHost(in, "kafka-port"); err != nil || got != want {
			t.Errorf("parseHost(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
}

// An image or a compose file that names a setting that is gone dies at its start,
// at the user's.
func TestPackagingNamesSettings(t *testing.T) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	AddFlags(flags)
	for _, name := range []string{"Dockerfile", "compose.yaml"} {
		text, err := os.ReadFile(filepath.Join("..", "..", name))
		if err != nil {
			t.Fatal(err)
		}
		args, environ := named(string(text))
		if len(args)+len(environ) == 0 {
			t.Errorf("%s names no setting", name)
		}
		for _, flag := range args {
			if flags.Lookup(flag) == nil {
				t.Errorf("%s: there is no flag --%s", name, flag)
			}
		}
		if _, err := load(t, nil, environ); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPackagingCanFail(t *testing.T) {
	args, environ := named("FROM --platform=x golang\nENV CHRONIK_GONE=1 CHRONIK_NODE_ID=\"2\"\nCMD [\"--gone\"]\n      CHRONIK_LOG_LEVEL: info\n")
	if !slices.Equal(args, []string{"gone"}) || !slices.Equal(environ, []string{"CHRONIK_GONE=1", "CHRONIK_NODE_ID=2", "CHRONIK_LOG_LEVEL=info"}) {
		t.Errorf("found %q and %q", args, environ)
	}
}

func TestComposeIsYAML(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var tree struct{ Services map[string]any }
	if err := yaml.Unmarshal(text, &tree); err != nil || len(tree.Services) == 0 {
		t.Errorf("%d services, %v", len(tree.Services), err)
	}
}

var (
	namedFlag = regexp.MustCompile(`"--([a-z-]+)`)
	namedEnv  = regexp.MustCompile(`(CHRONIK_\w+)(?:=|: *)"?([^"\s]+)`)
)

// named finds the server's flags (in Docker's list form, so not Docker's own)
// and variables.
func named(text string) (args, environ []string) {
	for _, m := range namedFlag.FindAllStringSubmatch(text, -1) {
		args = append(args, m[1])
	}
	for _, m := range namedEnv.FindAllStringSubmatch(text, -1) {
		environ = append(environ, m[1]+"="+m[2])
	}
	return args, environ
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// A wrong Kafka config must not leave a data folder behind, nor be heard of only after the ports are taken.
func TestWrongKafkaConfigsAreRefusedBeforeAnythingIsMade(t *testing.T) {
	fs := pflag.NewFlagSet("t", pflag.ContinueOnError)
	AddFlags(fs)
	if err := fs.Parse([]string{"--set", "foo=bar"}); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(fs, nil); err == nil || !strings.Contains(err.Error(), "foo") {
		t.Error(err)
	}
}
