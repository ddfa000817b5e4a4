// Package crc is CRC-32C (RFC 3720's polynomial) of bytes that lie in pieces: the checksum of a whole follows from those
// of its parts, so what is known of a part need not be read again. It does not know whose bytes they are.
package crc

import "hash/crc32"

var table = crc32.MakeTable(crc32.Castagnoli)

// Of is the checksum of data.
func Of(data []byte) uint32 { return crc32.Checksum(data, table) }

// Update is the checksum of what sum is of, with data behind it.
func Update(sum uint32, data []byte) uint32 { return crc32.Update(sum, table, data) }

// Combine is the checksum of two pieces, one behind the other, from theirs. n is the length of the second in bytes.
//
// A checksum is a polynomial over GF(2) modulo P, its coefficients from the highest power down in the bits from the lowest
// up. The bits of the second piece move those of the first 8n powers up: a product by x^8n. How each checksum begins and
// ends (all ones) cancels out, as in zlib's crc32_combine.
func Combine(first, second uint32, n int64) uint32 { return NewShift(n).Combine(first, second) }

// Shift is what Combine needs of the length of the second piece: x^8n modulo P. Many pieces of one length share it.
type Shift uint32

// NewShift is for second pieces of n bytes.
func NewShift(n int64) Shift {
	product := uint32(one)
	for k := 3; n > 0; n, k = n>>1, k+1 { // 8n = n << 3
		if n&1 != 0 {
			product = times(product, squares[k%len(squares)])
		}
	}
	return Shift(product)
}

// Combine is the checksum of two pieces, one behind the other, the second of the Shift's length.
func (s Shift) Combine(first, second uint32) uint32 { return times(first, uint32(s)) ^ second }

const one = 1 << 31 // x^0

// squares are x^(2^k) modulo P. The power of x returns to itself after 31 squarings.
var squares = func() (s [31]uint32) {
	s[0] = one >> 1 // x
	for k := 1; k < len(s); k++ {
		s[k] = times(s[k-1], s[k-1])
	}
	return s
}()

// times is the product of two polynomials modulo P.
func times(a, b uint32) (product uint32) {
	for ; a != 0; a <<= 1 {
		product ^= b & -(a >> 31) // the power in a that is next, the lowest first
		b = b>>1 ^ crc32.Castagnoli&-(b&1)
	}
	return product
}
