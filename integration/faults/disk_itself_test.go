package faults

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"chronik/integration/broker"
	"chronik/integration/faults/baddisk"
	"chronik/wal/arena"
	"chronik/wal/vfs"
)

// mountBad mounts a bad disk over an empty folder.
func mountBad(t *testing.T, classes []baddisk.Class, async bool) *baddisk.Disk {
	t.Helper()
	dir := broker.DataDir(t)
	mount, behind := filepath.Join(dir, "mount"), filepath.Join(dir, "behind")
	for _, d := range []string{mount, behind} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return baddisk.Mount(t, mount, behind, classes, async)
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func seen(t *testing.T, d *baddisk.Disk) baddisk.Seen {
	t.Helper()
	s, err := d.Seen()
	ok(t, err)
	return s
}

// fails checks that err is want, and that the disk said so before.
func fails(t *testing.T, d *baddisk.Disk, err, want error, op baddisk.Op, path string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s of %s: %v, want %v", op, path, err, want)
	}
	select {
	case e := <-d.Events:
		if e.Op != op || e.Path != path || time.Since(e.At) > time.Minute {
			t.Errorf("%s of %s was told as %+v", op, path, e)
		}
	case <-time.After(broker.Patience):
		t.Fatalf("%s of %s: the fault was not told", op, path)
	}
}

// holds checks what the disk has of a file, past all caches.
func holds(t *testing.T, d *baddisk.Disk, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(d.Behind, path))
	ok(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("the disk has %d bytes of %s, beginning with %.8q; want %d with %.8q", len(got), path, got, len(want), want)
	}
}

// badLog is a bad disk with a file of the class log, open to be written past the page cache.
func badLog(t *testing.T, async bool) (*baddisk.Disk, vfs.FS, vfs.File) {
	t.Helper()
	d := mountBad(t, []baddisk.Class{{Name: "log", Pattern: `\.log$`}}, async)
	dir, err := vfs.OS(d.Dir)
	ok(t, err)
	t.Cleanup(func() { ok(t, dir.(io.Closer).Close()) })
	f, err := dir.Open("a.log", vfs.Create|vfs.Direct)
	ok(t, err)
	t.Cleanup(func() { f.Close() })
	return d, dir, f
}

// A bad disk that is none would let every campaign pass: here it is seen to fail, to lose what was not synced, and to
// count.
func TestFaultsOfTheBadDiskItself(t *testing.T) {
	d, dir, f := badLog(t, false)
	if !f.Direct() {
		t.Error("FUSE refused to write past the page cache: the broker's usual way is not tried")
	}
	buf := arena.New(1 << 20).Overdraw(64 << 10)
	defer buf.Release()
	write := func(b byte, off int64) error {
		for i := range buf.Bytes() {
			buf.Bytes()[i] = b
		}
		return f.WriteSync([][]byte{buf.Bytes()}, off, true)
	}
	ok(t, write('o', 0))
	kept := bytes.Repeat([]byte("o"), 64<<10)
	holds(t, d, "a.log", kept)

	ok(t, d.Set(baddisk.Rule{Op: baddisk.Sync, Class: "log", Fault: baddisk.EIO}))
	fails(t, d, write('n', 4096), syscall.EIO, baddisk.Sync, "a.log")
	holds(t, d, "a.log", kept)
	if again := seen(t, d).SyncedAgain; len(again) != 0 {
		t.Errorf("synced again: %v", again)
	}
	ok(t, f.Sync()) // as it seems
	holds(t, d, "a.log", kept)
	if again := seen(t, d).SyncedAgain; len(again) != 1 || again[0] != "a.log" {
		t.Errorf("synced again: %v", again)
	}

	ok(t, d.Set(baddisk.Rule{Op: baddisk.Write, Class: "log", Fault: baddisk.Torn}))
	fails(t, d, write('t', 0), syscall.EIO, baddisk.Write, "a.log")
	copy(kept, bytes.Repeat([]byte("t"), 32<<10))
	holds(t, d, "a.log", kept)
	ok(t, d.Set(baddisk.Rule{Op: baddisk.Write, Class: "log", Fault: baddisk.Short}))
	fails(t, d, write('s', 64<<10), nil, baddisk.Write, "a.log")
	holds(t, d, "a.log", append(bytes.Clone(kept), bytes.Repeat([]byte("s"), 64<<10)...))

	counts := seen(t, d).Counts
	if counts[baddisk.Kind{Op: baddisk.Create, Class: "log"}] != 1 || counts[baddisk.Kind{Op: baddisk.Sync, Class: "log"}] < 4 ||
		counts[baddisk.Kind{Op: baddisk.Write, Class: "log"}] < 5 {
		t.Errorf("counted %v", counts)
	}
	badNames(t, d, dir)
}

// An asynchronous write that asked to be durable is, on FUSE, said to be done when nobody has synced it.
func TestFaultsNoWriteIsDurableWithoutASync(t *testing.T) {
	const writes = 8
	d, _, f := badLog(t, true)
	buf := arena.New(1 << 20).Overdraw(64 << 10)
	defer buf.Release()
	for _, w := range []vfs.File{f, vfs.Park(f)} {
		ok(t, w.WriteSync([][]byte{buf.Bytes()}, 0, true)) // it has its size from now on
		before := seen(t, d).Counts[baddisk.Kind{Op: baddisk.Sync, Class: "log"}]
		for range writes {
			ok(t, w.WriteSync([][]byte{buf.Bytes()[:4096]}, 4096, true))
		}
		if n := seen(t, d).Counts[baddisk.Kind{Op: baddisk.Sync, Class: "log"}] - before; n != writes {
			t.Errorf("%d writes were synced %d times", writes, n)
		}
	}
}

// badNames has what is done to names and directories fail.
func badNames(t *testing.T, d *baddisk.Disk, dir vfs.FS) {
	t.Helper()
	for _, c := range []struct {
		op   baddisk.Op
		path string
		do   func() error
	}{
		{baddisk.Create, "b", func() error { _, err := dir.Open("b", vfs.Create); return err }},
		{baddisk.Rename, "b", func() error { return dir.Rename("a.log", "b") }},
		{baddisk.Remove, "a.log", func() error { return dir.Remove("a.log") }},
		{baddisk.Mkdir, "c", func() error { return dir.MkdirAll("c") }},
		{baddisk.Sync, "", func() error { return dir.SyncDir(".") }},
		{baddisk.Truncate, "a.log", func() error { _, err := dir.Open("a.log", vfs.Truncate); return err }},
		{baddisk.Read, "a.log", func() error { _, err := os.ReadFile(filepath.Join(d.Dir, "a.log")); return err }},
	} {
		ok(t, d.Set(baddisk.Rule{Op: c.op, After: 1, Fault: baddisk.ENOSPC}, baddisk.Rule{Op: c.op, Fault: baddisk.ENOSPC}))
		fails(t, d, c.do(), syscall.ENOSPC, c.op, c.path)
	}
	ok(t, d.Clear())
	hung := make(chan error)
	ok(t, d.Set(baddisk.Rule{Fault: baddisk.Hang, Every: true}))
	go func() { hung <- dir.SyncDir(".") }()
	<-d.Events
	select {
	case err := <-hung:
		t.Errorf("a disk that hangs answered: %v", err)
	default:
	}
	ok(t, d.Release(true))
	if err := <-hung; !errors.Is(err, syscall.EIO) {
		t.Errorf("the disk was released with an error: %v", err)
	}
	ok(t, d.Clear())
	ok(t, dir.SyncDir("."))
}
