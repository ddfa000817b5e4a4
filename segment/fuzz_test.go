package segment

import (
	"bytes"
	"math"
	"testing"

	"chronik/kafka/batch"
	"chronik/wal/vfs"
)

// Whatever the files hold: an error, or a segment that can be read, verified and written on.
func FuzzOpen(f *testing.F) {
	fs := vfs.NewMem()
	s, _ := Create(fs, "p", 100, Options{})
	for _, b := range txnBatches(100) {
		_ = s.Append(b)
	}
	_ = s.Sync()
	read := func(name string) []byte { p, _ := s.readAll(name); return p }
	f.Add(read(dataFile), read(indexFile), int64(109))
	_ = s.Seal()
	f.Add(read(dataFile), read(indexFile), int64(-1))
	f.Add([]byte{}, []byte{}, int64(100))
	f.Fuzz(func(t *testing.T, data, index []byte, end int64) {
		index = bytes.Clone(index)
		for i := 0; i+recordSize <= len(index) && len(data)%2 == 0; i += recordSize {
			signRecord(index[i:i+recordSize], 100, i/recordSize) // past the CRC
		}
		fs := withFiles(t, data, index)
		s, err := Open(fs, "p", 100, max(end, -1), Options{})
		if err != nil {
			return
		}
		defer s.Close()
		if end > 100 && s.End() < end {
			t.Errorf("ends at %d, not %d", s.End(), end)
		}
		if _, err := s.Read(nil, 100, math.MaxInt64, math.MaxInt32, true); err != nil && !isCorrupt(err) {
			t.Error(err)
		}
		_, _, _ = s.FindTime(testTime)
		_, _, _ = s.MaxTime()
		if s.Sealed() || s.End() == math.MaxInt64 {
			return
		}
		if err := s.Append(makeBatch(s.End(), 1, testTime, 3, batch.Uncompressed)); err == nil {
			must(t, s.Seal())
		}
	})
}
