package wire

import "encoding/binary"

// encoder appends Kafka's primitive types; flexible chooses between the two encodings of lengths (KIP-482).
type encoder struct {
	b        []byte
	flexible bool
}

func (e *encoder) int16(v int16) { e.b = binary.BigEndian.AppendUint16(e.b, uint16(v)) }
func (e *encoder) int32(v int32) { e.b = binary.BigEndian.AppendUint32(e.b, uint32(v)) }
func (e *encoder) int64(v int64) { e.b = binary.BigEndian.AppendUint64(e.b, uint64(v)) }

func (e *encoder) uvarint(v int) { e.b = binary.AppendUvarint(e.b, uint64(v)) }

// array is an array's length; -1 is null.
func (e *encoder) array(n int) {
	if e.flexible {
		e.uvarint(n + 1)
	} else {
		e.int32(int32(n))
	}
}

func (e *encoder) string(s string) {
	if e.flexible {
		e.uvarint(len(s) + 1)
	} else {
		e.int16(int16(len(s)))
	}
	e.b = append(e.b, s...)
}

// nullable is a string that is null when it is empty.
func (e *encoder) nullable(s string) {
	switch {
	case s != "":
		e.string(s)
	case e.flexible:
		e.uvarint(0)
	default:
		e.int16(-1)
	}
}

// tags is the number of tagged fields that follow, where the version has them.
func (e *encoder) tags(n int) {
	if e.flexible {
		e.uvarint(n)
	}
}

// tag is the head of one tagged field of size bytes.
func (e *encoder) tag(number, size int) {
	e.uvarint(number)
	e.uvarint(size)
}

// leader is a partition's leader as a tagged field (KIP-951).
func (e *encoder) leader(tag int, id, epoch int32) {
	e.tag(tag, 9)
	e.int32(id)
	e.int32(epoch)
	e.tags(0)
}

// nodes is the addresses of leaders as tagged field 0 of a response (KIP-951).
func (e *encoder) nodes(nodes []Node) {
	size := uvarintLen(len(nodes) + 1)
	for i := range nodes {
		n := &nodes[i]
		size += 4 + uvarintLen(len(n.Host)+1) + len(n.Host) + 4 + 1 // and the tags
		if n.Rack == "" {
			size++
		} else {
			size += uvarintLen(len(n.Rack)+1) + len(n.Rack)
		}
	}
	e.tag(0, size)
	e.array(len(nodes))
	for i := range nodes {
		n := &nodes[i]
		e.int32(n.ID)
		e.string(n.Host)
		e.int32(n.Port)
		e.nullable(n.Rack)
		e.tags(0)
	}
}

func uvarintLen(v int) int {
	n := 1
	for v >= 0x80 {
		v >>= 7
		n++
	}
	return n
}
