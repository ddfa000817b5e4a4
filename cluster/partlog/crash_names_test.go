package partlog

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"chronik/wal/vfs"
)

// The directory of all partitions is made once, and is a name in its parent: what was cut into a partition's directory
// was synced there and one above, but a power cut took the whole of it.
func TestAPowerCutDoesNotTakeTheDirectoryOfAllPartitions(t *testing.T) {
	d := newDisk(t)
	s := d.open()
	fill(t, d, s, 10, 1)
	want := values(t, d.log(s, 1), 0)
	cutAll(t, s)
	left := newDisk(t)
	left.fs = d.fs.(*vfs.Mem).Crash(vfs.Oldest)
	closeStore(t, s)
	s = left.open()
	if len(segmentsOf(left.log(s, 1))) == 0 || !slices.Equal(values(t, left.log(s, 1), 0), want) {
		t.Fatal("other records after the power cut")
	}
	closeStore(t, s)
}

// What is set aside may be wanted back: it must not fall between two directories.
func TestAPowerCutDoesNotTakeWhatIsSetAside(t *testing.T) {
	d := newDisk(t)
	const dir, file = "partitions/nobody-0", "00000000000000000000.seg"
	if err := d.fs.MkdirAll(dir); err != nil {
		t.Fatal(err)
	}
	f, err := d.fs.Open(dir+"/"+file, vfs.Create)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.WriteSync([][]byte{[]byte("precious")}, 0, true); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{dir, "partitions", "."} {
		if err := d.fs.SyncDir(dir); err != nil {
			t.Fatal(err)
		}
	}
	s := d.open()
	left := d.fs.(*vfs.Mem).Crash(vfs.Oldest)
	closeStore(t, s)
	f, err = left.Open("quarantine/nobody-0/"+file, vfs.ReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 8)
	if _, err := f.ReadAt(b, 0); err != nil || string(b) != "precious" {
		t.Fatalf("%q %v", b, err)
	}
}

// A file that somebody copied to the wrong place is no reason not to start, and not to be lost either.
func TestAPlainFileBesideThePartitionsDoesNotStopTheStart(t *testing.T) {
	for name, files := range fileSystems {
		t.Run(name, func(t *testing.T) {
			d := newDisk(t)
			d.fs = files(t)
			closeStore(t, d.open())
			for range 2 {
				put(t, d.fs, segmentsDir, "zz")
				if err := Verify(d.options()); err != nil {
					t.Fatalf("Verify says %v", err)
				}
				var log strings.Builder
				o := d.options()
				o.Logger = slog.New(slog.NewTextHandler(&log, nil))
				s, err := Open(o)
				if err != nil {
					t.Fatal(err)
				}
				closeStore(t, s)
				if said := log.String(); !strings.Contains(said, "moved=partitions/zz to=quarantine/zz") {
					t.Errorf("it says %q", said)
				}
			}
			if names, err := d.fs.List(quarantineDir); err != nil || !slices.Equal(names, []string{"zz", "zz.1"}) {
				t.Error("in quarantine:", names, err)
			}
			if names, err := d.fs.List(segmentsDir); err != nil || len(names) > 0 {
				t.Error("left:", names, err)
			}
		})
	}
}

// put writes a file for good.
func put(t *testing.T, files vfs.FS, dir, name string) {
	t.Helper()
	f, err := files.Open(dir+"/"+name, vfs.Create)
	if err == nil {
		err = errors.Join(f.WriteSync([][]byte{[]byte("precious")}, 0, true), f.Close(), files.SyncDir(dir))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestAPowerCutDoesNotTakeAPlainFileThatIsSetAside(t *testing.T) {
	m := vfs.NewMem()
	d := newDisk(t)
	d.fs = m
	closeStore(t, d.open())
	put(t, m, segmentsDir, "zz")
	var left []*vfs.Mem
	m.Watch(func(vfs.Op) { left = append(left, m.Crash(vfs.Oldest)) })
	s := d.open()
	m.Watch(nil)
	closeStore(t, s)
	for i, l := range left {
		here, _ := l.List(segmentsDir)
		there, _ := l.List(quarantineDir)
		if !slices.Contains(here, "zz") && !slices.Contains(there, "zz") {
			t.Errorf("after %d operations it is in neither: %v, %v", i, here, there)
		}
	}
}

// What cannot be listed is moved by nobody; no partition needs it.
func TestADanglingLinkBesideThePartitionsDoesNotStopTheStart(t *testing.T) {
	dir := t.TempDir()
	f, err := vfs.OS(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.(io.Closer).Close()
	d := newDisk(t)
	d.fs = f
	closeStore(t, d.open())
	if err := os.Symlink("nowhere", filepath.Join(dir, segmentsDir, "zz")); err != nil {
		t.Fatal(err)
	}
	closeStore(t, d.open())
}
