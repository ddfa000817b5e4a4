package partlog

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"chronik/wal"
	"chronik/wal/vfs"
)

// crashes runs a workload and looks, in every operation that changes the disk, at what a power cut there would leave.
type crashes struct {
	t   *testing.T
	d   *disk
	mem *vfs.Mem
	s   *Store
	seq map[wal.StreamID]int32

	mu    sync.Mutex // guards what follows
	known known
	count int
	broke error
}

// known is what the world knows of the logs.
type known struct {
	acked   map[wal.StreamID][]sent
	trying  map[wal.StreamID]sent  // begun, not acknowledged
	start   map[wal.StreamID]int64 // acknowledged
	raising map[wal.StreamID]int64 // the log start may be this already
	deleted map[wal.StreamID]bool
	leaving map[wal.StreamID]bool // all that was acknowledged may have been given up already
}

type sent struct {
	base, end int64
	value     string
	data      []byte
}

func TestCrashAtEveryStep(t *testing.T) {
	d := newDisk(t)
	d.fileSize = 32 << 10
	c := &crashes{t: t, d: d, mem: d.fs.(*vfs.Mem), seq: map[wal.StreamID]int32{}, known: known{
		map[wal.StreamID][]sent{}, map[wal.StreamID]sent{}, map[wal.StreamID]int64{}, map[wal.StreamID]int64{}, map[wal.StreamID]bool{}, map[wal.StreamID]bool{},
	}}
	for id := wal.StreamID(1); id <= 4; id++ {
		d.configs[id] = smallSegments()
	}
	c.mem.Watch(c.look)
	c.workload()
	c.mem.Watch(nil)
	closeStore(t, c.s)
	if c.broke != nil {
		t.Fatal(c.broke)
	}
	if c.count < 200 {
		t.Fatalf("only %d operations", c.count)
	}
}

func (c *crashes) workload() {
	c.s = c.d.open()
	c.produce(6, 1, 2, 3)
	late := c.begin(3)
	cutAll(c.t, c.s)
	c.finish(3, late)
	c.produce(3, 1, 2)
	c.raise(1, 5)
	cutAll(c.t, c.s)
	c.reopen()
	c.produce(3, 1, 2)
	c.expire(2, 6, 5)
	cutAll(c.t, c.s)
	c.remove(3)
	c.produce(6, 4)
	cutAll(c.t, c.s)
	c.remove(4)
	c.produce(2, 1)
	c.raise(1, 14)
	c.reopen()
	cutAll(c.t, c.s)
	c.produce(2, 1, 2)
	cutAll(c.t, c.s)
	c.reopen()
	c.leaveAndReturn()
}

// leaveAndReturn has a replica given up and begun anew with and without segments, restarts and log starts between.
func (c *crashes) leaveAndReturn() {
	c.leave(1)
	c.produce(6, 1, 2)
	c.raise(1, 2)
	cutAll(c.t, c.s)
	c.produce(2, 1)
	c.leave(1)
	c.reopen()
	c.produce(4, 1)
	c.reopen()
	c.produce(2, 1, 2)
	cutAll(c.t, c.s)
	c.leave(1)
	c.produce(1, 1)
	c.leave(1)
	c.reopen()
	cutAll(c.t, c.s)
	c.produce(3, 2, 1)
	c.reopen()
}

func (c *crashes) update(fn func(k *known)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn(&c.known)
}

func (c *crashes) produce(n int, streams ...wal.StreamID) {
	for range n {
		for _, id := range streams {
			try := c.begin(id)
			c.s.Commit()
			c.finish(id, try)
		}
	}
}

// begin appends a batch that is not acknowledged yet.
func (c *crashes) begin(id wal.StreamID) sent {
	l := c.d.log(c.s, id)
	v := fmt.Sprintf("%d-%d-%s", id, c.seq[id], strings.Repeat("v", 6000))
	data := idempotent(int64(id), 0, c.seq[id], int64(c.seq[id]), v)
	c.seq[id]++
	end := l.Offsets().LogEnd
	try := sent{end, end + 1, v, slices.Clone(data)}
	c.update(func(k *known) { k.trying[id] = try })
	if _, err := l.AppendAsLeader(Append{Data: data, Version: 9}); err != nil {
		c.t.Fatal(err)
	}
	return try
}

func (c *crashes) finish(id wal.StreamID, try sent) {
	settle(c.t, c.d.log(c.s, id), try.end)
	c.update(func(k *known) { k.acked[id] = append(k.acked[id], try); delete(k.trying, id) })
}

func cutAll(t rapid.TB, s *Store) {
	t.Helper()
	if err := cutEverything(s); err != nil {
		t.Fatal(err)
	}
}

// cutEverything copies all of the write-ahead log into segments.
func cutEverything(s *Store) error {
	s.tending.Lock()
	defer s.tending.Unlock()
	files := s.wal.Files()
	last := files[len(files)-1]
	if err := s.cutTo(last.Pos + last.Size); err != nil {
		return err
	}
	return s.checkpoint()
}

func (c *crashes) raise(id wal.StreamID, to int64) {
	c.update(func(k *known) { k.raising[id] = to })
	if err := c.d.log(c.s, id).SetLogStart(to); err != nil {
		c.t.Fatal(err)
	}
	c.update(func(k *known) { k.start[id] = to })
}

// expire has retention take what is older than before, up to start: segments go as a whole.
func (c *crashes) expire(id wal.StreamID, before, start int64) {
	c.update(func(k *known) { k.raising[id] = start })
	config := *c.d.config(id)
	config.RetentionMs = c.d.clock.Load() - before
	c.d.log(c.s, id).SetConfig(&config)
	tend(c.t, c.s, true)
	if o := c.d.log(c.s, id).Offsets(); o.LogStart != start {
		c.t.Fatal(o)
	}
	c.update(func(k *known) { k.start[id] = start })
	c.d.log(c.s, id).SetConfig(c.d.config(id))
}

func (c *crashes) remove(id wal.StreamID) {
	c.update(func(k *known) { k.deleted[id] = true })
	c.d.deleted[id] = true
	if err := c.s.Delete(id); err != nil {
		c.t.Fatal(err)
	}
	tend(c.t, c.s, false)
}

// leave gives up a replica, whose producers' next batches begin anew.
func (c *crashes) leave(id wal.StreamID) {
	c.update(func(k *known) { k.leaving[id] = true })
	if err := c.s.Remove(id); err != nil {
		c.t.Fatal(err)
	}
	c.update(func(k *known) {
		delete(k.leaving, id)
		delete(k.acked, id)
		delete(k.start, id)
		delete(k.raising, id)
	})
	c.seq[id] = 0
	if o := c.d.log(c.s, id).Offsets(); o != (Offsets{}) || c.s.Holds(id) {
		c.t.Fatal(o)
	}
}

func (c *crashes) reopen() {
	closeStore(c.t, c.s)
	c.s = c.d.open()
}

// look is called in every operation.
func (c *crashes) look(op vfs.Op) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	if c.broke != nil {
		return
	}
	picks := map[string]vfs.Pick{"everything unsynced lost": vfs.Oldest, "by chance": vfs.Random(uint64(c.count))}
	if c.count%4 == 0 {
		picks["nothing lost"] = vfs.Newest
	}
	for name, pick := range picks {
		if err := c.known.check(c.t, c.mem.Crash(pick)); err != nil {
			c.broke = fmt.Errorf("crash in operation %d, %s of %s, %s: %w", c.count, op.Kind, op.Name, name, err)
			return
		}
	}
}

// check opens what a crash left and compares it with what the world knows.
func (k *known) check(t *testing.T, left *vfs.Mem) error {
	d := newDisk(t)
	d.fs, d.fileSize = left, 32<<10
	d.deleted = k.deleted
	for _, again := range []bool{false, true} {
		s, err := Open(d.options())
		if err != nil {
			return err
		}
		for id := wal.StreamID(1); id <= 4 && err == nil; id++ {
			if !k.deleted[id] {
				err = k.checkLog(t, id, d.log(s, id), again)
			}
		}
		closeStore(t, s)
		if names, _ := left.List(quarantineDir); err == nil && len(names) > 0 {
			err = fmt.Errorf("set aside: %v", names)
		}
		if err != nil {
			return fmt.Errorf("again %v: %w", again, err)
		}
	}
	return nil
}

func (k *known) checkLog(t *testing.T, id wal.StreamID, l *Log, again bool) error {
	o := l.Offsets()
	acked := k.acked[id]
	if k.leaving[id] && o == (Offsets{}) {
		return nil
	}
	if o.LogStart != k.start[id] && o.LogStart != k.raising[id] {
		return fmt.Errorf("stream %d: log start %d, acknowledged %d", id, o.LogStart, k.start[id])
	}
	all := slices.Clone(acked)
	if try, open := k.trying[id]; open && (again || o.LogEnd == try.end) {
		all = append(all, try)
	}
	if o.LogEnd != int64(len(all)) || o.Durable != o.LogEnd {
		return fmt.Errorf("stream %d: %+v, %d records were acknowledged", id, o, len(acked))
	}
	var want []string
	for _, a := range all[o.LogStart:] {
		want = append(want, fmt.Sprintf("%d:%s", a.base, a.value))
	}
	if got := values(t, l, o.LogStart); !slices.Equal(got, want) {
		return fmt.Errorf("stream %d: %d records, want %d", id, len(got), len(want))
	}
	return k.retry(l, acked, k.trying[id])
}

// retry sends again what a client would: nothing that was acknowledged may be written twice.
func (k *known) retry(l *Log, acked []sent, try sent) error {
	for _, a := range acked[max(0, len(acked)-4):] {
		got, err := l.AppendAsLeader(Append{Data: slices.Clone(a.data), Version: 9})
		if err != nil || !got.Duplicate || got.Base != a.base {
			return fmt.Errorf("offset %d again: %+v %w", a.base, got, err)
		}
	}
	if try.data == nil {
		return nil
	}
	got, err := l.AppendAsLeader(Append{Data: slices.Clone(try.data), Version: 9})
	if err != nil || got.Base != try.base {
		return fmt.Errorf("the batch at %d once more: %+v %w", try.base, got, err)
	}
	l.store.Commit()
	return l.store.barrier()
}
