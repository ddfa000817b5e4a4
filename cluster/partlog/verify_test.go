package partlog

import (
	"path"
	"strings"
	"testing"

	"chronik/wal/vfs"
)

// kept is a data directory with segments, of a store that was closed.
func kept(t *testing.T) (*disk, *vfs.Mem) {
	t.Helper()
	d := small(newDisk(t))
	d.config(2).SegmentBytes = 50 << 10
	s := d.open()
	fill(t, d, s, 300, 1, 2)
	tend(t, s, false)
	closeStore(t, s)
	return d, d.fs.(*vfs.Mem)
}

// filesIn lists the files below dir.
func filesIn(t *testing.T, m *vfs.Mem, dir string) (names []string) {
	t.Helper()
	found, err := m.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range found {
		if full := path.Join(dir, name); strings.Contains(name, ".") || dir == walDir {
			names = append(names, full)
		} else {
			names = append(names, filesIn(t, m, full)...)
		}
	}
	return names
}

// Whatever file is missing, Verify says what Open says, and writes nothing.
func TestVerifySaysWhatOpenWould(t *testing.T) {
	d, whole := kept(t)
	if err := Verify(d.options()); err != nil {
		t.Fatalf("of a whole directory: %v", err)
	}
	refused := 0
	for _, name := range filesIn(t, whole, ".") {
		m := whole.Crash(vfs.Newest)
		if err := m.Remove(name); err != nil {
			t.Fatal(err)
		}
		changes := 0
		m.Watch(func(op vfs.Op) {
			if op.Kind.Changes() {
				changes++
			}
		})
		d.fs = m
		verified := Verify(d.options())
		m.Watch(nil)
		if changes > 0 {
			t.Errorf("without %s: Verify changed %d things", name, changes)
		}
		s, err := Open(d.options())
		if err == nil {
			closeStore(t, s)
		} else {
			refused++
		}
		if (verified == nil) != (err == nil) || err != nil && !strings.Contains(err.Error(), verified.Error()) {
			t.Errorf("without %s: Verify says %v, Open says %v", name, verified, err)
		}
	}
	if refused < 5 {
		t.Errorf("%d starts were refused", refused)
	}
}
