package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// outcomes is everything that a power cut may leave of m, as far as many random ones show, described by tell.
func outcomes(t *testing.T, m *Mem, tell func(left *Mem) string) []string {
	t.Helper()
	var all []string
	for seed := range uint64(400) {
		all = append(all, tell(m.Crash(Random(seed))))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("a power cut leaves %q, want %q", got, want)
	}
}

// tree lists all names, directories with a slash behind them.
func tree(t *testing.T, f FS, dir string) string {
	t.Helper()
	names, err := f.List(dir)
	must(t, err)
	var all []string
	for _, name := range names {
		path := strings.TrimPrefix(dir+"/"+name, "./")
		if _, err := f.List(path); err == nil {
			all = append(all, path+"/")
			if below := tree(t, f, path); below != "" {
				all = append(all, below)
			}
		} else if errors.Is(err, syscall.ENOTDIR) {
			all = append(all, path)
		}
	}
	return strings.Join(all, " ")
}

func TestADirectoryThatIsNotInItsParentTakesItsFilesAlong(t *testing.T) {
	m := NewMem()
	must(t, m.MkdirAll("a/b"))
	x, err := m.Open("a/b/x", Create)
	must(t, err)
	must(t, x.WriteSync([][]byte{page(512, 'x')}, 0, true))
	must(t, m.SyncDir("a/b"))
	tell := func(left *Mem) string { return tree(t, left, ".") }
	same(t, outcomes(t, m, tell), "", "a/", "a/ a/b/ a/b/x")
	must(t, m.SyncDir("."))
	same(t, outcomes(t, m, tell), "a/", "a/ a/b/ a/b/x")
	must(t, m.SyncDir("a"))
	same(t, outcomes(t, m, tell), "a/ a/b/ a/b/x")
}

func TestARemovedDirectoryMayComeBack(t *testing.T) {
	m := NewMem()
	must(t, m.MkdirAll("a"))
	_, err := m.Open("a/x", Create)
	must(t, err)
	must(t, errors.Join(m.SyncDir("a"), m.SyncDir(".")))
	must(t, errors.Join(m.Remove("a/x"), m.Remove("a")))
	tell := func(left *Mem) string { return tree(t, left, ".") }
	same(t, outcomes(t, m, tell), "", "a/", "a/ a/x")
	must(t, m.SyncDir("."))
	same(t, outcomes(t, m, tell), "")
}

func TestARenameReplacesOrNot(t *testing.T) {
	m := NewMem()
	for _, name := range []string{"old", "new"} {
		x, err := m.Open(name, Create)
		must(t, err)
		must(t, x.WriteSync([][]byte{[]byte(name)}, 0, true))
	}
	must(t, m.SyncDir("."))
	must(t, m.Rename("new", "old"))
	tell := func(left *Mem) string { return tree(t, left, ".") + "=" + string(read(t, left, "old")) }
	same(t, outcomes(t, m, tell), "new old=old", "old=new")
	must(t, m.SyncDir("."))
	same(t, outcomes(t, m, tell), "old=new")
}

// Each sector has one of its states, whatever the others have: the newer write without the older, and in a sector that
// was written in part the rest as it was.
func TestSectorsAreLostEachByItself(t *testing.T) {
	m := NewMem()
	x, err := m.Open("x", Create)
	must(t, err)
	must(t, x.WriteSync([][]byte{page(1024, 'a')}, 0, true))
	must(t, m.SyncDir("."))
	for _, v := range []byte("bc") {
		if _, err := x.WriteAt(page(512, v), 256); err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	for _, first := range "abc" {
		for _, second := range "abc" {
			want = append(want, fmt.Sprintf("a%c%ca", first, second))
		}
	}
	same(t, outcomes(t, m, func(left *Mem) string {
		b := read(t, left, "x")
		for i := 0; i < len(b); i += 256 {
			if !bytes.Equal(b[i:i+256], page(256, b[i])) {
				t.Fatal("torn inside a sector")
			}
		}
		return string([]byte{b[0], b[256], b[512], b[768]})
	}), want...)
}

func TestASyncedWriteIsDurableAlone(t *testing.T) {
	m := NewMem()
	x, err := m.Open("x", Create)
	must(t, err)
	must(t, m.SyncDir("."))
	must(t, x.WriteSync([][]byte{page(512, 'a')}, 2048, false))
	must(t, x.WriteSync([][]byte{page(512, 'b')}, 512, false))
	must(t, x.WriteSync([][]byte{page(512, 'c')}, 0, true))
	same(t, outcomes(t, m, func(left *Mem) string {
		b := read(t, left, "x")
		what := fmt.Sprint(len(b), " ", string(b[:1]))
		if len(b) > 512 {
			what += fmt.Sprintf("%q%q", b[512], b[2048])
		}
		return what
	}), "512 c", `2560 c'\x00''\x00'`, `2560 c'\x00''a'`, `2560 c'b''\x00'`, `2560 c'b''a'`)
}

// What is written or named while a sync is under way is not made durable by it.
func TestASyncCoversOnlyWhatWasBeforeIt(t *testing.T) {
	m := NewMem()
	x, err := m.Open("x", Create)
	must(t, err)
	must(t, m.SyncDir("."))
	must(t, x.WriteSync([][]byte{page(512, 'a')}, 0, false))
	during := func(do func() error) {
		m.Watch(func(Op) {
			m.Watch(nil)
			must(t, do())
		})
	}
	tell := func(left *Mem) string {
		b := read(t, left, "x")
		return fmt.Sprintf("%s=%d%c", tree(t, left, "."), len(b), b[0])
	}
	during(func() error { return x.WriteSync([][]byte{page(1024, 'b')}, 0, false) })
	must(t, x.Sync())
	same(t, outcomes(t, m, tell), "x=512a", "x=512b", "x=1024a", "x=1024b")
	during(func() error { return x.Truncate(600) })
	must(t, x.WriteSync([][]byte{page(512, 'c')}, 0, true))
	same(t, outcomes(t, m, tell), "x=512c", "x=600c", "x=1024c")
	must(t, x.Sync())
	during(func() error { _, err := m.Open("y", Create); return err })
	must(t, m.SyncDir("."))
	same(t, outcomes(t, m, tell), "x=600c", "x y=600c")
}

func TestTheSameSeedLeavesTheSame(t *testing.T) {
	m := NewMem()
	for i := range 20 {
		must(t, m.MkdirAll(fmt.Sprint("d", i)))
		x, err := m.Open(fmt.Sprint("d", i, "/x"), Create)
		must(t, err)
		must(t, x.WriteSync([][]byte{page(4096, byte(i))}, 0, false))
	}
	tell := func(left *Mem) string {
		all := tree(t, left, ".")
		for _, name := range strings.Fields(all) {
			if !strings.HasSuffix(name, "/") {
				all += string(read(t, left, name))
			}
		}
		return all
	}
	for seed := range uint64(20) {
		first, second := m.Crash(Random(seed)), m.Crash(Random(seed))
		if tell(first) != tell(second) {
			t.Fatal("two power cuts by the same seed differ")
		}
	}
}

// Whoever goes on after a kill reads all that was written, and has none of it for sure.
func TestAKillMakesNothingDurable(t *testing.T) {
	m := NewMem()
	must(t, m.MkdirAll("d"))
	must(t, m.SyncDir("."))
	x, err := m.Open("d/x", Create)
	must(t, err)
	must(t, x.WriteSync([][]byte{page(512, 'a')}, 0, true))
	must(t, m.SyncDir("d"))
	must(t, x.WriteSync([][]byte{page(1024, 'b')}, 0, false))
	must(t, m.Rename("d/x", "d/y"))
	lock, err := m.Lock("lock")
	must(t, err)
	defer lock.Close()
	tell := func(left *Mem) string {
		name := strings.Fields(tree(t, left, "."))[1]
		b := read(t, left, name)
		return fmt.Sprintf("%s=%d%c", name, len(b), b[0])
	}
	before := outcomes(t, m, tell)
	left := m.Kill()
	if got := tell(left); got != "d/y=1024b" {
		t.Error("a kill leaves", got)
	}
	same(t, outcomes(t, left, tell), before...)
	if _, err := left.Lock("lock"); err != nil {
		t.Error(err)
	}
	y, err := left.Open("d/y", 0)
	must(t, err)
	must(t, errors.Join(y.Sync(), left.SyncDir(".")))
	same(t, outcomes(t, left, tell), "d/x=1024b", "d/y=1024b")
	must(t, errors.Join(y.Truncate(100), left.SyncDir("d")))
	same(t, outcomes(t, left, tell), "d/y=100b", "d/y=1024b")
	same(t, outcomes(t, m, tell), before...) // what was killed knows nothing of it
}
