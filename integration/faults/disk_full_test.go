package faults

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chronik/integration/broker"
	"chronik/wal/campaign"
)

const (
	fullDisk     = 40 << 20
	fullMessage  = "no space left on device"
	moreThanFull = 4096 // records of 32 KiB on the average
)

// A real disk that fills up: the broker ends and says why, does not come back while there is no room or says the same
// again, and serves all that was acknowledged when there is.
func TestFaultsDiskFull(t *testing.T) {
	campaign.Run(t, campaign.Plan{Name: "full disk", Unit: "disks", Share: 2, Soak: 8}, func(t *testing.T, seed uint64) campaign.Counts {
		dice := rand.New(rand.NewPCG(seed, 0))
		kind := []string{"ext4", "tmpfs"}[seed%2]
		dir := smallDisk(t, kind)
		ballast := filepath.Join(dir, "ballast")
		ok(t, os.WriteFile(ballast, make([]byte, 8<<20+dice.IntN(8<<20)), 0o600))
		l := &life{t: t, Broker: broker.At(t, filepath.Join(dir, "data"), tinyLog...), load: newDiskLoad(t, seed)}
		if !l.began() {
			t.Fatalf("on an empty disk:\n%s", l.Said())
		}
		if l.work(moreThanFull) {
			t.Fatalf("%s: it takes more than fits:\n%s", kind, l.Said())
		}
		l.saysFull(3)
		if l.began() {
			l.work(moreThanFull)
			l.saysFull(3)
		} else {
			l.saysFull(1)
		}
		ok(t, os.Remove(ballast))
		if !l.began() {
			t.Fatalf("no start when there was room again:\n%s", l.Said())
		}
		l.load.check(l.Address())
		l.load.refused = nil
		if !l.work(32) || l.load.refused != nil {
			t.Errorf("when there was room again: %v\n%s", l.load.refused, l.Said())
		}
		if !l.end() {
			t.Errorf("when there was room again it ended with:\n%s", l.Said())
		}
		l.VerifyDump()
		return campaign.Counts{kind: 1, "records acknowledged": int64(len(l.load.acked))}
	})
}

func (l *life) saysFull(code int) {
	l.t.Helper()
	if got := l.Wait(); got != code || !strings.Contains(l.Said(), fullMessage) {
		l.t.Errorf("on a full disk it ended with %d, want %d:\n%s", got, code, l.Said())
	}
}

// smallDisk mounts an empty file system of fullDisk bytes.
func smallDisk(t *testing.T, kind string) string {
	t.Helper()
	dir := broker.DataDir(t)
	root := filepath.Join(dir, kind)
	ok(t, os.Mkdir(root, 0o700))
	if kind == "tmpfs" {
		run(t, "mount", "-t", "tmpfs", "-o", "size=40m", "none", root)
	} else {
		image := filepath.Join(dir, "image")
		sparse(t, image, fullDisk)
		run(t, "mkfs.ext4", "-q", "-F", "-m0", "-J", "size=4", image)
		mount(t, image, root)
	}
	t.Cleanup(func() { unmount(t, root) })
	return root
}
