package batch

import (
	"fmt"

	"chronik/kafka/kerr"
)

var errDownZstd = kerr.Detail(kerr.UnsupportedCompressionType, "zstd is not for clients of this version")

// Copy appends the bytes of extents to dst.
func Copy(dst []byte, extents []Extent) ([]byte, error) {
	for i := range extents {
		x := &extents[i]
		if x.File == nil {
			dst = append(dst, x.Mem...)
			continue
		}
		at := len(dst)
		dst = append(dst, make([]byte, x.Len)...)
		if _, err := x.File.ReadAt(dst[at:], x.Off); err != nil {
			return nil, fmt.Errorf("batch: copy records: %w: %w", kerr.KafkaStorageError, err)
		}
	}
	return dst, nil
}

// ConvertDown returns batches as a message set of format 0 or 1, as Kafka's RecordsUtil does it, in memory of its own:
// every message keeps its offset, headers are dropped, transaction markers left out, compression is kept (zstd is
// UNSUPPORTED_COMPRESSION_TYPE). Uncompressed messages below offset from are left out, since some clients take the first
// message for the one that they asked for. When the batches are much larger than they look, only the first ones are
// converted; the client asks for the others then.
func ConvertDown(records []byte, magic int8, from int64) ([]byte, error) {
	var out []byte
	for spent := 0; len(records) > 0 && (spent < convertAtOnce || len(out) == 0); {
		b, rest, err := Next(records)
		if err != nil {
			return nil, err
		}
		if !b.IsControl() {
			if out, err = b.appendDown(out, magic, from, &spent); err != nil {
				return nil, err
			}
		}
		records = rest
	}
	return out, nil
}

// convertAtOnce is how many bytes of decompressed records are enough for one call of ConvertDown.
const convertAtOnce = 16 << 20

// appendDown adds the bytes of the records to spent.
func (b Batch) appendDown(dst []byte, magic int8, from int64, spent *int) ([]byte, error) {
	codec := b.Codec()
	if codec == Zstd {
		return nil, errDownZstd
	}
	it, err := b.Records(0)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	it.DropHeaders = true
	*spent += len(it.payload)
	if codec == Uncompressed {
		for it.Next() {
			if it.Record.Offset >= from {
				m := b.message(&it.Record, magic)
				dst = appendMessage(dst, &m)
			}
		}
		return dst, it.Err()
	}
	return b.appendWrapped(dst, &it, magic)
}

func (b Batch) message(r *Record, magic int8) message {
	return message{offset: r.Offset, magic: magic, appendTime: b.IsLogAppendTime(), timestamp: r.Timestamp, key: r.Key, value: r.Value}
}

// appendWrapped appends one message that wraps all records, compressed. It has the last one's offset; format 1 numbers
// the ones within relative to the first.
func (b Batch) appendWrapped(dst []byte, it *Records, magic int8) ([]byte, error) {
	var inner []byte
	outer := message{magic: magic, codec: b.Codec(), appendTime: b.IsLogAppendTime(), timestamp: NoTimestamp}
	first := int64(-1)
	for it.Next() {
		m := b.message(&it.Record, magic)
		if first < 0 {
			first = m.offset
		}
		outer.offset = m.offset
		outer.timestamp = max(outer.timestamp, m.timestamp)
		if magic > 0 {
			m.offset -= first
		}
		inner = appendMessage(inner, &m)
	}
	if it.Err() != nil || first < 0 {
		return dst, it.Err()
	}
	value, err := Compression{Codec: b.Codec()}.compress(nil, inner)
	if err != nil {
		return nil, err
	}
	if magic == 0 && b.Codec() == LZ4 {
		breakLZ4(value)
	}
	outer.value = value
	return appendMessage(dst, &outer), nil
}
