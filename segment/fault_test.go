package segment

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"syscall"
	"testing"

	"chronik/kafka/batch"
	"chronik/kafka/kerr"
	"chronik/wal/vfs"
)

// written is what a segment was given and said while one operation of the disk failed.
type written struct {
	t      *testing.T
	mem    *vfs.Mem
	k, ops int
	cause  error
	failed vfs.Op

	seg    *Segment
	all    []batch.Batch
	synced int64
}

const firstOffset = 50

// Any one operation fails, once: the segment says so, takes nothing more, and does not sync again what it could not sync
// or write. What it had synced before is there for the next start.
func TestAnyErrorIsTheSegmentsLastWord(t *testing.T) {
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
		k := 0
		for ; ; k++ {
			w := &written{t: t, mem: vfs.NewMem(), k: k, cause: cause, synced: firstOffset}
			if !w.run() {
				break
			}
		}
		if k < 25 {
			t.Errorf("only %d operations", k)
		}
	}
}

// run says whether there was an operation k.
func (w *written) run() bool {
	w.t.Helper()
	must(w.t, errors.Join(w.mem.MkdirAll("d"), w.mem.SyncDir(".")))
	f := vfs.NewFault(w.mem)
	f.Script(w.outcome)
	err := w.write(f)
	if w.failed.Kind == "" {
		must(w.t, err)
		return false
	}
	if !errors.Is(err, w.cause) || !errors.Is(err, kerr.KafkaStorageError) || !strings.Contains(err.Error(), w.failed.Name) {
		w.t.Fatalf("%d: %v failed, the segment said %v", w.k, w.failed, err)
	}
	if w.seg != nil && w.failed.Kind.Changes() {
		w.refuses()
	}
	w.survives(w.mem.Crash(vfs.Random(uint64(w.k))))
	return true
}

func (w *written) outcome(op vfs.Op) vfs.Outcome {
	if w.failed.Kind.Changes() && w.failed.Kind != "" && op.Name == w.failed.Name && (op.Kind == vfs.OpSync || op.Kind == vfs.OpSyncDir) {
		w.t.Errorf("%d: %v after %v failed", w.k, op, w.failed)
	}
	if w.ops++; w.ops != w.k+1 {
		return vfs.Outcome{}
	}
	w.failed = op
	return vfs.Outcome{Err: fmt.Errorf("%s %s: %w", op.Kind, op.Name, w.cause), Keep: 100}
}

// write fills a segment in three steps, and ends with its first error.
func (w *written) write(f vfs.FS) (err error) {
	if w.seg, err = Create(f, "d/p", firstOffset, Options{}); err != nil {
		return err
	}
	for range 3 {
		for _, b := range makeBatches(w.seg.End(), 4) {
			if err := w.seg.Append(b); err != nil {
				return err
			}
			w.all = append(w.all, b)
		}
		if err := w.seg.Sync(); err != nil {
			return err
		}
		w.synced = w.seg.End()
	}
	return w.seg.Seal()
}

func (w *written) refuses() {
	w.t.Helper()
	end := w.seg.End()
	for _, b := range makeBatches(end, 1) {
		if w.seg.Append(b) == nil && w.seg.Sync() == nil || w.seg.Seal() == nil {
			w.t.Errorf("%d: went on after %v failed", w.k, w.failed)
		}
	}
}

// survives opens the segment as a checkpoint would have it that knows of the last Sync, and reads that much of it.
func (w *written) survives(left *vfs.Mem) {
	w.t.Helper()
	if w.synced == firstOffset {
		return // nobody relies on any of it
	}
	s, err := Open(left, "d/p", firstOffset, w.synced, Options{})
	if err != nil {
		w.t.Fatalf("%d: after %v failed: %v", w.k, w.failed, err)
	}
	defer s.Close()
	xs, err := s.Read(nil, firstOffset, w.synced, math.MaxInt32, true)
	must(w.t, err)
	got, err := batch.Copy(nil, xs)
	must(w.t, err)
	if want := wanted(w.all, firstOffset, w.synced, math.MaxInt32, true); !bytes.Equal(got, want) {
		w.t.Errorf("%d: after %v failed, %d bytes up to offset %d, want %d", w.k, w.failed, len(got), w.synced, len(want))
	}
	must(w.t, s.Verify())
}

// A sealed segment is not harmed by a disk that cannot read it for a while: the error is the reader's, and once it is
// gone the same bytes come.
func TestAReadErrorIsTheReadersAlone(t *testing.T) {
	f := vfs.NewFault(vfs.NewMem())
	s, err := Create(f, "d/p", firstOffset, Options{})
	must(t, err)
	all := makeBatches(firstOffset, 40)
	for _, b := range all {
		must(t, s.Append(b))
	}
	must(t, s.Seal())
	must(t, s.Close())
	for k := 0; ; k++ {
		ops := 0
		f.Script(func(op vfs.Op) vfs.Outcome {
			if op.Kind != vfs.OpRead && op.Kind != vfs.OpOpen {
				t.Errorf("%v to read", op)
			}
			if ops++; ops == k+1 {
				return vfs.Outcome{Err: fmt.Errorf("%s %s: %w", op.Kind, op.Name, syscall.EIO)}
			}
			return vfs.Outcome{}
		})
		_, err := readBack(s)
		f.Script(func(vfs.Op) vfs.Outcome { return vfs.Outcome{} })
		if ops <= k {
			must(t, err)
			if k < 3 {
				t.Errorf("only %d operations", k)
			}
			return
		}
		if !errors.Is(err, syscall.EIO) || !errors.Is(err, kerr.KafkaStorageError) {
			t.Fatalf("operation %d: %v", k, err)
		}
		got, err := readBack(s)
		must(t, err)
		if !bytes.Equal(got, wanted(all, firstOffset, s.End(), math.MaxInt32, true)) {
			t.Fatalf("other bytes after operation %d failed", k)
		}
		must(t, s.Close())
	}
}

func readBack(s *Segment) ([]byte, error) {
	xs, err := s.Read(nil, firstOffset, math.MaxInt64, math.MaxInt32, true)
	if err != nil {
		return nil, err
	}
	return batch.Copy(nil, xs)
}
