package partlog

import (
	"errors"
	"path"
	"strings"
	"testing"

	"chronik/wal"
	"chronik/wal/vfs"
)

// flipMiddle turns a bit in the middle of a file.
func flipMiddle(t *testing.T, m *vfs.Mem, name string) {
	t.Helper()
	f, err := m.Open(name, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], size/2); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 4
	if _, err := f.WriteAt(b[:], size/2); err != nil {
		t.Fatal(err)
	}
}

// What others have is copied again, and only where whoever opens the store has seen to it that nobody counts on this
// replica: until then the damage stays, whatever a start makes of it.
func TestDamagedPartitionsAreGivenUpOnlyWhenTheyMayBe(t *testing.T) {
	d, whole := kept(t)
	damaged := 0
	for _, name := range filesIn(t, whole, segmentsDir) {
		m := whole.Crash(vfs.Newest)
		if err := m.Remove(name); err != nil {
			t.Fatal(err)
		}
		d.fs = m
		if Verify(d.options()) == nil {
			continue // an index is made again
		}
		damaged++
		o, no := d.options(), errors.New("nobody else has it")
		o.Repair = func([]Damage) error { return no }
		for range 2 {
			if _, err := Open(o); !errors.Is(err, no) || !strings.Contains(err.Error(), path.Base(path.Dir(name))) {
				t.Fatalf("without %s: %v", name, err)
			}
		}
		if _, err := Open(d.options()); err == nil {
			t.Fatalf("without %s, and nobody to ask: opened", name)
		}
		var asked []Damage
		o.Repair = func(damage []Damage) error { asked = damage; return nil }
		s, err := Open(o)
		if err != nil || len(asked) != 1 {
			t.Fatalf("without %s: %v, %v", name, asked, err)
		}
		begunAnew(t, d, s, asked[0].ID.Stream)
		closeStore(t, s)
		s = d.open()
		begunAnew(t, d, s, asked[0].ID.Stream)
		closeStore(t, s)
	}
	if damaged == 0 {
		t.Error("nothing was damaged")
	}
}

// begunAnew sees that one log is empty and the other one is what it was.
func begunAnew(t *testing.T, d *disk, s *Store, stream wal.StreamID) {
	t.Helper()
	if o := d.log(s, stream).Offsets(); o != (Offsets{}) {
		t.Fatalf("stream %d: %+v", stream, o)
	}
	other := d.log(s, 3-stream)
	if o := other.Offsets(); o.LogStart != 0 || o.LogEnd != 300 {
		t.Fatalf("stream %d: %+v", 3-stream, o)
	}
	if got := len(valuesOf(t, other)); got != 300 {
		t.Fatalf("stream %d: %d records", 3-stream, got)
	}
}

// Segments that nobody reads rot unseen; then the last whole replica goes. They are read.
func TestScrubFindsDamage(t *testing.T) {
	d, whole := kept(t)
	for _, name := range filesIn(t, whole, segmentsDir) {
		if !strings.HasSuffix(name, ".seg") {
			continue
		}
		m := whole.Crash(vfs.Newest)
		d.fs = m
		flipMiddle(t, m, name)
		o, found := d.options(), make(chan Damage, 100)
		o.Damaged = func(d Damage) { found <- d }
		s, err := Open(o)
		if err != nil {
			t.Fatal(name, err) // found by the start
		}
		if d := <-found; !strings.HasPrefix(name, d.ID.dir()) || !isDamage(d.Err) {
			t.Error(name, d)
		}
		closeStore(t, s)
	}
}
