package main

import (
	"bytes"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func planned(t *testing.T, args string) *bench {
	t.Helper()
	c, err := parse(strings.Fields("-versus -kafka jars -python p "+args), new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	return &bench{Config: c, progress: new(bytes.Buffer)}
}

func TestQuickTakesTenMinutes(t *testing.T) {
	b := planned(t, "-quick -kafka-warm 40s -duration 1500ms -fill 512 -profiles p")
	if got := b.takes(b.plans()); got < 5*time.Minute || got > 10*time.Minute {
		t.Error(got)
	}
}

// The whole run has its flags from the Makefile.
func TestAllTakesAnHourAndAQuarter(t *testing.T) {
	b := planned(t, "-kafka-warm 3m -duration 3s -fill 3072 -profiles p")
	if got := b.takes(b.plans()); got < 45*time.Minute || got > 75*time.Minute {
		t.Error(got)
	}
}

func TestNullSinkRunsLess(t *testing.T) {
	for _, c := range []struct {
		args string
		want int
	}{{"", 3}, {"-quick", 2}, {"-rounds 1", 1}} {
		b := planned(t, c.args)
		if got := b.roundsOf(remote{name: nullName}); got != c.want {
			t.Errorf("%q: %d", c.args, got)
		}
		if got := b.roundsOf(remote{name: ourName}); got != b.Rounds {
			t.Errorf("%q: Chronik %d", c.args, got)
		}
	}
}

func TestCourse(t *testing.T) {
	c := &course{began: time.Now().Add(-10 * time.Minute), all: 3, takes: 9 * time.Minute}
	for _, step := range []struct {
		takes time.Duration
		want  string
	}{
		{5 * time.Minute, "load 1 of 3, about 9 min left"},
		{2 * time.Minute, "load 2 of 3, about 8 min left"}, // what was to take 5 minutes took 10
		{2 * time.Minute, "load 3 of 3, about 3 min left"},
	} {
		if got := c.next(step.takes); got != step.want {
			t.Errorf("%q, not %q", got, step.want)
		}
	}
}

func TestRoom(t *testing.T) {
	for _, c := range []struct {
		args        string
		least, most int64 // GiB
	}{
		{"-loads ^restart$", 16, 16},
		{"-loads restart -restart-fill 20480", 36, 36},
		{"-loads cold -fill 1024 -duration 1s", 24, 28},
		{"-loads cold -fill 10240 -duration 1s", 42, 48},
		{"", 30, 60},
	} {
		b := planned(t, c.args)
		if got := b.room(b.plans()) >> 30; got < c.least || got > c.most {
			t.Errorf("%q: %d GiB", c.args, got)
		}
	}
}

func TestTooLittleRoom(t *testing.T) {
	b := planned(t, "-loads restart -restart-fill 4000000000")
	dir := t.TempDir()
	err := b.prepareDisk(dir, b.plans())
	if err == nil || !strings.Contains(err.Error(), "TMPDIR") {
		t.Error(err)
	}
}

func TestNullSinkRunsWhatHasATarget(t *testing.T) {
	for _, c := range contests {
		switch {
		case c.name == maximumLoad, strings.HasPrefix(c.name, "raw fetch"), c.name == "three nodes: raw, 12 x 5 x 1 KiB":
			if !c.onNull() {
				t.Errorf("%q is not run on the null sink", c.name)
			}
		case strings.HasPrefix(c.name, "three nodes: franz-go"), strings.Contains(c.name, "consume"):
			if c.onNull() {
				t.Errorf("%q is run on the null sink", c.name)
			}
		}
	}
}

func TestDiskSpeed(t *testing.T) {
	if got, err := diskSpeed(t.TempDir()); err != nil || got <= 0 {
		t.Error(got, err)
	}
}

func TestTimeWrites(t *testing.T) {
	b := &bench{dataDir: t.TempDir()}
	var of latency
	end, err := b.timeWrites(&of)
	if err != nil {
		t.Fatal(err)
	}
	if err := end(); err != nil || of.p50 <= 0 || of.p99 < of.p50 {
		t.Errorf("%+v, %v", of, err)
	}
	if left, err := os.ReadDir(b.dataDir); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func TestUsage(t *testing.T) {
	n := 0
	u, err := using(remote{}, func() error {
		for end := time.Now().Add(20 * time.Millisecond); time.Now().Before(end); n++ {
		}
		return nil
	})
	if err != nil || !math.IsNaN(u.server) || u.client <= 0 || u.took < 0.02 || u.share(u.client) <= 0 {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestReadTop(t *testing.T) {
	text := "File: chronik-server\nType: cpu\nDuration: 2s, Total samples = 1.50s (75.00%)\n" +
		"Showing nodes accounting for 1.20s, 80.00% of 1.50s total\nDropped 10 nodes (cum <= 0.01s)\n" +
		"      flat  flat%   sum%        cum   cum%\n" +
		"     0.90s 60.00% 60.00%      0.90s 60.00%  internal/runtime/syscall.Syscall6\n" +
		"     0.30s 20.00% 80.00%      1.20s 80.00%  chronik/wal.(*Log).put (inline)\n"
	got := readTop(text)
	want := []function{{"60.00%", "60.00%", "internal/runtime/syscall.Syscall6"}, {"20.00%", "80.00%", "chronik/wal.(*Log).put"}}
	if got.total != "1.50s" || !slices.Equal(got.functions, want) {
		t.Errorf("%+v", got)
	}
	if got := slug("raw, 16 x 5 x 1 KiB, Kafka with flush.messages=1"); got != "raw-16-x-5-x-1-kib-kafka-with-flush-messages-1" {
		t.Error(got)
	}
}

// A run that is refused leaves the table of the last one.
func TestRefusedRunWritesNothing(t *testing.T) {
	for name, flags := range map[string][]string{
		"no room": {"-restart-fill", "4000000000", "-loads", "restart"},
		"no load": {"-loads", "no such load"},
	} {
		out := filepath.Join(t.TempDir(), "KAFKA.md")
		if err := os.WriteFile(out, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := parse(append([]string{"-versus", "-kafka", "jars", "-out", out}, flags...), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if err := run(t.Context(), c, io.Discard, io.Discard); err == nil {
			t.Errorf("%s: it was not refused", name)
		}
		if text, err := os.ReadFile(out); err != nil || string(text) != "old" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

// A port that is given out is given to nobody else, also while its node is down.
func TestFreePort(t *testing.T) {
	had := map[int]bool{}
	for range 100 {
		port, err := freePort()
		if err != nil || had[port] || port >= 32768 {
			t.Errorf("%d, %v", port, err)
		}
		had[port] = true
	}
}
