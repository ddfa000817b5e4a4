package partlog

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"chronik/kafka/batch"
	"chronik/kafka/kerr"
	"chronik/wal/vfs"
)

// fromLeader makes one batch a value, from offset base on, as a leader of that epoch would have it.
func fromLeader(base int64, epoch int32, values ...string) []byte {
	var data []byte
	for i, v := range values {
		b := batch.Batch(records(base+int64(i), v))
		b.Assign(base+int64(i), epoch)
		data = append(data, b...)
	}
	return data
}

func replicated(t *testing.T) (*disk, *Store, *Log) {
	d := newDisk(t)
	d.replicated, d.fileSize = true, 32<<10
	s := d.open()
	return d, s, d.log(s, 1)
}

// follow appends and commits.
func follow(t *testing.T, l *Log, data []byte, epoch int32) {
	t.Helper()
	end, err := l.AppendAsFollower(data, nil, epoch)
	if err != nil {
		t.Fatal(err)
	}
	l.store.CommitFollowed(0)
	settle(t, l, end)
}

func want(t *testing.T, l *Log, start int64, values ...string) {
	t.Helper()
	var all []string
	for i, v := range values {
		all = append(all, fmt.Sprintf("%d:%s", start+int64(i), v))
	}
	o := l.Offsets()
	if got := valuesOf(t, l); o.LogStart != start || o.Durable != o.LogEnd || !slices.Equal(got, all) {
		t.Fatalf("%+v: %v, want %v", o, got, all)
	}
}

func valuesOf(t *testing.T, l *Log) []string {
	t.Helper()
	return values(t, l, l.Offsets().LogStart)
}

func TestWhatAFollowerRefuses(t *testing.T) {
	_, s, l := replicated(t)
	defer closeStore(t, s)
	follow(t, l, fromLeader(0, 3, "a", "b"), 3)
	flipped := fromLeader(2, 3, "c")
	flipped[66] ^= 1
	for _, c := range []struct {
		name string
		data []byte
		code kerr.Code
	}{
		{"a gap", fromLeader(9, 3, "d"), kerr.OffsetOutOfRange},
		{"again", fromLeader(1, 3, "b"), kerr.OffsetOutOfRange},
		{"an older epoch", fromLeader(2, 2, "c"), kerr.FencedLeaderEpoch},
		{"the leader's future", fromLeader(2, 4, "c"), kerr.CorruptMessage},
		{"another checksum", flipped, kerr.CorruptMessage},
		{"a batch without end", fromLeader(2, 3, "c")[:65], kerr.CorruptMessage},
		{"no batch", make([]byte, 100), kerr.CorruptMessage},
		{"behind one that fits", append(fromLeader(2, 3, "c"), fromLeader(9, 3, "e")...), kerr.OffsetOutOfRange},
	} {
		if _, err := l.AppendAsFollower(c.data, nil, 3); kerr.Of(err) != c.code {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if err := s.barrier(); err != nil {
		t.Fatal(err)
	}
	want(t, l, 0, "a", "b", "c") // the one that fits
}

func TestTruncate(t *testing.T) {
	for _, c := range []struct {
		to, end int64
		left    []string
	}{
		{9, 6, []string{"a", "b", "c", "d", "e", "f"}},
		{5, 5, []string{"a", "b", "c", "d", "e"}},
		{2, 2, []string{"a", "b"}},
		{0, 0, nil},
	} {
		d, s, l := replicated(t)
		follow(t, l, fromLeader(0, 1, "a", "b", "c"), 1)
		follow(t, l, fromLeader(3, 2, "d", "e"), 2)
		follow(t, l, fromLeader(5, 3, "f"), 3)
		if end, err := l.Truncate(c.to, 100); end != c.end || err != nil {
			t.Fatal(c, end, err)
		}
		for range 2 {
			want(t, l, 0, c.left...)
			if e := l.LatestEpoch(); len(c.left) > 0 && e != l.EpochOf(c.end-1) || len(c.left) == 0 && e != noEpoch {
				t.Fatal(c, e)
			}
			closeStore(t, s)
			s = d.open()
			l = d.log(s, 1)
		}
		follow(t, l, fromLeader(c.end, 4, "x"), 4)
		want(t, l, 0, append(c.left, "x")...)
		closeStore(t, s)
	}
}

// A truncation takes whole segments only when it must: what is not stable is never cut into one.
func TestTruncateSegments(t *testing.T) {
	d, s, l := replicated(t)
	l.SetStable(0)
	follow(t, l, fromLeader(0, 1, "a", "b"), 1)
	cutAll(t, s)
	if n := len(segmentsOf(l)); n > 0 {
		t.Fatal("cut what is not stable")
	}
	l.SetStable(2)
	cutAll(t, s)
	follow(t, l, fromLeader(2, 1, "c", "d"), 1)
	cutAll(t, s)
	if n := segmentsOf(l); len(n) != 1 || n[0].End() != 2 {
		t.Fatal(n)
	}
	if end, err := l.Truncate(3, 100); end != 3 || err != nil {
		t.Fatal(end, err)
	}
	want(t, l, 0, "a", "b", "c")
	if end, err := l.Truncate(1, 100); end != 0 || err != nil {
		t.Fatal("an unclean election", end, err)
	}
	if names, _ := d.fs.List(l.id.dir()); len(names) > 0 || l.Stable() != 0 {
		t.Fatal(names, l.Stable())
	}
	want(t, l, 0)
	follow(t, l, fromLeader(0, 2, "x", "y"), 2)
	closeStore(t, s)
	s = d.open()
	defer closeStore(t, s)
	want(t, d.log(s, 1), 0, "x", "y")
}

// A reader has looked up in which segment its records lie, and an unclean election takes them from under it: the files are gone, and
// nothing is damaged. A replica that was taken for damaged would be given up and copied again.
func TestWhatWasCutOffUnderAReaderIsNoDamage(t *testing.T) {
	_, s, l := replicated(t)
	s.options.Damaged = func(d Damage) { t.Error(d.Err) }
	follow(t, l, fromLeader(0, 1, "a", "b"), 1)
	l.SetStable(2)
	cutAll(t, s)
	r := reading{log: l, limit: everything, room: 4096, minOne: true}
	seg, _, err := r.plan()
	if seg == nil || err != nil {
		t.Fatal(seg, err)
	}
	v, _ := l.view(0, everything, nil)
	if end, err := l.Truncate(1, 100); end != 0 || err != nil {
		t.Fatal(end, err)
	}
	if _, err := r.segment(seg); !errors.Is(err, errMoved) {
		t.Error(err)
	}
	if _, _, err := v.run(); !errors.Is(err, errMoved) {
		t.Error(err)
	}
	closeStore(t, s)
}

// What is truncated is not needed any more: its files are recycled when the rest is in segments.
func TestTruncatedFilesAreRecycled(t *testing.T) {
	for _, restart := range []bool{false, true} {
		d, s, l := replicated(t)
		for i := range int64(40) {
			follow(t, l, fromLeader(i, 1, string(content(1, int(i), 3000))), 1)
		}
		if end, err := l.Truncate(1, 100); end != 1 || err != nil {
			t.Fatal(end, err)
		}
		if restart {
			closeStore(t, s)
			s = d.open()
			l = d.log(s, 1)
		}
		l.SetStable(1)
		other := d.log(s, 2)
		other.SetStable(everything)
		for range 20 {
			produce(t, other, records(1, string(content(2, 1, 3000))))
		}
		cutAll(t, s)
		if n := len(s.wal.Files()); n > 3 {
			t.Fatalf("restart %v: %d files are left", restart, n)
		}
		want(t, l, 0, string(content(1, 0, 3000)))
		closeStore(t, s)
	}
}

func TestReset(t *testing.T) {
	d, s, l := replicated(t)
	follow(t, l, idempotentFrom(0, 1, 7), 1)
	if err := l.Reset(1, 100); kerr.Of(err) != kerr.OffsetOutOfRange {
		t.Fatal(err)
	}
	if err := l.Reset(101, 100); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		want(t, l, 101)
		if len(l.producers) > 0 || l.LatestEpoch() != noEpoch {
			t.Fatal(l.producers, l.epochs)
		}
		closeStore(t, s)
		s = d.open()
		l = d.log(s, 1)
	}
	w := batch.Builder{}
	for _, v := range []string{"x", "y", "z"} {
		w.Add(&batch.Record{Timestamp: 1, Value: []byte(v)})
	}
	b := batch.Batch(build(&w))
	b.Assign(100, 2) // the leader's log starts within a batch
	follow(t, l, b, 2)
	for range 2 {
		want(t, l, 101, "y", "z")
		closeStore(t, s)
		s = d.open()
		l = d.log(s, 1)
	}
	l.SetStable(103)
	cutAll(t, s)
	want(t, l, 101, "y", "z")
	closeStore(t, s)
}

func idempotentFrom(base int64, epoch int32, producer int64) []byte {
	b := batch.Batch(idempotent(producer, 0, 0, 1, "p"))
	b.Assign(base, epoch)
	return b
}

// A transaction whose end is not stable holds back those who read committed records; truncated, it is open again.
func TestTruncatedMarker(t *testing.T) {
	d, s, l := replicated(t)
	w := batch.Builder{Producer: &batch.Producer{ID: 7}, Transactional: true}
	w.Add(&batch.Record{Timestamp: 1, Value: []byte("t")})
	b := batch.Batch(build(&w))
	b.Assign(0, 1)
	follow(t, l, b, 1)
	m := batch.AppendMarker(nil, batch.Marker{ProducerID: 7, Commit: true}, 1)
	m.Assign(1, 1)
	follow(t, l, m, 1)
	l.SetStable(1)
	follow(t, l, fromLeader(2, 1, "x"), 1)
	for range 2 {
		if o := l.Offsets(); o.LastStable != 0 {
			t.Fatalf("%+v", o)
		}
		closeStore(t, s)
		s = d.open()
		l = d.log(s, 1)
	}
	if end, err := l.Truncate(1, 100); end != 1 || err != nil {
		t.Fatal(end, err)
	}
	l.SetStable(1)
	if o := l.Offsets(); o.LastStable != 0 || l.producers[7].txnFirst != 0 {
		t.Fatalf("%+v %+v", o, l.producers[7])
	}
	follow(t, l, func() []byte { m.Assign(1, 2); return m }(), 2)
	l.SetStable(2)
	if o := l.Offsets(); o.LastStable != 2 {
		t.Fatalf("%+v", o)
	}
	closeStore(t, s)
}

// A leader noted its epoch at the end of its log, a checkpoint took that over, the leader got nothing and went, and its log
// took over records of an older epoch from the next one. After a restart the log said that these were of the epoch of which it has none:
// cutting found damage, and a follower's log was compared with it by the wrong epoch.
func TestAnEpochWithoutRecordsMustNotComeBackFromACheckpoint(t *testing.T) {
	d, s, l := replicated(t)
	follow(t, l, fromLeader(0, 5, "a", "b"), 5)
	l.Lead(7)
	if err := s.checkpoint(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Truncate(2, 8); err != nil {
		t.Fatal(err)
	}
	follow(t, l, fromLeader(2, 5, "c", "d"), 8)
	killed := d.fs.(*vfs.Mem).Kill()
	closeStore(t, s)
	d.fs = killed
	s = d.open()
	defer closeStore(t, s)
	l = d.log(s, 1)
	want(t, l, 0, "a", "b", "c", "d")
	if epoch, end := l.EpochEnd(7); epoch != -1 || l.EpochOf(3) != 5 || l.LatestEpoch() != 5 {
		t.Errorf("epoch 7 ended at %d of epoch %d, record 3 is of %d, the latest is %d", end, epoch, l.EpochOf(3), l.LatestEpoch())
	}
}
