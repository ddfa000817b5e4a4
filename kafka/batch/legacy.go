package batch

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"chronik/kafka/kerr"
)

// A message of format 0 or 1, big-endian (org.apache.kafka.common.record.LegacyRecord); a message set is one after the
// other. A compressed one wraps a message set in its value.
//
//	 0 offset int64         16 magic int8 = 0 or 1
//	 8 size int32           17 attributes int8
//	12 crc uint32 (CRC-32   18 timestamp int64, magic 1 only
//	   from byte 16 on)        key, value: int32 length or -1, bytes
const (
	msgCRC        = 12
	msgAttributes = 17
	msgFixed      = 18
	msgMinSize    = 14 // what size counts in a message of format 0 without key and value
)

var (
	errMessage    = fmt.Errorf("batch: malformed message of an old format: %w", kerr.CorruptMessage)
	errMixedMagic = kerr.Detail(kerr.InvalidRecord, "messages of several format versions in one message set")
	errNested     = kerr.Detail(kerr.InvalidRecord, "a compressed message within a compressed message")
	errWrapper    = kerr.Detail(kerr.InvalidRecord, "a compressed message without messages in it")
	errOldZstd    = kerr.Detail(kerr.InvalidRecord, "zstd is not for messages of an old format")
)

// message is one message, aliasing its bytes.
type message struct {
	offset     int64
	magic      int8
	codec      Codec
	appendTime bool
	timestamp  int64
	key, value []byte
	size       int
}

// nextMessage reads the message that b begins with, its CRC checked.
func nextMessage(b []byte) (m message, rest []byte, err error) {
	if len(b) < msgFixed {
		return m, nil, errMessage
	}
	size := int64(int32(binary.BigEndian.Uint32(b[8:])))
	if size < msgMinSize || size > int64(len(b)-lengthOverhead) {
		return m, nil, errMessage
	}
	m.size = lengthOverhead + int(size)
	b, rest = b[:m.size], b[m.size:]
	if binary.BigEndian.Uint32(b[msgCRC:]) != crc32.ChecksumIEEE(b[posMagic:]) {
		return m, nil, errCRC
	}
	m.offset = int64(binary.BigEndian.Uint64(b))
	m.magic = int8(b[posMagic])
	m.codec = Codec(b[msgAttributes] & attrCodec)
	m.timestamp = NoTimestamp
	body := b[msgFixed:]
	switch {
	case m.magic == 1 && len(body) >= 8:
		m.timestamp = int64(binary.BigEndian.Uint64(body))
		m.appendTime = b[msgAttributes]&attrLogAppendTime != 0
		body = body[8:]
	case m.magic != 0:
		return m, nil, errMessage
	}
	var okKey, okValue bool
	m.key, body, okKey = lengthBytes(body)
	m.value, body, okValue = lengthBytes(body)
	if !okKey || !okValue || len(body) != 0 {
		return m, nil, errMessage
	}
	return m, rest, nil
}

// lengthBytes reads an int32 length and as many bytes; a negative length is null.
func lengthBytes(b []byte) (v, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := int(int32(binary.BigEndian.Uint32(b)))
	b = b[4:]
	switch {
	case n < 0:
		return nil, b, true
	case n > len(b):
		return nil, nil, false
	}
	return b[:n:n], b[n:], true
}

// appendMessage appends m; codec, appendTime, timestamp and offset are m's.
func appendMessage(dst []byte, m *message) []byte {
	at := len(dst)
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.offset))
	dst = append(dst, make([]byte, 8)...) // size and CRC
	attributes := byte(m.codec)
	if m.magic > 0 && m.appendTime {
		attributes |= attrLogAppendTime
	}
	dst = append(dst, byte(m.magic), attributes)
	if m.magic > 0 {
		dst = binary.BigEndian.AppendUint64(dst, uint64(m.timestamp))
	}
	dst = appendLengthBytes(dst, m.key)
	dst = appendLengthBytes(dst, m.value)
	binary.BigEndian.PutUint32(dst[at+8:], uint32(len(dst)-at-lengthOverhead))
	binary.BigEndian.PutUint32(dst[at+msgCRC:], crc32.ChecksumIEEE(dst[at+posMagic:]))
	return dst
}

func appendLengthBytes(dst, v []byte) []byte {
	if v == nil {
		return binary.BigEndian.AppendUint32(dst, 0xffffffff)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(v)))
	return append(dst, v...)
}
