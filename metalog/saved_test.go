package metalog

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"chronik/metalog/image"
)

// snapshotDir is a stopped metalog with two snapshots; without entries behind the first, when bare.
func snapshotDir(t *testing.T, bare bool) (dir string, snapshots []string, want string) {
	t.Helper()
	dir = t.TempDir()
	l := mustOpen(t, dir)
	if bare {
		config := l.raft.ReloadableConfig()
		config.TrailingLogs = 1
		if err := l.raft.ReloadConfig(config); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 2 {
		for i := range 20 {
			mustPropose(t, l, topic(fmt.Sprint(round, "-", i)))
		}
		if err := l.Snapshot(); err != nil {
			t.Fatal(err)
		}
	}
	mustPropose(t, l, topic("behind it"))
	want = hash(t, l.Image())
	mustClose(t, l)
	names, err := savedNames(filepath.Join(dir, snapshotsDir))
	if err != nil || len(names) != 2 {
		t.Fatal(names, err)
	}
	return dir, names, want
}

func change(t *testing.T, path string, fn func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, fn(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// raft believes meta.json. Whatever it says that it did not say when the snapshot was made, the snapshot is not used: the
// node starts from the entries where they are all there, with a line in its log, and else not at all.
func TestAMetaOfASnapshotIsNotBelieved(t *testing.T) {
	replace := func(old, new string) func([]byte) []byte {
		return func(b []byte) []byte {
			changed := bytes.Replace(b, []byte(old), []byte(new), 1)
			if bytes.Equal(changed, b) {
				t.Errorf("no %s in %s", old, b)
			}
			return changed
		}
	}
	for _, c := range []struct {
		name   string
		change func([]byte) []byte
	}{
		{"a greater index", replace(`"Index":`, `"Index":1`)},
		{"another term", replace(`"Term":`, `"Term":7`)},
		{"no name: raft would remove every snapshot", replace(`"ID"`, `"AD"`)},
		{"another voter", replace(`"ID":"1@`, `"ID":"2@`)},
		{"no voter", replace(`"Servers"`, `"servants"`)},
		{"another configuration index", replace(`"ConfigurationIndex":`, `"ConfigurationIndex":3`)},
		{"another size", replace(`"Size":`, `"Size":3`)},
		{"half", func(b []byte) []byte { return b[:len(b)/2] }},
		{"nothing", func([]byte) []byte { return nil }},
	} {
		for _, bare := range []bool{false, true} {
			dir, names, want := snapshotDir(t, bare)
			change(t, filepath.Join(dir, snapshotsDir, names[0], metaName), c.change)
			if err := Walk(dir, func(Item) error { return nil }); err == nil || !strings.Contains(err.Error(), names[0]) {
				t.Errorf("%s: Walk says %v", c.name, err)
			}
			var lines bytes.Buffer
			l, err := Open(Options{Dir: dir, NodeID: 1, Logger: slog.New(slog.NewTextHandler(&lines, nil))})
			switch {
			case bare && (!errors.Is(err, image.ErrCorrupt) || !strings.Contains(err.Error(), names[0])):
				t.Errorf("%s, and the entries are gone: %v", c.name, err)
			case !bare && (err != nil || hash(t, l.Image()) != want || !strings.Contains(lines.String(), names[0])):
				t.Errorf("%s: %v\n%s", c.name, err, lines.String())
			}
			if err == nil {
				mustClose(t, l)
			}
		}
	}
}

func TestASnapshotOfAnOlderProgramHasNoSeal(t *testing.T) {
	dir, names, want := snapshotDir(t, true)
	for _, name := range names {
		if err := os.Remove(filepath.Join(dir, snapshotsDir, name, sealName)); err != nil {
			t.Fatal(err)
		}
	}
	l := mustOpen(t, dir)
	defer mustClose(t, l)
	if hash(t, l.Image()) != want {
		t.Error("another image")
	}
}

// What is in a seal must not change with raft's version, or no snapshot is good any more.
func TestSealStaysWhatItIs(t *testing.T) {
	m := savedMeta{SnapshotMeta: raft.SnapshotMeta{
		Version: 1, ID: "3-40-1700000000000", Index: 40, Term: 3, ConfigurationIndex: 2,
		Configuration: raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Nonvoter, ID: "1@a", Address: "b:1"}, {ID: "2@c"}}},
	}}
	if got, want := string(m.seal()), "chronik snapshot 1\ncrc32c=52f51254\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// An older raft.db is whole in itself, and its acknowledged entries are not in it.
func TestAnOlderStoreIsRefused(t *testing.T) {
	dir := t.TempDir()
	store := filepath.Join(dir, storeFile)
	l := mustOpen(t, dir)
	mustPropose(t, l, topic("old"))
	mustClose(t, l)
	old, err := os.ReadFile(store)
	if err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, dir)
	mustPropose(t, l, topic("new"))
	mustClose(t, l)
	if c, err := Load(dir); err != nil || c.Image.TopicCount() != 2 || c.NodeID != 1 {
		t.Fatal(c, err)
	}
	newer, err := os.ReadFile(store)
	if err == nil {
		err = os.WriteFile(store, old, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(Options{Dir: dir, NodeID: 1})
	_, loadErr := Load(dir)
	for _, err := range []error{err, loadErr} {
		if !errors.Is(err, image.ErrCorrupt) || !strings.Contains(err.Error(), store) {
			t.Errorf("an older store: %v", err)
		}
	}
	if err := os.WriteFile(store, newer, 0o600); err != nil {
		t.Fatal(err)
	}
	change(t, filepath.Join(dir, reachedFile), func(b []byte) []byte { b[20] ^= 1; return b })
	if _, err := Open(Options{Dir: dir, NodeID: 1}); !errors.Is(err, image.ErrCorrupt) || !strings.Contains(err.Error(), reachedFile) {
		t.Errorf("a damaged note: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, reachedFile)); err != nil {
		t.Fatal(err)
	}
	mustClose(t, mustOpen(t, dir))
}

// A start that takes an older raft.db under a newer snapshot loses what came behind the snapshot, puts its own entries
// behind a gap, and is the last one: the next start refuses them.
func TestAStoreOlderThanTheSnapshotMustNotBeBelieved(t *testing.T) {
	dir, killed := t.TempDir(), t.TempDir()
	l := mustOpen(t, dir)
	mustPropose(t, l, topic("old"))
	old, err := os.ReadFile(filepath.Join(dir, storeFile))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		mustPropose(t, l, topic(fmt.Sprint("new", i)))
	}
	if err := l.Snapshot(); err != nil {
		t.Fatal(err)
	}
	mustPropose(t, l, topic("behind the snapshot"))
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil { // what kill -9 leaves
		t.Fatal(err)
	}
	mustClose(t, l)
	path := filepath.Join(killed, storeFile)
	newest, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, old, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	mustBeRefused(t, killed)
	if err := os.WriteFile(path, newest, 0o600); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, killed)
	defer mustClose(t, l)
	if _, there := l.Image().TopicNamed("behind the snapshot"); !there {
		t.Error("the refusal has changed something: an entry is lost")
	}
}

func TestAnEmptyStoreUnderASnapshotMustNotBeBelieved(t *testing.T) {
	dir, _, _ := snapshotDir(t, false)
	cutLog(t, dir, 1<<20)
	if err := os.Remove(filepath.Join(dir, reachedFile)); err != nil { // it alone must not be what tells
		t.Fatal(err)
	}
	mustBeRefused(t, dir)
}

// mustBeRefused expects of Open and Load to name the store, and to say what helps.
func mustBeRefused(t *testing.T, dir string) {
	t.Helper()
	l, err := Open(Options{Dir: dir, NodeID: 1})
	if err == nil {
		mustClose(t, l)
	}
	_, loadErr := Load(dir)
	for _, err := range []error{err, loadErr} {
		if !errors.Is(err, image.ErrCorrupt) || !strings.Contains(err.Error(), filepath.Join(dir, storeFile)) ||
			!strings.Contains(err.Error(), "put the newest raft.db back") {
			t.Errorf("a store older than the snapshot: %v", err)
		}
	}
}
