package faults

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A cut that loses nothing proves nothing: what was synced must be there, and what was not must be gone, whether it was
// written through the page cache, or directly to blocks that the file had already, as the write-ahead log does.
func TestFaultsPowerCutLosesWhatWasNotSynced(t *testing.T) {
	for _, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) { cutLosesUnsynced(t, newCuttables(t, kind)(t)) })
	}
}

func cutLosesUnsynced(t *testing.T, d *cuttable) {
	zeros, ones := bytes.Repeat([]byte{0}, 64<<10), bytes.Repeat([]byte{1}, 64<<10)
	for _, name := range []string{"over", "over-synced"} {
		d.write(name, unix.O_CREAT, zeros, true)
	}
	d.write("new-synced", unix.O_CREAT, ones, true)
	d.write("over-synced", unix.O_DIRECT, ones, true)
	d.write("over", unix.O_DIRECT, ones, false)
	d.write("new", unix.O_CREAT, ones, false)
	d.blackout()
	for name, want := range map[string][]byte{"over-synced": ones, "new-synced": ones, "over": zeros} {
		if got, err := os.ReadFile(filepath.Join(d.root, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s does not hold what was synced: %v, and %d bytes of what was written last", name, err, bytes.Count(got, []byte{1}))
		}
	}
	if _, err := os.Stat(filepath.Join(d.root, "new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a new file that was not synced survives: %v", err)
	}
}

// With a part of the disk's cache written, what was not synced may be there or not, by the piece; what was is there.
func TestFaultsPowerCutTearsWhatWasNotSynced(t *testing.T) {
	const size = 1 << 20
	d := newCuttables(t, "ext4")(t)
	d.write("f", unix.O_CREAT, bytes.Repeat([]byte{1}, size), true)
	d.write("f", unix.O_DIRECT, bytes.Repeat([]byte{2}, size), false)
	d.writeSome(rand.New(rand.NewPCG(1, 1)))
	d.blackout()
	got, err := os.ReadFile(filepath.Join(d.root, "f"))
	if err != nil {
		t.Fatal(err)
	}
	if old, written := bytes.Count(got, []byte{1}), bytes.Count(got, []byte{2}); old == 0 || written == 0 || old+written != size {
		t.Errorf("of %d bytes %d are old and %d new", len(got), old, written)
	}
}

// blackout is a cut with nobody to kill.
func (d *cuttable) blackout() {
	d.t.Helper()
	d.stop(func() {})
	d.restore()
}

// write writes whole pages; durable, as the log makes them durable, with the file's name.
func (d *cuttable) write(name string, flags int, content []byte, durable bool) {
	d.t.Helper()
	pages, err := unix.Mmap(-1, 0, len(content), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE) // aligned
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(pages) }() // it cannot fail for what was just mapped
	copy(pages, content)
	dir := d.open(d.root)
	defer dir.Close()
	f, err := os.OpenFile(filepath.Join(d.root, name), unix.O_RDWR|flags, 0o644)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	how := 0
	if durable {
		how = unix.RWF_DSYNC
	}
	n, err := unix.Pwritev2(int(f.Fd()), [][]byte{pages}, 0, how)
	if err == nil && n != len(pages) {
		err = errors.New("a short write")
	}
	if durable {
		err = errors.Join(err, dir.Sync())
	}
	if err != nil {
		d.t.Fatal(err)
	}
}
