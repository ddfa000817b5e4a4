package integration

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/integration/broker"
)

// tool runs bin/chronik against a broker.
type tool struct {
	t       *testing.T
	brokers string
}

func newTool(t *testing.T) tool {
	b := broker.New(t)
	b.Start()
	return tool{t, b.Address()}
}

func (c tool) run(args ...string) (out, said string, code int) {
	c.t.Helper()
	return broker.Run(c.t, broker.Command(c.t, "chronik"), append(args, "--brokers", c.brokers)...)
}

// ok is what a command prints that is to succeed.
func (c tool) ok(args ...string) string {
	c.t.Helper()
	out, said, code := c.run(args...)
	if code != 0 {
		c.t.Fatalf("chronik %s ended with %d:\n%s%s", strings.Join(args, " "), code, out, said)
	}
	return out
}

// json is ok of a command whose JSON is read into to.
func (c tool) json(to any, args ...string) {
	c.t.Helper()
	out := c.ok(append(args, "--format", "json")...)
	if err := json.Unmarshal([]byte(out), to); err != nil {
		c.t.Fatalf("chronik %s: %v:\n%s", strings.Join(args, " "), err, out)
	}
}

// script runs commands, each of which prints what a regular expression matches, and ends with its code.
func (c tool) script(steps []step) {
	c.t.Helper()
	for _, s := range steps {
		out, said, code := c.run(strings.Fields(s.args)...)
		if all := out + said; code != s.code || !regexp.MustCompile(s.want).MatchString(all) {
			c.t.Errorf("chronik %s ended with %d:\n%s", s.args, code, all)
		}
	}
}

type step struct {
	args, want string
	code       int
}

func (c tool) file(name, content string) string {
	c.t.Helper()
	path := filepath.Join(c.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// Whatever stands in a record comes back: keys, headers, timestamps, empty bytes, none at all, and those that are no text.
func TestRecordsComeBackAsTheyWereWritten(t *testing.T) {
	c := newTool(t)
	c.ok("topic", "create", "a", "--partitions", "3")
	c.ok("topic", "create", "b", "--partitions", "3")
	binary := base64.StdEncoding.EncodeToString([]byte{0xff, 0, 0x80, '\n'})
	lines := []string{
		`{"topic":"b","partition":1,"offset":0,"timestamp":1700000000000,"key":"k","value":"v","headers":[{"key":"x","value":"1"},{"key":"x","value":"<&>"}]}`,
		`{"topic":"b","partition":1,"offset":1,"timestamp":1700000000001,"key":"","value":"","headers":[{"key":"","value":""}]}`,
		`{"topic":"b","partition":1,"offset":2,"timestamp":1700000000002,"key":null,"value":null,"headers":[{"key":"n","value":null}]}`,
		`{"topic":"b","partition":1,"offset":3,"timestamp":1700000000003,"key":null,"key_base64":"` + binary + `","value":null,"value_base64":"` + binary +
			`","headers":[{"key":"b","value":null,"value_base64":"` + binary + `"}]}`,
		`{"topic":"b","partition":1,"offset":4,"timestamp":1700000000004,"key":"ключ","value":"two\nlines","headers":[]}`,
	}
	want := strings.Join(lines, "\n") + "\n"
	in := c.file("in", strings.ReplaceAll(want, `"topic":"b"`, `"topic":"elsewhere"`))
	c.ok("produce", "a", "--input", "json", "--file", in, "--compression", "zstd")
	out := filepath.Join(t.TempDir(), "out")
	c.ok("consume", "a", "--format", "json", "--output", out)
	c.ok("produce", "b", "--input", "json", "--file", out)
	if got := c.ok("consume", "b", "--format", "json"); got != want {
		t.Errorf("came back:\n%s\nwant:\n%s", got, want)
	}
	if got := c.ok("consume", "b", "--format", "raw", "--offset", "3", "--count", "1", "--partition", "1"); got != "\xff\x00\x80\n" {
		t.Errorf("raw: %q", got)
	}
	if got := c.ok("consume", "b", "--template", `%p:%o %k=%v{base64} %h{%k;}\n`, "-n", "2"); got != "1:0 k=dg== x;x;\n1:1 = ;\n" {
		t.Errorf("template: %q", got)
	}
}

func TestProduceAndConsume(t *testing.T) {
	c := newTool(t)
	lines := c.file("lines", "a:1\nb:\n\nno key")
	raw := c.file("raw", "x\ny\xff")
	c.script([]step{
		{"produce nowhere x", `^chronik: there is no topic nowhere: chronik topic create nowhere makes it, or --create here$`, 1},
		{"consume nowhere", `there is no topic nowhere`, 1},
		{"produce t --create first second", `^wrote 2 records to t\n  partition 0: offsets 0 to 1\n$`, 0},
		{"produce t -K : --null-empty --header h=1 --file " + lines, `offsets 2 to 5`, 0},
		{"produce t --key k --null --timestamp 2026-05-01T08:00:00Z --acks 1", `offset 6`, 0},
		{"produce t --input raw --acks 0 --file " + raw, `partition 0: 1 record\n`, 0},
		{"produce t --partition 5 x", `topic t has no partition 5: it has 0 to 0`, 1},
		{"produce t --input json --file " + lines, `line 1: it is no record`, 1},
		{"produce t --file " + lines + ".no", `--file: open .*no such file`, 1},
		{"produce t x --null", `what is to be written\?`, 1},
		{"produce t --compression no x", `--compression no: write one of none`, 1},
		{"produce", `which topic\? name one: chronik produce TOPIC`, 1},
		{"consume t --count 3", "^first\nsecond\n1\n$", 0},
		{"consume t --offset -4 --count 1 --format table", `(?s)^TOPIC +PARTITION.*\nt +0 +4 +\S+ +null +null \(h=1\)\n$`, 0},
		{"consume t --offset 2 --count 2 --template %k|%v|%h{%k=%v};", `^a\|1\|h=1;b\|\|h=1;$`, 0},
		{"consume t --since 2026-05-01T08:00:00Z --count 1 --offset 1", `write --offset or --since`, 1},
		{"consume t --since 1h --partition 0 --count 1", "^first\n$", 0},
		{"consume t --offset latest", `^$`, 0},
		{"consume t --offset 99", `t-0 ends at offset 8: there is no 99 yet`, 1},
		{"consume t --partition 1", `topic t has no partition 1`, 1},
		{"consume t --offset soon", `--offset soon: write earliest, latest`, 1},
		{"consume t --count 0", `--count 0: write 1 or more`, 1},
		{"consume t --format xml", `--format "xml" is unknown: write value or table or json or raw`, 1},
		{"consume t --template %9", `--template`, 1},
		{"consume t --follow --offset latest --group g --count 0", `--count 0`, 1},
		{"consume t --group g --offset 3", `chronik group reset sets where it goes on`, 1},
		{"consume t --group g --count 2", "^first\nsecond\n$", 0},
		{"consume t --group g --template %o;", `^2;3;4;5;6;7;$`, 0},
		{"consume t --group g --template %o;", `^$`, 0},
		{"group lag g", `(?s)\ng +t +0 +8 +8 +0 .*\n0 records behind in 1 partition\n$`, 0},
	})
	var made struct {
		Records, Failed int64
		Partitions      []struct{ Partition, Records, First_offset, Last_offset int64 }
	}
	c.json(&made, "produce", "t", "x", "y")
	if made.Records != 2 || made.Failed != 0 || len(made.Partitions) != 1 || made.Partitions[0].Last_offset != 9 {
		t.Errorf("produce: %+v", made)
	}
}

// A group's offsets are set only while nobody reads as its member.
func TestGroupCommands(t *testing.T) {
	c := newTool(t)
	c.ok("topic", "create", "t", "--partitions", "2")
	c.ok("produce", "t", "--partition", "0", "a", "b", "c")
	c.script([]step{
		{"group list", `^GROUP +TYPE +STATE +PROTOCOL +COORDINATOR\n$`, 0},
		{"group list --type odd", `--type odd: write some of classic,consumer,share,streams`, 1},
		{"group describe g", `there is no group g: chronik group list`, 1},
		{"group lag g", `there is no group g`, 1},
		{"group lag", `which groups\? name them, or write --all`, 1},
		{"group delete g", `there is no group g`, 1},
		{"group reset g --to earliest", `of which topics\?`, 1},
		{"group reset g --topic t", `to where\?`, 1},
		{"group reset g --topic t --to earliest --shift 1", `to where\?`, 1},
		{"group reset g --topic absent --to earliest", `there is no topic absent`, 1},
		{"group reset g --topic t:7 --to earliest", `topic t has no partition "7": it has 0 to 1`, 1},
		{"group reset g --topic t --shift 1", `no offset of t-0 to go on or back from: write --to`, 1},
		{"group reset g --topic t --to 1 --dry-run", `(?s)^TOPIC.*\nt +0 +- +1\nt +1 +- +0\n\nnothing was changed`, 0},
		{"group list", `^GROUP.*\n$`, 0},
		{"group reset g --topic t --to 1", `(?s)t +0 +- +1\nt +1 +- +0\n\nthere was no group g: it is made, and its consumers begin there\n$`, 0},
		{"group list --state Empty", `\ng +classic +Empty +- +1\n$`, 0},
		{"group describe g", `^group g: classic, Empty, 0 members, coordinator 1\n$`, 0},
		{"group lag g", `(?s)\ng +t +0 +1 +3 +2 +- +-\n.*2 records behind in 2 partitions`, 0},
		{"group reset g --all-topics --shift 1", `t +0 +1 +2\n`, 0},
		{"group reset g --topic t:0 --to latest", `t +0 +2 +3\n$`, 0},
		{"group reset g --topic t:0 --to-time 1h", `t +0 +3 +0\n$`, 0},
		{"group reset g --topic t:0 --to-time tomorrow", `--to-time "tomorrow": write`, 1},
		{"group delete g --topic t", `^deleted g's offsets of t\n$`, 0},
		{"group delete g --topic t", `there is no group g`, 1}, // which had nothing else
	})
	c.ok("group", "reset", "g", "--topic", "t", "--to", "earliest")
	member := broker.Start(t, broker.Command(t, "chronik"), "consume", "t", "--group", "g", "--follow", "--output", filepath.Join(t.TempDir(), "out"), "--brokers", c.brokers)
	var lags []struct {
		Committed, Lag *int64
		Client         string
	}
	for len(lags) == 0 || lags[0].Committed == nil || *lags[0].Committed != 3 { // until the member has read and committed
		select {
		case <-member.Done:
			t.Fatal("the member ended")
		default:
			c.json(&lags, "group", "lag", "g")
		}
	}
	if lags[0].Client != "chronik-cli" || *lags[0].Lag != 0 {
		t.Errorf("lag: %+v", lags)
	}
	c.script([]step{
		{"group describe g", `(?s)^group g: classic, Stable, 1 member,.*chronik-cli +\S+ +t +t:0,1\n$`, 0},
		{"group reset g --topic t --to earliest", `group g is Stable and has 1 member: stop its consumers first.*chronik-cli at `, 1},
		{"group delete g", `group g has members: stop its consumers first; chronik group describe g`, 1},
	})
	member.Signal(os.Interrupt)
	if code := member.Wait(); code != 0 {
		t.Errorf("the member ended with %d", code)
	}
	c.script([]step{
		{"group reset g --topic t --to earliest", `t +0 +3 +0\n`, 0},
		{"group delete g", `^deleted g\n$`, 0},
		{"consume t --group-protocol consumer", `of which group\?`, 1},
		{"consume t --group h --group-protocol share", `--group-protocol share: write classic or consumer`, 1},
		{"consume t --group h --group-protocol consumer", `^a\nb\nc\n$`, 0},
		{"group list --type consumer", `\nh +consumer +Empty +consumer +1\n$`, 0},
		{"group describe h", `^group h: consumer, Empty, 0 members`, 0},
		{"group lag h", `(?s)\nh +t +0 +3 +3 +0 .*\n0 records behind in [12] partitions?\n$`, 0},
		{"group reset h --topic t:0 --to 1", `t +0 +3 +1\n$`, 0},
		{"consume t --group h", `^b\nc\n$`, 0}, // by the other protocol
		{"group delete h", `^deleted h\n$`, 0},
	})
}

// The commands for groups do with share and streams groups what Kafka's tools for them do.
func TestShareAndStreamsGroupCommands(t *testing.T) {
	c := newTool(t)
	c.ok("topic", "create", "t")
	c.ok("produce", "t", "a", "b", "c")
	client, err := kgo.NewClient(kgo.SeedBrokers(c.brokers), kgo.MaxVersions(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	alter := kmsg.NewPtrAlterShareGroupOffsetsRequest()
	alter.GroupID = "shared"
	alter.Topics = []kmsg.AlterShareGroupOffsetsRequestTopic{{Topic: "t", Partitions: []kmsg.AlterShareGroupOffsetsRequestTopicPartition{{StartOffset: 1}}}}
	beat := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	beat.Group, beat.MemberID, beat.RebalanceTimeoutMillis, beat.ProcessID = "app", "AAAAAAAAAAAAAAAAAAAAAQ", 60_000, kmsg.StringPtr("p")
	beat.ActiveTasks, beat.StandbyTasks, beat.WarmupTasks = []kmsg.TaskIDs{}, []kmsg.TaskIDs{}, []kmsg.TaskIDs{}
	beat.ClientTags = []kmsg.StreamsGroupHeartbeatRequestClientTag{}
	beat.Topology = &kmsg.StreamsGroupHeartbeatRequestTopology{Subtopologies: []kmsg.StreamsGroupHeartbeatRequestTopologySubtopology{{SubtopologyID: "0", SourceTopics: []string{"t"}}}}
	ask := func(rq kmsg.Request) {
		t.Helper()
		resp, err := client.Broker(1).RetriableRequest(t.Context(), rq)
		if err != nil {
			t.Fatal(err)
		}
		var code int16
		switch r := resp.(type) {
		case *kmsg.AlterShareGroupOffsetsResponse:
			code = r.ErrorCode
		case *kmsg.StreamsGroupHeartbeatResponse:
			code = r.ErrorCode
		}
		if code != 0 {
			t.Fatalf("%T: error %d", resp, code)
		}
	}
	ask(alter)
	ask(beat)
	c.script([]step{
		{"group list", `(?s)\napp +streams +\w+ +streams +1\nshared +share +Empty +share +1\n$`, 0},
		{"group describe app", `(?s)^group app: streams, \w+, 1 member, coordinator 1.*AAAAAAAAAAAAAAAAAAAAAQ`, 0},
		{"group reset app --topic t --to earliest", `group app is \w+ and has 1 member: stop its consumers first`, 1},
		{"group describe shared", `^group shared: share, Empty, 0 members, coordinator 1`, 0},
		{"group lag shared", `(?s)\nshared +t +0 +1 +3 +2 .*\n2 records behind in 1 partition\n$`, 0},
		{"group reset shared --topic t --to latest", `t +0 +1 +3\n$`, 0},
		{"group reset shared --all-topics --to earliest", `t +0 +3 +0\n$`, 0},
		{"group delete shared --topic t", `^deleted shared's offsets of t\n$`, 0},
		{"group delete shared", `^deleted shared\n$`, 0},
	})
	leave := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	leave.Group, leave.MemberID, leave.MemberEpoch = beat.Group, beat.MemberID, -1
	ask(leave)
	c.script([]step{
		{"group reset app --topic t --to 2", `t +0 +- +2\n$`, 0},
		{"group lag app", `(?s)\napp +t +0 +2 +3 +1 .*\n1 record behind in 1 partition\n$`, 0},
		{"group delete app --topic t", `^deleted app's offsets of t\n$`, 0},
		{"group delete app", `^deleted app\n$`, 0},
		{"group list", `^GROUP[^\n]*\n$`, 0},
	})
}

func TestConfigAndTopicCommands(t *testing.T) {
	c := newTool(t)
	c.ok("topic", "create", "t")
	c.script([]step{
		{"topic create dry --dry-run", `^nothing was changed; it can be created: dry`, 0},
		{"topic describe dry", `there is no topic dry`, 1},
		{"topic alter t", `alter what\?`, 1},
		{"topic alter t --config retention.ms=5 --partitions 2 --dry-run", `^nothing was changed; it can be done:\nt has retention.ms=5\nt has 2 partitions\n$`, 0},
		{"topic alter t --config retention.ms=5 --partitions 2", `^t has retention.ms=5\nt has 2 partitions\n$`, 0},
		{"topic alter t --config retention.ms=soon", `retention.ms.*INVALID_CONFIG`, 1},
		{"topic alter absent --delete-config retention.ms", `there is no topic absent`, 1},
		{"topic alter t --delete-config retention.sm", `^chronik: topic t has no config retention.sm: chronik config describe topic t`, 1},
		{"topic grow t 3", `"3" is one argument too many: chronik topic grow TOPIC --partitions number`, 1},
		{"topic list t", `"t" is one argument too many`, 1},
		{"cluster drain", `which node\? name one: chronik cluster drain NODE`, 1},
		{"topic alter t --delete-config retention.ms", `^t has the default of retention.ms\n$`, 0},
		{"topic create t --config x", `--config "x": write name=value`, 1},
		{"config list topic", `^KIND +NAME\ntopic +t\n$`, 0},
		{"config list things", `"things" is none of broker, group, topic`, 1},
		{"config set topic t retention.ms=7 cleanup.policy=delete", `^topic t has cleanup.policy=delete\ntopic t has retention.ms=7\n$`, 0},
		{"config set topic t nonsense=1", `nonsense.*INVALID_CONFIG`, 1},
		{"config set topic t retention.ms", `config "retention.ms": write name=value`, 1},
		{"config set topic t", `which configs\?`, 1},
		{"config describe topic t --set", `(?s)^CONFIG.*\nretention.ms +7 +topic +long\n$`, 0},
		{"config describe topic t retention.ms", `(?s)\nretention.ms\n.*from topic: retention.ms=7\n`, 0},
		{"config describe topic t nonsense", `topic t has no config nonsense: chronik config describe topic t`, 1},
		{"config describe topic absent", `there is no topic absent`, 1},
		{"config describe broker one", `"one" is no broker: write its number`, 1},
		{"config describe broker 9", `broker 9: .*chronik cluster status shows which brokers there are`, 1},
		{"config describe broker 1 log.retention.ms", `log.retention.ms`, 0},
		{"config delete topic t nonsense", `topic t has no config nonsense`, 1},
		{"config set broker all log.retention.hours=48", `INVALID_REQUEST.*; what it does not change while it runs.*chronik-server --set`, 1},
		{"config set broker all log.retention.ms=soon", `\(INVALID_CONFIG\)\s*$`, 1},
		{"config delete topic t retention.ms --dry-run", `^nothing was changed`, 0},
		{"config delete topic t retention.ms", `^topic t has the default of retention.ms\n$`, 0},
		{"config set broker all log.retention.ms=1000000", `^broker all has log.retention.ms=1000000\n$`, 0},
		{"config describe broker all", `log.retention.ms +1000000 +all-brokers`, 0},
	})
	var topic struct {
		Topic, ID  string
		Configs    map[string]string
		Partitions []struct {
			Replicas     []int32
			Offline      []int32
			Start_offset *int64
		}
	}
	c.json(&topic, "topic", "describe", "t")
	if topic.Topic != "t" || len(topic.ID) != 22 || len(topic.Partitions) != 2 || topic.Configs["cleanup.policy"] != "delete" || topic.Partitions[1].Start_offset == nil {
		t.Errorf("topic: %+v", topic)
	}
	var configs []struct {
		Name, Source string
		Value        *string
	}
	c.json(&configs, "config", "describe", "topic", "t", "cleanup.policy")
	if len(configs) != 1 || configs[0].Source != "topic" || *configs[0].Value != "delete" {
		t.Errorf("config: %+v", configs)
	}
	var gone []struct {
		Name, Error string
		Deleted     bool
	}
	c.json(&gone, "topic", "delete", "t")
	if len(gone) != 1 || !gone[0].Deleted {
		t.Errorf("deleted: %+v", gone)
	}
}

func TestDoctorAndInfo(t *testing.T) {
	b := broker.New(t)
	b.Start()
	c := tool{t, b.Address()}
	c.ok("topic", "create", "t")
	httpPort := regexp.MustCompile(`\d+$`).FindString(b.Args()[len(b.Args())-1])
	var found []struct{ Status, Check, Subject, Found, Do string }
	args := []string{"doctor", "--data-dir", b.Dir, "--http-port", httpPort, "--format", "json"}
	out, said, _ := c.run(args...)
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		t.Fatalf("%v: %s%s", err, out, said)
	}
	seen := map[string]bool{}
	for _, f := range found {
		seen[f.Check] = true
		machine := f.Check == "disk" || f.Check == "files" || f.Check == "file-system" // which the test cannot choose
		if f.Status != "ok" && !machine || f.Status != "ok" && f.Do == "" {
			t.Errorf("%+v", f)
		}
	}
	for _, check := range strings.Fields("listener address clock controller partitions disk versions data-dir file-system files") {
		if !seen[check] {
			t.Errorf("nothing is said of %s: %s", check, out)
		}
	}
	c.script([]step{
		{"cluster info", `(?s)^cluster \S{22}, controller 1\n.*\nmetadata: leader 1.*\n1 +yes +\d+ +0\n$`, 0},
		{"doctor --data-dir /nowhere", `(?s)bad +data-dir +/nowhere.*-> name the folder.*findings (is|are) bad`, 1},
	})
	var info struct {
		Cluster string
		Brokers []struct{ Broker int32 }
		Quorum  struct{ Voters []struct{ Broker int32 } }
	}
	c.json(&info, "cluster", "info")
	if len(info.Cluster) != 22 || len(info.Brokers) != 1 || len(info.Quorum.Voters) != 1 {
		t.Errorf("info: %+v", info)
	}
	var status struct {
		Controller, Partitions int
		Voters                 []int32
		Leaderless, Advice     []string
		Brokers                []struct {
			Broker, Leads int
			Up            bool
		}
	}
	c.json(&status, "cluster", "status")
	if status.Controller != 1 || status.Partitions != 1 || len(status.Voters) != 1 || len(status.Brokers) != 1 || !status.Brokers[0].Up ||
		status.Brokers[0].Leads != 1 || status.Leaderless == nil || len(status.Advice) != 1 {
		t.Errorf("status: %+v", status)
	}
	c.script([]step{
		{"cluster rebalance --dry-run --format json", `^\{\n  "changed": false,\n  "partitions": \[\]\n\}\n`, 0},
		{"cluster elect --all --format json", `^\{\n  "elected": \[\]\n\}\n$`, 0},
	})
	c.brokers = "127.0.0.1:1"
	c.script([]step{
		{"doctor", `(?s)bad +listener +127.0.0.1:1 +no answer.*-> start the broker there.*1 of 1 finding is bad`, 1},
		{"topic list --format json", `no answer from 127.0.0.1:1; is a broker started there\?`, 1},
		{"produce t x", `no answer from`, 1},
		{"consume t", `no answer from`, 1},
	})
}

// An address that clients cannot connect to is found before they are sent there.
func TestDoctorFindsABadAddress(t *testing.T) {
	for address, want := range map[string]string{
		"no-such-host.invalid": `(?s)bad +address.*cannot be resolved here.*-> set --advertised-addr`,
		"127.0.0.2":            `(?s)bad +address.*cannot be reached from here.*a firewall`,
	} {
		b := broker.New(t, "--advertised-addr", address)
		b.Start()
		tool{t, b.Address()}.script([]step{{"doctor --timeout 3s", want, 1}})
	}
}

// Of three nodes each is looked at; one that is down is bad, and so are the partitions that miss it.
func TestDoctorOnThreeNodes(t *testing.T) {
	c := broker.NewCluster(t, 3)
	c.Start()
	d := tool{t, c.Addresses()}
	d.ok("topic", "create", "t", "--partitions", "3", "--replicas", "3")
	d.ok("topic", "create", "single", "--partitions", "6", "--replicas", "1")
	c.AwaitISR("t", 3)
	seen := func() map[string][]string {
		var found []struct{ Status, Check, Subject string }
		out, said, _ := d.run("doctor", "--format", "json")
		if err := json.Unmarshal([]byte(out), &found); err != nil {
			t.Fatalf("%v: %s%s", err, out, said)
		}
		by := map[string][]string{}
		for _, f := range found {
			if f.Check != "clock" && f.Check != "disk" { // the nodes' HTTP ports are any, and disks are the machine's
				by[f.Check+" "+f.Status] = append(by[f.Check+" "+f.Status], f.Subject)
			}
		}
		return by
	}
	all := seen()
	for check, want := range map[string]int{"listener ok": 3, "address ok": 3, "versions ok": 1, "controller ok": 1, "partitions ok": 1} {
		if len(all[check]) != want {
			t.Errorf("%s: %q, want %d: %q", check, all[check], want, all)
		}
	}
	c.Nodes[2].Kill()
	c.AwaitISR("t", 2)
	if all = seen(); len(all["listener bad"]) != 1 || len(all["listener ok"]) != 2 || len(all["partitions warn"]) != 1 {
		t.Errorf("without node 3: %q", all)
	}
	d.script([]step{
		{"consume single", `single-\d has no leader: chronik cluster status shows why; --partition reads others`, 1},
		{"topic describe single", `(?s)none.*\n\d +[12] .* 0 +0\n`, 0},
	})
	d.ok("consume", "single", "--partition", ledBy(d, "single", 1))
	d.script([]step{{"doctor", `(?s)bad +listener +` + regexp.QuoteMeta(c.Nodes[2].Address()) + ` +no answer.*partitions.*3 with replicas that are not in sync.*of \d+ findings are bad`, 1}})
}

// ledBy is a partition of the topic that the broker leads.
func ledBy(d tool, topic string, broker int) string {
	var v struct {
		Partitions []struct{ Partition, Leader int }
	}
	d.json(&v, "topic", "describe", topic)
	for _, p := range v.Partitions {
		if p.Leader == broker {
			return strconv.Itoa(p.Partition)
		}
	}
	d.t.Fatalf("broker %d leads none of %+v", broker, v)
	return ""
}

// A shell is offered the topics and groups that there are.
func TestCompletion(t *testing.T) {
	c := newTool(t)
	c.ok("topic", "create", "orders")
	c.ok("topic", "create", "payments")
	c.ok("group", "reset", "billing", "--topic", "orders", "--to", "earliest")
	for _, s := range []struct{ words, want string }{
		{"topic describe", "orders\npayments\n:4\n"},
		{"topic delete orders", "payments\n:4\n"},
		{"consume --partition 0 orders", "payments\n:4\n"},
		{"group lag", "billing\n:4\n"},
		{"consume orders --group", "billing\n:4\n"},
		{"consume orders --group-protocol", "classic\nconsumer\n:4\n"},
		{"config describe topic", "orders\npayments\n:4\n"},
		{"config set broker", "1\nall\n:4\n"},
		{"topic list --format", "table\njson\n:4\n"},
	} {
		args := append([]string{"__complete"}, append(strings.Fields(s.words), "")...)
		p := broker.StartWith(t, []string{"CHRONIK_BROKERS=" + c.brokers}, broker.Command(t, "chronik"), args...)
		if p.Wait(); p.Out.String() != s.want {
			t.Errorf("%s: %s%s", s.words, p.Out.String(), p.Said())
		}
	}
	for _, shell := range strings.Fields("bash zsh fish") {
		if out, said, code := broker.Run(t, broker.Command(t, "chronik"), "completion", shell); code != 0 || len(out) < 1000 {
			t.Errorf("%s: %d %s", shell, code, said)
		}
	}
}
