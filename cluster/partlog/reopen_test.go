package partlog

import (
	"slices"
	"strings"
	"testing"
	"time"

	"chronik/kafka/batch"
	"chronik/kafka/config"
	"chronik/wal/vfs"
)

// uncleanElection is a follower's log with a transaction whose marker is stable, and where an election cuts it off.
type uncleanElection struct {
	name  string
	epoch int16      // of the producer at the marker
	sets  [][]string // what comes at once: "t" of the transaction, "m" its marker, else plain
	cut   int64      // that much is in segments
	to    int64
	first int64 // of the transaction
}

var uncleanElections = []uncleanElection{
	{name: "all in the write-ahead log", epoch: 3, sets: [][]string{{"t"}, {"m"}, {"x"}}, to: 1},
	{name: "all in segments", epoch: 3, sets: [][]string{{"t"}, {"m"}, {"x"}}, cut: 3, to: 1},
	{name: "a marker of the next epoch", epoch: 4, sets: [][]string{{"t"}, {"m"}, {"x"}}, cut: 3, to: 1},
	{name: "the marker not in a segment", epoch: 4, sets: [][]string{{"x"}, {"t"}, {"y"}, {"m"}}, cut: 2, to: 3, first: 1},
	{name: "batches that came at once", epoch: 3, sets: [][]string{{"x", "t"}, {"y", "t", "z"}, {"m"}}, to: 4, first: 1},
	{name: "cut off among batches that came at once", epoch: 3, sets: [][]string{{"x", "t"}, {"y", "t", "m"}, {"z"}}, cut: 2, to: 4, first: 1},
}

// Markers below the high watermark are not remembered, and an unclean election took some: readers of committed records got, of this
// log, those of a transaction that was open or aborted. Large batches are read from files, and marked as whole then: that was once
// done under the log's lock, which it takes, and an old leader that came back stood still for good.
func TestATransactionWhoseMarkerAnUncleanElectionTookIsOpenAgain(t *testing.T) {
	for disk, files := range fileSystems {
		for size, value := range map[string]string{"small": "v", "large": strings.Repeat("v", 20<<10)} {
			for _, u := range uncleanElections {
				t.Run(disk+"/"+size+"/"+u.name, func(t *testing.T) { u.run(t, files(t), value) })
			}
		}
	}
}

func (u *uncleanElection) run(t *testing.T, files vfs.FS, value string) {
	d := newDisk(t)
	d.fs, d.replicated = files, true
	s := d.open()
	l := d.log(s, 1)
	d.configure(s, 1, func(c *config.Topic) { c.SegmentBytes = 1 })
	u.fill(t, s, l, value)
	if end := truncateInTime(t, l, u.to); end != u.to {
		t.Fatal(end)
	}
	for range 2 {
		l.SetStable(u.to)
		if o, p := l.Offsets(), l.producers[7]; o.LastStable != u.first || p == nil || p.epoch != 3 || p.txnFirst != u.first {
			t.Errorf("%+v %+v", o, p)
		}
		s = restarted(d, s)
		l = d.log(s, 1)
	}
	follow(t, l, u.batch("m", u.to, value), 2)
	if got, err := l.Aborted(0, u.to+1); err != nil || !slices.Equal(got, []AbortedTxn{{7, u.first}}) {
		t.Errorf("aborted %v %v", got, err)
	}
	l.SetStable(u.to + 1)
	if o := l.Offsets(); o.LastStable != u.to+1 {
		t.Errorf("behind the marker: %+v", o)
	}
	closeStore(t, s)
}

// After a truncation had taken more batches of a producer than are remembered, its transaction ended, and its next batch was refused:
// it was taken for one of whom only a marker was ever known, who begins with sequence 0.
func TestAProducerWhoseBatchesWereCutOffGoesOnBehindItsTransaction(t *testing.T) {
	d, s, l := replicated(t)
	u := uncleanElection{epoch: 3}
	for i, what := range []string{"t", "m", "t", "t", "t", "t", "t"} {
		follow(t, l, u.batch(what, int64(i), "v"), 1)
	}
	l.SetStable(7)
	follow(t, l, u.batch("x", 7, "v"), 1)
	if end := truncateInTime(t, l, 1); end != 1 {
		t.Fatal(end)
	}
	follow(t, l, u.batch("m", 1, "v"), 1)
	w := batch.Builder{Producer: &batch.Producer{ID: 7, Epoch: 3, Sequence: 1}, Transactional: true}
	w.Add(&batch.Record{Timestamp: 1, Value: []byte("t")})
	for range 2 {
		if _, err := l.AppendAsLeader(Append{Data: build(&w), Version: 9, LeaderEpoch: 2}); err != nil {
			t.Error(err)
		}
		s = restarted(d, s)
		l = d.log(s, 1)
	}
	closeStore(t, s)
}

// fill has all of it stable, and none in memory.
func (u *uncleanElection) fill(t *testing.T, s *Store, l *Log, value string) {
	at := int64(0)
	for _, set := range u.sets {
		var data []byte
		for _, what := range set {
			data = append(data, u.batch(what, at, value)...)
			at++
		}
		follow(t, l, data, 1)
		l.SetStable(at)
		if at == u.cut {
			cutAll(t, s)
		}
	}
	follow(t, l, u.batch("end", at, value), 1)
	if len(l.txns.ended) > 0 || segmentEnd(l) != u.cut {
		t.Fatal(l.txns.ended, segmentEnd(l))
	}
	forget(s)
}

func segmentEnd(l *Log) int64 {
	all := segmentsOf(l)
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1].End()
}

func (u *uncleanElection) batch(what string, at int64, value string) []byte {
	b := batch.Batch(nil)
	switch w := (batch.Builder{}); what {
	case "m":
		b = batch.AppendMarker(nil, batch.Marker{ProducerID: 7, ProducerEpoch: u.epoch}, 1)
	case "t":
		w.Producer, w.Transactional = &batch.Producer{ID: 7, Epoch: 3}, true
		fallthrough
	default:
		w.Add(&batch.Record{Timestamp: 1, Value: []byte(what + value)})
		b = build(&w)
	}
	b.Assign(at, 1)
	return b
}

// truncateInTime fails when it stands still.
func truncateInTime(t *testing.T, l *Log, to int64) int64 {
	t.Helper()
	type result struct {
		end int64
		err error
	}
	done := make(chan result, 1)
	go func() {
		end, err := l.Truncate(to, 100)
		done <- result{end, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			t.Fatal(r.err)
		}
		return r.end
	case <-time.After(time.Minute):
		t.Fatal("it stands still")
		return 0
	}
}

// restarted is the store after a kill, where the disk can have one, else after a stop.
func restarted(d *disk, s *Store) *Store {
	left := d.fs
	if m, ok := left.(*vfs.Mem); ok {
		left = m.Kill()
	}
	closeStore(d.t, s)
	d.fs = left
	return d.open()
}
