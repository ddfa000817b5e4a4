package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"

	"chronik/wal/arena"
	"chronik/wal/campaign"
	"chronik/wal/vfs"
)

// crasher opens what a power cut at every operation of the file system would leave, and compares it with what the
// workload was promised until then.
type crasher struct {
	*bench
	picks []vfs.Pick
	deep  bool // crash in the recovery too
	lossy bool // nothing is promised: the mode does not sync
	floor int  // entries below were trimmed by a checkpoint that succeeded; guarded by bench.mu

	mu      sync.Mutex  // guards what follows; the log's own goroutines crash too
	spare   *arena.Pool // for the logs of survivors, one at a time
	spare2  *arena.Pool // for those that crash again
	crashes int
	broke   error // the first
}

func newCrasher(t testing.TB, seed uint64) *crasher {
	m := vfs.NewMem()
	m.NoAllocate = seed%2 == 1
	c := &crasher{bench: newBench(t, m), spare: arena.New(64 << 20), spare2: arena.New(64 << 20)}
	c.o.FileSize = 8 * page
	c.picks = []vfs.Pick{vfs.Oldest, vfs.Newest, vfs.Random(seed), vfs.Random(seed + 1), mostly(vfs.Newest, seed), mostly(vfs.Oldest, seed)}
	m.Watch(func(op vfs.Op) { c.cut(m, op) })
	return c
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
		if c.broke != nil {
			return
		}
		after := m.Crash(pick)
		p.appended = c.promised().appended // other goroutines went on until the crash
		what := fmt.Sprintf("%s %s at %d, pick %d", op.Kind, op.Name, op.Off, i)
		if c.deep && i >= 2 {
			c.recoverUnderCrashes(after, p, what)
		}
		c.note(what, c.recovers(after, p))
	}
}

// note counts a state that was tried.
func (c *crasher) note(what string, err error) {
	c.crashes++
	if err != nil && c.broke == nil {
		c.broke = fmt.Errorf("%s: %w", what, err)
	}
}

// survivor is an Options for what a crash left.
func (c *crasher) survivor(m *vfs.Mem, pool *arena.Pool) *bench {
	b := &bench{t: c.t, fs: m, pool: pool, o: c.o}
	b.o.FS, b.o.Pool = m, b.pool
	return b
}

// recovers opens what is left, checks it, writes on, closes and opens it again.
func (c *crasher) recovers(m *vfs.Mem, p promise) error {
	b := c.survivor(m, c.spare)
	if err := b.tryOpen(); err != nil {
		return err
	}
	wrong := p.check(b)
	first := b.replayed
	err := errors.Join(wrong, b.tryPut(9, 5000, true), b.tryPut(9, 3, false), b.tryClose())
	if err != nil {
		return err
	}
	if err := b.tryOpen(); err != nil {
		return fmt.Errorf("opened again: %w", err)
	}
	if len(b.replayed) != len(first)+2 || !slices.Equal(b.replayed[:len(first)], first) {
		err = fmt.Errorf("%d entries, and after two more %d", len(first), len(b.replayed))
	}
	return errors.Join(err, b.tryClose())
}

// recoverUnderCrashes crashes at each operation of a recovery, and recovers again.
func (c *crasher) recoverUnderCrashes(m *vfs.Mem, p promise, what string) {
	again := m.Crash(vfs.Newest)
	k := 0
	again.Watch(func(op vfs.Op) {
		k++
		b := c.survivor(again.Crash(c.picks[2+k%4]), c.spare)
		err := b.tryOpen()
		if err == nil {
			err = errors.Join(p.check(b), b.tryClose())
		}
		c.note(fmt.Sprintf("%s, then %s %s", what, op.Kind, op.Name), err)
	})
	b := c.survivor(again, c.spare2)
	err := b.tryOpen()
	if err == nil {
		err = b.tryClose()
	}
	if err != nil && c.broke == nil {
		c.broke = fmt.Errorf("%s, under crashes: %w", what, err)
	}
}

// check compares what came back with what was promised.
func (p *promise) check(b *bench) error {
	trimmed := 0
	if len(b.restored) > 0 {
		trimmed, _ = strconv.Atoi(string(b.restored))
	}
	if trimmed < p.floor {
		return fmt.Errorf("the checkpoint of %d is lost, %d is there", p.floor, trimmed)
	}
	from, to := trimmed, trimmed
	if len(b.replayed) > 0 {
		from = int(b.replayed[0].end) - 1
		to = from + len(b.replayed)
	}
	if from > trimmed && p.durable > trimmed || to < p.durable {
		return fmt.Errorf("entries %d to %d came back of %d, of which %d are trimmed and %d durable", from, to, len(p.appended), trimmed, p.durable)
	}
	for i, e := range b.replayed {
		if from+i >= len(p.appended) || e != p.appended[from+i] {
			return fmt.Errorf("entry %d of %d is another than was appended", from+i, len(p.appended))
		}
	}
	return nil
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
	if err := p.check(c.bench); err != nil {
		c.t.Fatal("reopened: ", err)
	}
}

// done says what the crashes found.
func (c *crasher) done() campaign.Counts {
	c.t.Helper()
	if c.broke != nil {
		c.t.Fatal(c.broke)
	}
	return campaign.Counts{"states": int64(c.crashes)}
}

func TestFaultsNoPowerCutLosesWhatWasDurable(t *testing.T) {
	plan := campaign.Plan{Name: "write-ahead log: power cuts", Unit: "states", Glance: 3000, Share: 6000, Soak: 40_000, Workers: 2}
	campaign.Run(t, plan, func(t *testing.T, seed uint64) campaign.Counts {
		c := newCrasher(t, seed)
		c.random(seed, 40)
		return c.done()
	})
}

func TestFaultsNoPowerCutDuringARecoveryLosesAnything(t *testing.T) {
	plan := campaign.Plan{Name: "write-ahead log: power cuts in recoveries", Unit: "states", Glance: 5000, Share: 8000, Soak: 60_000, Workers: 2}
	campaign.Run(t, plan, func(t *testing.T, seed uint64) campaign.Counts {
		c := newCrasher(t, seed)
		c.deep = true
		c.random(seed, 25)
		return c.done()
	})
}

// Without syncs a power cut may lose acknowledged entries, but the log opens, and holds a beginning of what it held.
func TestFaultsAPowerCutWithoutSyncsLeavesABeginning(t *testing.T) {
	plan := campaign.Plan{Name: "write-ahead log: power cuts without syncs", Unit: "states", Glance: 2000, Share: 3000, Soak: 15_000, Workers: 2}
	campaign.Run(t, plan, func(t *testing.T, seed uint64) campaign.Counts {
		c := newCrasher(t, seed)
		c.o.Sync = []SyncMode{SyncNever, SyncInterval}[seed%2]
		c.lossy = true
		c.random(seed, 30)
		return c.done()
	})
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
	c.done()
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
	c.done()
}
