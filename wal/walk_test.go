package wal

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"chronik/wal/vfs"
)

func TestWalkShowsWhatIsThere(t *testing.T) {
	m := vfs.NewMem()
	b := newBench(t, m)
	b.open()
	b.put(1, 100, false)
	b.put(2, 40_000, true)
	if err := Walk(m, nil); err == nil {
		t.Error("walked an open log")
	}
	b.close()
	show := func(f vfs.FS) (lines []string, err error) {
		err = Walk(f, func(i Item) error {
			lines = append(lines, i.String())
			return nil
		})
		return lines, err
	}
	lines, err := show(m)
	const file = "00000000000000000001.wal"
	want := []string{
		"checkpoint checkpoint at 0 file=1 base=0 group=1 durable=0 payload=0",
		"file " + file + " at 0 number=1 base=0 size=65536 durable=0",
		"group " + file + " at 4096 number=1 durable=0 bytes=4096 entries=1",
		"entry " + file + " at 4200 stream=1 kind=1 end=1 bytes=100",
		"group " + file + " at 8192 number=2 durable=1 bytes=45056 entries=1",
		"entry " + file + " at 12988 stream=2 kind=2 end=2 bytes=40000",
		"group " + file + " at 53248 number=3 durable=2 bytes=4096 entries=0 closing",
		"end " + file + " at 57344 next=4",
	}
	lines = slices.DeleteFunc(lines, func(s string) bool { return strings.Contains(s, "0002.wal") })
	if err != nil || !slices.Equal(lines, want) {
		t.Errorf("%v\n%s", err, strings.Join(lines, "\n"))
	}
	x, _ := m.Open(file, 0)
	if _, err := x.WriteAt([]byte("?"), 20_000); err != nil {
		t.Fatal(err)
	}
	lines, err = show(m)
	text := strings.Join(lines, "\n")
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) || corrupt.File != file || corrupt.Pos != 8192 {
		t.Error(err)
	}
	for _, part := range []string{"bytes=45056 entries=1: not all", "bytes=40000: its CRC", "closing\n", "group 2 is missing or torn, but group 3"} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
}
