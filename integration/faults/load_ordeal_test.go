package faults

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"chronik/integration/broker"
)

const patience = broker.Patience

// An ordeal is a broker's from its first start on, through crashes, under load; a seed says how it goes.
type ordeal struct {
	*clients
	broker    *broker.Broker
	network   network // to the broker
	crash     func()  // ends the broker, with or without its disk's power; when it returns, it can be started again
	startTime time.Duration
	history   []string
}

// newOrdeal starts nothing yet.
func newOrdeal(t *testing.T, seed uint64, dir string) *ordeal {
	t.Helper()
	l := &ordeal{clients: newClients(t, seed), startTime: 100 * time.Millisecond}
	l.broker = broker.At(t, filepath.Join(dir, "data"), l.tinyLog()...)
	l.addresses, l.dial = func() []string { return []string{l.broker.Address()} }, l.network.dial
	l.ended = func() <-chan struct{} { return l.broker.Done }
	l.crash = l.end
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("so far: %s", strings.Join(l.history, "; "))
		}
	})
	return l
}

// tinyLog has the log's files written over, and segments cut and sealed, many times in an ordeal.
func (l *ordeal) tinyLog() []string {
	file := 1 << l.dice.IntN(3)
	return []string{
		"--wal-file-size", fmt.Sprintf("%dMiB", file), "--wal-size", fmt.Sprintf("%dMiB", file*(2+l.dice.IntN(3))),
		"--memory-limit", fmt.Sprintf("%dMiB", 16<<l.dice.IntN(3)), "--max-request-size", "16MiB",
		"--set", fmt.Sprintf("log.segment.bytes=%d", 1<<(20+l.dice.IntN(3))),
		"--set", fmt.Sprintf("message.max.bytes=%d", maxBatch+1<<10),
	}
}

// start returns when the broker is ready.
func (l *ordeal) start() {
	l.t.Helper()
	begun := time.Now()
	l.broker.Start()
	l.startTime = time.Since(begun)
	l.count("starts", 1)
	l.count("start milliseconds", l.startTime.Milliseconds())
	if l.startTime > time.Second {
		l.count("starts of more than a second", 1)
	}
	l.crashing.Store(false)
}

// end is kill -9.
func (l *ordeal) end() {
	_ = l.broker.Cmd.Process.Kill() // it may have ended by itself when its disk failed
	l.broker.Wait()
}

// dieStarting crashes the broker while it starts, whatever it is doing then, or shortly after. Half of the crashes are
// aimed at the recovery of the log.
func (l *ordeal) dieStarting() {
	l.t.Helper()
	within := l.startTime * 5 / 4
	l.broker.Begin()
	if l.dice.IntN(2) == 0 {
		l.awaitRecovery()
		within = l.startTime / 5
	}
	l.dieBetween(0, within)
	l.count("crashes while starting", 1)
}

// awaitRecovery returns when the broker is recovering, or has been.
func (l *ordeal) awaitRecovery() {
	for deadline := time.Now().Add(patience); !l.recovering() && !l.ready() && time.Now().Before(deadline); {
		<-time.After(time.Millisecond / 2)
	}
}

const inRecovery = "crashes in recovery"

// dieBetween crashes the broker at some time from now, and counts it if it was recovering.
func (l *ordeal) dieBetween(least, most time.Duration) {
	l.t.Helper()
	after := least + time.Duration(l.dice.Int64N(int64(most-least)))
	select {
	case <-time.After(after):
	case <-l.broker.Done:
		l.t.Fatalf("the broker ended by itself:\n%s", l.broker.Said())
	}
	if l.recovering() {
		l.count(inRecovery, 1)
	}
	l.history = append(l.history, fmt.Sprintf("crash after %s, ready: %v", after, l.ready()))
	l.crashing.Store(true)
	l.crash()
}

// recovering: the broker reads its log and is not ready.
func (l *ordeal) recovering() bool {
	descriptors := fmt.Sprintf("/proc/%d/fd", l.broker.Cmd.Process.Pid)
	open, err := os.ReadDir(descriptors)
	if err != nil {
		return false // it has just ended
	}
	for _, d := range open {
		name, err := os.Readlink(filepath.Join(descriptors, d.Name()))
		if err == nil && strings.HasSuffix(name, ".wal") {
			return !l.ready()
		}
	}
	return false
}

func (l *ordeal) ready() bool {
	for line := range strings.Lines(l.broker.Said()) {
		var said struct{ Msg string }
		if json.Unmarshal([]byte(line), &said) == nil && said.Msg == "ready" {
			return true
		}
	}
	return false
}

// load has clients work on the broker until it crashes.
func (l *ordeal) load(least, most time.Duration) {
	l.t.Helper()
	l.work(l.workers(), func() { l.dieBetween(least, most) })
}

// live goes through some crashes. Most come under load; some while the broker starts, one after the other.
func (l *ordeal) live(crashes int) {
	l.t.Helper()
	for n := range crashes {
		if n > 0 && l.dice.IntN(5) == 0 || n == 0 && l.dice.IntN(4) == 0 {
			l.dieStarting()
			continue
		}
		l.start()
		if l.lasting == nil {
			l.furnish(lastingKinds)
		}
		l.verify()
		if l.dice.IntN(8) == 0 {
			l.stop()
			l.start()
			l.verify()
		}
		l.load(5*time.Millisecond, 800*time.Millisecond)
	}
	l.broker.VerifyDump() // as the crash left it
	l.start()
	l.verify()
	l.stop()
	l.broker.VerifyDump()
	l.countFiles()
}

// stop ends the broker in order; the log then says itself where it ends.
func (l *ordeal) stop() {
	l.t.Helper()
	l.broker.Signal(syscall.SIGTERM)
	if code := l.broker.Wait(); code != 0 {
		l.t.Fatalf("told to end, the broker ended with %d:\n%s", code, l.broker.Said())
	}
	l.count("stops in order", 1)
}

// countFiles counts the files that the log had in all, by the number of the last one, and the segments that there are.
func (l *ordeal) countFiles() {
	l.t.Helper()
	logs, err := filepath.Glob(filepath.Join(l.broker.Dir, "wal", "*.wal"))
	if err != nil || len(logs) == 0 {
		l.t.Fatalf("no files of the log: %v", err)
	}
	last, err := strconv.ParseInt(strings.TrimSuffix(filepath.Base(slices.Max(logs)), ".wal"), 10, 64)
	if err != nil {
		l.t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(l.broker.Dir, "partitions", "*", "*.seg"))
	if err != nil {
		l.t.Fatal(err)
	}
	l.count("log files", last)
	l.count("segments at the end", int64(len(segments)))
}
