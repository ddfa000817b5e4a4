// Package campaign runs one test over many seeds: a glance of them in every test run, a share in CI, all of them in a
// soak. It prints the seeds, replays one, and adds up what was tried, for a table. It does not know what a test does.
package campaign

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The environment says how much is tried.
const (
	sizeVariable  = "CHRONIK_CAMPAIGN"       // unset, share or soak
	seedVariable  = "CHRONIK_SEED"           // one cycle, with this seed
	tableVariable = "CHRONIK_CAMPAIGN_TABLE" // a file to append a JSON object a campaign to
)

// Plan is how much a campaign tries, counted in Unit.
type Plan struct {
	Name    string // the table's row: "power cuts, ext4"
	Unit    string // "states", "cycles"
	Glance  int    // in any run of the tests; 0: nothing
	Share   int    // in CI
	Soak    int    // the whole
	Workers int    // cycles that run at once; 0: one
}

// Counts is what a cycle found, by name, summed over all cycles. The plan's Unit counts the cycles' size; a cycle that
// does not count it counts as one.
type Counts map[string]int64

// Result is a line of the table.
type Result struct {
	Name, Unit   string
	Test         string
	Wanted, Done int64
	Cycles       int64
	FirstSeed    uint64
	Failed       bool
	Seconds      float64
	Counts       Counts
}

// Run runs cycle with one seed after the other until the plan is done or one fails, and prints how to repeat that one.
// A cycle fails by t; it must take all that is random from its seed.
func Run(t *testing.T, p Plan, cycle func(t *testing.T, seed uint64) Counts) {
	t.Helper()
	c := &running{t: t, plan: p, cycle: cycle, began: time.Now()}
	c.result = Result{Name: p.Name, Unit: p.Unit, Test: t.Name(), Wanted: int64(p.size(t)), FirstSeed: rand.Uint64() >> 20, Counts: Counts{}}
	if text := os.Getenv(seedVariable); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", seedVariable, err)
		}
		c.result.FirstSeed, c.result.Wanted = seed, 1
	}
	c.next.Store(c.result.FirstSeed)
	t.Logf("%s: %d %s, seeds from %d on", p.Name, c.result.Wanted, p.Unit, c.result.FirstSeed)
	t.Run("seeds", func(t *testing.T) {
		for range max(p.Workers, 1) {
			t.Run("worker", func(t *testing.T) {
				if p.Workers > 1 {
					t.Parallel()
				}
				c.work(t)
			})
		}
	})
	c.close()
}

// size is how much to try.
func (p Plan) size(t *testing.T) int {
	t.Helper()
	switch text := os.Getenv(sizeVariable); text {
	case "":
		return p.Glance
	case "share":
		return p.Share
	case "soak":
		return p.Soak
	default:
		t.Fatalf("%s is %q: unset it, or write share or soak", sizeVariable, text)
		return 0
	}
}

type running struct {
	t     *testing.T
	plan  Plan
	cycle func(*testing.T, uint64) Counts
	began time.Time
	next  atomic.Uint64

	mu     sync.Mutex
	result Result
}

func (c *running) work(t *testing.T) {
	for c.more() {
		seed := c.next.Add(1) - 1
		var counts Counts
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { counts = c.cycle(t, seed) }) {
			t.Errorf("to repeat it: %s=%d go test -count=1 -run '^%s$' in this folder", seedVariable, seed, c.t.Name())
			c.failed()
			return
		}
		c.add(counts)
	}
}

func (c *running) more() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.result.Failed && c.result.Done < c.result.Wanted && (os.Getenv(seedVariable) == "" || c.result.Cycles == 0)
}

func (c *running) failed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.result.Failed = true
}

func (c *running) add(counts Counts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.result.Cycles++
	if _, ok := counts[c.plan.Unit]; !ok {
		c.result.Done++
	}
	for name, n := range counts {
		if name == c.plan.Unit {
			c.result.Done += n
		} else {
			c.result.Counts[name] += n
		}
	}
}

// close tells what was done, in the log and in the table.
func (c *running) close() {
	c.result.Seconds = time.Since(c.began).Seconds()
	line, err := json.Marshal(c.result)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Logf("%s", line)
	file := os.Getenv(tableVariable)
	if file == "" {
		return
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		c.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(append(line, '\n')); err != nil {
		c.t.Fatal(err)
	}
}
