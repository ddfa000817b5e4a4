package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"chronik/integration/faults/baddisk"
	"chronik/metalog"
	"chronik/metalog/image"
	"chronik/wal/campaign"
)

const (
	// snapshotAfter is more entries than the metadata log keeps without a snapshot.
	snapshotAfter = 8300
	// snapshotWithin is how long it takes at most to see that, and to begin with one.
	snapshotWithin = 40 * time.Second
	// snapshotsAtOnce is how many brokers wait together.
	snapshotsAtOnce = 10
)

// snapshotSteps is how often making a snapshot does what to the disk: its state, what raft says of it, twice, and a seal
// on both.
var snapshotSteps = []struct {
	kind  baddisk.Kind
	times int64
}{
	{baddisk.Kind{Op: baddisk.Mkdir, Class: "snapshot"}, 1},
	{baddisk.Kind{Op: baddisk.Create, Class: "snapshot"}, 3},
	{baddisk.Kind{Op: baddisk.Write, Class: "snapshot"}, 4},
	{baddisk.Kind{Op: baddisk.Sync, Class: "snapshot"}, 5},
	{baddisk.Kind{Op: baddisk.Truncate, Class: "snapshot"}, 1},
	{baddisk.Kind{Op: baddisk.Rename, Class: "snapshot"}, 1},
	{baddisk.Kind{Op: baddisk.Sync, Class: "snapshots folder"}, 1},
}

// A snapshot of the metadata log that the disk fails to take ends the broker as any other error does; where the disk is
// full it is said and tried again later, and the broker goes on, unless it was the sync of a folder that failed. The metadata log looks for its next snapshot every 15 to
// 30 seconds, so many brokers wait at once.
func TestFaultsDiskErrorsOfSnapshots(t *testing.T) {
	var all []baddisk.Rule
	for _, step := range snapshotSteps {
		for after := range step.times {
			for _, f := range faultsOf(step.kind.Op) {
				all = append(all, baddisk.Rule{Op: step.kind.Op, Class: step.kind.Class, After: after, Fault: f})
			}
		}
	}
	var due string
	t.Run("prepared", func(t *testing.T) {
		var err error
		due, err = os.MkdirTemp("/dev/shm", "chronik-due-") // thousands of synced writes
		ok(t, err)
		fillMetalog(t, filepath.Join(due, "metalog"))
	})
	defer os.RemoveAll(due)
	campaign.Run(t, campaign.Plan{Name: "disk errors of snapshots", Unit: "injections", Share: snapshotsAtOnce, Soak: len(all)},
		func(t *testing.T, seed uint64) campaign.Counts {
			var waiting []*life
			for i := range uint64(snapshotsAtOnce) {
				l := newLife(t, seed*snapshotsAtOnce+i)
				ok(t, os.CopyFS(filepath.Join(l.disk.Behind, "data"), os.DirFS(due)))
				l.awaitSnapshot(all[l.load.seed%uint64(len(all))])
				waiting = append(waiting, l)
			}
			counts := campaign.Counts{"injections": snapshotsAtOnce}
			for _, l := range waiting {
				counts[l.failsToSnapshot()]++
			}
			return counts
		})
}

// fillMetalog leaves a metadata log in dir that makes a snapshot soon after it is opened the next time.
func fillMetalog(t *testing.T, dir string) {
	t.Helper()
	l, err := metalog.Open(metalog.Options{Dir: dir, NodeID: 1})
	ok(t, err)
	for i := range snapshotAfter {
		long := fmt.Sprint(int64(1e12) + int64(i%2))
		_, err := l.Propose(t.Context(), image.ConfigRecord{Resource: image.Resource{Type: image.BrokerResource}, Name: "log.retention.ms", Value: &long})
		ok(t, err)
	}
	ok(t, l.Close())
}

// awaitSnapshot starts a broker whose snapshot will fail.
func (l *life) awaitSnapshot(r baddisk.Rule) {
	l.t.Helper()
	ok(l.t, l.disk.Set(r))
	if !l.began() || !l.work(16) {
		l.t.Fatalf("it ended before the snapshot:\n%s", l.Said())
	}
}

// snapshotFolder is the folders that a snapshot has synced: what a full disk made of their names is not known.
var snapshotFolder = regexp.MustCompile(`/snapshots(/[0-9]+-[0-9]+-[0-9]+)?$`)

// failsToSnapshot waits for that, and says how the broker took it.
func (l *life) failsToSnapshot() (outcome string) {
	t := l.t
	t.Helper()
	var e baddisk.Event
	select {
	case e = <-l.disk.Events:
	case <-time.After(snapshotWithin):
		t.Fatalf("no snapshot was begun; %v\n%s", seen(t, l.disk).Counts, l.Said())
	}
	t.Logf("%s met: %s of %s", e.Fault, e.Op, e.Path)
	if e.Fault == baddisk.EIO || e.Fault == baddisk.Torn || e.Op == baddisk.Sync && snapshotFolder.MatchString(e.Path) {
		if code := l.WaitFor(5 * time.Second); code == 0 {
			t.Errorf("it lived on after %s of %s failed with %s", e.Op, e.Path, e.Fault)
		}
		outcome = l.judge(e)
	} else {
		outcome = l.livesOnAfter(e)
	}
	l.recover(l.load.seed%2 == 0)
	return outcome
}

func (l *life) livesOnAfter(e baddisk.Event) string {
	l.t.Helper()
	if !l.work(16) || l.load.refused != nil || !l.end() {
		l.t.Errorf("after %s of %s: %v\n%s", e.Fault, e.Path, l.load.refused, l.Said())
	}
	if said := l.Said(); e.Fault == baddisk.ENOSPC && !strings.Contains(said, "failed to take snapshot") {
		l.t.Errorf("the log does not say that there is no snapshot:\n%s", said)
	} else if e.Fault == baddisk.ENOSPC {
		l.named(e, said)
	}
	return "lived through"
}
