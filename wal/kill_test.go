package wal

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"chronik/wal/campaign"
	"chronik/wal/vfs"
)

// killer kills the log at operations of the file system, starts it again, and cuts the power at each operation of that
// start and of what is written after it: what a start only read from the page cache must not be what it relies on.
type killer struct {
	*crasher
	ops int
}

// every is how many operations lie between two kills: each is followed by dozens of power cuts.
const every = 7

func newKiller(t testing.TB, seed uint64, mode SyncMode) *killer {
	k := &killer{crasher: newCrasher(t, seed)}
	k.ops = int(seed % every)
	k.o.Sync, k.lossy = mode, mode != SyncAlways
	m := k.fs.(*vfs.Mem)
	m.Watch(func(op vfs.Op) { k.kill(m, op) })
	return k
}

// kill lets two more processes follow, the second after a kill of the first.
func (k *killer) kill(m *vfs.Mem, op vfs.Op) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ops++; k.ops%every != 0 || k.broke != nil {
		return
	}
	p := k.promised()
	left := m.Kill()
	p.appended = k.promised().appended
	what := fmt.Sprintf("killed at %s %s", op.Kind, op.Name)
	for n := 1; n <= 2 && k.broke == nil; n++ {
		left = k.next(left, &p, fmt.Sprintf("%s, start %d", what, n))
	}
}

// next is the life of a process on what a killed one left, under power cuts, and returns what it leaves in turn.
func (k *killer) next(left *vfs.Mem, p *promise, what string) *vfs.Mem {
	var mu sync.Mutex // the log's own goroutines lose power too
	cuts, on, b := 0, false, k.survivor(left, k.spare2)
	left.Watch(func(op vfs.Op) {
		mu.Lock()
		defer mu.Unlock()
		if k.broke != nil {
			return
		}
		now := *p
		after := left.Crash(k.picks[cuts%len(k.picks)])
		if on { // what others appended before the crash came may be there
			b.mu.Lock()
			now.appended = b.appended[:len(b.appended):len(b.appended)]
			b.mu.Unlock()
		}
		cuts++
		k.note(fmt.Sprintf("%s, power cut at %s %s", what, op.Kind, op.Name), k.holds(after, now))
	})
	err := b.tryOpen()
	if err == nil {
		err = p.check(b)
	}
	if err != nil {
		k.note(what, err)
		return left
	}
	mu.Lock()
	b.goOn(p)
	on = true
	mu.Unlock()
	err = b.write()
	mu.Lock()
	p.appended = b.appended
	if !k.lossy {
		p.durable = b.durable
	}
	mu.Unlock()
	next := left.Kill()
	left.Watch(nil)
	k.note(what, errors.Join(err, b.tryClose()))
	return next
}

// holds opens what a power cut leaves, and checks it.
func (k *killer) holds(m *vfs.Mem, p promise) error {
	b := k.survivor(m, k.spare)
	if err := b.tryOpen(); err != nil {
		return err
	}
	return errors.Join(p.check(b), b.tryClose())
}

// goOn takes what was replayed for what was appended. It is durable in every mode: whoever reads it after a start may
// answer that it is there.
func (b *bench) goOn(p *promise) {
	to := p.floor
	if len(b.restored) > 0 {
		to, _ = strconv.Atoi(string(b.restored))
		p.floor = to
	}
	if n := len(b.replayed); n > 0 {
		to = int(b.replayed[n-1].end)
	}
	b.appended, b.durable = p.appended[:to:to], to
	p.durable = to
}

// write appends some entries, the last of which fills a file or gets one of its own.
func (b *bench) write() error {
	for _, n := range []int{60, 9000, 17_000, 40_000} {
		if err := b.tryPut(2, n, false); err != nil {
			return err
		}
		b.l.Commit()
	}
	return nil
}

func TestFaultsNoPowerCutAfterAKillLosesWhatAStartRead(t *testing.T) {
	plan := campaign.Plan{Name: "write-ahead log: kill, start, power cut", Unit: "states", Glance: 1000, Share: 4000, Soak: 30_000, Workers: 2}
	campaign.Run(t, plan, func(t *testing.T, seed uint64) campaign.Counts {
		k := newKiller(t, seed, []SyncMode{SyncAlways, SyncInterval, SyncNever}[seed%3])
		k.random(seed, 12)
		return k.done()
	})
}

// afterAKill starts the log on what a killed process left, loses power at once, and wants everything again.
func (b *bench) afterAKill(left *vfs.Mem) {
	b.t.Helper()
	b.o.FS = left
	b.open()
	b.durable = len(b.replayed)
	after := left.Crash(vfs.Oldest)
	b.close()
	b.o.FS = after
	b.open()
	b.same(0)
	b.close()
}

// No file but the last one would be synced by a cut of the tail, and the next file's header says that all were.
func TestWhatAStartReadFromThePageCacheIsNotLostLater(t *testing.T) {
	for _, mode := range []SyncMode{SyncInterval, SyncNever} {
		m := vfs.NewMem()
		b := newBench(t, m)
		b.o.Sync, b.o.SyncEvery, b.o.FileSize = mode, time.Hour, 8*page
		b.open()
		for range 10 {
			b.put(1, 9000, false)
		}
		left := m.Kill()
		b.close()
		b.afterAKill(left)
	}
}

// After a failed sync the page cache holds what the disk does not have, and calls it clean: where the log is not written past it, a
// start that went by it would have its readers, and what it writes next, rely on what the next power cut takes.
func TestWhatAFailedSyncLeftInThePageCacheIsNotRead(t *testing.T) {
	m := vfs.NewMem()
	m.NoDirect = true
	f := vfs.NewFault(m)
	b := newBench(t, f)
	b.open()
	b.put(1, 9000, false)
	f.Script(func(op vfs.Op) vfs.Outcome {
		if op.Kind == vfs.OpWriteSync && op.Off > 0 { // a group, and not the header of the file ahead
			return vfs.Outcome{Err: syscall.EIO, Keep: op.Len}
		}
		return vfs.Outcome{}
	})
	b.put(1, 9000, false)
	if err := b.tryClose(); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	m.LoseSync(fileName(1))
	b.afterAKill(m.Kill())
	if len(b.replayed) != 1 {
		t.Errorf("%d entries", len(b.replayed))
	}
}

// A file that ends with its last group needs no cut.
func TestAGroupThatEndsItsFileIsNotLostAfterAStartReadIt(t *testing.T) {
	m := vfs.NewMem()
	b := newBench(t, m)
	b.open()
	b.put(1, 100, false)
	var left *vfs.Mem
	m.Watch(func(op vfs.Op) {
		if op.Kind == vfs.OpWriteSync && op.Off == page {
			left = m.Kill()
		}
	})
	b.put(1, int(2*b.o.FileSize), false)
	m.Watch(nil)
	b.close()
	if left == nil {
		t.Fatal("no file for a large group")
	}
	b.afterAKill(left)
	if len(b.replayed) != 2 {
		t.Errorf("%d entries", len(b.replayed))
	}
}

// The note of a cut takes the place of the one before, whose file is the last again when the new one's groups are lost.
func TestTheNoteOfACutIsNotAheadOfTheGroupsBeforeIt(t *testing.T) {
	m := vfs.NewMem()
	b := newBench(t, m)
	b.o.SyncEvery = time.Hour
	b.open()
	b.put(1, 100, false)
	left := m.Kill()
	b.close()
	b.o.FS, b.o.Sync = left, SyncInterval
	b.open()
	b.put(1, 100, false)
	again := left.Kill()
	b.close()
	var after *vfs.Mem
	again.Watch(func(op vfs.Op) {
		if op.Kind == vfs.OpTruncate && op.Name == fileName(2) {
			after = again.Crash(vfs.Oldest)
		}
	})
	b.o.FS = again
	b.open()
	b.close()
	if after == nil {
		t.Fatal("nothing was cut")
	}
	b.o.FS = after
	b.open()
	b.close()
}

// A kill comes between the new checkpoint's rename and the sync of the directory; the next start must not let files go
// because of a checkpoint that a power cut may take back.
func TestNoFileGoesBeforeTheCheckpointThatDoesNotNeedItIsDurable(t *testing.T) {
	m := vfs.NewMem()
	b := newBench(t, m)
	b.o.FileSize = 8 * page
	b.open()
	for range 10 {
		b.put(1, 9000, false)
	}
	b.put(1, int(2*b.o.FileSize), false) // ends its file: no note of a cut syncs the directory
	b.l.Trim(1, 8)
	var left *vfs.Mem
	m.Watch(func(op vfs.Op) {
		if op.Kind == vfs.OpRename && op.Name == checkpointName+".tmp" {
			left = m.Kill()
		}
	})
	if err := b.l.Checkpoint(nil); err != nil {
		t.Fatal(err)
	}
	m.Watch(nil)
	b.close()
	for seed := range uint64(20) {
		next, n := left.Kill(), 0
		var states []*vfs.Mem
		next.Watch(func(vfs.Op) {
			states = append(states, next.Crash(vfs.Random(seed+uint64(n))))
			n++
		})
		b.o.FS = next
		b.open()
		next.Watch(nil)
		b.close()
		for i, state := range states {
			b.o.FS = state
			if err := b.tryOpen(); err != nil {
				t.Fatalf("power cut at operation %d of %d: %v", i, len(states), err)
			}
			b.close()
		}
	}
}

// A start after a crash looked exactly like one after an orderly stop.
func TestACrashIsSaidAtTheNextStart(t *testing.T) {
	m := vfs.NewMem()
	b := newBench(t, m)
	var said strings.Builder
	b.o.Logger = slog.New(slog.NewTextHandler(&said, nil))
	b.open()
	b.put(1, 100, false)
	left := m.Crash(vfs.Newest)
	b.close()
	for _, c := range []struct {
		fs   *vfs.Mem
		want bool
	}{{m, false}, {left, true}} {
		said.Reset()
		b.o.FS = c.fs
		b.open()
		b.close()
		if got := strings.Contains(said.String(), "groups=1"); got != c.want {
			t.Errorf("said %q", said.String())
		}
	}
}
