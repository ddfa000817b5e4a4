package vfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"
)

// page returns n aligned bytes of value v.
func page(n int, v byte) []byte {
	b := make([]byte, n+4096)
	for uintptr(unsafe.Pointer(&b[0]))%4096 != 0 {
		b = b[1:]
	}
	b = b[:n:n]
	for i := range b {
		b[i] = v
	}
	return b
}

func each(t *testing.T, test func(t *testing.T, f FS)) {
	t.Run("mem", func(t *testing.T) { test(t, NewMem()) })
	t.Run("sub", func(t *testing.T) {
		m := NewMem()
		if err := m.MkdirAll("a/b"); err != nil {
			t.Fatal(err)
		}
		f, err := Sub(m, "a/b")
		if err != nil {
			t.Fatal(err)
		}
		test(t, f)
	})
	t.Run("fault", func(t *testing.T) { test(t, NewFault(NewMem())) })
	t.Run("os", func(t *testing.T) {
		f, err := OS(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer f.(io.Closer).Close()
		test(t, f)
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, f FS, name string) []byte {
	t.Helper()
	file, err := f.Open(name, ReadOnly)
	must(t, err)
	defer file.Close()
	size, err := file.Size()
	must(t, err)
	b := make([]byte, size)
	if _, err := file.ReadAt(b, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return b
}

func TestFilesOfEveryKind(t *testing.T) {
	each(t, func(t *testing.T, f FS) {
		if _, err := f.Open("x", 0); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "x") {
			t.Error(err)
		}
		x, err := f.Open("x", Create|Excl|Direct)
		must(t, err)
		if _, err := f.Open("x", Create|Excl); !errors.Is(err, fs.ErrExist) {
			t.Error(err)
		}
		must(t, x.WriteSync([][]byte{page(4096, 'a'), page(8192, 'b')}, 0, true))
		must(t, x.WriteSync([][]byte{page(4096, 'c')}, 4096, false))
		must(t, x.Sync())
		want := bytes.Join([][]byte{page(4096, 'a'), page(4096, 'c'), page(4096, 'b')}, nil)
		if !bytes.Equal(read(t, f, "x"), want) {
			t.Error("other bytes than written")
		}
		must(t, x.Truncate(5000))
		if n, err := x.Size(); n != 5000 || err != nil {
			t.Error(n, err)
		}
		if err := x.Allocate(9000); !errors.Is(err, errors.ErrUnsupported) {
			must(t, err)
			must(t, x.Allocate(7000))
			if !bytes.Equal(read(t, f, "x"), append(want[:5000], make([]byte, 4000)...)) {
				t.Error("no zeros behind the end")
			}
		}
		must(t, f.Rename("x", "y"))
		must(t, f.MkdirAll("d/e"))
		must(t, f.SyncDir("."))
		names, err := f.List(".")
		if !slices.Equal(names, []string{"d", "y"}) || err != nil {
			t.Error(names, err)
		}
		if err := f.Remove("d"); err == nil {
			t.Error("removed a directory that is not empty")
		}
		must(t, f.Remove("d/e"))
		must(t, f.Remove("y"))
		if _, err := f.Open("../y", Create); err == nil {
			t.Error("left the root")
		}
		must(t, x.Close())
	})
}

func TestManyBuffersInOneWrite(t *testing.T) {
	each(t, func(t *testing.T, f FS) {
		var bufs [][]byte
		for i := range 2500 {
			bufs = append(bufs, page(4096, byte(i)))
		}
		for _, how := range []func(File) File{func(x File) File { return x }, Park} {
			x, err := f.Open("x", Create|Truncate|Direct)
			must(t, err)
			must(t, how(x).WriteSync(bufs, 0, true))
			if !bytes.Equal(read(t, f, "x"), bytes.Join(bufs, nil)) {
				t.Error("other bytes than written")
			}
			must(t, x.Close())
		}
	})
}

// The kernel's queue has room for one; who finds it taken writes without it.
func TestParkedWritesAtOnceWriteWhatEachWasGiven(t *testing.T) {
	each(t, func(t *testing.T, f FS) {
		const writers, rounds = 4, 50
		want := make([]byte, writers*4096)
		x, err := f.Open("x", Create|Direct)
		must(t, err)
		defer x.Close()
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for i := range rounds {
					p := page(4096, byte(w*rounds+i))
					if err := Park(x).WriteSync([][]byte{p}, int64(w)*4096, true); err != nil {
						t.Error(err)
					}
					copy(want[w*4096:], p)
				}
			})
		}
		all.Wait()
		if !bytes.Equal(read(t, f, "x"), want) {
			t.Error("other bytes than written")
		}
		must(t, x.WriteSync([][]byte{page(4096, 'z')}, 0, true))
	})
}

// What O_DIRECT may refuse (tmpfs takes anything), memory does refuse: a test there must not pass with it.
func TestMemoryRefusesDirectWritesThatAreNotAligned(t *testing.T) {
	x, err := NewMem().Open("x", Create|Direct)
	must(t, err)
	defer x.Close()
	two := page(8192, 'a')
	for name, c := range map[string]struct {
		b   []byte
		off int64
	}{"address": {two[1:4097], 0}, "length": {two[:4095], 0}, "offset": {two[:4096], 1}} {
		if err := x.WriteSync([][]byte{two[:4096], c.b}, c.off, false); err == nil {
			t.Errorf("%s: not refused", name)
		}
	}
	must(t, x.WriteSync([][]byte{two[4096:], two[:4096]}, 4096, false))
}

func TestLock(t *testing.T) {
	each(t, func(t *testing.T, f FS) {
		l, err := f.Lock("lock")
		must(t, err)
		if _, err := f.Lock("lock"); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "another process holds it") {
			t.Error(err)
		}
		if _, err := f.Lock("lock"); errors.Is(err, fs.ErrPermission) {
			t.Error("permissions are not the cause:", err)
		}
		must(t, l.Close())
		l, err = f.Lock("lock")
		must(t, err)
		must(t, l.Close())
	})
}

// What is looked at may be on a file system on which nothing can be written.
func TestAReadersLockWritesNothing(t *testing.T) {
	dir := t.TempDir()
	node, err := OS(dir)
	must(t, err)
	defer node.(io.Closer).Close()
	reader, err := OSReader(dir)
	must(t, err)
	defer reader.(io.Closer).Close()
	l, err := reader.Lock("lock")
	must(t, err)
	must(t, l.Close())
	if names, err := node.List("."); err != nil || len(names) > 0 {
		t.Fatal("made", names, err)
	}
	must(t, os.WriteFile(filepath.Join(dir, "lock"), nil, 0o400))
	must(t, os.Chmod(dir, 0o500))
	l, err = reader.Lock("lock")
	must(t, err)
	must(t, os.Chmod(dir, 0o700))
	must(t, os.Chmod(filepath.Join(dir, "lock"), 0o600))
	if _, err := node.Lock("lock"); !errors.Is(err, ErrLocked) {
		t.Error("a writer beside a reader:", err)
	}
	must(t, l.Close())
	l, err = node.Lock("lock")
	must(t, err)
	if _, err := reader.Lock("lock"); !errors.Is(err, ErrLocked) {
		t.Error("a reader beside a writer:", err)
	}
	must(t, l.Close())
}

func TestListSaysOfAFileThatItIsNoDirectory(t *testing.T) {
	each(t, func(t *testing.T, f FS) {
		x, err := f.Open("x", Create)
		must(t, err)
		must(t, x.Close())
		if _, err := f.List("x"); !errors.Is(err, syscall.ENOTDIR) {
			t.Error(err)
		}
		if _, err := f.List("y"); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	})
}

func TestCrashLosesWhatWasNotSynced(t *testing.T) {
	m := NewMem()
	x, _ := m.Open("x", Create)
	must(t, x.WriteSync([][]byte{page(4096, 'a')}, 0, true))
	must(t, m.SyncDir("."))
	must(t, x.WriteSync([][]byte{page(1024, 'b')}, 512, false))
	must(t, x.WriteSync([][]byte{page(512, 'd')}, 4096, false))
	must(t, m.Rename("x", "y"))
	if _, err := m.Open("z", Create); err != nil {
		t.Fatal(err)
	}

	if got := read(t, m.Crash(Oldest), "x"); !bytes.Equal(got, page(4096, 'a')) {
		t.Error("oldest: kept what was not synced")
	}
	if got := read(t, m.Crash(Newest), "y"); !bytes.Equal(got, read(t, m, "y")) {
		t.Error("newest: lost something")
	}
	seen := map[string]bool{}
	for seed := range uint64(300) {
		c := m.Crash(Random(seed))
		names, _ := c.List(".")
		name := names[0]
		if name != "x" && name != "y" {
			t.Fatal(names)
		}
		b := read(t, c, name)
		seen[strings.Join(names, " ")] = true
		seen[string([]byte{b[0], b[512], b[1024], b[1536]})] = true
		if len(b) > 4096 {
			seen["long "+string(b[4096:4097])] = true
		}
	}
	for _, want := range []string{"x", "y", "x z", "y z", "aaaa", "abaa", "aaba", "abba", "long d", "long \x00"} {
		if !seen[want] {
			t.Errorf("never seen: %q", want)
		}
	}
	if len(seen) != 10 {
		t.Errorf("seen %d: %v", len(seen), seen)
	}
}

func TestCrashInTheMiddleOfASync(t *testing.T) {
	m := NewMem()
	x, _ := m.Open("x", Create)
	must(t, m.SyncDir("."))
	var torn *Mem
	m.Watch(func(op Op) { torn = m.Crash(Oldest) })
	must(t, x.WriteSync([][]byte{page(512, 'a')}, 0, true))
	if n := len(read(t, torn, "x")); n != 0 {
		t.Error("durable before the write came back", n)
	}
	if n := len(read(t, m.Crash(Oldest), "x")); n != 512 {
		t.Error("not durable after the write", n)
	}
}

func TestFaultsByScript(t *testing.T) {
	boom := errors.New("boom")
	f := NewFault(NewMem())
	x, _ := f.Open("x", Create)
	f.Script(func(op Op) Outcome {
		if op.Kind == OpWriteSync {
			return Outcome{Err: boom, Keep: 600}
		}
		return Outcome{}
	})
	if err := x.WriteSync([][]byte{page(512, 'a'), page(512, 'b')}, 0, true); err != boom {
		t.Error(err)
	}
	if n, _ := x.Size(); n != 600 {
		t.Error("a short write of", n)
	}
}
