package partlog

import (
	"slices"
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
