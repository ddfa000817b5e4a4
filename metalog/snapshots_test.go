package metalog

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// alone runs the test in a process of its own and says whether this is it. The limits of withFilesUpTo are those of the
// whole process, and go test has a log of its own that they would hit.
func alone(t *testing.T) bool {
	t.Helper()
	const child = "CHRONIK_TEST_ALONE"
	if os.Getenv(child) == t.Name() {
		return true
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), child+"="+t.Name())
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// withFilesUpTo has every write beyond size bytes of a file fail while op runs, as a disk does that is full.
func withFilesUpTo(t *testing.T, size uint64, op func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
			t.Fatal(err)
		}
	}()
	op()
}

func realSnapshots(t *testing.T) *snapshots {
	t.Helper()
	dir := t.TempDir()
	files, err := raft.NewFileSnapshotStoreWithLogger(dir, snapshotsToKeep, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	return &snapshots{SnapshotStore: files, dir: filepath.Join(dir, snapshotsDir), failure: newFailure()}
}

// Each try on a full disk would leave the snapshot as far as it came, for ever.
func TestASnapshotThatFailsMustNotStayOnTheDisk(t *testing.T) {
	if !alone(t) {
		return
	}
	_, trans := raft.NewInmemTransport("a")
	for _, c := range []struct {
		name                 string
		create, write, close uint64 // how long files may be
	}{
		{"meta.json", 0, 1 << 30, 1 << 30},
		{"state.bin", 1 << 30, 64 << 10, 1 << 30},
		{"meta.json at the end", 1 << 30, 1 << 30, 0},
	} {
		s := realSnapshots(t)
		var sink raft.SnapshotSink
		var err error
		withFilesUpTo(t, c.create, func() { sink, err = s.Create(1, 10, 1, raft.Configuration{}, 1, trans) })
		if err == nil {
			withFilesUpTo(t, c.write, func() { _, err = sink.Write(make([]byte, 1<<20)) })
			if err != nil {
				withFilesUpTo(t, c.write, func() { err = errors.Join(err, sink.Cancel()) })
			} else {
				withFilesUpTo(t, c.close, func() { err = sink.Close() })
			}
		}
		left, dirErr := os.ReadDir(s.dir)
		if !errors.Is(err, syscall.EFBIG) || dirErr != nil || len(left) != 0 {
			t.Errorf("%s: %v, and %v is left, %v", c.name, err, left, dirErr)
		}
	}
}

func TestASnapshotThatWasCutShortMustNotOutliveTheNextStart(t *testing.T) {
	dir, names, want := snapshotDir(t, true)
	saved := filepath.Join(dir, snapshotsDir)
	cut := filepath.Join(saved, "9-99-1700000000000"+unfinished)
	if err := os.CopyFS(cut, os.DirFS(filepath.Join(saved, names[0]))); err != nil {
		t.Fatal(err)
	}
	l := mustOpen(t, dir)
	defer mustClose(t, l)
	left, err := os.ReadDir(saved)
	if err != nil || len(left) != len(names) || hash(t, l.Image()) != want {
		t.Error(left, err)
	}
}

// renamed is a snapshot that has its name when the directory above cannot be synced, because the disk is full.
type renamed struct {
	raft.SnapshotSink
	dir string
}

func (r renamed) Close() error {
	return errors.Join(r.SnapshotSink.Close(), os.Mkdir(filepath.Join(r.dir, r.ID()), 0o700), syscall.ENOSPC)
}

// raft would make another snapshot, whose sync may succeed for nothing, and delete the entries.
func TestASnapshotWhoseNameIsNotSyncedIsNotLivedThrough(t *testing.T) {
	s := &snapshots{SnapshotStore: raft.NewInmemSnapshotStore(), dir: t.TempDir(), failure: newFailure()}
	under, err := s.SnapshotStore.Create(1, 10, 1, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = snapshotSink{renamed{under, s.dir}, s}.Close()
	if !errors.Is(err, syscall.ENOSPC) || !errors.Is(s.failure.err(), syscall.ENOSPC) {
		t.Error(err, s.failure.err())
	}
}

// A leader may try as often as it likes to send the next snapshot, and fail: this node still knows that the one which it has
// was sent, and stands for the log that is not there. Else its next start would take the store for an older one.
func TestASnapshotThatWasSentIsRememberedWhileItIsTheNewest(t *testing.T) {
	under, err := openBolt(filepath.Join(t.TempDir(), storeFile), false)
	if err != nil {
		t.Fatal(err)
	}
	s := realSnapshots(t)
	s.store = &store{under: under, failure: s.failure}
	defer s.store.Close()
	s.sent = func(uint64) bool { return true }
	_, trans := raft.NewInmemTransport("")
	create := func(index uint64) raft.SnapshotSink {
		sink, err := s.Create(raft.SnapshotVersionMax, index, 3, raft.Configuration{}, 1, trans)
		if err != nil {
			t.Fatal(err)
		}
		return sink
	}
	if err := create(100).Close(); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if err := create(200).Cancel(); err != nil {
			t.Fatal(err)
		}
	}
	for _, index := range []uint64{100, 200} {
		if sent, err := s.store.wasSent(index, 3); !sent || err != nil {
			t.Errorf("the snapshot of entry %d is not known: %v", index, err)
		}
	}
	for index := uint64(300); index < 1000; index += 100 {
		if err := create(index).Close(); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := s.store.get(keySent); len(b) > (snapshotsToKeep+1)*sentSize || err != nil {
		t.Errorf("%d bytes remembered, %v", len(b), err)
	}
}
