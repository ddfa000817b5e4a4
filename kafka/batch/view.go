package batch

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"chronik/kafka/kerr"
)

const (
	posLength      = 8
	posEpoch       = 12
	posMagic       = 16
	posCRC         = 17
	posAttributes  = 21
	posLastDelta   = 23
	posBaseTime    = 27
	posMaxTime     = 35
	posProducerID  = 43
	posProducerEp  = 51
	posSequence    = 53
	posCount       = 57
	lengthOverhead = 12 // bytes before those that batchLength counts
)

// SumFrom is where the bytes of a batch begin that its CRC is of; they go to its end.
const SumFrom = posAttributes

// The bits of attributes.
const (
	attrCodec         = 0x07
	attrLogAppendTime = 0x08
	attrTransactional = 0x10
	attrControl       = 0x20
	attrDeleteHorizon = 0x40
)

// NoTimestamp, NoProducerID and NoSequence are what a batch without one carries.
const (
	NoTimestamp  = int64(-1)
	NoProducerID = int64(-1)
	NoSequence   = int32(-1)
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrTruncated says that the bytes end before the batch does; it is a CORRUPT_MESSAGE. A reader that has more bytes
// behind these reads on, everybody else gives up.
var ErrTruncated = fmt.Errorf("batch: bytes end inside a batch: %w", kerr.CorruptMessage)

var (
	errLength = fmt.Errorf("batch: length below that of a header: %w", kerr.CorruptMessage)
	errMagic  = fmt.Errorf("batch: not of version 2: %w", kerr.CorruptMessage)
	errCRC    = fmt.Errorf("batch: CRC does not match: %w", kerr.CorruptMessage)
)

// Next splits b after its first batch, by length and magic alone: first aliases b, rest is what follows it. It returns
// ErrTruncated when b is shorter than the batch, CORRUPT_MESSAGE when b does not begin with a batch of version 2.
func Next(b []byte) (first Batch, rest []byte, err error) {
	n, err := sizeOf(b)
	if err != nil {
		return nil, b, err
	}
	if n > len(b) {
		return nil, b, ErrTruncated
	}
	return Batch(b[:n:n]), b[n:], nil
}

// SizeHint is the size of the batch that b begins with, header included, or an error as Next's; ErrTruncated when b
// is too short to tell. Unlike Next it does not want the whole batch: 17 bytes are enough.
func SizeHint(b []byte) (int, error) { return sizeOf(b) }

func sizeOf(b []byte) (int, error) {
	if len(b) <= posMagic {
		return 0, ErrTruncated
	}
	length := int64(int32(binary.BigEndian.Uint32(b[posLength:])))
	if MagicOf(b) != 2 {
		return 0, errMagic
	}
	if length < HeaderSize-lengthOverhead {
		return 0, errLength
	}
	return int(length) + lengthOverhead, nil
}

// MagicOf is the message format of record bytes as they stand in a request (0, 1 or 2: all three have it in the same
// place), or -1 when there are too few bytes to tell.
func MagicOf(b []byte) int8 {
	if len(b) <= posMagic {
		return -1
	}
	return int8(b[posMagic])
}

// Size is the length in bytes that the header declares, header included.
func (b Batch) Size() int { return int(b.int32At(posLength)) + lengthOverhead }

// BaseOffset is the offset of the first record, LastOffset that of the last, NextOffset the one after the last.
func (b Batch) BaseOffset() int64 { return b.int64At(0) }
func (b Batch) LastOffset() int64 { return b.BaseOffset() + int64(b.LastOffsetDelta()) }
func (b Batch) NextOffset() int64 { return b.LastOffset() + 1 }

// LastOffsetDelta is LastOffset minus BaseOffset; after compaction it may be more than Count minus one.
func (b Batch) LastOffsetDelta() int32 { return b.int32At(posLastDelta) }

// LeaderEpoch is the epoch of the leader that appended the batch.
func (b Batch) LeaderEpoch() int32 { return b.int32At(posEpoch) }

func (b Batch) Magic() int8       { return int8(b[posMagic]) }
func (b Batch) CRC() uint32       { return binary.BigEndian.Uint32(b[posCRC:]) }
func (b Batch) Attributes() int16 { return b.int16At(posAttributes) }

// Codec is the compression of the records; it may be a number that no codec has (see Codec.Known).
func (b Batch) Codec() Codec { return Codec(b.Attributes() & attrCodec) }

// IsLogAppendTime says that every record's timestamp is MaxTimestamp, the time of the append.
func (b Batch) IsLogAppendTime() bool { return b.Attributes()&attrLogAppendTime != 0 }
func (b Batch) IsTransactional() bool { return b.Attributes()&attrTransactional != 0 }

// IsControl says that the batch holds a transaction marker instead of data; see Marker.
func (b Batch) IsControl() bool { return b.Attributes()&attrControl != 0 }

// HasDeleteHorizon says that BaseTimestamp is the time from which a tombstone may go (set by compaction).
func (b Batch) HasDeleteHorizon() bool { return b.Attributes()&attrDeleteHorizon != 0 }

// BaseTimestamp is what the records' timestamps are relative to, MaxTimestamp the greatest of them as the producer
// says, in milliseconds since 1970; NoTimestamp for none.
func (b Batch) BaseTimestamp() int64 { return b.int64At(posBaseTime) }
func (b Batch) MaxTimestamp() int64  { return b.int64At(posMaxTime) }

// TimestampType is Kafka's word for IsLogAppendTime: "CreateTime" or "LogAppendTime".
func (b Batch) TimestampType() string {
	if b.IsLogAppendTime() {
		return "LogAppendTime"
	}
	return "CreateTime"
}

// ProducerID, ProducerEpoch and BaseSequence are -1 when the producer is not idempotent.
func (b Batch) ProducerID() int64    { return b.int64At(posProducerID) }
func (b Batch) ProducerEpoch() int16 { return b.int16At(posProducerEp) }
func (b Batch) BaseSequence() int32  { return b.int32At(posSequence) }

// LastSequence is the sequence of the last record: after 2^31-1 follows 0.
func (b Batch) LastSequence() int32 {
	base := b.BaseSequence()
	if base == NoSequence {
		return NoSequence
	}
	return IncrementSequence(base, b.LastOffsetDelta())
}

// IncrementSequence is seq plus n in the ring of the non-negative int32.
func IncrementSequence(seq, n int32) int32 {
	return int32((int64(seq) + int64(n)) & math.MaxInt32)
}

// Count is the number of records that the header declares.
func (b Batch) Count() int32 { return b.int32At(posCount) }

// Payload is what follows the header: the records, compressed if the batch is.
func (b Batch) Payload() []byte { return b[HeaderSize:] }

// CheckCRC returns CORRUPT_MESSAGE when the stored CRC-32C is not that of the bytes.
func (b Batch) CheckCRC() error {
	if b.CRC() != b.computeCRC() {
		return errCRC
	}
	return nil
}

func (b Batch) computeCRC() uint32      { return crc32.Checksum(b[posAttributes:], castagnoli) }
func (b Batch) int16At(pos int) int16   { return int16(binary.BigEndian.Uint16(b[pos:])) }
func (b Batch) int32At(pos int) int32   { return int32(binary.BigEndian.Uint32(b[pos:])) }
func (b Batch) int64At(pos int) int64   { return int64(binary.BigEndian.Uint64(b[pos:])) }
func (b Batch) putCRC()                 { binary.BigEndian.PutUint32(b[posCRC:], b.computeCRC()) }
func (b Batch) putInt16(p int, v int16) { binary.BigEndian.PutUint16(b[p:], uint16(v)) }
func (b Batch) putInt32(p int, v int32) { binary.BigEndian.PutUint32(b[p:], uint32(v)) }
func (b Batch) putInt64(p int, v int64) { binary.BigEndian.PutUint64(b[p:], uint64(v)) }
