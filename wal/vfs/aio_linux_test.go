package vfs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Without this the tests of parked writes could all have been made by ordinary ones.
func TestTheKernelTakesParkedWrites(t *testing.T) {
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "x"), os.O_CREATE|os.O_RDWR|unix.O_DIRECT, 0o600)
	must(t, err)
	defer f.Close()
	write := func(off int64, bufs ...[]byte) (int, error) {
		iov := new([maxIovecs]unix.Iovec)
		n, _, _ := fill(iov, bufs, 0)
		return theAIO().write(int(f.Fd()), iov[:n], off, true)
	}
	if n, err := write(4096, page(4096, 'a'), page(4096, 'b')); n != 8192 || err != nil {
		t.Fatal(n, err)
	}
	got, err := os.ReadFile(f.Name())
	must(t, err)
	if len(got) != 12288 || got[4096] != 'a' || got[12287] != 'b' {
		t.Errorf("%d bytes, or other ones than written", len(got))
	}
	if n, err := write(-4096, page(4096, 'c')); n != 0 || !errors.Is(err, unix.EINVAL) && !errors.Is(err, errNoAIO) {
		t.Error("at a negative offset:", n, err)
	}
	if n, err := write(0, page(4096, 'd')); n != 4096 || err != nil {
		t.Error("after an error:", n, err)
	}
}
