package batch

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// Clients that know only message format 0 compute the checksum of an LZ4 frame's descriptor with the frame's magic
// before it, which is against LZ4's specification (KIP-57); libraries refuse such a frame.

const lz4Magic = 0x184D2204

// lz4Descriptor is the length of the frame's head without its checksum byte; 0 when it is not such a frame.
func lz4Descriptor(frame []byte) int {
	if len(frame) < 7 || binary.LittleEndian.Uint32(frame) != lz4Magic {
		return 0
	}
	n := 6
	if frame[4]&0x08 != 0 { // content size
		n += 8
	}
	if frame[4]&0x01 != 0 { // dictionary id
		n += 4
	}
	if n >= len(frame) {
		return 0
	}
	return n
}

// mendLZ4 returns frame with the descriptor's checksum as the specification wants it, in memory of its own when it was
// another.
func mendLZ4(frame []byte) []byte {
	n := lz4Descriptor(frame)
	if n == 0 {
		return frame
	}
	want := byte(xxh32(frame[4:n]) >> 8)
	if frame[n] == want {
		return frame
	}
	frame = bytes.Clone(frame)
	frame[n] = want
	return frame
}

// breakLZ4 sets, in place, the checksum that clients of message format 0 expect, in a frame of our own making: its
// descriptor has neither size nor dictionary.
func breakLZ4(frame []byte) {
	if n := lz4Descriptor(frame); n != 0 {
		frame[n] = byte(xxh32(frame[:n]) >> 8)
	}
}

// xxh32 is XXH32 with seed 0 of at most 15 bytes, for which xxHash's specification needs no lanes.
func xxh32(b []byte) uint32 {
	const p1, p2, p3, p4, p5 = 2654435761, 2246822519, 3266489917, 668265263, 374761393
	h := uint32(p5) + uint32(len(b))
	for ; len(b) >= 4; b = b[4:] {
		h = bits.RotateLeft32(h+binary.LittleEndian.Uint32(b)*p3, 17) * p4
	}
	for _, c := range b {
		h = bits.RotateLeft32(h+uint32(c)*p5, 11) * p1
	}
	h = (h ^ h>>15) * p2
	h = (h ^ h>>13) * p3
	return h ^ h>>16
}
