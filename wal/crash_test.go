package wal

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"

	"chronik/wal/arena"
	"chronik/wal/vfs"
)

// crasher opens what a power cut at every operation of the file system would leave, and compares it with what the
// workload was promised until then.
type crasher struct {
	*bench
	mu      sync.Mutex
	spare   *arena.Pool // for the logs of survivors, one at a time
	spare2  *arena.Pool // for those that crash again
	picks   []vfs.Pick
	deep    bool // crash in the recovery too
	lossy   bool // nothing is promised: the mode does not sync
	floor   int  // entries below were trimmed by a checkpoint that succeeded
	crashes int
}

func newCrasher(t testing.TB, seed uint64) *crasher {
	m := vfs.NewMem()
	c := &crasher{bench: newBench(t, m), spare: arena.New(64 << 20), spare2: arena.New(64 << 20)}
	c.o.FileSize = 8 * page
	c.picks = []vfs.Pick{vfs.Oldest, vfs.Newest, vfs.Random(seed), vfs.Random(seed + 1), mostly(vfs.Newest, seed), mostly(vfs.Oldest, seed)}
	m.Watch(func(op vfs.Op) { c.cut(m, op) })
	return c
}

// seeds is how many seeds to try: n, or as many times that as CHRONIK_SEEDS says.
func seeds(n uint64) uint64 {
	if times, err := strconv.ParseUint(os.Getenv("CHRONIK_SEEDS"), 10, 32); err == nil {
		return n * times
	}
	return n
}

// mostly is a pick that deviates now and then.
func mostly(p vfs.Pick, seed uint64) vfs.Pick {
	r := rand.New(rand.NewPCG(seed, 7))
	return func(n int) int {
		if r.IntN(8) == 0 {
			return r.IntN(n)
		}
		return p(n)
	}
}

// promise is what must be there after a crash.
type promise struct {
	appended []entry
	durable  int
	floor    int
}

func (c *crasher) promised() promise {
	c.bench.mu.Lock()
	defer c.bench.mu.Unlock()
	p := promise{c.appended[:len(c.appended):len(c.appended)], c.durable, c.floor}
	if c.lossy {
		p.durable, p.floor = 0, 0
	}
	return p
}

func (c *crasher) cut(m *vfs.Mem, op vfs.Op) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.promised() // before the crash
	for i, pick := range c.picks {
		after := m.Crash(pick)
		p.appended = c.promised().appended // other goroutines went on until the crash
		c.crashes++
		what := fmt.Sprintf("%s %s at %d, pick %d", op.Kind, op.Name, op.Off, i)
		if c.deep && i >= 2 {
			c.recoverUnderCrashes(after, p, what)
		}
		c.recovers(after, p, what)
	}
}

// survivor is an Options for what a crash left.
func (c *crasher) survivor(m *vfs.Mem) *bench {
	b := &bench{t: c.t, fs: m, pool: c.spare, o: c.o}
	b.o.FS, b.o.Pool = m, b.pool
	return b
}

// recovers opens what is left, checks it, writes on, closes and opens it again.
func (c *crasher) recovers(m *vfs.Mem, p promise, what string) {
	b := c.survivor(m)
	if err := b.tryOpen(); err != nil {
		c.t.Fatalf("%s: %v", what, err)
	}
	p.check(c.t, b, what)
	first := b.replayed
	b.put(9, 5000, true)
	b.put(9, 3, false)
	b.close()
	b.open()
	if len(b.replayed) != len(first)+2 {
		c.t.Fatalf("%s: %d entries, and after two more %d", what, len(first), len(b.replayed))
	}
	b.close()
}

// recoverUnderCrashes crashes at each operation of a recovery, and recovers again.
func (c *crasher) recoverUnderCrashes(m *vfs.Mem, p promise, what string) {
	again := m.Crash(vfs.Newest)
	k := 0
	again.Watch(func(op vfs.Op) {
		k++
		twice := again.Crash(c.picks[2+k%4])
		c.crashes++
		b := c.survivor(twice)
		what := fmt.Sprintf("%s, then %s %s", what, op.Kind, op.Name)
		if err := b.tryOpen(); err != nil {
			c.t.Fatalf("%s: %v", what, err)
		}
		p.check(c.t, b, what)
		b.close()
	})
	b := c.survivor(again)
	b.pool = c.spare2
	b.o.Pool = b.pool
	b.open()
	b.close()
}

// check compares what came back with what was promised.
func (p *promise) check(t testing.TB, b *bench, what string) {
	t.Helper()
	trimmed := 0
	if len(b.restored) > 0 {
		trimmed, _ = strconv.Atoi(string(b.restored))
	}
	if trimmed < p.floor {
		t.Fatalf("%s: the checkpoint of %d is lost, %d is there", what, p.floor, trimmed)
	}
	from, to := trimmed, trimmed
	if len(b.replayed) > 0 {
		from = int(b.replayed[0].end) - 1
		to = from + len(b.replayed)
	}
	if from > trimmed && p.durable > trimmed || to < p.durable {
		t.Fatalf("%s: entries %d to %d came back of %d, of which %d are trimmed and %d durable", what, from, to, len(p.appended), trimmed, p.durable)
	}
	for i, e := range b.replayed {
		if from+i >= len(p.appended) || e != p.appended[from+i] {
			t.Fatalf("%s: entry %d of %d is another than was appended", what, from+i, len(p.appended))
		}
	}
}

// checkpoint trims all entries before index floor and makes that durable.
func (c *crasher) checkpoint(floor int) {
	c.t.Helper()
	for s := range StreamID(4) {
		c.l.Trim(s+1, int64(floor))
	}
	if err := c.l.Checkpoint(strconv.AppendInt(nil, int64(floor), 10)); err != nil {
		c.t.Fatal(err)
	}
	c.bench.mu.Lock()
	c.floor = floor
	c.bench.mu.Unlock()
}

// random does steps at random.
func (c *crasher) random(seed uint64, steps int) {
	r := rand.New(rand.NewPCG(seed, 3))
	sizes := []int{0, 1, 60, 500, 512, 3000, 4096, 9000, 17_000, 40_000}
	c.open()
	for range steps {
		switch n := r.IntN(20); {
		case n < 15:
			if err := c.tryPut(StreamID(r.IntN(4)+1), sizes[r.IntN(len(sizes))], r.IntN(2) == 0); err != nil {
				c.t.Fatal(err)
			}
			if r.IntN(2) == 0 {
				c.l.Commit()
			}
		case n < 17:
			c.l.drain()
			c.checkpoint(max(c.floor, c.durable-r.IntN(6)))
		case n < 18:
			c.reopen()
		default:
			c.l.tail.evict(c.pool, 1<<40)
			c.l.Commit()
		}
	}
	c.reopen()
	c.close()
}

func (c *crasher) reopen() {
	c.t.Helper()
	c.close()
	c.open()
	p := promise{c.appended, len(c.appended), c.floor}
	p.check(c.t, c.bench, "reopened")
}

func TestNoPowerCutLosesWhatWasDurable(t *testing.T) {
	for seed := range seeds(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			c := newCrasher(t, seed)
			c.random(seed, 40)
			t.Logf("%d crashes", c.crashes)
		})
	}
}

func TestNoPowerCutDuringARecoveryLosesAnything(t *testing.T) {
	for seed := range seeds(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			c := newCrasher(t, 100+seed)
			c.deep = true
			c.random(200+seed, 25)
			t.Logf("%d crashes", c.crashes)
		})
	}
}

// Without syncs a power cut may lose acknowledged entries, but the log opens, and holds a beginning of what it held.
func TestAPowerCutWithoutSyncsLeavesABeginning(t *testing.T) {
	for seed := range seeds(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			c := newCrasher(t, 300+seed)
			c.o.Sync = []SyncMode{SyncNever, SyncInterval}[seed%2]
			c.lossy = true
			c.random(400+seed, 30)
			t.Logf("%d crashes", c.crashes)
		})
	}
}

// Groups of one shape, in files that are used again and again: what a torn group leaves of the one that lay there
// before must not be taken for its own.
func TestATornGroupIsNotCompletedByAnOlderOne(t *testing.T) {
	c := newCrasher(t, 500)
	c.open()
	for range 12 {
		for range 8 {
			for range 20 {
				// With its header it is a sector long, and most of it is the same in all.
				data := fmt.Appendf(nil, "%-472d", len(c.appended))
				if err := c.append(entry{1, 0, int64(len(c.appended) + 1), string(data)}, nil, data); err != nil {
					t.Fatal(err)
				}
			}
			c.l.Commit()
			c.l.drain()
		}
		c.checkpoint(c.durable)
	}
	c.reopen()
	c.close()
}

// The file that a checkpoint names may hold no group yet; a start replaces it, and is cut off there.
func TestAStartThatIsCutOffKeepsTheFileThatTheCheckpointNeeds(t *testing.T) {
	c := newCrasher(t, 600)
	c.deep = true
	c.open()
	for range 3 {
		c.put(1, 9000, false)
		c.checkpoint(c.durable)
		c.reopen()
		c.checkpoint(c.durable)
		c.reopen()
	}
	c.close()
}
