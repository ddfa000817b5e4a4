package wire

import "encoding/binary"

// cursor walks over encoded bytes. What does not fit makes it bad and empty; after that it yields zeros.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) fail() {
	c.b, c.bad = nil, true
}

// take returns the next n bytes.
func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.fail()
		return nil
	}
	b := c.b[:n]
	c.b = c.b[n:]
	return b
}

func (c *cursor) int16() int16 {
	if b := c.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (c *cursor) int32() int32 {
	if b := c.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

// length16 is a nullable string's length; null is 0 here.
func (c *cursor) length16() int {
	return max(0, int(c.int16()))
}

// length32 is the length of an array or of bytes; null is 0 here.
func (c *cursor) length32() int {
	return max(0, int(c.int32()))
}

// compact is the length of a compact array, of compact bytes or of a compact string; null is 0 here.
func (c *cursor) compact() int {
	return max(0, int(c.uvarint())-1)
}

// uvarint reads at most 5 bytes and 32 bits.
func (c *cursor) uvarint() uint32 {
	var x uint64
	for i := range 5 {
		if i >= len(c.b) {
			break
		}
		x |= uint64(c.b[i]&0x7f) << (7 * i)
		if c.b[i] < 0x80 {
			c.b = c.b[i+1:]
			if x>>32 != 0 {
				c.fail()
				return 0
			}
			return uint32(x)
		}
	}
	c.fail()
	return 0
}

// skipTags passes over tagged fields (KIP-482) without looking into them.
func (c *cursor) skipTags() {
	for n := c.uvarint(); n > 0 && !c.bad; n-- {
		c.uvarint()
		c.take(int(c.uvarint()))
	}
}
