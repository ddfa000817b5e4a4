package metalog

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"chronik/metalog/image"
	"chronik/wal/vfs"
)

// idleEngine is an engine on disk whose goroutine the test is: it goes by what waits in the queue.
func idleEngine(t *testing.T, disk vfs.FS) *fileEngine {
	t.Helper()
	again := &recordReplay{failure: newFailure()}
	records, err := openRecords(disk, 0, again)
	if err == nil {
		err = records.nextTerm()
	}
	if err != nil {
		t.Fatal(err)
	}
	return &fileEngine{
		self: tester.serverID(), who: tester, fsm: again.fsm, failure: again.failure, logger: slog.New(slog.DiscardHandler),
		records: records, term: records.term, queue: make(chan *fileFuture, 8),
	}
}

// after has the engine do all that is given, which waits when it begins.
func (e *fileEngine) after(all ...*fileFuture) {
	for _, f := range all {
		f.done = make(chan struct{})
		e.queue <- f
	}
	for len(e.queue) > 0 {
		e.group(<-e.queue)
	}
}

func (e *fileEngine) make(t *testing.T, name string) *fileFuture {
	t.Helper()
	body, err := image.Append(nil, topic(name))
	if err != nil {
		t.Fatal(err)
	}
	return &fileFuture{data: sealEntry(e.term, [][]byte{body})}
}

func snapshotNow() *fileFuture { return &fileFuture{save: func(who identity) identity { return who }} }

// topicsIn is how many topics a start finds.
func topicsIn(t *testing.T, disk vfs.FS) int {
	t.Helper()
	left := &recordReplay{failure: newFailure()}
	if _, err := openRecords(disk, vfs.ReadOnly, left); err != nil {
		t.Fatal(err)
	}
	return left.fsm.views.image.Load().TopicCount()
}

// A snapshot takes the place of all entries in the file: also of those that came with it, and which it must not lack.
func TestAnEntryBesideASnapshotIsNotLost(t *testing.T) {
	mem := vfs.NewMem()
	beginRecords(t, mem)
	e := idleEngine(t, mem)
	all := []*fileFuture{e.make(t, "a"), snapshotNow(), e.make(t, "b"), e.make(t, "c"), snapshotNow(), e.make(t, "d")}
	e.after(all...)
	for i, f := range all {
		if err := f.Error(); err != nil {
			t.Fatal(i, err)
		}
	}
	if n := topicsIn(t, mem.Crash(vfs.Oldest)); n != 4 {
		t.Fatalf("%d of 4 topics that were acknowledged", n)
	}
}

// A snapshot that a full disk has no room for takes nothing along: the entries that came with it are written, so they are
// applied.
func TestAnEntryBesideASnapshotWithoutRoomIsApplied(t *testing.T) {
	mem := vfs.NewMem()
	beginRecords(t, mem)
	fault := vfs.NewFault(mem)
	e := idleEngine(t, fault)
	fault.Script(func(o vfs.Op) vfs.Outcome {
		if o.Name == recordsTemp && o.Kind == vfs.OpWriteSync {
			return vfs.Outcome{Err: syscall.ENOSPC}
		}
		return vfs.Outcome{}
	})
	full, b := snapshotNow(), e.make(t, "b")
	e.after(e.make(t, "a"), full, b)
	if err := full.Error(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := b.Error(); err != nil || e.failure.err() != nil {
		t.Fatal(err, e.failure.err())
	}
	if n, here := topicsIn(t, mem.Crash(vfs.Oldest)), e.fsm.views.image.Load().TopicCount(); n != 2 || here != 2 {
		t.Fatalf("%d topics here, %d after a start", here, n)
	}
}

// However often a node starts anew, its file is begun anew when as much has come behind the snapshot as may.
func TestStartsDoNotLetTheFileGrow(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "metalog")
	for start := range 3 {
		l := openInFile(t, dir)
		for i := range 10 {
			large := strings.Repeat(string(rune('a'+start*10+i)), 900<<10)
			mustPropose(t, l, image.ConfigRecord{Resource: image.Resource{Type: image.BrokerResource, Name: "1"}, Name: "large", Value: &large})
		}
		mustClose(t, l)
	}
	s, err := os.Stat(filepath.Join(dir, recordsFile))
	if err != nil || s.Size() > fileGrowth+4<<20 {
		t.Fatal(s.Size(), err)
	}
}
