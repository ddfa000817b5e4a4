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

// A wrong PATH must look neither like damage nor like a file in which nothing is.
func TestDumpOfAWrongPathSaysWhichIsRight(t *testing.T) {
	dir := dataDir(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct{ what, path, want string }{
		{"metalog", dir, "did you mean " + at("metalog") + "?"},
		{"metalog", at("metalog/raft.db"), "did you mean " + at("metalog") + "?"},
		{"metalog", at("wal"), "did you mean " + at("metalog") + "?"},
		{"metalog", t.TempDir(), "PATH is its directory"},
		{"wal", dir, "did you mean " + at("wal") + "?"},
		{"wal", at("wal/closed"), "did you mean " + at("wal") + "?"},
		{"wal", at("wal/lock"), "did you mean " + at("wal") + "?"},
		{"wal", at("metalog/raft.db"), "did you mean " + at("wal") + "?"},
		{"wal", t.TempDir(), "holds no write-ahead log"},
		{"segment", at("partitions"), at("partitions") + " holds no segments"},
		{"segment", at("metalog/raft.db"), "is none of the segments"},
		{"--verify", at("metalog"), "did you mean " + dir + "?"},
		{"--verify", at("wal/lock"), "did you mean " + dir + "?"},
	} {
		out, err := runCommand("dump", c.what, c.path)
		if err == nil || errors.Is(err, errDamaged) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v, want %q", c.what, c.path, err, c.want)
		}
		if out != "" {
			t.Errorf("%s %s shows %q", c.what, c.path, out)
		}
	}
	if out, err := runCommand("dump", "wal", at("wal/00000000000000000001.wal")); err != nil || out == "" {
		t.Errorf("a file of the log: %v %q", err, out)
	}
}

func TestDumpWithoutAPathAsksForIt(t *testing.T) {
	for what, want := range map[string]string{
		"wal": "which folder? chronik dump wal PATH", "metalog": "which folder? chronik dump metalog PATH",
		"segment": "which file or folder? chronik dump segment PATH",
	} {
		if _, err := runCommand("dump", what); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A start sets this aside.
func TestVerifyFindsNothingWrongWithAPlainFileBesideThePartitions(t *testing.T) {
	dir := dataDir(t)
	for _, name := range []string{"zz", "zz.seg"} {
		if err := os.WriteFile(filepath.Join(dir, "partitions", name), []byte("z"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := runCommand("dump", "--verify", dir); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// One damage was three lines, of which two looked like further ones.
func TestVerifySaysADamageOnce(t *testing.T) {
	dir := dataDir(t)
	for name, want := range map[string]string{
		"metalog/node.id": "its checksum is wrong",
		"metalog/raft.db": "the checksum of the meta page is wrong",
		"metalog/log.end": "its checksum is wrong",
		"wal/checkpoint":  "checkpoint",
	} {
		path := filepath.Join(dir, name)
		change(t, path, flip(24))
		out, err := runCommand("dump", "--verify", dir)
		change(t, path, flip(24))
		if !errors.Is(err, errDamaged) || err.Error() != "1 place is damaged; the node would not start" {
			t.Errorf("%s: %v", name, err)
		}
		if n := strings.Count(out, path); n != 1 || !strings.Contains(out, want) || strings.Count(out, "damage: "+dir) != 1 {
			t.Errorf("%s is named %d times:\n%s", name, n, out)
		}
	}
	if out, err := runCommand("dump", "--verify", dir); err != nil {
		t.Errorf("whole again: %v\n%s", err, out)
	}
}

// What the node alone finds is shown beside what the files have shown, and each of two damages once.
func TestVerifyShowsAllThatWouldStopTheNode(t *testing.T) {
	dir := dataDir(t)
	writeSegment(t, filepath.Join(dir, "partitions"), 10, 0, 500)
	change(t, filepath.Join(dir, "partitions/p/00000000000000000000.seg"), flip(200))
	out, err := runCommand("dump", "--verify", dir)
	if !errors.Is(err, errDamaged) || err.Error() == "" || !strings.HasSuffix(err.Error(), "; the node would start") {
		t.Errorf("a segment: %v\n%s", err, out)
	}
	change(t, filepath.Join(dir, "metalog/log.end"), flip(40))
	out, err = runCommand("dump", "--verify", dir)
	if !errors.Is(err, errDamaged) || !strings.HasSuffix(err.Error(), "; the node would not start") || strings.Count(out, "log.end") != 1 {
		t.Errorf("log.end: %v\n%s", err, out)
	}
}
