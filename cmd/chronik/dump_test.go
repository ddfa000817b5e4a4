package main

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chronik/cluster"
	"chronik/metalog/image"
	"chronik/wal"
	"chronik/wal/arena"
	"chronik/wal/vfs"
)

// dataDir is what a node that was stopped leaves.
func dataDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	n, err := cluster.Start(t.Context(), cluster.Options{
		Dir: dir, ID: 1, Endpoints: []image.Endpoint{{Name: "PLAINTEXT"}},
		Pool: arena.New(32 << 20), WALFileSize: 1 << 20, WALBudget: 4 << 20, Sync: wal.SyncNever,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err == nil {
		err = n.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func filesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		names = append(names, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// lock holds what a running node does.
func lock(t *testing.T, dir string) {
	t.Helper()
	files, err := vfs.OS(dir)
	if err != nil {
		t.Fatal(err)
	}
	l, err := files.Lock("lock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(l.Close(), closeFS(files)) })
}

// Permissions are no reason when a node runs.
func TestDumpDoesNotBlamePermissionsForANodeThatRuns(t *testing.T) {
	dir := dataDir(t)
	lock(t, filepath.Join(dir, "metalog"))
	lock(t, filepath.Join(dir, "wal"))
	for _, args := range [][]string{
		{"dump", "--verify", dir}, {"dump", "wal", filepath.Join(dir, "wal")}, {"dump", "metalog", filepath.Join(dir, "metalog")},
	} {
		_, err := runCommand(args...)
		if err == nil || !strings.Contains(err.Error(), "lock: stop the node first: another process holds it") || strings.Contains(err.Error(), "permission") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// Evidence may be a copy without locks on a file system that cannot be written.
func TestDumpMakesNoLock(t *testing.T) {
	dir := dataDir(t)
	for _, part := range []string{"wal", "metalog"} {
		if err := os.Remove(filepath.Join(dir, part, "lock")); err != nil {
			t.Fatal(err)
		}
	}
	before := filesIn(t, dir)
	for _, args := range [][]string{
		{"dump", "--verify", dir}, {"dump", "wal", filepath.Join(dir, "wal")}, {"dump", "metalog", filepath.Join(dir, "metalog")},
	} {
		if out, err := runCommand(args...); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	if after := filesIn(t, dir); len(after) != len(before) {
		t.Errorf("there were %v, now there are %v", before, after)
	}
}

func TestDumpSaysThatItMayNotRead(t *testing.T) {
	if os.Getuid() == 0 {
		t.Log("root may read everywhere: nothing to see")
		return
	}
	dir := dataDir(t)
	if err := os.Chmod(dir, 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	if _, err := runCommand("dump", "--verify", dir); err == nil || !strings.Contains(err.Error(), dir+" may not be read") {
		t.Error(err)
	}
}
