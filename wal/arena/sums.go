package arena

import "chronik/wal/crc"

// sumBlock is the size of the blocks whose checksums a buffer keeps.
const sumBlock = 64 << 10

var sumShift = crc.NewShift(sumBlock)

// Arrived says that the first n bytes are there. It makes the checksums of the blocks that are whole now, as long as they
// are in the processor's cache: later they would have to be read from memory, which takes several times as long. It must
// not be called any more once bytes of a block were changed.
func (b *Buf) Arrived(n int) {
	for at := len(b.sums) * sumBlock; at+sumBlock <= n; at += sumBlock {
		b.sums = append(b.sums, crc.Of(b.mem[at:at+sumBlock]))
	}
}

// Sum is the CRC-32C of Bytes()[from:to] as they arrived: blocks that lie in there as a whole are not read again.
func (b *Buf) Sum(from, to int) uint32 {
	first, end := (from+sumBlock-1)/sumBlock, min(to/sumBlock, len(b.sums))
	if first >= end {
		return crc.Of(b.mem[from:to])
	}
	sum := crc.Of(b.mem[from : first*sumBlock])
	for _, block := range b.sums[first:end] {
		sum = sumShift.Combine(sum, block)
	}
	return crc.Update(sum, b.mem[end*sumBlock:to])
}
