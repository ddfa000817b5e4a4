package faults

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"chronik/kafka/batch"
)

// hostileBatches are right batches of every codec, and bombs: those of a few KiB are tens of megabytes.
func hostileBatches(t testing.TB) (right, bombs [][]byte) {
	t.Helper()
	build := func(c batch.Codec, records, size int) []byte {
		w := batch.Builder{Compression: batch.Compression{Codec: c}}
		for i := range records {
			w.Add(&batch.Record{Timestamp: 1_700_000_000_000 + int64(i), Key: []byte("key"), Value: make([]byte, size)})
		}
		b, err := w.Build(nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for c := batch.Uncompressed; c.Known(); c++ {
		right = append(right, build(c, 3, 20))
	}
	return right, [][]byte{
		build(batch.Uncompressed, 1, 64<<10), build(batch.Gzip, 1, 40<<20), build(batch.Zstd, 1, 60<<20),
		build(batch.Zstd, 60_000, 1), build(batch.LZ4, 1, 8<<20), build(batch.Snappy, 1, 1<<20),
	}
}

// batch is mostly a right one; a bomb costs the broker as much time as a thousand other frames.
func (h *hostileRequests) batch() []byte {
	if h.r.IntN(300) == 0 {
		return h.bombs[h.r.IntN(len(h.bombs))]
	}
	return h.batches[h.r.IntN(len(h.batches))]
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// spoilBatch writes something wrong into a batch of version 2, in place. The CRC is mostly made right again, or nothing
// behind it would ever be looked at.
func (h *hostileRequests) spoilBatch(b []byte) {
	for range 1 + h.r.IntN(3) {
		switch h.r.IntN(8) {
		case 0: // the base offset
			binary.BigEndian.PutUint64(b, uint64(spoiltNumbers[h.r.IntN(len(spoiltNumbers))]))
		case 1: // the length
			binary.BigEndian.PutUint32(b[8:], h.evil32())
		case 2: // the magic
			b[16] = byte(h.r.IntN(5)) - 1
		case 3: // control, transactional, unknown codecs, times of the append
			binary.BigEndian.PutUint16(b[21:], uint16(h.r.Uint32())>>h.r.IntN(16))
		case 4: // the last delta or the count
			binary.BigEndian.PutUint32(b[[]int{23, 57}[h.r.IntN(2)]:], h.evil32())
		case 5: // times, the producer
			binary.BigEndian.PutUint64(b[[]int{27, 35, 43}[h.r.IntN(3)]:], uint64(spoiltNumbers[h.r.IntN(len(spoiltNumbers))]))
		case 6: // the sequence and the producer's epoch
			binary.BigEndian.PutUint32(b[[]int{51, 53}[h.r.IntN(2)]:], h.evil32())
		default: // records
			if len(b) > 61 {
				b[61+h.r.IntN(len(b)-61)] ^= 1 << h.r.IntN(8)
			}
		}
	}
	if h.r.IntN(8) > 0 {
		binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
	}
}
