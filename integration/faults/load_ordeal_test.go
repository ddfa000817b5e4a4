package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"chronik/integration/broker"
	"chronik/wal/campaign"
)

const patience = broker.Patience

// An ordeal is a broker's from its first start on, through crashes, under load; a seed says how it goes.
type ordeal struct {
	t         *testing.T
	seed      uint64
	dice      *rand.Rand
	broker    *broker.Broker
	network   network // to the broker
	crash     func()  // ends the broker, with or without its disk's power; when it returns, it can be started again
	ledger    *ledger
	lasting   []*producer
	producers uint32 // how many there were
	loads     int    // how many there were
	heavy     bool
	crashing  atomic.Bool // from here on an error is no news
	startTime time.Duration
	history   []string
	counts    campaign.Counts // guarded by the ledger's lock
}

// newOrdeal starts nothing yet.
func newOrdeal(t *testing.T, seed uint64, dir string) *ordeal {
	t.Helper()
	l := &ordeal{t: t, seed: seed, ledger: newLedger(), counts: campaign.Counts{}, startTime: 100 * time.Millisecond}
	l.dice = l.newDice(0)
	l.broker = broker.At(t, filepath.Join(dir, "data"), l.tinyLog()...)
	l.crash = l.end
	t.Cleanup(func() {
		for _, p := range l.lasting {
			p.client.Close()
		}
		if t.Failed() {
			t.Logf("so far: %s", strings.Join(l.history, "; "))
		}
	})
	return l
}

// newDice: each goroutine has its own, so that none changes what another one throws.
func (l *ordeal) newDice(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(l.seed, stream)) }

func (l *ordeal) count(what string, n int64) { l.ledger.with(func() { l.counts[what] += n }) }

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
	l.broker.Process = broker.Start(l.t, broker.Command(l.t, "chronik-server"), l.broker.Args()...)
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

// lastingTopics are there for the whole ordeal; how many partitions each has at first.
var lastingTopics = []int32{1, 2, 4}

// furnish creates what an ordeal needs before its first load.
func (l *ordeal) furnish() {
	l.t.Helper()
	client := l.newClient()
	defer client.Close()
	c := &changer{ordeal: l, kadm: kadm.NewClient(client)}
	for n, partitions := range lastingTopics {
		if !c.createTopic(l.t.Context(), fmt.Sprintf("lasting-%d", n), partitions, true) {
			l.t.Fatal(l.ledger.wrong)
		}
	}
	for _, kind := range lastingKinds {
		l.lasting = append(l.lasting, l.newProducer(kind))
	}
}

func (l *ordeal) newClient() *kgo.Client {
	l.t.Helper()
	client, err := kgo.NewClient(l.clientOptions()...)
	if err != nil {
		l.t.Fatal(err)
	}
	return client
}

// change makes a change and notes what is known of it; it says whether it was made. What it is must be in the plural.
func (l *ordeal) change(what string, r *register, v int64, make func() error) bool {
	l.ledger.with(func() { r.ask(v) })
	err := make()
	l.ledger.with(func() {
		switch {
		case err == nil:
			r.settle(done)
			l.counts[what]++
		case !l.crashing.Load():
			l.ledger.complain("one of the %s, to %d, was refused: %v", what, v, err)
		}
	})
	return err == nil
}

// A worker works against the broker until its context ends; then its client goes, with all that was not answered.
type worker struct {
	run    func(context.Context)
	client *kgo.Client // nil: it lasts
}

// load has clients work on the broker until it crashes.
func (l *ordeal) load(least, most time.Duration) {
	l.t.Helper()
	l.loads++
	ctx, cancel := context.WithCancel(l.t.Context())
	defer cancel()
	var running sync.WaitGroup
	workers := l.workers()
	for _, w := range workers {
		running.Go(func() { w.run(ctx) })
	}
	l.dieBetween(least, most)
	cancel()
	running.Wait()
	for _, w := range workers {
		if w.client != nil {
			w.client.Close()
		}
	}
	l.count("records acknowledged", l.ledger.takeAcked())
}

func (l *ordeal) workers() (all []worker) {
	l.t.Helper()
	for _, p := range l.lasting {
		all = append(all, worker{p.run, nil})
	}
	for n := range 3 {
		p := l.newProducer(producerKinds[(int(l.producers)+n)%len(producerKinds)])
		p.heavy = l.heavy
		all = append(all, worker{p.run, p.client})
	}
	w := l.newWatcher()
	all = append(all, worker{w.run, w.client})
	admin := l.newClient()
	l.producers++
	c := &changer{l, l.newDice(uint64(l.producers)), kadm.NewClient(admin)}
	all = append(all, worker{c.run, admin})
	for _, group := range groups {
		l.producers++
		c := &committer{l, l.newDice(uint64(l.producers)), kadm.NewClient(admin), group}
		all = append(all, worker{c.run, nil})
	}
	return all
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
			l.furnish()
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
