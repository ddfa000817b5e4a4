package partlog

import (
	"bytes"
	"testing"
)

// FuzzFacts reads entries of the log that are no records: what is read must be written as it was.
func FuzzFacts(f *testing.F) {
	f.Add(encodeLogStart(7, 1<<40))
	f.Add(encodeDirectory(testID(3)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if stream, start, err := decodeLogStart(b); err == nil && !bytes.Equal(encodeLogStart(stream, start), b) {
			t.Errorf("the log start %d of %d is not %x", start, stream, b)
		}
		if id, err := decodeDirectory(b); err == nil && !bytes.Equal(encodeDirectory(id), b) {
			t.Errorf("the directory of %+v is not %x", id, b)
		}
	})
}
