package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chronik/kafka/batch"
	"chronik/segment"
	"chronik/wal/vfs"
)

// writeSegment writes batches of one record of size bytes each, and behind them unsynced ones as a crash may leave them.
func writeSegment(t *testing.T, dir string, batches, unsynced, size int) {
	t.Helper()
	files, err := vfs.OS(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := segment.Create(files, "p", 0, segment.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for n := range batches {
		if err := s.Append(oneRecord(t, int64(n), size)); err != nil {
			t.Fatal(err)
		}
	}
	if unsynced == 0 {
		err = s.Seal()
	} else {
		err = s.Sync()
	}
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	for n := range unsynced {
		change(t, filepath.Join(dir, "p", "00000000000000000000.seg"), func(b []byte) []byte {
			return append(b, oneRecord(t, int64(batches+n), size)...)
		})
	}
}

func oneRecord(t *testing.T, offset int64, size int) batch.Batch {
	t.Helper()
	builder := batch.Builder{BaseOffset: offset}
	builder.Add(&batch.Record{Timestamp: 1000 + offset, Value: bytes.Repeat([]byte("v"), size)})
	b, err := builder.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
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

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte { b[at] ^= 1; return b }
}

func cut(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:len(b)-n] } }

// What was durable is damaged if it changed; what was not may look like anything.
func TestDumpSegmentTellsDamageFromATornTail(t *testing.T) {
	const size = 500
	one := len(oneRecord(t, 0, size))
	for _, c := range []struct {
		name     string
		unsynced int
		file     string
		change   func([]byte) []byte
		want     string // of the error, "" for none
	}{
		{"whole", 0, "seg", cut(0), ""},
		{"a record", 0, "seg", flip(3*one + 200), ".seg at 1710: the CRC of the batch with offsets 3 to 3 is wrong"},
		{"an epoch, which the batch's CRC does not cover", 0, "seg", flip(15), ".seg at 0: the CRC of the 5700 bytes"},
		{"a cut end", 0, "seg", cut(1), "bytes were durable"},
		{"the index", 0, "idx", flip(48 + 5), ".idx at 48: a record is bad"},
		{"no index", 0, "idx", func([]byte) []byte { return nil }, ""},
		{"more behind the seal", 0, "seg", func(b []byte) []byte { return append(b, 0) }, ".seg at 5700: the file goes on"},
		{"a torn tail", 2, "seg", cut(10), ""},
		{"a changed tail", 2, "seg", func(b []byte) []byte { return flip(len(b) - 1)(b) }, ""},
		{"before the tail", 2, "seg", flip(200), ".seg at 0: the CRC of the batch"},
	} {
		dir := t.TempDir()
		writeSegment(t, dir, 10, c.unsynced, size)
		change(t, filepath.Join(dir, "p", "00000000000000000000."+c.file), c.change)
		_, err := runCommand("dump", "segment", dir)
		if (c.want == "") != (err == nil) || err != nil && (!errors.Is(err, errDamaged) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// An index may end torn, but not that of a segment that is followed by another: it was synced as a whole.
func TestDumpFindsATornIndexOfAFollowedSegment(t *testing.T) {
	dir := t.TempDir()
	writeSegment(t, dir, 10, 0, 500)
	index := filepath.Join(dir, "p", "00000000000000000000.idx")
	change(t, index, cut(1))
	if _, err := runCommand("dump", "segment", dir); err != nil {
		t.Errorf("the last segment: %v", err)
	}
	next, err := os.Create(filepath.Join(dir, "p", "00000000000000000010.seg"))
	if err = errors.Join(err, next.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := runCommand("dump", "segment", dir); !errors.Is(err, errDamaged) || !strings.Contains(err.Error(), index) {
		t.Errorf("with another behind it: %v", err)
	}
}

func runCommand(args ...string) (string, error) {
	var out bytes.Buffer
	c := command(&out)
	c.SetArgs(args)
	err := c.Execute()
	return out.String(), err
}

func TestDumpSegmentShowsBatches(t *testing.T) {
	dir := t.TempDir()
	writeSegment(t, dir, 2, 0, 10)
	out, err := runCommand("dump", "segment", filepath.Join(dir, "p", "00000000000000000000.idx"))
	want := []string{
		"segment ", "index 0 header: version 1", "index 1 mark: end offset 0",
		"index 2 chunk: offsets 0 to 1", "index 3 seal: end offset 2",
		"batch at 0: offsets 0 to 0, 1 record, 78 bytes, epoch 0, none, CreateTime 1970-01-01T00:00:01.000Z", "batch at 78: offsets 1 to 1",
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err != nil || len(lines) != len(want) {
		t.Fatalf("%v:\n%s", err, out)
	}
	for i, line := range lines {
		if !strings.HasPrefix(strings.TrimSpace(line), want[i]) {
			t.Errorf("got %q, want %q", line, want[i])
		}
	}
}

func TestDumpSaysWhatToWrite(t *testing.T) {
	for _, args := range [][]string{{"dump"}, {"dump", "somewhere"}, {"dump", "frob", "x"}} {
		if _, err := runCommand(args...); err == nil || !strings.Contains(err.Error(), "write dump --verify DATA_DIR") {
			t.Errorf("%v: %v", args, err)
		}
	}
	if _, err := runCommand("dump", "--verify", t.TempDir()); err == nil || errors.Is(err, errDamaged) {
		t.Errorf("an empty folder: %v", err)
	}
}
