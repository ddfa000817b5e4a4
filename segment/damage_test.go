package segment

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"syscall"
	"testing"

	"chronik/kafka/batch"
	"chronik/kafka/kerr"
	"chronik/wal/vfs"
)

const (
	dataFile  = "p/00000000000000000100.seg"
	indexFile = "p/00000000000000000100.idx"
)

// sealedFiles returns the batches of a sealed segment, and its two files.
func sealedFiles(t *testing.T) (all []batch.Batch, data, index []byte) {
	fs := vfs.NewMem()
	all = append(makeBatches(100, 40), txnBatches(0)...)
	for i, at := 40, all[39].NextOffset(); i < len(all); i++ {
		all[i].Assign(at, 0)
		at = all[i].NextOffset()
	}
	s := create(t, fs, 100, all)
	must(t, s.Seal())
	return all, contents(t, fs, dataFile), contents(t, fs, indexFile)
}

func contents(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name, vfs.ReadOnly)
	must(t, err)
	size, err := f.Size()
	must(t, err)
	p := make([]byte, size)
	must(t, readFull(f, p, 0))
	return p
}

func withFiles(t *testing.T, data, index []byte) vfs.FS {
	t.Helper()
	fs := vfs.NewMem()
	must(t, fs.MkdirAll("p"))
	for name, p := range map[string][]byte{dataFile: data, indexFile: index} {
		if p == nil {
			continue
		}
		f, err := fs.Open(name, vfs.Create)
		must(t, err)
		_, err = f.WriteAt(p, 0)
		must(t, err)
	}
	return fs
}

// readAllOf opens the segment and reads all of it, batch by batch; what it returns before an error counts as served.
func readAllOf(fs vfs.FS, end int64) (served []byte, err error) {
	s, err := Open(fs, "p", 100, end, Options{})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	for at := int64(100); at < s.End(); {
		xs, err := s.Read(nil, at, math.MaxInt64, 1, true)
		if err != nil {
			return served, err
		}
		served, _ = batch.Copy(served, xs)
		at = batch.Batch(xs[0].Mem).NextOffset()
	}
	return served, nil
}

func isCorrupt(err error) bool {
	var c *CorruptError
	return errors.As(err, &c) && c.File != "" && kerr.Of(err) == kerr.KafkaStorageError
}

func TestDamagedDataIsNeverServed(t *testing.T) {
	all, data, index := sealedFiles(t)
	want := bytes.Join(bytesOf(all), nil)
	for pos := 0; pos < len(data); pos += 1 + len(data)/700 {
		bad := bytes.Clone(data)
		bad[pos] ^= 4
		served, err := readAllOf(withFiles(t, bad, index), Footer)
		if !isCorrupt(err) || !bytes.HasPrefix(want, served) {
			t.Fatalf("byte %d: %v, %d bytes served", pos, err, len(served))
		}
	}
	for name, bad := range map[string][]byte{
		"missing": nil, "empty": {}, "cut": data[:len(data)-1], "cut between batches": data[:len(data)-len(all[len(all)-1])],
		"longer": append(bytes.Clone(data), 0), "zeroed": make([]byte, len(data)),
	} {
		if served, err := readAllOf(withFiles(t, bad, index), Footer); !isCorrupt(err) || len(served) != 0 {
			t.Errorf("%s: %v, %d bytes served", name, err, len(served))
		}
	}
}

func bytesOf(all []batch.Batch) (bs [][]byte) {
	for _, b := range all {
		bs = append(bs, b)
	}
	return bs
}

func TestADamagedIndexIsMadeAgain(t *testing.T) {
	all, data, index := sealedFiles(t)
	end := all[len(all)-1].NextOffset()
	want := bytes.Join(bytesOf(all), nil)
	var model txns
	for _, b := range all {
		model.note(b)
	}
	bad := map[string][]byte{"missing": nil, "empty": {}, "cut": index[:len(index)-1], "half": index[:len(index)/2],
		"longer": append(bytes.Clone(index), 1), "zeroed": make([]byte, len(index)), "good": index}
	for pos := 0; pos < len(index); pos += 1 + len(index)/300 {
		p := bytes.Clone(index)
		p[pos] ^= 4
		bad[fmt.Sprint("byte ", pos)] = p
	}
	for name, p := range bad {
		fs := withFiles(t, data, p)
		for range 2 { // the second time with what the first one wrote
			for _, end := range []int64{Footer, end} {
				if served, err := readAllOf(fs, end); err != nil || !bytes.Equal(served, want) {
					t.Fatalf("%s: %v, %d bytes", name, err, len(served))
				}
			}
			s, err := Open(fs, "p", 100, Footer, Options{})
			must(t, err)
			must(t, s.Verify())
			aborted, _, err := s.Aborted(100, end)
			must(t, err)
			if len(aborted) == 0 || fmt.Sprint(aborted) != fmt.Sprint(model.aborted) || s.MaxTimestamp() != maxTime(all) {
				t.Fatalf("%s: %v, want %v", name, aborted, model.aborted)
			}
		}
	}
}

func TestTheIndexOfAnotherSegmentIsNotTaken(t *testing.T) {
	all, data, _ := sealedFiles(t)
	fs := vfs.NewMem()
	other := create(t, fs, 0, makeBatches(100, 40))
	must(t, other.Seal())
	served, err := readAllOf(withFiles(t, data, contents(t, fs, "p/00000000000000000000.idx")), Footer)
	if want := bytes.Join(bytesOf(all), nil); err != nil || !bytes.Equal(served, want) {
		t.Error(err, len(served))
	}
}

func TestWhatShouldBeThereButIsNotIsDamage(t *testing.T) {
	all, data, index := sealedFiles(t)
	end := all[len(all)-1].NextOffset()
	for name, c := range map[string]struct {
		data, index []byte
		end         int64
	}{
		"sealed, ends early":         {data, index, end + 1},
		"not sealed, ends early":     {data, nil, end + 1},
		"not sealed, cut":            {data[:len(data)-1], nil, end},
		"not sealed, flipped":        {flipped(data, 70), nil, end},
		"not sealed, end in a batch": {data, nil, all[3].LastOffset()},
		"missing":                    {nil, index, end},
	} {
		if _, err := Open(withFiles(t, c.data, c.index), "p", 100, c.end, Options{}); !isCorrupt(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func flipped(p []byte, pos int) []byte {
	p = bytes.Clone(p)
	p[pos] ^= 1
	return p
}

func TestAFailedWriteOrSyncIsFinal(t *testing.T) {
	for _, kind := range []vfs.OpKind{vfs.OpWrite, vfs.OpSync, vfs.OpSyncDir} {
		fs := vfs.NewFault(vfs.NewMem())
		s, err := Create(fs, "p", 100, Options{})
		must(t, err)
		failures, all := 0, makeBatches(100, 4)
		fs.Script(func(op vfs.Op) vfs.Outcome {
			if op.Kind == kind && failures == 0 {
				failures++
				return vfs.Outcome{Err: syscall.EIO}
			}
			return vfs.Outcome{}
		})
		err = s.Append(all[0])
		if err == nil {
			err = s.Sync()
		}
		for _, again := range []error{err, s.Append(all[0]), s.Append(all[1]), s.Sync(), s.Seal()} {
			if !errors.Is(again, syscall.EIO) || kerr.Of(again) != kerr.KafkaStorageError {
				t.Errorf("%s: %v", kind, again)
			}
		}
		if s.Sealed() {
			t.Error("sealed")
		}
	}
}

// Damage that an Append is given ends the segment, wherever in the batch it is: nothing of it becomes durable.
func TestDamageIsNotAppended(t *testing.T) {
	for _, size := range []int{10, 3000, 100_000} {
		good := sized(101, size)
		for _, pos := range []int{21, 40, batch.HeaderSize + 1, len(good) / 2, len(good) - 1} {
			fs := vfs.NewMem()
			s := create(t, fs, 100, []batch.Batch{sized(100, 10)})
			must(t, s.Sync())
			for _, b := range [][]byte{flipped(good, pos), good} {
				if err := s.Append(b); !errors.Is(err, kerr.CorruptMessage) {
					t.Errorf("%d bytes, byte %d: %v", len(good), pos, err)
				}
			}
			if err := s.Sync(); err == nil || s.End() != 101 {
				t.Errorf("%d bytes, byte %d: the end is %d", len(good), pos, s.End())
			}
			s, err := Open(fs, "p", 100, 101, Options{})
			must(t, err)
			must(t, s.Append(good))
			must(t, s.Seal())
			must(t, s.Verify())
		}
	}
}

func TestAFailedReadIsAnErrorAndCanBeTriedAgain(t *testing.T) {
	all, data, index := sealedFiles(t)
	fs := vfs.NewFault(withFiles(t, data, index))
	s, err := Open(fs, "p", 100, Footer, Options{Files: NewFiles(1, 1)})
	must(t, err)
	fs.Script(func(op vfs.Op) vfs.Outcome {
		if op.Kind == vfs.OpRead && op.Name == dataFile {
			return vfs.Outcome{Err: syscall.EIO}
		}
		return vfs.Outcome{}
	})
	if _, err := s.Read(nil, 100, math.MaxInt64, 1<<20, true); !errors.Is(err, syscall.EIO) || kerr.Of(err) != kerr.KafkaStorageError {
		t.Error(err)
	}
	fs.Script(func(vfs.Op) vfs.Outcome { return vfs.Outcome{} })
	if got := read(t, s, 100, math.MaxInt64, math.MaxInt32, true); !bytes.Equal(got, bytes.Join(bytesOf(all), nil)) {
		t.Error(len(got))
	}
}

func TestAbortedTransactionsAcrossSegments(t *testing.T) {
	fs := vfs.NewMem()
	tx := txnBatches(0) // 0 to 8: producers 1 and 2 and 1 again, 1 aborts at 3, 3, 2 commits at 5, 9 aborts, 1, 3 aborts at 8
	first := create(t, fs, 0, tx[:3])
	must(t, first.Seal())
	second, err := Create(fs, "p", 3, Options{Ongoing: first.Ongoing})
	must(t, err)
	for _, b := range tx[3:] {
		must(t, second.Append(b))
	}
	must(t, second.Seal())
	check := func() {
		t.Helper()
		got, complete, err := second.Aborted(0, 3)
		if want := (AbortedTxn{1, 0, 3, 1}); err != nil || len(got) != 1 || got[0] != want || !complete {
			t.Error(got, complete, err)
		}
		got, _, err = second.Aborted(4, 9)
		if want := (AbortedTxn{3, 4, 8, 7}); err != nil || len(got) != 1 || got[0] != want {
			t.Error(got, err)
		}
		if open, err := second.Ongoing(); err != nil || len(open) != 1 || open[0] != (Ongoing{1, 7}) {
			t.Error(open, err)
		}
	}
	check()
	must(t, second.Close())
	must(t, fs.Remove("p/00000000000000000003.idx"))
	second, err = Open(fs, "p", 3, 9, Options{Ongoing: first.Ongoing})
	must(t, err)
	check()
}
