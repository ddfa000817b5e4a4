package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// verifyDump checks the folder of the stopped broker with chronik dump.
func (b *broker) verifyDump() {
	b.t.Helper()
	if out, said, code := run(b.t, command(b.t, "chronik"), "dump", "--verify", b.dir); code != 0 {
		b.t.Errorf("dump ended with %d: %s%s", code, out, said)
	}
}

type dumpLine struct {
	What     string
	File     string
	Position int64
	Bytes    int64
}

// dump returns what chronik dump shows of a part of the folder.
func (b *broker) dump(what, path string) (lines []dumpLine) {
	b.t.Helper()
	out, said, code := run(b.t, command(b.t, "chronik"), "dump", what, filepath.Join(b.dir, path), "--format", "json")
	if code != 0 {
		b.t.Fatalf("dump ended with %d: %s", code, said)
	}
	for text := range strings.Lines(out) {
		var l dumpLine
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			b.t.Fatalf("%v in %s", err, text)
		}
		lines = append(lines, l)
	}
	return lines
}

// A byte that changed in any file that holds what was acknowledged must be found, and the broker must not start on it.
func TestDumpFindsDamage(t *testing.T) {
	b := newBroker(t, smallLog...)
	b.start()
	bench := b.bench("both", "--records", "60000", "--size", "1000", "--partitions", "2")
	bench.wait()
	benchReport(t, bench)
	if _, said, code := run(t, command(t, "chronik"), "dump", "--verify", b.dir); code != 1 || !strings.Contains(said, "stop the node first") {
		t.Errorf("of a node that runs: %d: %s", code, said)
	}
	b.kill()
	b.verifyDump()
	for _, c := range []struct{ dump, dir, what string }{
		{"wal", "wal", "batch"},
		{"segment", "partitions", "batch"},
	} {
		lines := b.dump(c.dump, c.dir)
		i := 0
		for i < len(lines) && lines[i].What != c.what {
			i++
		}
		if i == len(lines) {
			t.Errorf("no %s in %s", c.what, c.dir)
			continue
		}
		file := lines[i].File
		if !filepath.IsAbs(file) {
			file = filepath.Join(b.dir, c.dir, file)
		}
		flipByte(t, file, lines[i].Position+lines[i].Bytes/2)
		out, said, code := run(t, command(t, "chronik"), "dump", "--verify", b.dir)
		if code != 2 || !strings.Contains(out, "damage: "+file+" at ") {
			t.Errorf("a byte of %s: %d: %s%s", file, code, out, said)
		}
		flipByte(t, file, lines[i].Position+lines[i].Bytes/2)
	}
	b.verifyDump()
}

func flipByte(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	one := make([]byte, 1)
	if _, err := f.ReadAt(one, at); err != nil {
		t.Fatal(err)
	}
	one[0] ^= 1
	if _, err := f.WriteAt(one, at); err != nil {
		t.Fatal(err)
	}
}
