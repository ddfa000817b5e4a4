package partlog

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"chronik/kafka/batch"
	"chronik/kafka/kerr"
	"chronik/wal/vfs"
)

func TestAppendAndRead(t *testing.T) {
	d := newDisk(t)
	s := d.open()
	l := d.log(s, 1)
	if a := produce(t, l, records(10, "a", "b")); a.Base != 0 || a.End != 2 || a.Duplicate || a.AppendTime != -1 {
		t.Fatalf("%+v", a)
	}
	if a := produce(t, l, records(20, "c")); a.Base != 2 || a.End != 3 {
		t.Fatalf("%+v", a)
	}
	want := []string{"0:a", "1:b", "2:c"}
	if got := values(t, l, 0); !reflect.DeepEqual(got, want) {
		t.Fatal(got)
	}
	if got := values(t, l, 1); !reflect.DeepEqual(got, want[1:]) {
		t.Fatal("from the middle of a batch:", got)
	}
	closeStore(t, s)

	s = d.open()
	defer closeStore(t, s)
	l = d.log(s, 1)
	if got := values(t, l, 0); !reflect.DeepEqual(got, want) {
		t.Fatal("after a restart:", got)
	}
	if a := produce(t, l, records(30, "d")); a.Base != 3 {
		t.Fatalf("%+v", a)
	}
}

func TestReadBounds(t *testing.T) {
	d := newDisk(t)
	s := d.open()
	defer closeStore(t, s)
	l := d.log(s, 1)
	for _, v := range []string{"a", "b", "c"} {
		produce(t, l, records(1, v))
	}
	size := len(records(1, "a"))
	for _, c := range []struct {
		name        string
		from, limit int64
		max         int
		minOne      bool
		want        int
		err         kerr.Code
	}{
		{"all", 0, 3, 1 << 20, true, 3, 0},
		{"limit", 0, 2, 1 << 20, true, 2, 0},
		{"room for two", 0, 3, 2*size + 1, false, 2, 0},
		{"room for none", 0, 3, size - 1, false, 0, 0},
		{"room for none, but one at least", 0, 3, 1, true, 1, 0},
		{"at the end", 3, 3, 1 << 20, true, 0, 0},
		{"limit before from", 2, 1, 1 << 20, true, 0, 0},
		{"behind the end", 4, 9, 1 << 20, true, 0, kerr.OffsetOutOfRange},
		{"before the start", -1, 9, 1 << 20, true, 0, kerr.OffsetOutOfRange},
	} {
		xs, err := l.Read(nil, c.from, c.limit, c.max, c.minOne)
		if got := len(batches(t, xs)); got != c.want || kerr.Of(err) != c.err {
			t.Errorf("%s: %d batches, %v", c.name, got, err)
		}
	}
}

func TestProducers(t *testing.T) {
	d := newDisk(t)
	s := d.open()
	l := d.log(s, 1)
	type step struct {
		name  string
		epoch int16
		seq   int32
		n     int
		base  int64
		dup   bool
		err   kerr.Code
	}
	run := func(steps []step) {
		t.Helper()
		for _, c := range steps {
			vs := make([]string, c.n)
			a, err := l.AppendAsLeader(Append{Data: idempotent(7, c.epoch, c.seq, 5, vs...), Version: 9})
			s.Commit()
			if kerr.Of(err) != c.err || err == nil && (a.Base != c.base || a.End != c.base+int64(c.n) || a.Duplicate != c.dup) {
				t.Errorf("%s: %+v %v", c.name, a, err)
			}
		}
	}
	run([]step{
		{"unknown producers begin anywhere", 0, 10, 2, 0, false, 0},
		{"in order", 0, 12, 3, 2, false, 0},
		{"first again", 0, 10, 2, 0, true, 0},
		{"second again", 0, 12, 3, 2, true, 0},
		{"same sequence, other length", 0, 12, 2, 0, false, kerr.OutOfOrderSequenceNumber},
		{"a gap", 0, 16, 1, 0, false, kerr.OutOfOrderSequenceNumber},
		{"going on", 0, 15, 1, 5, false, 0},
		{"new epoch not from 0", 1, 16, 1, 0, false, kerr.OutOfOrderSequenceNumber},
		{"new epoch", 1, 0, 1, 6, false, 0},
		{"old epoch", 0, 16, 1, 0, false, kerr.InvalidProducerEpoch},
	})
	if err := s.barrier(); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	s = d.open()
	defer closeStore(t, s)
	l = d.log(s, 1)
	run([]step{
		{"again after a restart", 1, 0, 1, 6, true, 0},
		{"second", 1, 1, 1, 7, false, 0}, {"third", 1, 2, 1, 8, false, 0}, {"fourth", 1, 3, 1, 9, false, 0},
		{"fifth", 1, 4, 1, 10, false, 0}, {"sixth", 1, 5, 1, 11, false, 0},
		{"the fifth newest is known", 1, 1, 1, 7, true, 0},
		{"the sixth newest is not", 1, 0, 1, 0, false, kerr.OutOfOrderSequenceNumber},
	})
}

func TestSequencesWrapAround(t *testing.T) {
	d := newDisk(t)
	s := d.open()
	defer closeStore(t, s)
	l := d.log(s, 1)
	const last = 1<<31 - 1
	produce(t, l, idempotent(1, 0, last-1, 5, "a"))
	produce(t, l, idempotent(1, 0, last, 5, "b", "c"))
	if a := produce(t, l, idempotent(1, 0, 1, 5, "d")); a.Base != 3 {
		t.Fatalf("%+v", a)
	}
	if a := produce(t, l, idempotent(1, 0, last, 5, "b", "c")); !a.Duplicate || a.Base != 1 {
		t.Fatalf("%+v", a)
	}
}

func TestLogAppendTime(t *testing.T) {
	d := newDisk(t)
	d.config(1).LogAppendTime = true
	s := d.open()
	defer closeStore(t, s)
	l := d.log(s, 1)
	if a := produce(t, l, records(1, "a")); a.AppendTime != d.clock.Load() {
		t.Fatalf("%+v", a)
	}
	xs, err := l.Read(nil, 0, 1, 1, true)
	if err != nil {
		t.Fatal(err)
	}
	if b := batches(t, xs)[0]; b.MaxTimestamp() != d.clock.Load() || !b.IsLogAppendTime() {
		t.Fatal(b.MaxTimestamp(), b.TimestampType())
	}
}

// A retry is answered with the time that its record has, not with that of the retry; also after a restart.
func TestRetryGetsTheOriginalAppendTime(t *testing.T) {
	d := newDisk(t)
	d.config(1).LogAppendTime = true
	s := d.open()
	var times [2]int64
	for i := range times {
		d.clock.Add(1000)
		times[i] = produce(t, d.log(s, 1), idempotent(7, 0, int32(i), 1, "a")).AppendTime
	}
	check := func() {
		t.Helper()
		d.clock.Add(1000)
		for i, want := range times {
			if a := produce(t, d.log(s, 1), idempotent(7, 0, int32(i), 1, "a")); !a.Duplicate || a.AppendTime != want {
				t.Fatalf("%+v, want the append time %d", a, want)
			}
		}
	}
	check()
	closeStore(t, s)
	s = d.open()
	defer closeStore(t, s)
	check()
}

func TestTimestampsTooFarAhead(t *testing.T) {
	d := newDisk(t)
	d.config(1).TimestampAfterMaxMs = 1000
	s := d.open()
	defer closeStore(t, s)
	l := d.log(s, 1)
	ahead := d.clock.Load() + 1001
	if _, err := l.AppendAsLeader(Append{Data: records(ahead, "a"), Version: 9}); kerr.Of(err) != kerr.InvalidTimestamp {
		t.Fatal(err)
	}
	d.clock.Add(1)
	produce(t, l, records(ahead, "a"))
}

func TestTopicCodec(t *testing.T) {
	d := newDisk(t)
	d.config(1).CompressionType = "zstd"
	s := d.open()
	defer closeStore(t, s)
	l := d.log(s, 1)
	produce(t, l, records(1, "a", "b"))
	xs, err := l.Read(nil, 0, 2, 1, true)
	if err != nil {
		t.Fatal(err)
	}
	b := batches(t, xs)[0]
	if b.Codec() != batch.Zstd || len(recordsOf(t, b)) != 2 {
		t.Fatal(b.Codec())
	}
}

func TestOldMessageFormats(t *testing.T) {
	d := newDisk(t)
	s := d.open()
	defer closeStore(t, s)
	l := d.log(s, 1)
	old := func() []byte {
		set, err := batch.ConvertDown(records(7, "a", "b"), 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	a, err := l.AppendAsLeader(Append{Data: old(), Version: 2})
	if err != nil || a.Base != 0 || a.End != 2 {
		t.Fatal(a, err)
	}
	settle(t, l, 2)
	if got := values(t, l, 0); !reflect.DeepEqual(got, []string{"0:a", "1:b"}) {
		t.Fatal(got)
	}
	if _, err := l.AppendAsLeader(Append{Data: old(), Version: 3}); kerr.Of(err) != kerr.InvalidRecord {
		t.Fatal(err)
	}
}

func TestDeposedLeaderIsRefused(t *testing.T) {
	d := newDisk(t)
	s := d.open()
	defer closeStore(t, s)
	l := d.log(s, 1)
	l.Lead(3)
	if _, err := l.AppendAsLeader(Append{Data: records(1, "a"), Version: 9, LeaderEpoch: 2}); kerr.Of(err) != kerr.NotLeaderOrFollower {
		t.Fatal(err)
	}
}

func TestEpochs(t *testing.T) {
	d := newDisk(t)
	s := d.open()
	defer closeStore(t, s)
	l := d.log(s, 1)
	at := func(epoch int32, n int) {
		for range n {
			if _, err := l.AppendAsLeader(Append{Data: records(1, "x"), Version: 9, LeaderEpoch: epoch}); err != nil {
				t.Fatal(err)
			}
		}
	}
	at(2, 3)
	at(5, 2)
	l.Lead(7)
	for _, c := range []struct{ ask, epoch, end int64 }{
		{-1, -1, -1}, {0, 0, 0}, {2, 2, 3}, {3, 2, 3}, {5, 5, 5}, {6, 5, 5}, {7, 7, 5}, {8, -1, -1},
	} {
		if epoch, end := l.EpochEnd(int32(c.ask)); int64(epoch) != c.epoch || end != c.end {
			t.Errorf("epoch %d: %d, %d", c.ask, epoch, end)
		}
	}
	for _, c := range []struct {
		offset int64
		epoch  int32
	}{{0, 2}, {2, 2}, {3, 5}, {4, 5}} {
		if got := l.EpochOf(c.offset); got != c.epoch {
			t.Errorf("offset %d: %d", c.offset, got)
		}
	}
}

func TestTransactions(t *testing.T) {
	d := newDisk(t)
	s := d.open()
	l := d.log(s, 1)
	txn := func(id int64, seq int32, v string) {
		w := batch.Builder{Producer: &batch.Producer{ID: id, Sequence: seq}, Transactional: true}
		w.Add(&batch.Record{Timestamp: 1, Value: []byte(v)})
		produce(t, l, build(&w))
	}
	end := func(id int64, commit bool) {
		b := batch.AppendMarker(nil, batch.Marker{ProducerID: id, Commit: commit}, 1)
		l.mu.Lock()
		a, err := l.queue(incoming{batch: b}, 0)
		l.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		s.Commit()
		settle(t, l, a.End)
	}
	stable := func(want int64) {
		t.Helper()
		if o := l.Offsets(); o.LastStable != want {
			t.Fatalf("last stable %d, want %d", o.LastStable, want)
		}
	}
	txn(1, 0, "a")
	txn(2, 0, "b")
	stable(0)
	if _, err := l.AppendAsLeader(Append{Data: idempotent(1, 0, 1, 1, "x"), Version: 9}); kerr.Of(err) != kerr.InvalidTxnState {
		t.Fatal(err)
	}
	end(1, false)
	stable(1)
	closeStore(t, s)
	s = d.open()
	defer closeStore(t, s)
	l = d.log(s, 1)
	stable(1)
	end(2, true)
	stable(4)
	txn(1, 1, "c")
	end(1, false)
	want := []AbortedTxn{{1, 0}, {1, 4}}
	if got, err := l.Aborted(0, 6); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatal(got, err)
	}
	if got, err := l.Aborted(3, 6); err != nil || !reflect.DeepEqual(got, want[1:]) {
		t.Fatal(got, err)
	}
}

// Who reads what is committed and begins at the end must not be sent to an offset that is deleted. (Kafka's
// UnifiedLog.maybeIncrementFirstUnstableOffset.)
func TestTheLastStableOffsetIsNotBelowTheLogStart(t *testing.T) {
	d := newDisk(t)
	s := d.open()
	l := d.log(s, 1)
	for seq := range int32(3) {
		w := batch.Builder{Producer: &batch.Producer{ID: 1, Sequence: seq}, Transactional: true}
		w.Add(&batch.Record{Timestamp: 1, Value: []byte("x")})
		produce(t, l, build(&w))
	}
	for _, want := range []int64{0, 2, 3} {
		if err := l.SetLogStart(want); err != nil {
			t.Fatal(err)
		}
		if o := l.Offsets(); o.LastStable != want {
			t.Fatalf("%+v", o)
		}
		closeStore(t, s)
		s = d.open()
		l = d.log(s, 1)
	}
	if o := l.Offsets(); o.LastStable != 3 {
		t.Fatalf("%+v", o)
	}
	closeStore(t, s)
}

// A reader takes what is not listed as aborted for committed: it must not be told of fewer than there are.
func TestUnknownAbortsAreAnError(t *testing.T) {
	d := small(newDisk(t))
	faults := vfs.NewFault(d.fs)
	d.fs = faults
	s := d.open()
	fill(t, d, s, 200, 1)
	tend(t, s, false)
	closeStore(t, s)
	s = d.open() // no segment is open now
	defer closeStore(t, s)
	l := d.log(s, 1)
	faults.Script(func(op vfs.Op) vfs.Outcome {
		if strings.HasSuffix(op.Name, ".seg") {
			return vfs.Outcome{Err: errors.New("input/output error")}
		}
		return vfs.Outcome{}
	})
	if got, err := l.Aborted(0, 10); kerr.Of(err) != kerr.KafkaStorageError {
		t.Fatal(got, err)
	}
	faults.Script(func(vfs.Op) vfs.Outcome { return vfs.Outcome{} })
	if err := l.SetLogStart(5); err != nil {
		t.Fatal(err)
	}
	if got, err := l.Aborted(4, 10); kerr.Of(err) != kerr.OffsetOutOfRange {
		t.Fatal(got, err)
	}
	if got, err := l.Aborted(5, 10); err != nil || len(got) > 0 {
		t.Fatal(got, err)
	}
}
