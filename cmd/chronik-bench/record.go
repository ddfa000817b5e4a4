package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// A record's value begins with a header that says which record it is; filling up to its size follows. Integers are
// big-endian.
//
//	0  magic      4 bytes "CHB1"
//	4  crc        uint32, CRC-32C of all that follows
//	8  run        uint64, random for each run of the bench
//	16 producer   uint32, the client's number in the run
//	20 partition  int32
//	24 sequence   int64, from 0 for each producer and partition
//	32 time       int64, when it was to be sent, nanoseconds since 1970
const (
	magic      = "CHB1"
	headerSize = 40
)

type header struct {
	run       uint64
	producer  uint32
	partition int32
	sequence  int64
	time      int64
}

var (
	errForeign = errors.New("not written by chronik-bench")
	errCorrupt = errors.New("its checksum does not match")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode overwrites value, which holds headerSize bytes or more.
func (h header) encode(value []byte) {
	copy(value, magic)
	binary.BigEndian.PutUint64(value[8:], h.run)
	binary.BigEndian.PutUint32(value[16:], h.producer)
	binary.BigEndian.PutUint32(value[20:], uint32(h.partition))
	binary.BigEndian.PutUint64(value[24:], uint64(h.sequence))
	binary.BigEndian.PutUint64(value[32:], uint64(h.time))
	fill(value[headerSize:], h.sequence)
	binary.BigEndian.PutUint32(value[4:], crc32.Checksum(value[8:], castagnoli))
}

// decodeHeader returns errForeign or errCorrupt for what encode has not written.
func decodeHeader(value []byte) (header, error) {
	if len(value) < headerSize || string(value[:4]) != magic {
		return header{}, errForeign
	}
	if crc32.Checksum(value[8:], castagnoli) != binary.BigEndian.Uint32(value[4:]) {
		return header{}, errCorrupt
	}
	return readHeader(value), nil
}

// readHeader trusts value: it is for those that encode wrote in this process.
func readHeader(value []byte) header {
	return header{
		run:       binary.BigEndian.Uint64(value[8:]),
		producer:  binary.BigEndian.Uint32(value[16:]),
		partition: int32(binary.BigEndian.Uint32(value[20:])),
		sequence:  int64(binary.BigEndian.Uint64(value[24:])),
		time:      int64(binary.BigEndian.Uint64(value[32:])),
	}
}

// filling is text of 64 letters, so that a codec has something to do and cannot do wonders.
var filling = newFilling(256 << 10)

func newFilling(size int) []byte {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	b := make([]byte, size)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = letters[random.IntN(len(letters))]
	}
	return b
}

// fill starts at another place for each sequence, so that records which follow one another differ.
func fill(b []byte, sequence int64) {
	from := int(uint64(sequence) * 7919 % uint64(len(filling)))
	for len(b) > 0 {
		b = b[copy(b, filling[from:]):]
		from = 0
	}
}

// sizes is a range of sizes of a record's value, in bytes.
type sizes struct{ least, most int }

// of spreads the sizes over the sequences of a partition.
func (s sizes) of(sequence int64) int {
	if s.least == s.most {
		return s.least
	}
	return s.least + int((uint64(sequence)*0x9e3779b97f4a7c15>>32)%uint64(s.most-s.least+1))
}

func (s sizes) String() string {
	if s.least == s.most {
		return strconv.Itoa(s.least)
	}
	return fmt.Sprintf("%d-%d", s.least, s.most)
}

// Set and Type make sizes a flag: 1024 or 100-2000.
func (s *sizes) Set(text string) error {
	low, high, isRange := strings.Cut(text, "-")
	if !isRange {
		high = low
	}
	least, err1 := strconv.Atoi(low)
	most, err2 := strconv.Atoi(high)
	if err1 != nil || err2 != nil || least < headerSize || most < least {
		return fmt.Errorf("write a number of bytes from %d on, or a range as in 100-2000", headerSize)
	}
	*s = sizes{least, most}
	return nil
}

func (s *sizes) Type() string { return "bytes" }

// A clock gives the same time to producers and readers of one process even if the system's is set meanwhile.
type clock struct{ start time.Time }

func newClock() clock { return clock{time.Now()} }

// now is in nanoseconds since 1970.
func (c clock) now() int64 { return c.start.UnixNano() + int64(time.Since(c.start)) }
