package config

import (
	"flag"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"chronik/kafka/kerr"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

var kinds = []*catalogue{topics, brokers, groups}

// The catalogue is public: a name, a type or a default that changes is seen here.
func TestCatalogue(t *testing.T) {
	var s strings.Builder
	for _, c := range kinds {
		for _, d := range c.defs {
			fmt.Fprintf(&s, "%s %s %s %s", c.kind, d.Name, d.Type, shownDefault(d))
			if d.Valid.Text != "" {
				fmt.Fprintf(&s, " valid=%s", d.Valid.Text)
			}
			for _, y := range d.Synonyms {
				fmt.Fprintf(&s, " <- %s", y.Name)
			}
			if d.Dynamic {
				s.WriteString(" dynamic")
			}
			s.WriteString("\n")
		}
	}
	golden(t, "testdata/catalogue.txt", s.String())
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; go test -rewrite writes it anew:\n%s", file, got)
	}
}

// Where this broker is not Kafka, on purpose.
var unlikeKafka = map[string]string{
	"process.roles":                  "every node is both",
	"log.dir":                        "the data directory's name is ours",
	"listeners":                      "not altered at run time",
	"listener.security.protocol.map": "not altered at run time",
	"broker.heartbeat.interval.ms":   "a dead leader is replaced within two seconds",
	"broker.session.timeout.ms":      "a dead leader is replaced within two seconds",

	"follower.replication.throttled.rate": "Kafka's brokers tell of it only where it is set",
	"leader.replication.throttled.rate":   "Kafka's brokers tell of it only where it is set",
}

func TestCatalogueAgreesWithKafka(t *testing.T) {
	kafka := map[string]string{}
	for _, line := range lines(t, "testdata/kafka-4.4.0.txt") {
		kind, rest, _ := strings.Cut(line, " ")
		name, facts, _ := strings.Cut(rest, " ")
		kafka[kind+" "+name] = facts
	}
	for _, c := range kinds {
		for _, d := range c.defs {
			dynamic := "static"
			if d.Dynamic || c != brokers {
				dynamic = "dynamic"
			}
			got := fmt.Sprintf("%s %s %s", d.Type, shownDefault(d), dynamic)
			if want := kafka[c.kind+" "+d.Name]; got != want && unlikeKafka[d.Name] == "" {
				t.Errorf("%s %s is %q, Kafka's %q", c.kind, d.Name, got, want)
			}
		}
	}
}

// Whoever looks for a config of Kafka's that is not here finds the reason in a table.
func TestEveryConfigOfKafkaIsHereOrHasAReason(t *testing.T) {
	type pattern struct{ kind, name string }
	used := map[pattern]bool{}
	for _, line := range lines(t, "testdata/without.txt") {
		what, reason, ok := strings.Cut(line, " | ")
		kind, name, _ := strings.Cut(what, " ")
		if !ok || reason == "" || name == "" {
			t.Errorf("%s: want \"kind pattern | reason\"", line)
		}
		used[pattern{kind, name}] = false
	}
	for _, line := range lines(t, "testdata/kafka-4.4.0.txt") {
		kind, rest, _ := strings.Cut(line, " ")
		name, _, _ := strings.Cut(rest, " ")
		here := slices.ContainsFunc(kinds, func(c *catalogue) bool { return c.kind == kind && c.by[name] != nil })
		for p := range used {
			if matches, _ := path.Match(p.name, name); matches && p.kind == kind && !here {
				used[p], here = true, true
			}
		}
		if !here {
			t.Errorf("%s %s is neither in the catalogue nor in testdata/without.txt", kind, name)
		}
	}
	for p, is := range used {
		if !is {
			t.Errorf("testdata/without.txt: %s %s stands for nothing", p.kind, p.name)
		}
	}
}

// lines is a file's without those that begin with #.
func lines(t *testing.T, file string) []string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	return slices.DeleteFunc(all, func(s string) bool { return strings.HasPrefix(s, "#") })
}

func shownDefault(d *Def) string {
	if d.Unset {
		return "null"
	}
	if d.Default == "" {
		return `""`
	}
	return d.Default
}

func TestEveryDefaultIsValid(t *testing.T) {
	for _, c := range kinds {
		for _, d := range c.defs {
			if d.Doc == "" || d.Importance == "" || d.Unset && d.Default != "" {
				t.Errorf("%s %s: incomplete", c.kind, d.Name)
			}
			if d.Unset {
				continue
			}
			v, err := d.parse(d.Default)
			if err != nil {
				t.Errorf("%s %s: %v", c.kind, d.Name, err)
			}
			if v.String() != d.Default {
				t.Errorf("%s %s: default %q prints as %q", c.kind, d.Name, d.Default, v)
			}
			for _, s := range d.Synonyms {
				if brokers.by[s.Name] == nil {
					t.Errorf("%s %s: synonym %s is unknown", c.kind, d.Name, s.Name)
				}
			}
		}
	}
}

// A field that is bound to no config, or the other way round, would never be noticed otherwise.
func TestEveryFieldIsInTheCatalogue(t *testing.T) {
	for name := range brokerFields {
		if brokers.by[name] == nil {
			t.Errorf("broker %s is not in the catalogue", name)
		}
	}
	for name := range topicFields {
		if topics.by[name] == nil {
			t.Errorf("topic %s is not in the catalogue", name)
		}
	}
	for _, i := range groupInts {
		if groups.by[i.name] == nil || brokers.by["group."+i.name] == nil {
			t.Errorf("%s is not in the catalogue of groups, or its default not in that of brokers", i.name)
		}
	}
	for _, d := range groups.defs {
		number := slices.ContainsFunc(groupInts, func(i groupInt) bool { return i.name == d.Name })
		if number == (groupFields[d.Name] != nil) {
			t.Errorf("group %s is bound to no field", d.Name)
		}
	}
}

func TestWhatTopicsInheritIsWhatTheirDefaultsSay(t *testing.T) {
	b := compile(t, nil, nil, nil)
	for _, c := range []*catalogue{topics, groups} {
		for _, d := range c.defs {
			v, ok := b.inherited(d)
			if d.Unset && len(d.Synonyms) > 0 {
				continue // null says that the broker's counts
			}
			if got := v.String(); got != d.Default || ok == d.Unset {
				t.Errorf("%s %s: inherits %s %v, default is %s", c.kind, d.Name, got, ok, d.Default)
			}
		}
	}
}

func TestThrottledReplicas(t *testing.T) {
	b := compile(t, nil, nil, nil)
	for _, c := range []struct {
		text string
		has  [3]bool // of partition 0 at 1, 0 at 2, 11 at 1
	}{
		{"", [3]bool{}},
		{"*", [3]bool{true, true, true}},
		{" 0:1 , 11:1 ", [3]bool{true, false, true}},
		{"0:2", [3]bool{false, true, false}},
	} {
		topic, err := b.CompileTopic(map[string]string{"leader.replication.throttled.replicas": c.text})
		if err != nil {
			t.Fatal(err)
		}
		r := topic.LeadersThrottled
		if got := [3]bool{r.Has(0, 1), r.Has(0, 2), r.Has(11, 1)}; got != c.has || topic.FollowersThrottled != nil {
			t.Errorf("%q: %v", c.text, got)
		}
	}
	for _, text := range []string{"x", "0", "0:1,*", "0:", "-1:1", "0:1:2", "all"} {
		if err := CheckTopic("follower.replication.throttled.replicas", text); kerr.Of(err) != kerr.InvalidConfig {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Messages are those of Apache Kafka 4.3.0 for the same requests.
func TestCheckTopic(t *testing.T) {
	for _, c := range []struct{ name, value, problem string }{
		{"retention.ms", "-1", ""},
		{"retention.ms", " 1000 ", ""},
		{"retention.ms", "x", "Invalid value x for configuration retention.ms: Not a number of type LONG"},
		{"retention.ms", "99999999999999999999", "Invalid value 99999999999999999999 for configuration retention.ms: Not a number of type LONG"},
		{"segment.bytes", "5", "Invalid value 5 for configuration segment.bytes: Value must be at least 1048576"},
		{"segment.bytes", "2147483648", "Invalid value 2147483648 for configuration segment.bytes: Not a number of type INT"},
		{"cleanup.policy", "compact, delete", ""},
		{"cleanup.policy", "", ""},
		{"cleanup.policy", "compact,foo", "Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete"},
		{"compression.type", "br", "Invalid value br for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer"},
		{"preallocate", "TRUE", ""},
		{"preallocate", "1", "Invalid value 1 for configuration preallocate: Expected value to be either true or false"},
		{"compression.gzip.level", "0", "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1"},
		{"compression.zstd.level", "99", "Invalid value 99 for configuration compression.zstd.level: Value must be no more than 22"},
		{"compression.lz4.level", "18", "Invalid value 18 for configuration compression.lz4.level: Value must be no more than 17"},
		{"min.cleanable.dirty.ratio", "2", "Invalid value 2.0 for configuration min.cleanable.dirty.ratio: Value must be no more than 1"},
		{"min.cleanable.dirty.ratio", "NaN", "Invalid value NaN for configuration min.cleanable.dirty.ratio: Not a number of type DOUBLE"},
		{"message.timestamp.type", "createtime", "Invalid value createtime for configuration message.timestamp.type: String must be one of: CreateTime, LogAppendTime"},
		{"min.insync.replicas", "0", "Invalid value 0 for configuration min.insync.replicas: Value must be at least 1"},
		{"remote.storage.enable", "true", "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."},
		{"nope", "1", "Unknown topic config name: nope"},
	} {
		err := CheckTopic(c.name, c.value)
		if got := kerr.Message(err); got != c.problem || err != nil && kerr.Of(err) != kerr.InvalidConfig {
			t.Errorf("%s=%s: %v, want %q", c.name, c.value, err, c.problem)
		}
	}
}

func TestCheckDynamic(t *testing.T) {
	for _, c := range []struct {
		name, value string
		code        kerr.Code
	}{
		{"log.retention.ms", "1000", kerr.None},
		{"log.retention.ms", "0", kerr.InvalidConfig},
		{"message.max.bytes", "-5", kerr.InvalidConfig},
		{"num.partitions", "5", kerr.InvalidRequest},
		{"listeners", "PLAINTEXT://:1", kerr.InvalidRequest},
		{"unknown.thing", "2", kerr.InvalidConfig},
	} {
		if got := kerr.Of(CheckDynamic(c.name, c.value)); got != c.code {
			t.Errorf("%s=%s: %v, want %v", c.name, c.value, got, c.code)
		}
	}
}

func compile(t *testing.T, static Static, dynamicDefault, dynamicBroker map[string]string) *Broker {
	t.Helper()
	b, err := CompileBroker(static, dynamicDefault, dynamicBroker)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
