package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chronik/integration/broker"
)

type dumpLine struct {
	What     string
	File     string
	Position int64
	Bytes    int64
	Number   int64 `json:"file_number"` // of a checkpoint: the first file that is needed
}

// dump returns what chronik dump shows of a part of the folder.
func dump(t *testing.T, b *broker.Broker, what, path string) (lines []dumpLine) {
	t.Helper()
	out, said, code := broker.Run(t, broker.Command(t, "chronik"), "dump", what, filepath.Join(b.Dir, path), "--format", "json")
	if code != 0 {
		t.Fatalf("dump ended with %d: %s", code, said)
	}
	for text := range strings.Lines(out) {
		var l dumpLine
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		lines = append(lines, l)
	}
	return lines
}

// A byte that changed in any file that holds what was acknowledged must be found, and the broker must not start on it.
func TestDumpFindsDamage(t *testing.T) {
	b := broker.New(t, broker.SmallLog...)
	b.Start()
	bench := b.Bench("both", "--records", "60000", "--size", "1000", "--partitions", "2")
	bench.Wait()
	benchReport(t, bench)
	if _, said, code := broker.Run(t, broker.Command(t, "chronik"), "dump", "--verify", b.Dir); code != 1 || !strings.Contains(said, "stop the node first") {
		t.Errorf("of a node that runs: %d: %s", code, said)
	}
	b.Kill()
	b.VerifyDump()
	for _, c := range []struct{ dump, dir, what string }{
		{"wal", "wal", "batch"},
		{"segment", "partitions", "batch"},
	} {
		lines := dump(t, b, c.dump, c.dir)
		i := 0
		// The kill may have come before files were recycled that the checkpoint does not need any more.
		needed := fmt.Sprintf("%020d.wal", lines[0].Number)
		for i < len(lines) && (lines[i].What != c.what || c.dump == "wal" && lines[i].File < needed) {
			i++
		}
		if i == len(lines) {
			t.Errorf("no %s in %s", c.what, c.dir)
			continue
		}
		file := lines[i].File
		if !filepath.IsAbs(file) {
			file = filepath.Join(b.Dir, c.dir, file)
		}
		flipByte(t, file, lines[i].Position+lines[i].Bytes/2)
		out, said, code := broker.Run(t, broker.Command(t, "chronik"), "dump", "--verify", b.Dir)
		if code != 2 || !strings.Contains(out, "damage: "+file+" at ") {
			t.Errorf("a byte of %s: %d: %s%s", file, code, out, said)
		}
		flipByte(t, file, lines[i].Position+lines[i].Bytes/2)
	}
	b.VerifyDump()
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
