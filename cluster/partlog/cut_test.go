package partlog

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chronik/kafka/batch"
	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/segment"
	"chronik/wal"
	"chronik/wal/vfs"
)

// small makes cutting begin after a few hundred KiB.
func small(d *disk) *disk {
	d.fileSize, d.budget = 64<<10, 256<<10
	return d
}

// fill appends n records of about 1 KiB to each of the streams in turn and returns what should be read from each.
func fill(t rapid.TB, d *disk, s *Store, n int, streams ...wal.StreamID) map[wal.StreamID][]string {
	t.Helper()
	want := map[wal.StreamID][]string{}
	for i := range n {
		for _, stream := range streams {
			v := fmt.Sprintf("%d-%d-%s", stream, i, strings.Repeat("x", 1000))
			a := produce(t, d.log(s, stream), records(int64(i), v))
			want[stream] = append(want[stream], fmt.Sprintf("%d:%s", a.Base, v))
		}
	}
	return want
}

func tend(t rapid.TB, s *Store, retention bool) {
	t.Helper()
	if err := s.tend(retention); err != nil {
		t.Fatal(err)
	}
}

func walSize(s *Store) (size int64) {
	for _, f := range s.wal.Files() {
		size += f.Size
	}
	return size
}

func TestCutKeepsEveryRecord(t *testing.T) {
	d := small(newDisk(t))
	d.config(2).SegmentBytes = 50 << 10
	s := d.open()
	want := fill(t, d, s, 300, 1, 2, 3)
	tend(t, s, false)
	if size := walSize(s); size > d.budget+d.fileSize {
		t.Fatalf("the write-ahead log has %d bytes, the budget is %d", size, d.budget)
	}
	check := func() {
		t.Helper()
		for stream, w := range want {
			if got := values(t, d.log(s, stream), 0); !reflect.DeepEqual(got, w) {
				t.Fatalf("stream %d: %d records, want %d", stream, len(got), len(w))
			}
			if got := values(t, d.log(s, stream), 17); !reflect.DeepEqual(got, w[17:]) {
				t.Fatalf("stream %d from 17: %d records", stream, len(got))
			}
		}
	}
	check()
	if n := len(segmentsOf(d.log(s, 2))); n < 3 {
		t.Fatalf("%d segments, segment.bytes asks for more", n)
	}
	closeStore(t, s)
	s = d.open()
	check()
	more := fill(t, d, s, 200, 1, 2)
	for stream, w := range more {
		want[stream] = append(want[stream], w...)
	}
	tend(t, s, false)
	check()
	closeStore(t, s)
	s = d.open()
	defer closeStore(t, s)
	check()
}

func (t *tail) count() (n int) {
	for _, c := range t.chunks {
		n += c.len()
	}
	return n
}

// A gigabyte of log would be ten million records that came one by one, and each of them takes memory for its place.
func TestSmallRecordsAreCutBeforeTheirIndexTakesTheMemory(t *testing.T) {
	const most = 500
	d := newDisk(t)
	d.fileSize, d.entries = 64<<10, most
	s := d.open()
	want := map[wal.StreamID][]string{}
	for range 8 {
		for stream, w := range fill(t, d, s, most/4, 1, 2) {
			want[stream] = append(want[stream], w...)
		}
		tend(t, s, false)
		if n := s.indexed.Load(); n > 2*most {
			t.Fatalf("%d entries are in memory", n)
		}
	}
	deleted := s.log(2)
	d.deleted[2] = true
	if err := s.Delete(2); err != nil {
		t.Fatal(err)
	}
	tend(t, s, false)
	if got := values(t, d.log(s, 1), 0); !reflect.DeepEqual(got, want[1]) {
		t.Fatalf("%d records, want %d", len(got), len(want[1]))
	}
	if n, has := s.indexed.Load(), int64(d.log(s, 1).tail.count()); n != has || deleted.tail.count() != 0 {
		t.Errorf("%d entries counted of %d", n, has)
	}
	closeStore(t, s)
	s = d.open()
	defer closeStore(t, s)
	if n, has := s.indexed.Load(), int64(d.log(s, 1).tail.count()); n != has {
		t.Errorf("%d entries counted of %d", n, has)
	}
}

func TestSegmentsRollByTime(t *testing.T) {
	d := small(newDisk(t))
	d.config(1).SegmentMs = 50
	s := d.open()
	defer closeStore(t, s)
	fill(t, d, s, 400, 1)
	tend(t, s, false)
	l := d.log(s, 1)
	for _, g := range segmentsOf(l) {
		if g.MaxTimestamp()-g.FirstTimestamp() > 50 {
			t.Fatalf("segment %d spans %d ms", g.Base(), g.MaxTimestamp()-g.FirstTimestamp())
		}
	}
	if len(segmentsOf(l)) < 2 {
		t.Fatal(len(segmentsOf(l)))
	}
}

func TestRetentionByTime(t *testing.T) {
	d := small(newDisk(t))
	d.config(1).SegmentBytes = 20 << 10
	s := d.open()
	want := fill(t, d, s, 400, 1)[1]
	tend(t, s, false)
	before := d.log(s, 1).Size()
	d.configure(s, 1, func(c *config.Topic) { c.RetentionMs = d.clock.Load() - 300 }) // timestamps below 300 go
	tend(t, s, true)
	l := d.log(s, 1)
	start := l.Offsets().LogStart
	if start < 250 || start > 300 {
		t.Fatalf("log start %d", start)
	}
	if l.Size() >= before/2 {
		t.Fatalf("%d bytes of %d are left", l.Size(), before)
	}
	check := func() {
		t.Helper()
		if got := values(t, l, start); !reflect.DeepEqual(got, want[start:]) {
			t.Fatalf("%d records", len(got))
		}
		if _, err := l.Read(nil, start-1, everything, 1, true); kerr.Of(err) != kerr.OffsetOutOfRange {
			t.Fatal(err)
		}
		if l.Offsets().LogStart != start {
			t.Fatal(l.Offsets())
		}
	}
	check()
	if bases, err := segment.List(d.fs, testID(1).dir()); err != nil || bases[0] > start || len(bases) > 1 && bases[1] <= start {
		t.Fatal(bases, err)
	}
	closeStore(t, s)
	s = d.open()
	defer closeStore(t, s)
	l = d.log(s, 1)
	check()
}

func TestRetentionByTimeCanTakeEverything(t *testing.T) {
	d := small(newDisk(t))
	s := d.open()
	fill(t, d, s, 400, 1)
	tend(t, s, false)
	d.configure(s, 1, func(c *config.Topic) { c.RetentionMs = 1000 })
	for range 2 {
		tend(t, s, true)
		if o := d.log(s, 1).Offsets(); o.LogStart != 400 || o.LogEnd != 400 {
			t.Fatal(o)
		}
		closeStore(t, s)
		s = d.open()
	}
	defer closeStore(t, s)
	if a := produce(t, d.log(s, 1), records(d.clock.Load(), "new")); a.Base != 400 {
		t.Fatalf("%+v", a)
	}
	if got := values(t, d.log(s, 1), 400); !reflect.DeepEqual(got, []string{"400:new"}) {
		t.Fatal(got)
	}
	if bases, err := segment.List(d.fs, testID(1).dir()); err != nil || len(bases) > 0 {
		t.Fatal(bases, err)
	}
}

func TestRetentionByBytes(t *testing.T) {
	d := newDisk(t)
	s := d.open()
	defer closeStore(t, s)
	fill(t, d, s, 100, 1)
	d.configure(s, 1, func(c *config.Topic) { c.RetentionBytes = 20_000 })
	tend(t, s, true)
	if size := d.log(s, 1).Size(); size < 20_000 || size > 22_000 {
		t.Fatal(size)
	}
}

func TestCompactedTopicsDoNotExpire(t *testing.T) {
	d := newDisk(t)
	d.config(1).DeletePolicy = false
	d.config(1).RetentionMs = 1
	s := d.open()
	defer closeStore(t, s)
	fill(t, d, s, 10, 1)
	tend(t, s, true)
	if o := d.log(s, 1).Offsets(); o.LogStart != 0 {
		t.Fatal(o)
	}
}

// Batches without timestamps have the time at which they came.
func TestUntimedRecordsDoNotExpireEarly(t *testing.T) {
	d := newDisk(t)
	d.config(1).RetentionMs = 1000
	s := d.open()
	defer closeStore(t, s)
	l := d.log(s, 1)
	produce(t, l, records(-1, "a"))
	tend(t, s, true)
	if o := l.Offsets(); o.LogStart != 0 {
		t.Fatal(o)
	}
	d.clock.Add(1001)
	tend(t, s, true)
	if o := l.Offsets(); o.LogStart != 1 {
		t.Fatal(o)
	}
}

func TestDeleteRecordsSurvives(t *testing.T) {
	d := small(newDisk(t))
	s := d.open()
	want := fill(t, d, s, 10, 1)[1]
	for _, start := range []int64{4, 2, 6} {
		if err := d.log(s, 1).SetLogStart(start); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.log(s, 1).SetLogStart(11); kerr.Of(err) != kerr.OffsetOutOfRange {
		t.Fatal(err)
	}
	for range 3 {
		l := d.log(s, 1)
		if o := l.Offsets(); o.LogStart != 6 || o.LogEnd != 10 {
			t.Fatal(o)
		}
		if got := values(t, l, 6); !reflect.DeepEqual(got, want[6:]) {
			t.Fatal(got)
		}
		closeStore(t, s)
		s = d.open()
	}
	fill(t, d, s, 400, 2) // the checkpoint takes it over
	tend(t, s, false)
	closeStore(t, s)
	s = d.open()
	defer closeStore(t, s)
	if got := values(t, d.log(s, 1), 6); !reflect.DeepEqual(got, want[6:]) {
		t.Fatal(got)
	}
}

// A log start inside a batch: the batch stays, the first segment begins before the log.
func TestLogStartInsideABatch(t *testing.T) {
	d := small(newDisk(t))
	s := d.open()
	l := d.log(s, 1)
	produce(t, l, records(1, "a", "b", "c"))
	produce(t, l, records(1, "d"))
	if err := l.SetLogStart(1); err != nil {
		t.Fatal(err)
	}
	want := []string{"1:b", "2:c", "3:d"}
	for range 3 {
		if got := values(t, d.log(s, 1), 1); !reflect.DeepEqual(got, want) {
			t.Fatal(got)
		}
		fill(t, d, s, 400, 2)
		tend(t, s, false)
		closeStore(t, s)
		s = d.open()
	}
	closeStore(t, s)
}

func TestDeleteFreesTheDisk(t *testing.T) {
	d := small(newDisk(t))
	s := d.open()
	fill(t, d, s, 300, 1, 2)
	tend(t, s, false)
	l := d.log(s, 1)
	xs, err := l.Read(nil, 0, everything, 1, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(1); err != nil {
		t.Fatal(err)
	}
	d.deleted[1] = true
	if bs := batches(t, xs); len(bs) != 1 || bs[0].BaseOffset() != 0 {
		t.Fatal("a read under way was disturbed")
	}
	if _, err := l.Read(nil, 0, everything, 1, true); kerr.Of(err) != kerr.NotLeaderOrFollower {
		t.Fatal(err)
	}
	tend(t, s, false)
	if names, err := d.fs.List(segmentsDir); err != nil || !reflect.DeepEqual(names, []string{testID(2).name()}) {
		t.Fatal(names, err)
	}
	closeStore(t, s)
	s = d.open()
	defer closeStore(t, s)
	if s.log(1) != nil || len(s.dying) > 0 {
		t.Fatal("it came back")
	}
}

func TestTopicDeletedWhileDown(t *testing.T) {
	d := small(newDisk(t))
	s := d.open()
	fill(t, d, s, 300, 1, 2)
	tend(t, s, false)
	closeStore(t, s)
	d.deleted[1] = true
	s = d.open()
	tend(t, s, false)
	defer closeStore(t, s)
	if names, err := d.fs.List(segmentsDir); err != nil || !reflect.DeepEqual(names, []string{testID(2).name()}) {
		t.Fatal(names, err)
	}
}

func TestUnknownStreamStopsTheStart(t *testing.T) {
	d := newDisk(t)
	s := d.open()
	l, err := s.Log(testID(2000), plain())
	if err != nil {
		t.Fatal(err)
	}
	produce(t, l, records(1, "a"))
	closeStore(t, s)
	if s, err := Open(d.options()); err == nil {
		closeStore(t, s)
		t.Fatal("opened")
	} else if !strings.Contains(err.Error(), "2000") {
		t.Fatal(err)
	}
}

func TestUnknownDirectoriesAreSetAside(t *testing.T) {
	d := newDisk(t)
	for range 2 {
		if err := d.fs.MkdirAll(segmentsDir + "/somebody's"); err != nil {
			t.Fatal(err)
		}
		closeStore(t, d.open())
	}
	if names, err := d.fs.List(quarantineDir); err != nil || len(names) != 2 {
		t.Fatal(names, err)
	}
	if names, err := d.fs.List(segmentsDir); err != nil || len(names) != 0 {
		t.Fatal(names, err)
	}
}

func TestMissingSegmentStopsTheStart(t *testing.T) {
	d := small(newDisk(t))
	d.config(1).SegmentBytes = 50 << 10
	s := d.open()
	fill(t, d, s, 400, 1)
	tend(t, s, false)
	var bases []int64
	for _, g := range segmentsOf(d.log(s, 1)) {
		bases = append(bases, g.Base())
	}
	closeStore(t, s)
	if len(bases) < 3 {
		t.Fatal(bases)
	}
	healthy := d.fs.(*vfs.Mem)
	for _, base := range bases {
		d.fs = healthy.Crash(vfs.Newest)
		if err := d.fs.Remove(fmt.Sprintf("%s/%020d.seg", testID(1).dir(), base)); err != nil {
			t.Fatal(err)
		}
		s, err := Open(d.options())
		if err == nil {
			closeStore(t, s)
			t.Fatalf("opened without segment %d", base)
		}
		if kerr.Of(err) != kerr.KafkaStorageError || !strings.Contains(err.Error(), testID(1).name()) {
			t.Fatal(err)
		}
	}
	d.fs = healthy
	closeStore(t, d.open())
}

// While records are being copied into a segment, readers do not get them from there: they are not durable there yet.
func TestReadsStayBelowWhatSegmentsHoldDurably(t *testing.T) {
	d, _ := onDisk(t)
	d = small(d)
	s := d.open()
	fill(t, d, s, 200, 1)
	tend(t, s, false)
	want := fill(t, d, s, 100, 1)[1]
	closeStore(t, s)
	d.budget = 1 << 30
	s = d.open()
	defer closeStore(t, s)
	l := d.log(s, 1)
	s.tending.Lock()
	defer s.tending.Unlock()
	tools := newRound(s, everything, nil).tools()
	defer tools.release()
	c := cutting{log: l, pos: everything, tools: &tools}
	c.begin()
	durable := l.cut
	es := c.next()
	for i := range es {
		if err := c.copy(es[i:]); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.last().Sync(); err != nil { // as far as readers know, it has not returned
		t.Fatal(err)
	}
	if last := c.last(); last.End() <= durable || last != segmentsOf(l)[len(c.segments)-1] {
		t.Fatalf("nothing was copied into the segment that readers use: %d, %d", last.End(), durable)
	}
	for from := durable - 50; from < l.end; {
		xs, err := l.Read(nil, from, everything, 20_000, true)
		if err != nil || len(xs) == 0 {
			t.Fatal(from, err)
		}
		for _, x := range xs {
			inSegment := x.File != nil && strings.HasSuffix(x.File.Name(), ".seg")
			for _, b := range batches(t, []batch.Extent{x}) {
				if inSegment && b.NextOffset() > durable {
					t.Fatalf("offset %d comes from the segment, which holds %d durably", b.BaseOffset(), durable)
				}
				from = b.NextOffset()
			}
		}
	}
	if got := values(t, l, 200); !reflect.DeepEqual(got, want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	if to, ok, err := l.FindTime(50, everything); !ok || err != nil || to.Offset != 50 {
		t.Fatal(to, ok, err)
	}
	if err := c.finish(); err != nil {
		t.Fatal(err)
	}
}

// A topic that was deleted right after its first records were cut: no checkpoint knows its directory, which is removed
// at the next start all the same.
func TestDirectoryOfADeletedTopicIsRemoved(t *testing.T) {
	d := newDisk(t)
	s := d.open()
	mem := d.fs.(*vfs.Mem)
	fill(t, d, s, 10, 1, 2)
	s.tending.Lock()
	err := s.cutTo(everything)
	s.tending.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	for _, pick := range []vfs.Pick{vfs.Oldest, vfs.Newest} {
		left := newDisk(t)
		left.fs, left.deleted[2] = mem.Crash(pick), true
		again := left.open()
		tend(t, again, false)
		closeStore(t, again)
		if names, err := left.fs.List(quarantineDir); err == nil {
			t.Errorf("set aside: %v", names)
		}
		names, err := left.fs.List(segmentsDir)
		if err != nil || len(names) != 1 || names[0] != testID(1).name() {
			t.Errorf("%v %v", names, err)
		}
	}
	closeStore(t, s)
}
