package metalog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chronik/metalog/image"
)

func TestWalk(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir)
	for i := range 5 {
		mustPropose(t, l, topic(fmt.Sprint("walked", i)))
	}
	if err := l.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	want := hash(t, l.Image())
	if err := Walk(dir, func(Item) error { return nil }); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatal(err)
	}
	mustClose(t, l)

	names, topics := map[string]int{}, 0
	err := Walk(dir, func(i Item) error {
		names[i.Name]++
		for _, recs := range i.Proposals {
			if r, ok := recs[0].(image.TopicRecord); ok && r == topic(fmt.Sprint("walked", topics)) {
				topics++
			}
		}
		if i.Image != nil && hash(t, i.Image) != want {
			t.Error("the snapshot is another image")
		}
		return nil
	})
	if err != nil || topics != 5 || names["node"] != 1 || names["vote"] != 1 || names["snapshot"] != 1 || names["entry"] < 6 {
		t.Fatal(err, names, topics)
	}
	stop := errors.New("enough")
	if err := Walk(dir, func(Item) error { return stop }); err != stop {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "snapshots", "permTest")); err == nil {
		t.Fatal("Walk wrote")
	}
}

// falsified makes a metadata log in dir, replaces from by to in one of its files, and returns that file's path.
func falsified(t *testing.T, dir, file, from, to string) string {
	t.Helper()
	l := mustOpen(t, dir)
	for i := range 5 {
		mustPropose(t, l, topic(fmt.Sprint("walked", i)))
	}
	mustClose(t, l)
	path := filepath.Join(dir, file)
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, bytes.ReplaceAll(b, []byte(from), []byte(to)), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// A damaged entry is shown as such, and what comes after it too.
func TestWalkGoesOnPastDamage(t *testing.T) {
	dir := t.TempDir()
	falsified(t, dir, storeFile, "walked2", "WALKED2")
	good, damaged := 0, 0
	err := Walk(dir, func(i Item) error {
		if i.Err != nil {
			damaged++
		} else if len(i.Proposals) > 0 {
			good++
		}
		return nil
	})
	if !errors.Is(err, image.ErrCorrupt) || good != 4 || damaged != 1 {
		t.Fatal(err, good, damaged)
	}
}

// An error names the file once, with its path, and says in words what is wrong with it.
func TestDamageIsNamedOnceAndInWords(t *testing.T) {
	for file, c := range map[string]struct {
		from, to string
		want     string
	}{
		storeFile:    {"walked2", "WALKED2", ": its checksum is wrong"},
		identityFile: {"node.id=1", "node.id=2", identityFile + ": its checksum is wrong"},
		reachedFile:  {"term=", "term=9", reachedFile + ": its checksum is wrong"},
	} {
		dir := t.TempDir()
		path := falsified(t, dir, file, c.from, c.to)
		_, err := Load(dir)
		if !errors.Is(err, image.ErrCorrupt) {
			t.Fatal(err)
		}
		text := err.Error()
		if !strings.HasSuffix(text, c.want) || strings.Count(text, path) != 1 || strings.Contains(text, "corrupt metadata") {
			t.Error(text)
		}
	}
}
