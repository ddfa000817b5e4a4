package main

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/pflag"
	"gopkg.in/yaml.v3"

	"chronik/cluster"
	"chronik/wal"
)

// Config is everything that is set from outside, checked. Nothing else in the
// server reads a flag, the environment or a configuration file.
type Config struct {
	File           string // the file that was read, if any
	DataDir        string
	BindAddr       string // an IP address without brackets, or a host name
	KafkaPort      int    // 0, here and below: any free port
	HTTPPort       int
	HTTPPprof      bool
	RaftPort       int
	GossipPort     int
	AdvertisedAddr string // empty: the address that each client connected to
	AdvertisedPort int    // 0: the port that Kafka listens on
	NodeID         int32
	ClusterID      string // empty: minted at the first start

	Join            []string        // host:port of gossip of other nodes; the port may be missing
	BootstrapExpect int             // found a cluster of so many nodes; 0: do not
	InitialVoters   []cluster.Voter // found a cluster of exactly these nodes
	ClusterAddr     string          // that other nodes reach this one by; empty: bind-addr, or the machine's own
	ClusterKey      string          // the secret that the nodes of a cluster share; empty for a node alone

	FileMetadata bool // one plain file instead of Raft's store

	LogLevel  slog.Level
	LogFormat string // text or json

	WALSync         wal.SyncMode
	WALSyncInterval time.Duration // with wal.SyncInterval
	WALSize         int64         // bytes that the files of the log may take before segments are cut from them; 0: what the disk has
	WALFileSize     int64         // bytes, a multiple of 4096

	MemoryLimit    int64 // bytes of request buffers and of the newest records in memory
	MaxRequestSize int64 // bytes
	MaxConnections int   // 0: what the limit of open files allows

	Kafka map[string]string // Kafka's broker configs by their names, not checked here
}

// A setting is a flag, the environment variable of the same name, and a key of
// the configuration file.
type setting struct {
	name  string
	value string // the default
	doc   string // with the placeholder of its value in backquotes
	set   func(c *Config, value string) error
}

const (
	fileFlag  = "config"
	kafkaFlag = "set"
	kafkaKey  = "kafka"
	envPrefix = "CHRONIK_"
	kafkaEnv  = "CHRONIK_KAFKA_"
	// toolsVariable tells chronik which brokers to ask. It is no setting of a server, and whoever uses both has it in the environment.
	toolsVariable = "CHRONIK_BROKERS"
)

// settings is the catalogue: README, Dockerfile and compose.yaml may name
// nothing that is not here.
var settings = []setting{
	{"data-dir", "./data", "`folder` that holds everything the node keeps",
		func(c *Config, v string) error { c.DataDir = v; return notEmpty(v) }},
	{"bind-addr", "0.0.0.0", "`address` to listen on, without a port",
		func(c *Config, v string) (err error) { c.BindAddr, err = parseHost(v, "kafka-port"); return }},
	{"kafka-port", "9092", "`port` for Kafka clients; 0 takes any free one, here and below",
		func(c *Config, v string) error { return parsePort(&c.KafkaPort, v) }},
	{"advertised-addr", "", "`address` that clients are told to connect to (default the one that each has connected to)",
		func(c *Config, v string) (err error) {
			c.AdvertisedAddr, err = parseReachable(v, "advertised-port")
			return
		}},
	{"advertised-port", "0", "`port` that clients are told to connect to; 0 is the one of kafka-port",
		func(c *Config, v string) error { return parsePort(&c.AdvertisedPort, v) }},
	{"http-port", "6092", "`port` for /healthz and /readyz",
		func(c *Config, v string) error { return parsePort(&c.HTTPPort, v) }},
	{"http-pprof", "false", "the HTTP port also serves profiles of the process under /debug/pprof/: true or false; the flag alone is true",
		func(c *Config, v string) error { return parseBool(&c.HTTPPprof, v) }},
	{"raft-port", "9192", "`port` for the other nodes: metadata log, replication; a standalone node does not open it",
		func(c *Config, v string) error { return parsePort(&c.RaftPort, v) }},
	{"gossip-port", "7946", "`port` for finding other nodes; a standalone node does not open it",
		func(c *Config, v string) error { return parsePort(&c.GossipPort, v) }},
	{"node-id", "1", "`number` of this node, 0 or more; kept from the first start on",
		func(c *Config, v string) error { return parseInt(&c.NodeID, v, 0, 1<<31-1) }},
	{"cluster-id", "", "`id` of the cluster (default minted at the first start)",
		func(c *Config, v string) error { c.ClusterID = v; return checkClusterID(v) }},
	{"join", "", "`addresses` of nodes of the cluster to join, host or host:port of gossip, with commas between them",
		func(c *Config, v string) (err error) { c.Join, err = parseJoin(v); return }},
	{"bootstrap-expect", "0", "`number` of nodes that found a new cluster together as soon as they have found each other: 1, 3, 5 or 7; " +
		"write it at each of them; 0 founds none",
		func(c *Config, v string) error { return parseExpect(&c.BootstrapExpect, v) }},
	{"initial-voters", "", "`nodes` that found a new cluster together, instead of bootstrap-expect: node-id@host:raft-port, with commas between them",
		func(c *Config, v string) (err error) { c.InitialVoters, err = parseVoters(v); return }},
	{"cluster-addr", "", "`address` that other nodes reach this one by (default bind-addr, or with 0.0.0.0 the machine's first private address)",
		func(c *Config, v string) (err error) {
			c.ClusterAddr, err = parseReachable(v, "raft-port and gossip-port")
			return
		}},
	{"cluster-key", "", "`secret` that all nodes of a cluster share, 16 characters or more; others on the machine can see a flag: " +
		"the environment or cluster-key-file is better",
		func(c *Config, v string) error { c.ClusterKey = v; return checkKey(v) }},
	{"cluster-key-file", "", "`file` to read cluster-key from; nobody but its owner may be allowed to read it",
		func(c *Config, v string) error { return readKey(&c.ClusterKey, v) }},
	{"file-metadata", "false", "the metadata is kept in one plain file instead of Raft's store; for a standalone node only, and chronik cluster " +
		"migrate-metadata moves what is there: true or false; the flag alone is true",
		func(c *Config, v string) error { return parseBool(&c.FileMetadata, v) }},
	{"log-level", "info", "`level` of the log: debug, info, warn or error",
		func(c *Config, v string) error { return parseLevel(&c.LogLevel, v) }},
	{"log-format", "text", "`format` of the log: text or json",
		func(c *Config, v string) error { return parseChoice(&c.LogFormat, v, "text", "json") }},
	{"wal-sync", "always", "`when` records are synced to disk: always (before they are acknowledged), interval (a power cut " +
		"loses up to wal-sync-interval of acknowledged records) or never (it loses what the system has not written)",
		func(c *Config, v string) error {
			return parseChoice(&c.WALSync, v, wal.SyncAlways, wal.SyncInterval, wal.SyncNever)
		}},
	{"wal-sync-interval", "50ms", "`duration` between syncs with wal-sync interval",
		func(c *Config, v string) error {
			return parseDuration(&c.WALSyncInterval, v, time.Millisecond, time.Minute)
		}},
	{"wal-size", "", "`size` that the write-ahead log may grow to before segments are cut from it (default a twentieth of the disk, " +
		"from 1GiB to 8GiB; of one of less than 4GiB a quarter)",
		func(c *Config, v string) error { return parseDiskShare(&c.WALSize, v) }},
	{"wal-file-size", "64MiB", "`size` of one file of the write-ahead log, a multiple of 4KiB",
		func(c *Config, v string) error { return parseSize(&c.WALFileSize, v, mebibyte, 4<<30) }},
	{"memory-limit", "176MiB", "`size` that request buffers and the newest records may take in memory",
		func(c *Config, v string) error { return parseMemory(&c.MemoryLimit, v) }},
	{"max-request-size", "100MiB", "`size` of the largest request taken",
		func(c *Config, v string) error { return parseSize(&c.MaxRequestSize, v, 64<<10, 1<<31-1) }},
	{"max-connections", "0", "`number` of connections taken; 0 is what the limit of open files allows",
		func(c *Config, v string) error { return parseInt(&c.MaxConnections, v, 0, 1<<31-1) }},
}

// AddFlags defines every setting on fs.
func AddFlags(fs *pflag.FlagSet) {
	fs.String(fileFlag, "", "`file` to read settings from, .toml, .yaml or .yml, with the names of the flags as keys ["+envName(fileFlag)+"]")
	for _, s := range settings {
		doc := s.doc + " [" + envName(s.name) + "]"
		if s.isSwitch() {
			text := switchText(s.value)
			fs.VarPF(&text, s.name, "", doc).NoOptDefVal = "true"
		} else {
			fs.String(s.name, s.value, doc)
		}
	}
	fs.StringArray(kafkaFlag, nil, "`name=value` of a Kafka broker config, as num.partitions=3; may be repeated ["+kafkaEnv+"NUM_PARTITIONS; in a file below the key "+kafkaKey+"]")
}

// isSwitch tells whether the flag may stand without a value.
func (s setting) isSwitch() bool { return s.value == "true" || s.value == "false" }

// switchText is a flag's value that is checked with those of the other sources, and that --help shows as a bool.
type switchText string

func (t *switchText) Set(v string) error { *t = switchText(v); return nil }
func (t *switchText) String() string     { return string(*t) }
func (t *switchText) Type() string       { return "bool" }

// joinSwitches writes "--name true" as "--name=true": the value of a flag that may stand without one would else be taken
// for a command.
func joinSwitches(args []string) (joined []string) {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return append(joined, args[i:]...)
		}
		at := slices.IndexFunc(settings, func(s setting) bool { return s.isSwitch() && arg == "--"+s.name })
		if at >= 0 && i+1 < len(args) {
			if _, err := strconv.ParseBool(args[i+1]); err == nil {
				i++
				arg += "=" + args[i]
			}
		}
		joined = append(joined, arg)
	}
	return joined
}

// Load builds the Config from the flags that were given, then environ (as
// os.Environ returns it), then the file, then the defaults. The error names every
// setting that is wrong, where it was set, and what to write instead.
func Load(fs *pflag.FlagSet, environ []string) (Config, error) {
	env, envErr := readEnviron(environ)
	var c Config
	c.File = env.values[fileFlag].text
	if fs.Changed(fileFlag) {
		c.File = fs.Lookup(fileFlag).Value.String()
	}
	file, fileErr := readFile(c.File)
	flags, flagErr := readFlags(fs)
	given := newLayer()
	for _, l := range []layer{file, env, flags} { // the last one wins
		maps.Copy(given.values, l.values)
		maps.Copy(given.kafka, l.kafka)
	}
	c.Kafka = given.kafka
	err := errors.Join(flagErr, envErr, fileErr, c.apply(given))
	if err == nil {
		err = c.check()
	}
	return c, err
}

func (c *Config) apply(given layer) error {
	var errs []error
	for _, s := range settings {
		v, ok := given.values[s.name]
		if !ok {
			v = value{text: s.value, from: "default of " + s.name}
		}
		if err := s.set(c, v.text); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", v.from, err))
		}
	}
	return errors.Join(errs...)
}

// check finds settings that are good alone but not together.
func (c *Config) check() error {
	var errs []error
	ports := map[int]string{}
	for _, p := range []struct {
		name string
		port int
	}{{"kafka-port", c.KafkaPort}, {"http-port", c.HTTPPort}, {"raft-port", c.RaftPort}, {"gossip-port", c.GossipPort}} {
		if other, taken := ports[p.port]; taken && p.port != 0 {
			errs = append(errs, fmt.Errorf("%s and %s are both %d: give one of them another port", other, p.name, p.port))
		}
		ports[p.port] = p.name
	}
	if c.WALFileSize%4096 != 0 {
		errs = append(errs, fmt.Errorf("wal-file-size is %d bytes: write a multiple of 4KiB, as in 64MiB", c.WALFileSize))
	}
	if c.WALSize > 0 && c.WALSize < 2*c.WALFileSize {
		errs = append(errs, fmt.Errorf("wal-size is less than two files of wal-file-size: write at least %s", sizeOf(2*c.WALFileSize)))
	}
	errs = append(errs, c.checkDisk())
	if c.MaxRequestSize > c.MemoryLimit {
		errs = append(errs, fmt.Errorf("max-request-size is more than memory-limit, so the largest request would never be taken: write at most %s", sizeOf(c.MemoryLimit)))
	}
	return errors.Join(append(errs, c.checkCluster(), c.checkKafka())...)
}

// A layer is what one source gives.
type layer struct {
	values map[string]value
	kafka  map[string]string
}

// A value is the text of a setting, and where it stands for whoever must mend it.
type value struct{ text, from string }

func newLayer() layer { return layer{map[string]value{}, map[string]string{}} }

func readFlags(fs *pflag.FlagSet) (layer, error) {
	l := newLayer()
	for _, s := range settings {
		if fs.Changed(s.name) {
			l.values[s.name] = value{fs.Lookup(s.name).Value.String(), "--" + s.name}
		}
	}
	pairs, err := fs.GetStringArray(kafkaFlag)
	if err != nil {
		return l, err
	}
	for _, pair := range pairs {
		name, text, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return l, fmt.Errorf("--%s %s: write name=value, as in --%[1]s num.partitions=3", kafkaFlag, pair)
		}
		l.kafka[name] = text
	}
	return l, nil
}

// readEnviron takes every variable with the prefix. One that is set to nothing
// counts as not set: compose files and manifests pass those on.
func readEnviron(environ []string) (layer, error) {
	l := newLayer()
	var errs []error
	for _, pair := range environ {
		name, text, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, envPrefix) || text == "" || name == toolsVariable || serviceLink(name, text) {
			continue
		}
		key := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, envPrefix)), "_", "-")
		config, isKafka := strings.CutPrefix(name, kafkaEnv)
		switch {
		case known(key) || key == fileFlag:
			l.values[key] = value{text, name}
		case isKafka && config != "":
			l.kafka[strings.ReplaceAll(strings.ToLower(config), "_", ".")] = text
		default:
			errs = append(errs, fmt.Errorf("%s: there is no such setting: %s", name, advise(key, envName)))
		}
	}
	return l, errors.Join(errs...)
}

// serviceLink tells whether Kubernetes set the variable: it gives every container
// some for each service, and one whose name begins with "chronik" gets our prefix.
func serviceLink(name, text string) bool {
	return linkName.MatchString(name) || linkValue.MatchString(text)
}

var (
	linkName  = regexp.MustCompile(`_SERVICE_(HOST|PORT)(_\w+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_\w+)?$`)
	linkValue = regexp.MustCompile(`^(tcp|udp|sctp)://`)
)

func readFile(name string) (layer, error) {
	l := newLayer()
	if name == "" {
		return l, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return l, fmt.Errorf("%s: %w", fileFlag, err)
	}
	tree := map[string]any{}
	switch strings.ToLower(filepath.Ext(name)) {
	case ".toml":
		err = toml.Unmarshal(text, &tree)
	case ".yaml", ".yml":
		err = yaml.Unmarshal(text, &tree)
	default:
		err = errors.New("what it holds is told by its name: write one that ends in .toml, .yaml or .yml")
	}
	if err == nil {
		err = l.addTree(name, tree)
	}
	if err != nil {
		return l, fmt.Errorf("%s: %w", name, err)
	}
	return l, nil
}

func (l layer) addTree(file string, tree map[string]any) error {
	flat := map[string]string{}
	errs := []error{flatten(flat, "", tree)}
	for _, key := range slices.Sorted(maps.Keys(flat)) {
		config, isKafka := strings.CutPrefix(key, kafkaKey+".")
		switch {
		case known(key):
			l.values[key] = value{flat[key], key + " in " + file}
		case isKafka:
			l.kafka[config] = flat[key]
		case key == fileFlag:
			errs = append(errs, fmt.Errorf("%s: a file cannot name another one: leave it out", key))
		case strings.Contains(key, "."), key == kafkaFlag:
			errs = append(errs, fmt.Errorf("%s: there is no such setting: write Kafka's configs below the key %s", key, kafkaKey))
		default:
			errs = append(errs, fmt.Errorf("%s: there is no such setting: %s", key, advise(key, func(s string) string { return s })))
		}
	}
	return errors.Join(errs...)
}

// flatten turns nested tables into names with dots: TOML reads num.partitions as
// a table in a table. A list becomes Kafka's form of one, with commas.
func flatten(into map[string]string, name string, node any) error {
	switch n := node.(type) {
	case map[string]any:
		var errs []error
		for key, child := range n {
			if name != "" {
				key = name + "." + key
			}
			errs = append(errs, flatten(into, key, child))
		}
		return errors.Join(errs...)
	case []any:
		texts := make([]string, len(n))
		for i := range n {
			item := map[string]string{}
			if err := flatten(item, name, n[i]); err != nil {
				return err
			}
			texts[i] = item[name]
		}
		into[name] = strings.Join(texts, ",")
	case nil: // a YAML key without a value
	case string:
		into[name] = n
	case bool, int, int64, uint64:
		into[name] = fmt.Sprint(n)
	case float64:
		into[name] = strconv.FormatFloat(n, 'f', -1, 64)
	default:
		return fmt.Errorf("%s: %v is no text, number or boolean: put it in quotes", name, n)
	}
	return nil
}

func known(name string) bool {
	return slices.ContainsFunc(settings, func(s setting) bool { return s.name == name })
}

func envName(name string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// advise says what to write instead of an unknown name, in the source's spelling.
func advise(name string, spell func(string) string) string {
	names := make([]string, len(settings))
	for i, s := range settings {
		names[i] = s.name
	}
	best := nearest(name, names)
	if best == "" {
		return "see chronik-server --help for those that there are"
	}
	return "write " + spell(best)
}

// nearest is the name that was meant; empty where all are so far away that it would be a guess.
func nearest(name string, names []string) (best string) {
	least := min(4, len(name))
	for _, n := range names {
		if d := distance(name, n); d < least {
			best, least = n, d
		}
	}
	return best
}

// distance is the number of letters to change, add or take away (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
