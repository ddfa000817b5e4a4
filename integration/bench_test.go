package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chronik/integration/broker"
)

// The bench must say so when what was acknowledged is not there: here it looks for it at another broker.
func TestBenchFindsLoss(t *testing.T) {
	full, other := broker.New(t), broker.New(t)
	full.Start()
	other.Start()
	flags := []string{"--records", "1000", "--size", "100", "--partitions", "3", "--idempotent"}
	produce := full.Bench("produce", flags...)
	if code := produce.Wait(); code != 0 {
		t.Fatalf("produce ended with %d", code)
	}
	if code := other.Bench("produce", flags...).Wait(); code != 0 {
		t.Fatalf("produce ended with %d", code)
	}
	other.Dir = full.Dir // its log of acknowledged records is that of the first
	consume := other.Bench("consume")
	code := consume.Wait()
	var r benchResult
	if err := json.Unmarshal(consume.Out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if code != 2 || r.Failure == "" || r.Verified.Lost != 1000 || r.Verified.Read != 1000 || r.Verified.Acked != 1000 {
		t.Errorf("it ended with %d: %+v", code, r)
	}
}

// The bench that measures beside Apache Kafka runs two loads of a moment, with a second Chronik for Kafka: what is measured
// means nothing, but all that the bench writes is there.
func TestBenchBesideKafka(t *testing.T) {
	kafka, ours := broker.New(t), broker.New(t)
	kafka.Start()
	ours.Start()
	bin, err := broker.Commands()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "README.md"), readme, 0o600); err != nil {
		t.Fatal(err)
	}
	bench := broker.Start(t, "go", "run", "chronik/integration/bench", "-versus", "-bootstrap", ours.Address(), "-bootstrap-kafka", kafka.Address(),
		"-bin", bin, "-rounds", "1", "-duration", "1s", "-kafka-warm", "1ms", "-fill", "4", "-loads", "^(raw, 4 x 5 x 1 MiB|raw fetch.*)$",
		"-out", filepath.Join(dir, "KAFKA.md"), "-readme", filepath.Join(dir, "README.md"))
	if code := bench.WaitFor(5 * time.Minute); code != 0 { // it is built first
		t.Fatalf("it ended with %d", code)
	}
	for file, wants := range map[string][]string{
		"KAFKA.md":  {"raw, 4 x 5 x 1 MiB: throughput", "raw fetch of the tail, 4 connections: throughput", "elsewhere"},
		"KAFKA.csv": {"raw fetch", ",1,"}, "KAFKA.svg": {"</svg>", "<circle"}, "README.md": {"KAFKA.csv", "120 % of Kafka", "## Beside Apache Kafka"},
	} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s lacks %q:\n%s", file, want, text)
			}
		}
	}
}
