package segment

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"chronik/kafka/batch"
	"chronik/wal/arena"
	"chronik/wal/campaign"
	"chronik/wal/vfs"
)

// history is what a log of segments was told and what it promised, at the moment of each file-system operation.
type history struct {
	fs     *vfs.Mem
	seg    *Segment
	all    []batch.Batch // appended, from base on
	base   int64
	synced int64         // the last Sync that returned ended here
	older  int64         // one before it did, or base: the caller's checkpoint may know no more
	sealed bool          // the last Seal returned
	memory func() []byte // to lend before an Append; nil: none

	picks  map[string]vfs.Pick
	ops    int
	states int
	broke  error // what the first bad state said
}

func newHistory(t testing.TB, seed uint64) *history {
	h := &history{fs: vfs.NewMem(), picks: map[string]vfs.Pick{"oldest": vfs.Oldest, "newest": vfs.Newest}}
	must(t, h.fs.MkdirAll("d"))
	must(t, h.fs.SyncDir("."))
	for i := range uint64(3) {
		h.picks[fmt.Sprint("random ", i)] = vfs.Random(seed + i)
	}
	h.fs.Watch(h.look)
	return h
}

// look crashes in the operation, and in each of the recovery.
func (h *history) look(op vfs.Op) {
	if h.seg == nil {
		return
	}
	h.ops++
	for _, name := range slices.Sorted(maps.Keys(h.picks)) {
		pick := h.picks[name]
		after := h.fs.Crash(pick)
		var again []*vfs.Mem
		after.Watch(func(vfs.Op) { again = append(again, after.Crash(pick)) })
		end := h.synced
		if h.ops%3 == 0 {
			end = h.older
		}
		h.note(h.survives(after, end), "%s, crash at operation %d, %v", name, h.ops, op)
		if name == "newest" {
			h.note(h.marked(after), "killed at operation %d, %v", h.ops, op)
		}
		// What is synced after the crash is not in h: h.synced holds for every crash during that, too.
		for i, fs := range again {
			if name == "newest" {
				h.note(h.marked(fs), "killed at operation %d, %v, and at operation %d of the recovery", h.ops, op, i)
			}
			h.note(h.survives(fs, end), "%s, crash at operation %d, %v, and at operation %d of the recovery", name, h.ops, op, i)
		}
	}
}

// marked sees that no index says that more of its data was durable than there is: a process that was killed, at whatever
// moment, leaves nothing that looks like damage.
func (h *history) marked(fs *vfs.Mem) error {
	s := newSegment(fs, h.seg.dir, h.seg.base, Options{})
	data, err := s.readAll(s.dataName())
	if isMissing(err) {
		return nil
	}
	raw, indexErr := s.readAll(s.indexName())
	if errors.Join(err, indexErr) != nil {
		return nil
	}
	if ix, ok := parseIndex(raw, s.base, math.MaxInt64); ok && ix.mark.size > int64(len(data)) {
		return fmt.Errorf("the index says that %d bytes were durable, the file has %d", ix.mark.size, len(data))
	}
	return nil
}

func (h *history) note(err error, where string, args ...any) {
	h.states++
	if err != nil && h.broke == nil {
		h.broke = fmt.Errorf(where+": %w", append(args, err)...)
	}
}

func (h *history) append(t testing.TB, batches ...batch.Batch) {
	for _, b := range batches {
		h.all = append(h.all, b)
		if h.memory != nil {
			h.seg.Lend(h.memory())
		}
		must(t, h.seg.Append(b))
	}
}

func (h *history) sync(t testing.TB) {
	must(t, h.seg.Sync())
	h.older, h.synced = h.synced, h.seg.End()
}

func (h *history) seal(t testing.TB) {
	must(t, h.seg.Seal())
	h.synced, h.sealed = h.seg.End(), true
}

// forget says that the segment is given up: another of its base is begun.
func (h *history) forget() { h.all, h.synced, h.older, h.sealed = nil, h.base, h.base, false }

// reopen opens the segment as a caller whose checkpoint says end, which was synced once.
func (h *history) reopen(t testing.TB, end int64) {
	must(t, h.seg.Close())
	if !h.sealed {
		h.all = slices.DeleteFunc(slices.Clone(h.all), func(b batch.Batch) bool { return b.BaseOffset() >= end })
		h.synced, h.older = end, end
	}
	seg, err := Open(h.fs, "d/p", h.base, end, Options{})
	must(t, err)
	h.seg = seg
}

// workload does everything that changes files: a segment that is written, synced, opened again with a part cut off,
// written differently, sealed, removed, and others of the same base with other
// batches, in files of their own and in the same.
func (h *history) workload(t testing.TB) {
	h.begin(t, 100)
	small := makeBatches(100, 12)
	h.append(t, small[:4]...)
	h.sync(t)
	h.append(t, small[4:8]...)
	h.sync(t)
	h.append(t, txnBatches(h.seg.End())...)
	h.sync(t)
	h.append(t, makeBatches(h.seg.End(), 10)...)

	// The caller's checkpoint is older than the last Sync, and what comes after it is not what was there.
	cut := small[3].NextOffset()
	h.reopen(t, cut)
	h.append(t, makeBatches(h.seg.End()+5, 12)...)
	h.sync(t)
	h.append(t, makeBatches(h.seg.End(), 3)...)
	h.seal(t)

	h.forget()
	must(t, h.seg.Remove())
	h.begin(t, 100)
	h.append(t, makeBatches(110, 7)...)
	h.sync(t)
	h.seal(t)

	h.forget()
	must(t, h.seg.Close())
	h.begin(t, 100)
	h.append(t, makeBatches(104, 4)...)
	h.sync(t)
	h.append(t, makeBatches(h.seg.End(), 4)...)
	h.sync(t)
}

func (h *history) begin(t testing.TB, base int64) {
	seg, err := Create(h.fs, "d/p", base, Options{})
	must(t, err)
	h.seg, h.base, h.synced, h.older = seg, base, base, base
}

// random does steps by chance.
func (h *history) random(t testing.TB, seed uint64, steps int) {
	r := rand.New(rand.NewPCG(seed, 5))
	mem := lentPages(t, 4)
	h.memory = func() []byte { return mem[:r.IntN(5)*arena.Page] } // none: the segment takes its own
	h.begin(t, 100)
	for range steps {
		gap := int64(max(0, r.IntN(12)-8))
		switch n := r.IntN(16); {
		case h.sealed && n < 5 || n == 0:
			h.forget()
			must(t, h.seg.Remove())
			h.begin(t, 100)
		case h.sealed && n < 10 || n == 1: // over the files that are there
			h.forget()
			must(t, h.seg.Close())
			h.begin(t, 100)
		case n == 2:
			h.reopen(t, h.older)
		case n == 3:
			h.reopen(t, h.synced)
		case h.sealed:
			h.seal(t)
		case n < 8:
			h.append(t, makeBatches(h.seg.End()+gap, 1+r.IntN(9))...)
			if r.IntN(3) == 0 {
				must(t, h.seg.Flush())
			}
		case n < 10:
			h.append(t, txnBatches(h.seg.End()+gap)...)
		case n < 15:
			h.sync(t)
		case h.seg.End() > h.base:
			h.seal(t)
		}
	}
}

func txnBatches(base int64) []batch.Batch {
	var all []batch.Batch
	data := func(producer int64) {
		w := batch.Builder{BaseOffset: base, Transactional: true, Producer: &batch.Producer{ID: producer, Sequence: 0}}
		w.Add(&batch.Record{Timestamp: testTime, Value: []byte("in a transaction")})
		b, _ := w.Build(nil)
		all = append(all, b)
		base++
	}
	end := func(producer int64, commit bool) {
		b := batch.AppendMarker(nil, batch.Marker{ProducerID: producer, Commit: commit}, testTime)
		b.Assign(base, 0)
		all = append(all, b)
		base++
	}
	data(1)
	data(2)
	data(1)
	end(1, false)
	data(3)
	end(2, true)
	end(9, false) // of an empty transaction
	data(1)
	end(3, false)
	return all
}

func TestNothingThatWasSyncedIsLostByAPowerCut(t *testing.T) {
	h := newHistory(t, 0)
	h.workload(t)
	if h.broke != nil {
		t.Fatal(h.broke)
	}
	if h.ops < 40 {
		t.Errorf("%d operations", h.ops)
	}
}

func TestFaultsNothingThatWasSyncedIsLostByAPowerCut(t *testing.T) {
	plan := campaign.Plan{Name: "segments: power cuts, also in recoveries", Unit: "states", Glance: 6000, Share: 20_000, Soak: 400_000, Workers: 2}
	campaign.Run(t, plan, func(t *testing.T, seed uint64) campaign.Counts {
		h := newHistory(t, seed)
		h.random(t, seed, 20)
		if h.broke != nil {
			t.Fatal(h.broke)
		}
		return campaign.Counts{"states": int64(h.states)}
	})
}

// survives opens the segment after a crash as a caller would whose checkpoint says end, writes on, and looks whether all
// is there.
func (h *history) survives(fs *vfs.Mem, end int64) error {
	bases, err := List(fs, "d/p")
	if err != nil {
		return err
	}
	if len(bases) == 0 && end > h.base {
		return errors.New("the segment is gone")
	}
	var s *Segment
	if end == h.base {
		// Nothing of it was promised: it is begun anew, whatever came back.
		if len(bases) > 0 {
			err = Remove(fs, "d/p", h.base)
		}
		if err == nil {
			s, err = Create(fs, "d/p", h.base, Options{})
		}
	} else {
		s, err = Open(fs, "d/p", h.base, end, Options{})
	}
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer s.Close()
	if s.End() < end || s.End() > end && !s.Sealed() || h.sealed && end > h.base && !s.Sealed() {
		return fmt.Errorf("end %d, sealed %v: %d was synced", s.End(), s.Sealed(), end)
	}
	if err := h.holds(s); err != nil {
		return fmt.Errorf("opened: %w", err)
	}
	if !s.Sealed() {
		for _, b := range h.all {
			if b.BaseOffset() >= s.End() {
				if err := s.Append(b); err != nil {
					return err
				}
			}
		}
		if err := s.Sync(); err != nil {
			return err
		}
	}
	end = s.End()
	s.Close()
	again, err := Open(fs, "d/p", h.base, end, Options{})
	if err != nil {
		return fmt.Errorf("open again: %w", err)
	}
	defer again.Close()
	if err := h.holds(again); err != nil {
		return fmt.Errorf("opened again: %w", err)
	}
	return again.Verify()
}

// holds says whether s has just what was appended up to its end.
func (h *history) holds(s *Segment) error {
	xs, err := s.Read(nil, h.base, math.MaxInt64, math.MaxInt32, true)
	if err != nil {
		return err
	}
	got, err := batch.Copy(nil, xs)
	if err != nil {
		return err
	}
	want := wanted(h.all, h.base, s.End(), math.MaxInt32, true)
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%d bytes up to offset %d, want %d", len(got), s.End(), len(want))
	}
	var model txns
	for rest := want; len(rest) > 0; {
		b, next, _ := batch.Next(rest)
		model.note(b)
		rest = next
	}
	aborted, _, err := s.Aborted(h.base, math.MaxInt64)
	if err != nil {
		return err
	}
	ongoing, err := s.Ongoing()
	if err != nil {
		return err
	}
	if fmt.Sprint(aborted) != fmt.Sprint(model.aborted) || fmt.Sprint(ongoing) != fmt.Sprint(model.list()) {
		return fmt.Errorf("transactions %v %v, want %v %v", aborted, ongoing, model.aborted, model.list())
	}
	return nil
}
