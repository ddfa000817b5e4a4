package main

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"reflect"
)

// records describes the batches of a field; other bytes are quoted.
func records(path, field string, b []byte) []line {
	if b == nil {
		return []line{{path: path, value: "null"}}
	}
	if field != "RecordBatches" {
		return []line{{path: path, value: fmt.Sprintf("%q", b)}}
	}
	lines := []line{{path: path, value: fmt.Sprintf("%d bytes", len(b))}}
	for i := 0; len(b) > 0; i++ {
		at := fmt.Sprintf("%s[%d]", path, i)
		size := len(b)
		if len(b) >= 17 {
			size = 12 + int(binary.BigEndian.Uint32(b[8:]))
		}
		if len(b) < 17 || size < 17 || size > len(b) {
			return append(lines, line{path: at, value: fmt.Sprintf("cut after %d bytes", len(b))})
		}
		lines = append(lines, line{path: at, value: describe(b[:size])})
		b = b[size:]
	}
	return lines
}

// describe shows a batch's or an old message's offset and a sum of all that the producer sent.
func describe(b []byte) string {
	offset, magic := int64(binary.BigEndian.Uint64(b)), int8(b[16])
	if magic < 2 || len(b) < 61 {
		return fmt.Sprintf("offset %d magic %d sum %08x", offset, magic, crc32.ChecksumIEEE(b[16:]))
	}
	attributes := binary.BigEndian.Uint16(b[21:])
	maxTimestamp := number("", reflect.ValueOf(int64(binary.BigEndian.Uint64(b[35:]))))
	sum := "ok"
	if crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)) != binary.BigEndian.Uint32(b[17:]) {
		sum = "wrong"
	}
	return fmt.Sprintf("offset %d epoch %d magic 2 attributes %#x last-delta %d times %d..%s producer %t epoch %d sequence %d count %d crc %s records %08x",
		offset, int32(binary.BigEndian.Uint32(b[12:])), attributes, int32(binary.BigEndian.Uint32(b[23:])),
		int64(binary.BigEndian.Uint64(b[27:])), maxTimestamp, int64(binary.BigEndian.Uint64(b[43:])) >= 0, int16(binary.BigEndian.Uint16(b[51:])),
		int32(binary.BigEndian.Uint32(b[53:])), int32(binary.BigEndian.Uint32(b[57:])), sum, crc32.ChecksumIEEE(b[61:]))
}
