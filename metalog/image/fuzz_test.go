package image

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"
)

// What decodes can be encoded again and is then the same, and Apply survives it.
func FuzzRecords(f *testing.F) {
	for _, r := range samples() {
		b, err := Append(nil, r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	base := sampleImage(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		recs, err := DecodeAll(b)
		if err != nil {
			return
		}
		var again []byte
		for _, r := range recs {
			if again, err = Append(again, r); err != nil {
				t.Fatal(err)
			}
		}
		twice, err := DecodeAll(again)
		if err != nil || len(twice) != len(recs) {
			t.Fatalf("%+v became %+v, %v", recs, twice, err)
		}
		if m, d, err := base.Apply(2, recs); err == nil && (d.New != m || m.Index() != 2) {
			t.Fatal("not the image of the delta")
		}
	})
}

// A snapshot of any items, with the right checksum, is refused or is an image that can be written and read again.
func FuzzSnapshot(f *testing.F) {
	b := encoded(f, sampleImage(f))
	f.Add(b[:len(b)-4])
	b = encoded(f, Empty())
	f.Add(b[:len(b)-4])
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Read(bytes.NewReader(binary.BigEndian.AppendUint32(b[:len(b):len(b)], crc32.Checksum(b, castagnoli))))
		if err != nil {
			return
		}
		first := encoded(t, m)
		again, err := Read(bytes.NewReader(first))
		if err != nil || !bytes.Equal(first, encoded(t, again)) {
			t.Fatal("not the same when read again:", err)
		}
	})
}
