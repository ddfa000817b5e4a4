package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Bits of a batch's attributes, and its codecs.
const (
	gzipCodec     = 1
	zstdCodec     = 4
	appendTime    = 1 << 3
	transactional = 1 << 4
	control       = 1 << 5
)

// plain is a batch of records with values, without a producer.
func plain(values ...string) *kmsg.RecordBatch {
	b := &kmsg.RecordBatch{Magic: 2, FirstTimestamp: 1000, MaxTimestamp: 1000, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1}
	b.PartitionLeaderEpoch = -1
	for i, v := range values {
		b.Records = append(b.Records, record(i, 0, []byte("k"), []byte(v))...)
	}
	b.NumRecords, b.LastOffsetDelta = int32(len(values)), int32(len(values))-1
	return b
}

// record is one record with its length before it; a nil key is a null key.
func record(offsetDelta int, timestampDelta int64, key, value []byte) []byte {
	body := []byte{0}
	body = binary.AppendVarint(body, timestampDelta)
	body = binary.AppendVarint(body, int64(offsetDelta))
	for _, b := range [][]byte{key, value} {
		if b == nil {
			body = binary.AppendVarint(body, -1)
			continue
		}
		body = append(binary.AppendVarint(body, int64(len(b))), b...)
	}
	body = binary.AppendVarint(body, 0)
	return append(binary.AppendVarint(nil, int64(len(body))), body...)
}

// from gives a batch a producer.
func from(b *kmsg.RecordBatch, id int64, epoch int16, sequence int32) *kmsg.RecordBatch {
	b.ProducerID, b.ProducerEpoch, b.FirstSequence = id, epoch, sequence
	return b
}

// at gives a batch of one timestamp.
func at(b *kmsg.RecordBatch, timestamp int64) *kmsg.RecordBatch {
	b.FirstTimestamp, b.MaxTimestamp = timestamp, timestamp
	return b
}

func compressed(b *kmsg.RecordBatch, codec int16) *kmsg.RecordBatch {
	switch codec {
	case gzipCodec:
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		_, _ = z.Write(b.Records)
		_ = z.Close()
		b.Records = out.Bytes()
	case zstdCodec:
		z, _ := zstd.NewWriter(nil)
		b.Records = z.EncodeAll(b.Records, nil)
	}
	b.Attributes |= codec
	return b
}

// sealed encodes a batch, with its length and its sum.
func sealed(b *kmsg.RecordBatch) []byte {
	b.Length = int32(49 + len(b.Records))
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}

// legacy is a message of format 0 or 1.
func legacy(magic int8, timestamp int64, key, value string) []byte {
	body := []byte{byte(magic), 0}
	if magic == 1 {
		body = binary.BigEndian.AppendUint64(body, uint64(timestamp))
	}
	for _, s := range []string{key, value} {
		body = append(binary.BigEndian.AppendUint32(body, uint32(len(s))), s...)
	}
	raw := make([]byte, 8, 64)
	raw = binary.BigEndian.AppendUint32(raw, uint32(4+len(body)))
	raw = binary.BigEndian.AppendUint32(raw, crc32.ChecksumIEEE(body))
	return append(raw, body...)
}
