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
