package segment

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"chronik/kafka/batch"
	"chronik/wal/vfs"
)

// history is what a log of segments was told and what it promised, at the moment of each file-system operation.
type history struct {
	fs     *vfs.Mem
	seg    *Segment
	all    []batch.Batch // appended, from base on
	base   int64
	synced int64 // the last Sync that returned ended here
	sealed bool  // the last Seal returned
}

func (h *history) append(t testing.TB, batches ...batch.Batch) {
	for _, b := range batches {
		h.all = append(h.all, b)
		must(t, h.seg.Append(b))
	}
}

func (h *history) sync(t testing.TB) {
	must(t, h.seg.Sync())
	h.synced = h.seg.End()
}

// workload does everything that changes files: a segment that is written, synced, opened again with a part cut off,
// written differently, sealed, removed, and others of the same base with other
// batches, in files of their own and in the same.
func (h *history) workload(t testing.TB) {
	var err error
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
	must(t, h.seg.Close())
	h.all, h.synced = h.all[:4:4], cut
	h.seg, err = Open(h.fs, "d/p", 100, cut, Options{})
	must(t, err)
	h.append(t, makeBatches(h.seg.End()+5, 12)...)
	h.sync(t)
	h.append(t, makeBatches(h.seg.End(), 3)...)
	must(t, h.seg.Seal())
	h.synced, h.sealed = h.seg.End(), true

	h.all, h.synced, h.sealed = nil, 100, false
	must(t, h.seg.Remove())
	h.begin(t, 100)
	h.append(t, makeBatches(110, 7)...)
	h.sync(t)
	must(t, h.seg.Seal())
	h.sealed = true

	h.all, h.synced, h.sealed = nil, 100, false
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
	h.seg, h.base, h.synced = seg, base, base
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
	count := 0
	picks := map[string]vfs.Pick{"oldest": vfs.Oldest, "newest": vfs.Newest}
	for seed := range 3 {
		picks[fmt.Sprint("seed ", seed)] = vfs.Random(uint64(seed))
	}
	h := &history{fs: vfs.NewMem()}
	must(t, h.fs.MkdirAll("d"))
	must(t, h.fs.SyncDir("."))
	h.fs.Watch(func(op vfs.Op) {
		if h.seg == nil {
			return
		}
		count++
		for name, pick := range picks {
			after := h.fs.Crash(pick)
			var again []*vfs.Mem
			after.Watch(func(vfs.Op) { again = append(again, after.Crash(pick)) })
			if err := h.survives(after); err != nil {
				t.Fatalf("%s, crash at operation %d, %v: %v", name, count, op, err)
			}
			// What is synced after the crash is not in h: h.synced holds for every crash during that, too.
			for i, fs := range again {
				if err := h.survives(fs); err != nil {
					t.Fatalf("%s, crash at operation %d, %v, and at operation %d of the recovery: %v", name, count, op, i, err)
				}
			}
		}
	})
	h.workload(t)
	if count < 40 {
		t.Errorf("%d operations", count)
	}
}

// survives opens the segment after a crash as a caller would whose checkpoint has what was synced, writes on, and looks
// whether all is there.
func (h *history) survives(fs *vfs.Mem) error {
	bases, err := List(fs, "d/p")
	if err != nil {
		return err
	}
	if len(bases) == 0 && h.synced > h.base {
		return fmt.Errorf("the segment is gone")
	}
	var s *Segment
	if h.synced == h.base {
		// Nothing of it was promised: it is begun anew, whatever came back.
		if len(bases) > 0 {
			err = Remove(fs, "d/p", h.base)
		}
		if err == nil {
			s, err = Create(fs, "d/p", h.base, Options{})
		}
	} else {
		s, err = Open(fs, "d/p", h.base, h.synced, Options{})
	}
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer s.Close()
	if s.End() < h.synced || s.End() > h.synced && !s.Sealed() || h.sealed && !s.Sealed() {
		return fmt.Errorf("end %d, sealed %v: %d was synced", s.End(), s.Sealed(), h.synced)
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
	end := s.End()
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
