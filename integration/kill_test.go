package integration

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"chronik/integration/broker"
)

// benchResult is the part of chronik-bench's report that the tests read.
type benchResult struct {
	Failure string
	Produce struct {
		Sent, Acked int64
		LongestGap  float64 `json:"longest_gap_seconds"`
		Errors      map[string]int64
	}
	Consume  struct{ Errors map[string]int64 }
	Verified struct{ Read, Acked, Lost, Moved, Duplicates, Reordered, Missing int64 }
}

func benchReport(t *testing.T, p *broker.Process) (r benchResult) {
	t.Helper()
	if err := json.Unmarshal(p.Out.Bytes(), &r); err != nil {
		t.Fatalf("%v in what the bench printed: %s", err, p.Out.String())
	}
	if code := p.Cmd.ProcessState.ExitCode(); code != 0 || r.Failure != "" {
		t.Errorf("the bench ended with %d: %s", code, p.Out.String())
	}
	return r
}

// Idempotent producers and readers go on while the broker is killed and started again; in the end every acknowledged
// record is there, at its offset, in order, once. CHRONIK_KILL_DURATION=10m makes the long run of it, with a kill every
// 20 s (then give go test a -timeout to match); CHRONIK_KILL_SEED repeats the moments of an earlier run.
func TestKillMinusNineLosesNothing(t *testing.T) {
	duration, least, most := killTimes(t)
	moments := rand.New(rand.NewPCG(killSeed(t), 0))
	b := broker.New(t, broker.SmallLog...)
	b.Start()
	bench := b.Bench("both", "--duration", duration.String(), "--rate", "10000", "--size", "100-2000",
		"--clients", "3", "--partitions", "8", "--linger", "2ms", "--compression", "lz4")
	kills := 0
	for end := time.After(duration); ; kills++ {
		next := least + time.Duration(moments.Int64N(int64(most-least)+1))
		select {
		case <-time.After(next):
			b.Kill()
			b.Start()
			continue
		case <-bench.Done:
			t.Errorf("the bench ended early")
		case <-end:
		}
		break
	}
	bench.WaitFor(2 * broker.Patience)
	r := benchReport(t, bench)
	t.Logf("%d kills, %d records acknowledged, %.2f s the longest time without", kills, r.Produce.Acked, r.Produce.LongestGap)
	if kills == 0 || r.Produce.Acked == 0 || r.Verified.Acked != r.Produce.Acked {
		t.Errorf("%d kills, %+v", kills, r)
	}

	// What a reader is given from memory need not be what is on disk.
	b.Kill()
	b.VerifyDump()
	b.Start()
	again := b.Bench("consume")
	again.WaitFor(2 * broker.Patience)
	if v := benchReport(t, again).Verified; v.Acked != r.Produce.Acked {
		t.Errorf("after the last kill: %+v", v)
	}
}

func killTimes(t *testing.T) (duration, least, most time.Duration) {
	text := os.Getenv("CHRONIK_KILL_DURATION")
	if text == "" {
		return 20 * time.Second, 500 * time.Millisecond, 5 * time.Second
	}
	duration, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("CHRONIK_KILL_DURATION: %v", err)
	}
	return duration, 20 * time.Second, 20 * time.Second
}

func killSeed(t *testing.T) uint64 {
	seed := rand.Uint64()
	if text := os.Getenv("CHRONIK_KILL_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("CHRONIK_KILL_SEED: %v", err)
		}
	}
	t.Logf("CHRONIK_KILL_SEED=%d", seed)
	return seed
}

// SIGTERM under load: the broker answers what has begun, ends by itself and without an error, and its successor serves
// all that was acknowledged.
func TestTermDrains(t *testing.T) {
	b := broker.New(t)
	b.Start()
	bench := b.Bench("both", "--duration", broker.Patience.String(), "--rate", "20000", "--size", "200", "--clients", "2", "--partitions", "4")
	for range 3 {
		select {
		case <-time.After(700 * time.Millisecond):
		case <-bench.Done:
			t.Fatal("the bench ended early")
		}
		b.Signal(syscall.SIGTERM)
		if code := b.Wait(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		b.Start()
	}
	bench.Signal(syscall.SIGTERM) // it stops to send, and verifies
	bench.Wait()
	if r := benchReport(t, bench); r.Produce.Acked == 0 || r.Verified.Acked != r.Produce.Acked {
		t.Errorf("%+v", r)
	}
}
