package wal

import (
	"errors"
	"strings"
	"testing"

	"chronik/wal/vfs"
)

// killed is what a log leaves that was not closed, and the name of the file with its last group.
func killed(t *testing.T, b *bench, m *vfs.Mem) (left *vfs.Mem, last string) {
	t.Helper()
	b.o.FileSize = 16 * page
	b.open()
	for i := range 6 {
		b.put(1, 100+i, i%2 == 0)
	}
	last = b.l.files.active().name
	left = m.Crash(vfs.Newest)
	b.close()
	return left, last
}

func shorten(t *testing.T, m *vfs.Mem, name string, size int64) {
	t.Helper()
	f, err := m.Open(name, 0)
	if err == nil {
		err = errors.Join(f.Truncate(size), f.Sync(), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Groups that went with the end of a file were durable. A file that ends behind a whole group looks as a recovery leaves
// one, and is refused like any other.
func TestAFileWithoutItsEndIsNotATornTail(t *testing.T) {
	m := vfs.NewMem()
	b := newBench(t, m)
	left, last := killed(t, b, m)
	size := int64(len(contents(t, left, last)))
	for end := int64(0); end < size; end += page / 2 {
		cut := left.Crash(vfs.Newest)
		shorten(t, cut, last, end)
		b.o.FS = cut
		var corrupt *CorruptError
		if err := b.tryOpen(); !errors.As(err, &corrupt) || corrupt.File != last {
			t.Errorf("cut at %d of %d: %v", end, size, err)
			if err == nil {
				b.close()
			}
		}
	}
}

// A recovery cuts the last file and may itself end before anything is written.
func TestWhatARecoveryCutIsNotTakenForDamage(t *testing.T) {
	m := vfs.NewMem()
	b := newBench(t, m)
	left, last := killed(t, b, m)
	for again := range 3 {
		b.o.FS = left
		b.open()
		b.same(0)
		next := left.Crash(vfs.Newest)
		b.close()
		if left = next; int64(len(contents(t, left, last))) == b.o.FileSize {
			t.Fatalf("start %d has cut nothing", again)
		}
	}
	if err := left.Remove(cutName); err != nil {
		t.Fatal(err)
	}
	b.o.FS = left
	if err := b.tryOpen(); err == nil || !strings.Contains(err.Error(), last) {
		t.Errorf("cut by nobody: %v", err)
	}
}

// A file for one large group has its size when that is written.
func TestALargeGroupThatIsTornIsNoDamage(t *testing.T) {
	m := vfs.NewMem()
	b := newBench(t, m)
	b.o.FileSize = 16 * page
	b.open()
	b.put(1, 100, false)
	var left *vfs.Mem // before a next file can tell that the group is durable
	m.Watch(func(op vfs.Op) {
		if op.Kind == vfs.OpWriteSync && int64(op.Len) > b.o.FileSize {
			left = m.Crash(vfs.Newest)
		}
	})
	b.put(1, int(2*b.o.FileSize), false)
	m.Watch(nil)
	last := b.l.files.active().name
	b.close()
	size := int64(len(contents(t, left, last)))
	if size <= b.o.FileSize {
		t.Fatalf("%s has %d bytes", last, size)
	}
	for _, end := range []int64{page, 2 * page, size / 2, size - 1} {
		torn := left.Crash(vfs.Newest)
		shorten(t, torn, last, end)
		b.o.FS = torn
		if err := b.tryOpen(); err != nil {
			t.Errorf("torn at %d of %d: %v", end, size, err)
			continue
		}
		if len(b.replayed) != 1 {
			t.Errorf("torn at %d of %d: %d entries", end, size, len(b.replayed))
		}
		b.close()
	}
}

// The first group of a file was looked for, and missed, behind the last one of the file before.
func TestADamagedGroupIsNamedByTheFileThatItIsIn(t *testing.T) {
	m := vfs.NewMem()
	b := newBench(t, m)
	b.o.FileSize = 8 * page
	b.open()
	for range 10 {
		b.put(1, 1000, false)
	}
	left := m.Crash(vfs.Newest)
	b.close()
	second := fileName(2)
	f, err := left.Open(second, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := contents(t, left, second)
	c[page+200] ^= 1
	if err := errors.Join(f.WriteSync([][]byte{c}, 0, true), f.Close()); err != nil {
		t.Fatal(err)
	}
	b.o.FS = left
	var corrupt *CorruptError
	if err := b.tryOpen(); !errors.As(err, &corrupt) || corrupt.File != second {
		t.Errorf("%s is damaged: %v", second, err)
	}
}
