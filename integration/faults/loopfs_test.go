package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chronik/integration/broker"
)

// A cuttable is a real file system whose power can be cut: what was not synced is then gone.
//
// It is two file systems, one in the other. The inner one, ext4 or xfs, is what the broker works on, through a loop
// device on a file of the outer one, an ext4 on a loop device of its own. Shutting down the inner one alone loses what
// was in its page cache and its journal, but a direct write that nobody synced would be in the image already and stay.
// The outer one's page cache is therefore the volatile cache of the inner one's disk: what is written to that disk
// stands there until the disk is told to flush, and is gone when the outer file system is shut down.
type cuttable struct {
	t     testing.TB
	kind  string // of the inner one
	image string // of the outer one
	outer string // where that is mounted, with the inner one's image in it
	root  string // where the inner one is mounted: the broker's disk
	empty bool   // nothing was ever on it
}

const (
	outerSize = 380 << 20
	innerSize = 304 << 20 // xfs wants 300
	innerName = "inner"
)

// shutdown is EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN: the same number, and the same argument for "flush no journal".
const (
	shutdown   = 0x8004587d
	noLogFlush = 2
)

// newCuttables returns a maker of fresh ones: the file systems are made once, then copied with their holes.
func newCuttables(t testing.TB, kind string) func(t testing.TB) *cuttable {
	t.Helper()
	first := newImage(t, kind)
	first.empty = true
	run(t, "mkfs.ext4", "-q", "-F", "-m0", "-J", "size=4", first.image)
	mount(t, first.image, first.outer)
	inner := filepath.Join(first.outer, innerName)
	sparse(t, inner, innerSize)
	mkfs := map[string][]string{"ext4": {"mkfs.ext4", "-q", "-F", "-m0"}, "xfs": {"mkfs.xfs", "-q", "-f"}}[kind]
	run(t, mkfs[0], append(mkfs[1:], inner)...)
	unmount(t, first.outer)
	return func(t testing.TB) *cuttable {
		t.Helper()
		d := newImage(t, kind)
		run(t, "cp", "--sparse=always", first.image, d.image)
		d.restore()
		return d
	}
}

// newImage makes an empty image and the folders to mount it on. The image stays if the test fails.
func newImage(t testing.TB, kind string) *cuttable {
	t.Helper()
	dir, err := os.MkdirTemp(fastest(), "chronik-power-")
	if err != nil {
		t.Fatal(err)
	}
	d := &cuttable{t: t, kind: kind, image: filepath.Join(dir, "image"), outer: filepath.Join(dir, "outer"), root: filepath.Join(dir, kind)}
	t.Cleanup(d.close)
	for _, mountPoint := range []string{d.outer, d.root} {
		if err := os.Mkdir(mountPoint, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	sparse(t, d.image, outerSize)
	return d
}

// fastest is a folder in memory, where there is one; images are sparse and hold some 100 MB at most.
func fastest() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// cut takes the power away, and calls now at the moment before. At some cuts the disk has written a part of its cache, in
// no order.
func (d *cuttable) cut(dice *rand.Rand, now func()) {
	d.t.Helper()
	if dice.IntN(2) == 0 {
		d.writeSome(dice)
	}
	d.stop(now)
}

// stop is the moment of the cut, just after now. The disk goes first: from then on nothing reaches it.
func (d *cuttable) stop(now func()) {
	d.t.Helper()
	dirs := []*os.File{d.open(d.outer), d.open(d.root)} // both before either is stopped
	now()
	for _, dir := range dirs {
		defer dir.Close()
		err := unix.IoctlSetPointerInt(int(dir.Fd()), shutdown, noLogFlush)
		if dir.Name() == d.root && errors.Is(err, unix.EIO) {
			err = nil // it has met the disk's end already
		}
		if err != nil {
			d.t.Fatalf("shut %s down: %v", dir.Name(), err)
		}
	}
}

func (d *cuttable) open(mountPoint string) *os.File {
	d.t.Helper()
	dir, err := os.Open(mountPoint)
	if err != nil {
		d.t.Fatal(err)
	}
	return dir
}

// writeSome has the disk write half of its cache, in pieces.
func (d *cuttable) writeSome(dice *rand.Rand) {
	d.t.Helper()
	f, err := os.Open(filepath.Join(d.outer, innerName))
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	piece := int64(4096) << dice.IntN(6)
	for at := int64(0); at < innerSize; at += piece * (1 + dice.Int64N(3)) {
		const flags = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE
		if err := unix.SyncFileRange(int(f.Fd()), at, piece, flags); err != nil {
			d.t.Fatalf("write a part of the cache: %v", err)
		}
	}
}

// restore gives the power back: what was cut goes, the journals are replayed. Nobody may use the disk meanwhile.
func (d *cuttable) restore() {
	d.t.Helper()
	for _, mountPoint := range []string{d.root, d.outer} {
		if mounted(d.t, mountPoint) {
			unmount(d.t, mountPoint)
		}
	}
	mount(d.t, d.image, d.outer)
	options := map[string][]string{"xfs": {"nouuid"}}[d.kind] // copies of one image have its id, and xfs minds
	mount(d.t, filepath.Join(d.outer, innerName), d.root, options...)
}

// close leaves no mount, no loop device and, if all went well, no image.
func (d *cuttable) close() {
	for _, mountPoint := range []string{d.root, d.outer} {
		if mounted(d.t, mountPoint) {
			unmount(d.t, mountPoint)
		}
	}
	if d.t.Failed() && !d.empty {
		d.t.Logf("the file system is kept in %s; see it with: mount -o loop %[1]s A; mount -o loop A/%s B", d.image, innerName)
	} else if err := os.RemoveAll(filepath.Dir(d.image)); err != nil {
		d.t.Error(err)
	}
}

func sparse(t testing.TB, name string, size int64) {
	t.Helper()
	f, err := os.Create(name)
	if err == nil {
		err = errors.Join(f.Truncate(size), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func mount(t testing.TB, image, mountPoint string, options ...string) {
	t.Helper()
	run(t, "mount", "-o", strings.Join(append(options, "loop"), ","), image, mountPoint) // the loop device goes with the mount
}

// unmount waits until nobody has the file system open: a process that was killed, or one between fork and exec.
func unmount(t testing.TB, mountPoint string) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(broker.Patience); time.Now().Before(deadline); <-time.After(time.Millisecond) {
		if err = unix.Unmount(mountPoint, 0); !errors.Is(err, unix.EBUSY) {
			break
		}
	}
	if err != nil {
		t.Errorf("unmount %s: %v; there are open: %q", mountPoint, err, openBelow(mountPoint))
	}
}

// openBelow lists what processes have open below a folder.
func openBelow(dir string) (all []string) {
	open, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is a good one
	for _, fd := range open {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, dir+"/") {
			all = append(all, fd+" is "+to)
		}
	}
	return all
}

func mounted(t testing.TB, mountPoint string) bool {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Error(err)
	}
	return strings.Contains(string(mounts), " "+mountPoint+" ")
}

// run runs a command of the system's. What cannot be mounted is a failure: a campaign that skips proves nothing.
func run(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s(power cuts need root, Linux, loop devices, ext4 and xfs with their mkfs)",
			strings.Join(append([]string{name}, args...), " "), err, withNewline(out))
	}
}

func withNewline(out []byte) string {
	return strings.TrimSuffix(fmt.Sprintf("%s\n", out), "\n\n") + "\n"
}
