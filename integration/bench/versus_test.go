package main

import (
	"encoding/xml"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRatiosAreOfPairs(t *testing.T) {
	e := entry{unit: "ms", against: []float64{10, 20, 40}, real: []float64{5, 5, 5}, ratio: true}
	if got := e.ratios(); !slices.Equal(got, []float64{50, 25, 12.5}) {
		t.Error(got)
	}
	if got := e.times(); !slices.Equal(got, []float64{2, 4, 8}) {
		t.Errorf("less time is better, %v", got)
	}
	e.unit = "MB/s"
	if got := e.times(); !slices.Equal(got, []float64{0.5, 0.25, 0.125}) {
		t.Errorf("less throughput is worse, %v", got)
	}
	e.unit = "s/GB"
	if got := e.times(); !slices.Equal(got, []float64{2, 4, 8}) {
		t.Errorf("less CPU is better, %v", got)
	}
	if e.against[1] = unknown; e.times() != nil {
		t.Error("what is unknown is drawn")
	}
	if c := e.cells(); c.ratio == "" || strings.Contains(c.ratio, "NaN") {
		t.Error(c)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{4, 1}, 2.5}, {[]float64{9, 1, 5}, 5}} {
		if got := median(c.values); got != c.want {
			t.Errorf("%v: %v", c.values, got)
		}
	}
}

func TestStill(t *testing.T) {
	for _, c := range []struct {
		figures []float64
		want    bool
	}{
		{[]float64{100, 100, 100}, false},
		{[]float64{100, 100, 100, 100}, true},
		{[]float64{10, 100, 104, 100, 96}, true},
		{[]float64{100, 104, 100, 110}, true},
		{[]float64{100, 104, 100, 111}, false},
	} {
		if got := still(c.figures); got != c.want {
			t.Errorf("%v: %v", c.figures, got)
		}
	}
}

func TestWhatJavaSays(t *testing.T) {
	out := "Warmup first 10000 records.\n" +
		"60000 records sent, 17867.778440 records/sec (17.45 MB/sec), 27.42 ms avg latency, 1653.00 ms max latency, 22 ms 50th, 69 ms 95th, 94 ms 99th, 118 ms 99.9th.\n" +
		"50000 steady state records sent, 41017.227235 records/sec (40.00 MB/sec), 24.50 ms avg latency, 95.00 ms max latency, 20 ms 50th, 53 ms 95th, 80 ms 99th, 95 ms 99.9th.\n"
	r, err := javaProduced(out, 60000)
	if err != nil || r.Produce.Acked != 60000 || r.Produce.Records != 50000 || math.Abs(r.Produce.MBPerSec-40*mebi) > 1e-9 || r.Produce.Latency.P50 != 20 || r.Produce.Latency.P99 != 80 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, bytes := r.counts(); bytes != 60000*perfRecord {
		t.Errorf("%v bytes", bytes)
	}
	for _, bad := range []string{"", "0 records sent, 0.000000 records/sec (0.00 MB/sec), NaN ms avg latency, 0.00 ms max latency, 0 ms 50th, 0 ms 95th, 0 ms 99th, 0 ms 99.9th.\n"} {
		if _, err := javaProduced(bad, 1); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	head := "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec\n"
	r, err = javaConsumed(head + "2026-11-29 10:55:48:701, 2026-11-29 10:55:56:533, 100.0, 7.4813, 60000, 7660.8784, 5722, 2110, 500.0, 28436.0190\n")
	if err != nil || math.Abs(r.Consume.MBPerSec-500*mebi) > 1e-9 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := javaConsumed(head + "WARNING: Exiting before consuming the expected number of records\n2026-11-29 10:55:12:249, 2026-11-29 10:55:24:704, 0.0000, 0.0000, 7, 0.5620, 2092, 10363, 0.0000, 0.6755"); err == nil {
		t.Error("a consumer that came to nothing is taken")
	}
}

func TestFlagErrors(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"-rounds 0", "-rounds 0"},
		{"-duration 500ms", "-duration 500ms"},
		{"-loads (", "-loads"},
		{"loads", `"loads" is no flag`},
		{"-nothing", "not defined"},
		{"-quick", "need -versus"},
		{"-bootstrap a:1", "need -versus"},
		{"-profiles a", "need -versus"},
		{"-versus", "-versus needs -kafka"},
		{"-versus -bootstrap a:1", "of both sides, or of neither"},
		{"-versus -kafka jars -fill 0", "-fill"},
	} {
		if _, err := parse(strings.Fields(c.args), io.Discard); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.args, err)
		}
	}
	if _, err := parse([]string{"-help"}, io.Discard); err != flag.ErrHelp {
		t.Error(err)
	}
	c, err := parse(strings.Fields("-versus -bootstrap a:1 -bootstrap-kafka b:1 -loads raw"), io.Discard)
	if err != nil || !c.LoadsGiven {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestContestsAreSound(t *testing.T) {
	names := map[string]bool{}
	for _, c := range contests {
		switch {
		case names[c.name]:
			t.Errorf("%q is there twice", c.name)
		case len(c.rows) == 0, c.promised == "", len(c.topic) == 0:
			t.Errorf("%q lacks something: %+v", c.name, c)
		case c.by == nil && !slices.Contains([]string{"produce", "raw", "raw-fetch", "consume", "both"}, strings.Fields(c.args + " .")[0]):
			t.Errorf("%q: %q", c.name, c.args)
		case c.nodes != 1 && !strings.Contains(strings.Join(c.topic, " "), "--replication 3"):
			t.Errorf("%q is of %d nodes, on %v", c.name, c.nodes, c.topic)
		case (c.promised == synced) != slices.Contains(c.kafka, "flush.messages=1"):
			t.Errorf("%q promises %q with %v", c.name, c.promised, c.kafka)
		case c.reads && c.fresh, c.quick && c.whole:
			t.Errorf("%q is at odds with itself", c.name)
		}
		names[c.name] = true
	}
	for name := range productGoals {
		if !names[name] {
			t.Errorf("a goal for %q, which is no load", name)
		}
	}
	if !names[maximumLoad] {
		t.Error("Kafka's maximum is of no load")
	}
}

// Every two values of the product's four dimensions meet in the default run.
func TestDefaultCoversPairs(t *testing.T) {
	var picked, dimensions [][]string
	for _, c := range product() {
		p := []string{c.topic[1]}
		f := strings.Fields(c.args)
		for _, at := range []int{2, 6, 8} {
			p = append(p, f[at])
		}
		dimensions = append(dimensions, p)
		if !c.whole {
			picked = append(picked, p)
		}
	}
	if len(dimensions) != 72 || len(picked) > 16 {
		t.Errorf("%d of %d", len(picked), len(dimensions))
	}
	for _, want := range dimensions {
		for i := range want {
			for j := range i {
				if !slices.ContainsFunc(picked, func(p []string) bool { return p[i] == want[i] && p[j] == want[j] }) {
					t.Errorf("no load has %s and %s", want[i], want[j])
				}
			}
		}
	}
}

func TestPicks(t *testing.T) {
	for _, c := range []struct {
		args        string
		least, most int
		has, lacks  string
	}{
		{"-quick", 8, 20, maximumLoad, "zstd"},
		{"", 40, 80, "zstd", "1 partition, 100 B, zstd"},
		{"-loads all", 100, 200, "1 partition, 100 B, zstd", "nothing"},
		{"-loads raw", 5, 20, "raw, 4 x 5", "open loop"},
	} {
		config, err := parse(strings.Fields("-versus -kafka jars -python p "+c.args), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{Config: config}
		var names []string
		for _, nodes := range []int{1, fleetSize} {
			for _, l := range b.picked(nodes) {
				names = append(names, l.name)
			}
		}
		all := strings.Join(names, "\n")
		if len(names) < c.least || len(names) > c.most || !strings.Contains(all, c.has) || strings.Contains(all, c.lacks) {
			t.Errorf("%q: %d loads:\n%s", c.args, len(names), all)
		}
	}
}

func TestLate(t *testing.T) {
	b := &bench{result: &result{began: time.Now().Add(-time.Minute)}}
	if b.late("a") {
		t.Error("without a limit")
	}
	if b.Within = time.Hour; b.late("a") {
		t.Error("before the limit")
	}
	if b.Within = time.Second; !b.late("a") || len(b.result.notes) != 1 {
		t.Error("behind the limit", b.result.notes)
	}
}

func TestParseTopic(t *testing.T) {
	got, err := parseTopic(kept(12, fleetSize))
	if err != nil || got.partitions != 12 || got.replication != fleetSize || *got.configs["min.insync.replicas"] != "2" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, c := range contests {
		if _, err := parseTopic(c.topicOf(remote{name: kafkaName})); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// sample is a result with a row of each kind.
func sample() *result {
	r := &result{table: besideKafka, began: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC), machine: "2 CPUs", busy: []string{"1 2 3", "4 5 6"}, promised: notSynced, disk: 2000}
	r.note("a note")
	l := load{name: "raw", rows: produced("150 % of Kafka", "0.55"), promised: notSynced}
	r.add(l, []measured{{mbps: 100, cpuPerGB: 1, memory: 1000}, {mbps: 200, cpuPerGB: 2, memory: 1000}}, []measured{{mbps: 300, cpuPerGB: 0.5, memory: 10}, {mbps: 300, cpuPerGB: 0.6, memory: 10}}, []measured{{mbps: 330, cpuPerGB: 0.4, memory: 10}}, latency{})
	cpu := measured{mbps: 100, clientShare: 70, serverShare: 20, written: 150}
	r.add(load{name: "slow", rows: compared(mbps("150 % of Kafka")), promised: notSynced}, []measured{{mbps: 80}}, []measured{cpu}, []measured{{mbps: 110}}, latency{})
	r.add(load{name: "synced", rows: compared(p50("0.8")), promised: synced}, []measured{{p50: 2}}, []measured{{p50: 1, clientShare: 10, serverShare: unknown, written: unknown}}, []measured{{p50: 0.5}}, latency{0.125, 1.5})
	l = load{name: "elsewhere & <far>", rows: compared(p99("at most 40 % of Kafka"), cpuPerGB("")), promised: synced}
	r.add(l, []measured{{p99: 10, cpuPerGB: unknown}}, []measured{{p99: 5, cpuPerGB: unknown, clientShare: unknown}}, nil, latency{})
	r.line("leader kill -9", "2 s", "9 s", "0.1 s", "").why = "said only of a miss"
	r.line("leader kill -9", "0.05 s", "9 s", "0.1 s", "").why = "another node led after 0.08 s"
	r.warmed(l, nil)
	r.warmed(load{name: "raw"}, []string{"Kafka stood still after 30 s", "Chronik did not"})
	r.profiles = []profiled{{"slow", []string{"throughput: target 150 % of Kafka; Chronik 100 MB/s 125 %"}, []top{{"CPU time", "1.5s", []function{{"50.00%", "60.00%", "copy"}}}}}}
	return r
}

func TestGolden(t *testing.T) {
	r := sample()
	var figures, plot strings.Builder
	if err := r.csv(&figures); err != nil {
		t.Fatal(err)
	}
	if err := r.svg(&plot); err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal([]byte(plot.String()), new(struct{})); err != nil {
		t.Errorf("the plot: %v", err)
	}
	for name, got := range map[string]string{"sample.md": r.text(nil), "sample.csv": figures.String(), "sample.svg": plot.String(), "summary.md": r.summary("bench/KAFKA"), "profiles.md": r.profilesText("KAFKA.md")} {
		file := filepath.Join("testdata", name)
		if os.Getenv("GOLDEN") != "" {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s is not as it was (GOLDEN=1 writes it):\n%s", name, got)
		}
	}
}

func TestX(t *testing.T) {
	if x(leastTimes) != plotLeft || x(mostTimes) != plotLeft+plotWidth || x(1e9) != x(mostTimes) || x(0) != plotLeft {
		t.Error(x(leastTimes), x(mostTimes), x(1e9), x(0))
	}
	if math.Abs(x(2)-x(1)-(x(4)-x(2))) > 1e-9 {
		t.Error("the axis is not logarithmic")
	}
}

func TestReplaceBlock(t *testing.T) {
	got, err := replaceBlock("a\n"+blockBegin+"\nold\n"+blockEnd+"\nb\n", "new\n")
	if want := "a\n" + blockBegin + "\nnew\n" + blockEnd + "\nb\n"; err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{"a", "a" + blockBegin, blockEnd + blockBegin} {
		if _, err := replaceBlock(bad, "new"); err == nil {
			t.Errorf("%q has a part", bad)
		}
	}
}

// The README has a part for the newest table.
func TestReadmeHasBlock(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := replaceBlock(string(text), ""); err != nil {
		t.Error(err)
	}
}
