package metalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"chronik/metalog/image"
)

// faulty fails its store as it is told to.
type faulty struct {
	backend
	failing    atomic.Bool  // writes return EIO without writing
	writes     atomic.Int64 // that reached the file
	afterwards atomic.Int64 // that were tried after the first failure
	stored     func()       // called before and after each StoreLogs, when set
}

func (f *faulty) write(op func() error) error {
	if f.failing.Load() {
		f.afterwards.Add(1)
		return syscall.EIO
	}
	f.writes.Add(1)
	return op()
}

func (f *faulty) StoreLogs(entries []*raft.Log) error {
	if f.stored != nil {
		f.stored()
		defer f.stored()
	}
	return f.write(func() error { return f.backend.StoreLogs(entries) })
}

func (f *faulty) Set(key, value []byte) error {
	return f.write(func() error { return f.backend.Set(key, value) })
}

func openFaulty(t *testing.T, dir string) (*Log, *faulty) {
	t.Helper()
	f := &faulty{}
	l, err := open(Options{Dir: dir, NodeID: 1}, func(b backend) backend { f.backend = b; return f })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, f
}

// After one failed write nothing is acknowledged and nothing is written, also when the disk has come back, and the
// leadership ends. Everything acknowledged before is there after a restart.
func TestFirstWriteErrorIsFinal(t *testing.T) {
	dir := t.TempDir()
	l, disk := openFaulty(t, dir)
	ended := make(chan struct{})
	l.Lead(func(ctx context.Context, _ uint64) error { <-ctx.Done(); close(ended); return nil })
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprint(c, "-", i)
				if _, err := l.Propose(t.Context(), topic(name)); err != nil {
					return
				}
				mu.Lock()
				acknowledged[name] = true
				if len(acknowledged) == 100 {
					disk.failing.Store(true)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	<-l.Failed()
	<-ended
	if !errors.Is(l.Err(), syscall.EIO) {
		t.Fatal(l.Err())
	}
	disk.failing.Store(false)
	writes := disk.writes.Load()
	if _, err := l.Propose(t.Context(), topic("after")); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	if err := l.Wait(t.Context(), l.Image().Index()+1); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	mustClose(t, l)
	if disk.afterwards.Load() != 1 || disk.writes.Load() != writes {
		t.Fatalf("%d writes tried, %d done after the failure", disk.afterwards.Load(), disk.writes.Load()-writes)
	}
	l = mustOpen(t, dir)
	for name := range acknowledged {
		if _, ok := l.Image().TopicNamed(name); !ok {
			t.Errorf("%s was acknowledged and is lost", name)
		}
	}
}

// A vote or a term that cannot be written must not panic either.
func TestStoreThatFailsAtStart(t *testing.T) {
	dir := t.TempDir()
	mustClose(t, mustOpen(t, dir))
	f := &faulty{}
	f.failing.Store(true)
	_, err := open(Options{Dir: dir, NodeID: 1}, func(b backend) backend { f.backend = b; return f })
	if !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	mustClose(t, mustOpen(t, dir))
}

// A snapshot whose disk fails ends the log, and a full disk does not.
func TestASnapshotThatFailsIsNotTriedAgain(t *testing.T) {
	for _, c := range []struct {
		err   error
		final bool
	}{{syscall.EIO, true}, {syscall.ENOSPC, false}} {
		for step := range 3 {
			f := newFailure()
			disk := &badSnapshots{raft.NewInmemSnapshotStore(), t.TempDir(), step, c.err}
			err := snapshotTo(&snapshots{SnapshotStore: disk, dir: disk.dir, failure: f})
			if !errors.Is(err, c.err) || (f.err() != nil) != c.final || c.final && !errors.Is(f.err(), c.err) {
				t.Errorf("%v at step %d: %v, and the log said %v", c.err, step, err, f.err())
			}
		}
	}
}

func snapshotTo(s *snapshots) error {
	sink, err := s.Create(1, 5, 1, raft.Configuration{}, 1, nil)
	if err != nil {
		return err
	}
	return snapshot{image.Empty()}.Persist(sink)
}

// badSnapshots fails to create a snapshot, to write it, or to close it.
type badSnapshots struct {
	raft.SnapshotStore
	dir  string
	step int
	err  error
}

func (b *badSnapshots) Create(v raft.SnapshotVersion, index, term uint64, c raft.Configuration, at uint64, t raft.Transport) (raft.SnapshotSink, error) {
	if b.step == 0 {
		return nil, b.err
	}
	sink, err := b.SnapshotStore.Create(v, index, term, c, at, t)
	if err == nil {
		err = os.Mkdir(filepath.Join(b.dir, sink.ID()+".tmp"), 0o700) // as raft's store of files does
	}
	return &badSink{sink, b}, err
}

type badSink struct {
	raft.SnapshotSink
	of *badSnapshots
}

func (b *badSink) Write(p []byte) (int, error) {
	if b.of.step == 1 {
		return 0, b.of.err
	}
	return b.SnapshotSink.Write(p)
}

func (b *badSink) Close() error {
	if b.of.step == 2 {
		return b.of.err
	}
	return b.SnapshotSink.Close()
}

// A directory that could not be synced is never taken for a disk that is merely full.
func TestAnUnsyncedDirectoryIsNotLivedThrough(t *testing.T) {
	full := &os.PathError{Op: "write", Path: "log.end.tmp", Err: syscall.ENOSPC}
	if !outOfSpace(full) || outOfSpace(&unsyncedNames{full}) || outOfSpace(fmt.Errorf("install: %w", &unsyncedNames{full})) {
		t.Error(outOfSpace(full), outOfSpace(&unsyncedNames{full}))
	}
}

// An entry that the FSM cannot read halts it: it is not passed over.
func TestUnknownEntryHalts(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir)
	mustPropose(t, l, topic("a"))
	before := l.Image()
	strange := sealEntry(l.raft.CurrentTerm(), [][]byte{{99, 1, 0}}) // kind 99
	l.raft.Apply(strange, 0)
	<-l.Failed()
	if !errors.Is(l.Err(), image.ErrUnknown) || l.Image() != before {
		t.Fatal(l.Err())
	}
	if _, err := l.Propose(t.Context(), topic("b")); err == nil {
		t.Fatal("acknowledged after a halt")
	}
	if err := l.raft.Snapshot().Error(); err == nil {
		t.Fatal("a snapshot that counts the entry as applied")
	}
	mustClose(t, l)
	if _, err := Open(Options{Dir: dir, NodeID: 1}); !errors.Is(err, image.ErrUnknown) {
		t.Fatal(err)
	}
}

// Crash states: whatever was acknowledged when the directory was copied, between two writes of the store, is in the
// copy.
func TestCopiesBetweenWritesHoldWhatWasAcknowledged(t *testing.T) {
	dir := t.TempDir()
	l, disk := openFaulty(t, dir)
	type state struct {
		dir  string
		last int64
	}
	var acknowledged, calls atomic.Int64
	var states []state
	disk.stored = func() {
		if calls.Add(1)%7 != 0 {
			return
		}
		s := state{t.TempDir(), acknowledged.Load()}
		if err := os.CopyFS(s.dir, os.DirFS(dir)); err != nil {
			t.Error(err)
		}
		states = append(states, s)
	}
	for i := range 60 {
		mustPropose(t, l, topic(fmt.Sprint("t", i)))
		acknowledged.Store(int64(i + 1))
		if i == 30 {
			if err := l.raft.Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
		}
	}
	mustClose(t, l)
	for _, s := range states {
		l := mustOpen(t, s.dir)
		n := int64(l.Image().TopicCount())
		if n < s.last || n > s.last+1 {
			t.Errorf("%d topics where %d were acknowledged", n, s.last)
		}
		mustClose(t, l)
	}
	if len(states) < 10 {
		t.Fatalf("only %d states", len(states))
	}
}

// Every step of the first start may be the last one; the next start finishes it.
func TestFirstStartCutShort(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{storeFile + ".tmp", identityFile + ".tmp"} {
		if err := os.WriteFile(path(name), []byte("the half of it"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := mustOpen(t, dir)
	server := l.identity.server
	mustClose(t, l)
	if server == (identity{}).server {
		t.Fatal("no identity")
	}

	// the store is there and node.id is not
	other := t.TempDir()
	s := &starting{Options: Options{Dir: other, NodeID: 1}, logger: &raftLogger{to: slog.New(slog.DiscardHandler)}, failure: newFailure()}
	s.hclog = s.logger.hclog()
	who, err := s.beginStored()
	if err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, other)
	if l.identity != who {
		t.Fatal("another identity than the store's")
	}
}

func TestDamagedSnapshotFallsBackOnlyWithoutLoss(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir)
	for i := range 30 {
		mustPropose(t, l, topic(fmt.Sprint("t", i)))
		if i%10 == 9 {
			if err := l.raft.Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := hash(t, l.Image())
	mustClose(t, l)
	found, err := filepath.Glob(filepath.Join(dir, snapshotsDir, "*", "state.bin"))
	if err != nil || len(found) != snapshotsToKeep {
		t.Fatal(found, err)
	}
	for _, path := range found { // one more of them each time, and at last the log alone holds everything
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 1
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		l = mustOpen(t, dir)
		if hash(t, l.Image()) != want {
			t.Fatal("another image after the fall-back")
		}
		mustClose(t, l)
	}
	cutLog(t, dir, 5)
	_, err = Open(Options{Dir: dir, NodeID: 1})
	if !errors.Is(err, image.ErrCorrupt) {
		t.Fatal(err)
	}
	t.Log(err)
}

// cutLog deletes the entries up to index, as a compaction does.
func cutLog(t *testing.T, dir string, index uint64) {
	t.Helper()
	bolt, err := openBolt(filepath.Join(dir, storeFile), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(bolt.DeleteRange(1, index), bolt.Close()); err != nil {
		t.Fatal(err)
	}
}

// An entry lost from the middle of the log is an error, not raft's panic.
func TestMissingEntryIsRefused(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir)
	for i := range 10 {
		mustPropose(t, l, topic(fmt.Sprint("t", i)))
	}
	mustClose(t, l)
	bolt, err := openBolt(filepath.Join(dir, storeFile), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(bolt.DeleteRange(7, 7), bolt.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir, NodeID: 1}); !errors.Is(err, image.ErrCorrupt) {
		t.Fatal(err)
	}
}

// slow takes its time to write a vote and an entry: longer than a cluster of one waits before it stands for election.
type slow struct{ backend }

const slowWrite = 3 * soloTimeout

func (s slow) Set(key, value []byte) error {
	<-time.After(slowWrite)
	return s.backend.Set(key, value)
}

func (s slow) StoreLogs(entries []*raft.Log) error {
	<-time.After(slowWrite)
	return s.backend.StoreLogs(entries)
}

// The only voter wins its first election and leads until it is closed, however slow its disk is.
func TestASlowDiskMustNotCostTheLeadership(t *testing.T) {
	dir := t.TempDir()
	mustClose(t, mustOpen(t, dir))
	var before uint64
	for range 8 {
		l, err := open(Options{Dir: dir, NodeID: 1}, func(b backend) backend { return slow{b} })
		if err != nil {
			t.Fatal(err)
		}
		term := l.raft.CurrentTerm()
		if before > 0 && term != before+1 {
			t.Errorf("it took %d elections", term-before)
		}
		for i := range 3 {
			mustPropose(t, l, topic(fmt.Sprint(term, "-", i)))
		}
		if now := l.raft.CurrentTerm(); now != term {
			t.Errorf("the leadership of term %d was lost", term)
		}
		before = term
		mustClose(t, l)
	}
}

// Raft deletes entries when a snapshot has been closed: the names of its files must be durable by then. So a directory
// that cannot be synced fails the log.
func TestASnapshotIsNotDoneBeforeItsDirectoryIsSynced(t *testing.T) {
	s := &snapshots{SnapshotStore: raft.NewInmemSnapshotStore(), dir: t.TempDir(), failure: newFailure()}
	under, err := s.SnapshotStore.Create(1, 5, 1, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = snapshotSink{under, s}.Close() // its directory is nowhere
	if _, final := errors.AsType[*unsyncedNames](s.failure.err()); !final || !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err, s.failure.err())
	}
}
