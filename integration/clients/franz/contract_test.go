package main

import (
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"
)

type arrival struct {
	partition int32
	offset    int64
	i         int
}

func arrivals(list ...arrival) *Tally {
	t := NewTally("t", 0, 3)
	t.StartAt(0, 10)
	for _, a := range list {
		t.Add(a.partition, a.offset, Key(a.i), Value("t", "gzip", a.i))
	}
	return t
}

func TestTallyTakesEveryRecordOnce(t *testing.T) {
	if err := arrivals(arrival{0, 10, 0}, arrival{1, 5, 1}, arrival{0, 11, 2}).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestTallyRefuses(t *testing.T) {
	cases := map[string]*Tally{
		"2 of 3 records":      arrivals(arrival{0, 10, 0}, arrival{0, 11, 1}),
		"came twice":          arrivals(arrival{0, 10, 0}, arrival{1, 5, 0}),
		"came after":          arrivals(arrival{0, 10, 1}, arrival{0, 11, 0}),
		"expected offset 11":  arrivals(arrival{0, 10, 0}, arrival{0, 12, 1}),
		"expected offset 10":  arrivals(arrival{0, 9, 0}),
		"is not one of 0 to ": arrivals(arrival{0, 10, 3}),
	}
	key, value, topic := NewTally("t", 0, 3), NewTally("t", 0, 3), NewTally("t", 0, 3)
	key.Add(0, 0, []byte("key-2"), Value("t", "gzip", 1))
	value.Add(0, 0, Key(1), strings.Replace(Value("t", "gzip", 1), "b", "c", 1))
	topic.Add(0, 0, Key(1), Value("u", "gzip", 1))
	cases["key \"key-2\""], cases["bytes differ"], cases["not of topic t"] = key, value, topic
	for want, tally := range cases {
		if err := tally.Err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// rawBatch is the least that batchesOf looks at: one record at the given offset, the CRC right.
func rawBatch(base int64) []byte {
	b := make([]byte, 70)
	binary.BigEndian.PutUint64(b, uint64(base))
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	b[16] = 2
	b[69] = 7
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func TestBatchesAreWalkedToTheLastWholeOne(t *testing.T) {
	b := append(rawBatch(4), rawBatch(5)...)
	next, err := (&Raw{}).batchesOf(append(b, rawBatch(6)[:65]...), 4)
	if err != nil || next != 6 {
		t.Fatalf("next %d, %v", next, err)
	}
}

func TestBatchesRefuse(t *testing.T) {
	flipped, old := rawBatch(4), rawBatch(4)
	flipped[65] ^= 1
	old[16] = 1
	for want, b := range map[string][]byte{
		"CRC-32C": flipped, "magic 1": old, "expected one at 4": rawBatch(5),
		"expected one at 5": append(rawBatch(4), rawBatch(6)...),
	} {
		if _, err := (&Raw{}).batchesOf(b, 4); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
