package segment

import (
	"encoding/binary"
	"hash/crc32"

	"chronik/kafka/batch"
	"chronik/wal/crc"
)

// chunkSize is the number of bytes after which a chunk of the data ends with the batch that reaches it. Chunks are the
// grain of look-up and of damage: each has an entry with the CRC of its bytes.
const chunkSize = 32 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// chunk is a run of whole batches in the data.
type chunk struct {
	base, end int64 // offsets
	pos       int64
	length    int64
	maxTime   int64 // greatest timestamp of this chunk and all before it
	crc       uint32
}

// index is what the index file says, up to its newest mark, and what is to be added to it.
type index struct {
	chunks  []chunk
	txns    txns
	mark    mark
	records int    // in the file
	current chunk  // being filled; length 0 when there is none
	pending []byte // records for the file, without the mark
}

// extend adds what was appended behind ix, an index of nothing else.
func (ix *index) extend(appended *index) {
	ix.chunks = append(ix.chunks, appended.chunks...)
	ix.txns.aborted = append(ix.txns.aborted, appended.txns.aborted...)
	ix.txns.ongoing = appended.txns.ongoing
	ix.mark, ix.records = appended.mark, appended.records
}

// add takes over the batch b, which stands at mark.size in the data.
func (ix *index) add(b batch.Batch) {
	if ix.current.length == 0 {
		ix.current = chunk{base: b.BaseOffset(), pos: ix.mark.size}
	}
	if ix.mark.firstTime == batch.NoTimestamp {
		ix.mark.firstTime = b.MaxTimestamp()
	}
	ix.mark.maxTime = max(ix.mark.maxTime, b.MaxTimestamp())
	ix.mark.end = b.NextOffset()
	ix.mark.size += int64(len(b))
	c := &ix.current
	c.end, c.maxTime = ix.mark.end, ix.mark.maxTime
	c.length += int64(len(b))
	c.crc = appended(c.crc, b)
	if aborted, ok := ix.txns.note(b); ok {
		ix.pending = append(ix.pending, abortedRecord(aborted)...)
	}
	if c.length >= chunkSize {
		ix.closeChunk()
	}
}

// knownFrom is the size from which on a batch's own CRC spares more than it costs to fit it to the chunk's.
const knownFrom = 32 << 10

// appended is sum of a chunk with b behind. A large b is not read for it again: what its CRC is of is what the chunk should
// hold, and whoever reads the chunk finds out if it does not.
func appended(sum uint32, b batch.Batch) uint32 {
	if len(b) < knownFrom {
		return crc.Update(sum, b)
	}
	return crc.Combine(crc.Update(sum, b[:batch.SumFrom]), b.CRC(), int64(len(b)-batch.SumFrom))
}

func (ix *index) closeChunk() {
	if ix.current.length == 0 {
		return
	}
	ix.chunks = append(ix.chunks, ix.current)
	ix.pending = append(ix.pending, chunkRecord(ix.current)...)
	ix.current = chunk{}
}

// flush returns the bytes to append to the file, with the transactions that are open now and a mark, and takes them for
// written.
func (ix *index) flush(base int64) []byte {
	ix.closeChunk()
	out := ix.pending
	for _, t := range ix.txns.list() {
		out = append(out, ongoingRecord(t)...)
	}
	out = append(out, markRecord(ix.mark, len(ix.txns.ongoing))...)
	for i := 0; i < len(out); i += recordSize {
		signRecord(out[i:i+recordSize], base, ix.records)
		ix.records++
	}
	ix.pending = nil
	return out
}

// The index file is records of one size, numbered from 0: the kind and a CRC that also covers the segment's base and
// the record's number, so that a record is good only in its place.
const (
	recordSize = 48
	recordKind = 40
	recordCRC  = 44
	version    = 1
)

const (
	kindHeader byte = iota + 1
	kindChunk
	kindAborted
	kindOngoing
	kindMark
	kindSealed // a mark too, the last record
)

var magic = [8]byte{'C', 'H', 'R', 'S', 'E', 'G', 'I', 'X'}

func record(kind byte, fields ...int64) []byte {
	r := make([]byte, recordSize)
	for i, f := range fields {
		binary.BigEndian.PutUint64(r[8*i:], uint64(f))
	}
	r[recordKind] = kind
	return r
}

func headerRecord() []byte {
	return record(kindHeader, int64(binary.BigEndian.Uint64(magic[:])), version)
}

func chunkRecord(c chunk) []byte {
	return record(kindChunk, c.base, c.end, c.pos, c.length<<32|int64(c.crc), c.maxTime)
}

func abortedRecord(t AbortedTxn) []byte {
	return record(kindAborted, t.ProducerID, t.FirstOffset, t.LastOffset, t.LastStable)
}

func ongoingRecord(t Ongoing) []byte { return record(kindOngoing, t.ProducerID, t.FirstOffset) }

func markRecord(m mark, ongoing int) []byte {
	kind := kindMark
	if m.sealed {
		kind = kindSealed
	}
	return record(kind, m.end, m.size, m.firstTime, m.maxTime, int64(ongoing))
}

func signRecord(r []byte, base int64, number int) {
	binary.BigEndian.PutUint32(r[recordCRC:], recordSum(r, base, number))
}

func recordSum(r []byte, base int64, number int) uint32 {
	var place [16]byte
	binary.BigEndian.PutUint64(place[:], uint64(base))
	binary.BigEndian.PutUint64(place[8:], uint64(number))
	return crc32.Update(crc32.Checksum(place[:], castagnoli), castagnoli, r[:recordCRC])
}

func goodRecord(r []byte, base int64, number int) bool {
	return len(r) == recordSize && binary.BigEndian.Uint32(r[recordCRC:]) == recordSum(r, base, number)
}

func field(r []byte, i int) int64 { return int64(binary.BigEndian.Uint64(r[8*i:])) }

func readMark(r []byte) mark {
	return mark{field(r, 0), field(r, 1), field(r, 2), field(r, 3), r[recordKind] == kindSealed}
}

// parseIndex reads an index file as far as its records are good and returns the state at the newest mark that does not
// end after limit. Without such a mark ok is false.
func parseIndex(raw []byte, base, limit int64) (best index, ok bool) {
	if len(raw) < recordSize || !goodRecord(raw[:recordSize], base, 0) || [8]byte(raw[:8]) != magic || field(raw, 1) != version {
		return index{}, false
	}
	ix := index{mark: emptyMark(base), records: 1}
	var ongoing []Ongoing
	for raw = raw[recordSize:]; len(raw) >= recordSize && goodRecord(raw[:recordSize], base, ix.records); raw = raw[recordSize:] {
		ix.records++
		r := raw[:recordSize]
		switch r[recordKind] {
		case kindChunk:
			if !ix.addChunk(r) {
				return best, ok
			}
		case kindAborted:
			ix.txns.aborted = append(ix.txns.aborted, AbortedTxn{field(r, 0), field(r, 1), field(r, 2), field(r, 3)})
		case kindOngoing:
			ongoing = append(ongoing, Ongoing{field(r, 0), field(r, 1)})
		case kindMark, kindSealed:
			m := readMark(r)
			if m.end > limit || m.end != ix.mark.end || m.size != ix.mark.size || int64(len(ongoing)) != field(r, 4) {
				return best, ok
			}
			ix.mark = m
			best, ok = ix, true
			best.txns.ongoing = ongoingMap(ongoing)
			ongoing = nil
		}
	}
	return best, ok
}

// addChunk adds the chunk of a record when it follows the one before without a gap.
func (ix *index) addChunk(r []byte) bool {
	lengthCRC := field(r, 3)
	c := chunk{field(r, 0), field(r, 1), field(r, 2), lengthCRC >> 32, field(r, 4), uint32(lengthCRC)}
	if c.pos != ix.mark.size || c.base < ix.mark.end || c.end <= c.base || c.length < batch.HeaderSize {
		return false
	}
	ix.chunks = append(ix.chunks, c)
	ix.mark.end, ix.mark.size = c.end, c.pos+c.length
	return true
}
