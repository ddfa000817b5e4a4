package batch

import "encoding/binary"

// Record fields are zigzag varints as protocol buffers have them: encoding/binary's Varint, which stops after ten bytes.

// cursor reads a record's fields; after a failure ok is false and every read gives zero.
type cursor struct {
	b  []byte
	ok bool
}

func (c *cursor) varlong() int64 {
	v, n := binary.Varint(c.b)
	if n <= 0 {
		c.fail()
		return 0
	}
	c.b = c.b[n:]
	return v
}

// varint is varlong of at most 32 bits.
func (c *cursor) varint() int32 {
	v := c.varlong()
	if v != int64(int32(v)) {
		c.fail()
		return 0
	}
	return int32(v)
}

func (c *cursor) byte() byte {
	if len(c.b) == 0 {
		c.fail()
		return 0
	}
	v := c.b[0]
	c.b = c.b[1:]
	return v
}

// bytes reads a length and as many bytes, aliasing the input; a negative length is null: nil.
func (c *cursor) bytes() []byte {
	n := c.varint()
	if n < 0 {
		return nil
	}
	if int(n) > len(c.b) {
		c.fail()
		return nil
	}
	v := c.b[:n:n]
	c.b = c.b[n:]
	return v
}

func (c *cursor) fail() { c.b, c.ok = nil, false }

func appendVarBytes(dst, v []byte) []byte {
	if v == nil {
		return binary.AppendVarint(dst, -1)
	}
	dst = binary.AppendVarint(dst, int64(len(v)))
	return append(dst, v...)
}

func sizeVarint(v int64) int {
	u := uint64(v)<<1 ^ uint64(v>>63)
	n := 1
	for u >= 0x80 {
		u >>= 7
		n++
	}
	return n
}

func sizeVarBytes(v []byte) int {
	if v == nil {
		return 1
	}
	return sizeVarint(int64(len(v))) + len(v)
}
