package wal

import (
	"encoding/binary"
	"hash/crc32"

	"chronik/wal/arena"
	"chronik/wal/mutant"
)

// The byte formats; FORMAT.md draws them. Everything is little-endian.
const (
	page = arena.Page

	fileMagic       = 0x31464c5752484300 // "\0CHRWLF1"
	checkpointMagic = 0x31434c5752484300 // "\0CHRWLC1"
	groupMagic      = 0x47524843         // "CHRG"
	version         = 1

	fileHeaderSize  = 80 // in a page of its own
	groupHeaderSize = 64
	frameHeaderSize = 40
	checkpointSize  = 80 // before the payload

	flagGrows = 1 // of a file

	flagClosing = 1 // of a group: the log was closed in order after it

	formInline = 1 // of a frame: its data follows
	formSpan   = 2 // its data lies in the group's spans
	formPad    = 3 // no entry: skip its length
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var le = binary.LittleEndian

// fileHeader is the first page of a file.
type fileHeader struct {
	incarnation [16]byte
	seq         uint64 // 1, 2, 3: no gaps
	salt        uint64
	base        int64  // Pos of the file's first byte
	size        int64  // of its range of Pos; the next file's base is base+size
	durable     uint64 // groups up to this were durable when the file was made
	grows       bool   // it has its size when its one group is written; others have it from the start
}

func (h *fileHeader) encode(b []byte) {
	clear(b[:page])
	le.PutUint64(b, fileMagic)
	le.PutUint32(b[12:], version)
	copy(b[16:], h.incarnation[:])
	le.PutUint64(b[32:], h.seq)
	le.PutUint64(b[40:], h.salt)
	le.PutUint64(b[48:], uint64(h.base))
	le.PutUint64(b[56:], uint64(h.size))
	le.PutUint64(b[64:], h.durable)
	if h.grows {
		le.PutUint64(b[72:], flagGrows)
	}
	le.PutUint32(b[8:], crc32.Checksum(b[12:fileHeaderSize], castagnoli))
}

// decode says what is wrong with b, or "".
func (h *fileHeader) decode(b []byte) string {
	switch {
	case len(b) < fileHeaderSize:
		return "too short for its header"
	case le.Uint64(b) != fileMagic:
		return "not a log file"
	case le.Uint32(b[8:]) != crc32.Checksum(b[12:fileHeaderSize], castagnoli):
		return "its header's CRC is wrong"
	case le.Uint32(b[12:]) != version:
		return "its version is not known"
	}
	copy(h.incarnation[:], b[16:])
	h.seq = le.Uint64(b[32:])
	h.salt = le.Uint64(b[40:])
	h.base = int64(le.Uint64(b[48:]))
	h.size = int64(le.Uint64(b[56:]))
	h.durable = le.Uint64(b[64:])
	h.grows = le.Uint64(b[72:])&flagGrows != 0
	return ""
}

// groupHeader stands at the start of a group, which starts at a page.
type groupHeader struct {
	salt    uint64 // of the file
	seq     uint64 // of the file
	number  uint64 // 1, 2, 3 over all files: no gaps
	durable uint64 // groups up to this were durable before this one was written
	inline  uint32 // bytes of header and frames, whole pages
	total   uint32 // inline and spans
	frames  uint32 // entries: pads do not count
	flags   uint32
}

func (h *groupHeader) encode(b []byte) {
	le.PutUint32(b, groupMagic)
	le.PutUint64(b[8:], h.salt)
	le.PutUint64(b[16:], h.seq)
	le.PutUint64(b[24:], h.number)
	le.PutUint64(b[32:], h.durable)
	le.PutUint32(b[40:], h.inline)
	le.PutUint32(b[44:], h.total)
	le.PutUint32(b[48:], h.frames)
	le.PutUint32(b[52:], h.flags)
	le.PutUint64(b[56:], 0)
	le.PutUint32(b[4:], crc32.Checksum(b[8:groupHeaderSize], castagnoli))
}

// decode says whether b starts with a group of the file f.
func (h *groupHeader) decode(b []byte, f *fileHeader) bool {
	if len(b) < groupHeaderSize || le.Uint32(b) != groupMagic || le.Uint64(b[8:]) != f.salt || le.Uint64(b[16:]) != f.seq ||
		le.Uint32(b[4:]) != crc32.Checksum(b[8:groupHeaderSize], castagnoli) {
		return false
	}
	h.salt, h.seq = f.salt, f.seq
	h.number = le.Uint64(b[24:])
	h.durable = le.Uint64(b[32:])
	h.inline = le.Uint32(b[40:])
	h.total = le.Uint32(b[44:])
	h.frames = le.Uint32(b[48:])
	h.flags = le.Uint32(b[52:])
	return h.inline%page == 0 && h.total%page == 0 && page <= h.inline && h.inline <= h.total
}

// frameHeader stands before an entry's data, or stands for data in a span.
type frameHeader struct {
	dataCRC uint32
	stream  StreamID
	end     int64
	len     uint32
	at      uint32 // of data in the spans: from their start
	kind    Kind
	form    uint8
}

// seedOf makes the CRCs of a group's frames its own: a frame that an earlier write left at the same place is no frame
// of this group.
func seedOf(salt, number uint64, scratch *[16]byte) uint32 {
	if mutant.On(mutant.AcceptOldFrame) {
		return 0
	}
	le.PutUint64(scratch[:], salt)
	le.PutUint64(scratch[8:], number)
	return crc32.Checksum(scratch[:], castagnoli)
}

func (h *frameHeader) encode(b []byte, seed uint32) {
	le.PutUint32(b[4:], h.dataCRC)
	le.PutUint64(b[8:], uint64(h.stream))
	le.PutUint64(b[16:], uint64(h.end))
	le.PutUint32(b[24:], h.len)
	le.PutUint32(b[28:], h.at)
	b[32], b[33] = byte(h.kind), h.form
	clear(b[34:frameHeaderSize])
	le.PutUint32(b, crc32.Update(seed, castagnoli, b[4:frameHeaderSize]))
}

func (h *frameHeader) decode(b []byte, seed uint32) bool {
	if len(b) < frameHeaderSize || le.Uint32(b) != crc32.Update(seed, castagnoli, b[4:frameHeaderSize]) {
		return false
	}
	h.dataCRC = le.Uint32(b[4:])
	h.stream = StreamID(le.Uint64(b[8:]))
	h.end = int64(le.Uint64(b[16:]))
	h.len = le.Uint32(b[24:])
	h.at = le.Uint32(b[28:])
	h.kind, h.form = Kind(b[32]), b[33]
	return h.form >= formInline && h.form <= formPad
}

// checkpoint is the file that says where to start.
type checkpoint struct {
	incarnation [16]byte
	seq         uint64 // the first file that is needed
	base        int64  // its base
	number      uint64 // the first group in it
	durable     uint64 // groups up to this were durable when it was written
	payload     []byte
}

// checkpointKinds tells the files of this form apart: a disk may put one in the place of another.
var checkpointKinds = map[string]uint64{checkpointName: 1, closedName: 2, cutName: 3}

// encode is the bytes of the checkpoint as the file of that name.
func (c *checkpoint) encode(name string) []byte {
	b := make([]byte, checkpointSize, checkpointSize+len(c.payload))
	le.PutUint64(b, checkpointMagic)
	le.PutUint32(b[12:], version)
	copy(b[16:], c.incarnation[:])
	le.PutUint64(b[32:], c.seq)
	le.PutUint64(b[40:], uint64(c.base))
	le.PutUint64(b[48:], c.number)
	le.PutUint64(b[56:], c.durable)
	le.PutUint64(b[64:], uint64(len(c.payload)))
	le.PutUint64(b[72:], checkpointKinds[name])
	b = append(b, c.payload...)
	le.PutUint32(b[8:], crc32.Checksum(b[12:], castagnoli))
	return b
}

// decode says what is wrong with b as the file of that name, or "". The payload aliases b. Files of older versions do not
// say which they are.
func (c *checkpoint) decode(name string, b []byte) string {
	switch {
	case len(b) < checkpointSize:
		return "too short for its header"
	case le.Uint64(b) != checkpointMagic:
		return "not a checkpoint"
	case le.Uint32(b[8:]) != crc32.Checksum(b[12:], castagnoli):
		return "its CRC is wrong"
	case le.Uint32(b[12:]) != version:
		return "its version is not known"
	case le.Uint64(b[64:]) != uint64(len(b)-checkpointSize):
		return "its length is wrong"
	case le.Uint64(b[72:]) != 0 && le.Uint64(b[72:]) != checkpointKinds[name]:
		return "it is another file"
	}
	copy(c.incarnation[:], b[16:])
	c.seq = le.Uint64(b[32:])
	c.base = int64(le.Uint64(b[40:]))
	c.number = le.Uint64(b[48:])
	c.durable = le.Uint64(b[56:])
	if c.payload = b[checkpointSize:]; len(c.payload) == 0 {
		c.payload = nil
	}
	return ""
}

// pageUp rounds up to whole pages, pageDown down; align to frames' places.
func pageUp(n int) int    { return (n + page - 1) &^ (page - 1) }
func pageDown(n int) int  { return n &^ (page - 1) }
func align8(n int) int    { return (n + 7) &^ 7 }
func whole(n int64) int64 { return n &^ (page - 1) }
