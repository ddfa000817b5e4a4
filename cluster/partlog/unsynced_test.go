package partlog

import (
	"slices"
	"testing"

	"chronik/kafka/config"
	"chronik/wal"
	"chronik/wal/vfs"
)

// Where the write-ahead log is not synced for every acknowledgement, a removed file may be gone for good while the page cache alone
// has the entry that says why: after a power cut the log was to begin where its records were gone, and the server did not start.
func TestFilesDoNotGoBeforeTheDiskKnowsWhy(t *testing.T) {
	keepsLittle := *plain()
	keepsLittle.RetentionBytes = 1
	for name, give := range map[string]func(s *Store, l *Log) error{
		"a log start":          func(_ *Store, l *Log) error { return l.SetLogStart(2) },
		"retention":            func(_ *Store, l *Log) error { l.SetConfig(&keepsLittle); return nil },
		"a new beginning":      func(_ *Store, l *Log) error { return l.Reset(100, 1) },
		"a truncation":         func(_ *Store, l *Log) error { _, err := l.Truncate(1, 1); return err },
		"a replica that moved": func(s *Store, _ *Log) error { return s.Remove(1) },
	} {
		for _, mode := range []wal.SyncMode{wal.SyncNever, wal.SyncInterval, wal.SyncAlways} {
			t.Run(name+", "+string(mode), func(t *testing.T) { powerGoesAfter(t, mode, give) })
		}
	}
}

func powerGoesAfter(t *testing.T, mode wal.SyncMode, give func(s *Store, l *Log) error) {
	d, s, l := replicated(t)
	d.configure(s, 1, func(c *config.Topic) { c.SegmentBytes = 1 })
	for i, v := range []string{"a", "b", "c", "d"} {
		follow(t, l, fromLeader(int64(i), 1, v), 1)
	}
	l.SetStable(4)
	cutAll(t, s)
	before := valuesOf(t, l)
	closeStore(t, s)
	d.sync = mode
	s = d.open()
	l = d.log(s, 1)
	if err := give(s, l); err != nil {
		t.Fatal(err)
	}
	tend(t, s, true)
	after := valuesOf(t, d.log(s, 1))
	for _, dir := range []string{segmentsDir, l.id.dir()} {
		_ = d.fs.SyncDir(dir) // as a journal may at any time; it may be gone
	}
	d.fs = d.fs.(*vfs.Mem).Crash(vfs.Oldest)
	closeStore(t, s)
	s = d.open()
	defer closeStore(t, s)
	if got := valuesOf(t, d.log(s, 1)); !slices.Equal(got, before) && !slices.Equal(got, after) || len(before) != 4 {
		t.Errorf("%v, neither %v nor %v", got, before, after)
	}
}

// A checkpoint that knew of more than a power cut left: of a truncation, so that what it had cut off was back and counted as the next
// leader's, which nobody cut off again; of a leader epoch, so that a follower refused the records before it, for ever.
func TestACheckpointKnowsNothingThatAPowerCutTakes(t *testing.T) {
	for name, give := range map[string]func(l *Log){
		"a truncation": func(l *Log) {
			if _, err := l.Truncate(1, 3); err != nil {
				t.Fatal(err)
			}
			follow(t, l, fromLeader(1, 3, "x", "y"), 3)
		},
		"epochs": func(l *Log) {
			follow(t, l, fromLeader(3, 2, "x", "y"), 2)
			follow(t, l, fromLeader(5, 3, "z"), 3)
		},
	} {
		for _, mode := range []wal.SyncMode{wal.SyncNever, wal.SyncInterval} {
			t.Run(name+", "+string(mode), func(t *testing.T) { powerGoesAfterACheckpoint(t, mode, give) })
		}
	}
}

func powerGoesAfterACheckpoint(t *testing.T, mode wal.SyncMode, give func(l *Log)) {
	d, s, l := replicated(t)
	follow(t, l, fromLeader(0, 1, "a"), 1)
	follow(t, l, fromLeader(1, 2, "b", "c"), 2)
	closeStore(t, s)
	d.sync = mode
	s = d.open()
	l = d.log(s, 1)
	give(l)
	if err := s.checkpoint(); err != nil {
		t.Fatal(err)
	}
	before, epochs := valuesOf(t, l), l.epochs
	left := d.fs.(*vfs.Mem).Crash(vfs.Oldest)
	closeStore(t, s)
	d.fs = left
	s = d.open()
	defer closeStore(t, s)
	l = d.log(s, 1)
	if got := valuesOf(t, l); !slices.Equal(got, before) || !slices.Equal(l.epochs, epochs) {
		t.Errorf("%v of the epochs %v, not %v of %v", got, l.epochs, before, epochs)
	}
}
