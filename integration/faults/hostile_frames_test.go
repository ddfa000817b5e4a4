package faults

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/wire"
)

// hostileFrame is what goes over a connection. Of a right one an answer is expected; a wrong one may be answered by an
// error or by the end of the connection. Nothing can follow an end.
type hostileFrame struct {
	bytes   []byte
	right   bool
	end     bool // it is no frame, or not a whole one
	refused bool // it makes the broker hang up, says the broker's own decoder
}

const hostileHeader = 8 // key, version, correlation id, behind the size

// frames makes n frames in such an order that a connection comes to as many as it may before it is refused one. Of those
// that would be refused most are left out: each costs a connection, and what refuses them is tried by the million without
// one (kafka/wire).
func (h *hostileRequests) frames(n int) []hostileFrame {
	var taken, refused []hostileFrame
	for len(taken)+len(refused) < n {
		f := h.next()
		if f.refused = f.end || h.refuses(f.bytes); !f.refused {
			taken = append(taken, f)
		} else if h.r.IntN(5) == 0 {
			refused = append(refused, f)
		}
	}
	all := make([]hostileFrame, 0, n)
	for len(all) < n {
		k := min(len(taken), max(1, len(taken)/(len(refused)+1)), hostileBurst-1)
		all, taken = append(all, taken[:k]...), taken[k:]
		if len(refused) > 0 {
			all, refused = append(all, refused[0]), refused[1:]
		}
	}
	return all
}

func (h *hostileRequests) refuses(frame []byte) bool {
	_, err := wire.Decode(wire.Frame{Bytes: frame[4:]}, h.serves, nil, nil, "")
	return err != nil
}

func (h *hostileRequests) serves(key, version int16) bool {
	r, ok := h.served[key]
	return ok && r[0] <= version && version <= r[1]
}

// next makes a frame; about half of them make the broker hang up, and the rest are its handlers' trouble.
func (h *hostileRequests) next() hostileFrame {
	k := &h.kinds[h.r.IntN(len(h.kinds))]
	switch n := h.r.IntN(100); {
	case n < 5:
		return hostileFrame{bytes: h.formatted(h.right(k.key, k.version)), right: true}
	case n < 6:
		return hostileFrame{bytes: h.from(spoiltWords[h.r.IntN(len(spoiltWords))], h.right(k.key, k.version))}
	case n < 60:
		return hostileFrame{bytes: h.formatted(h.wrong(k.key, k.version))}
	case n < 68: // records are where a request is deepest
		return hostileFrame{bytes: h.produce()}
	case n < 78:
		if len(k.lengths) > 0 {
			return sized(h.putLength(bytes.Clone(k.frame), k.lengths[h.r.IntN(len(k.lengths))]))
		}
		fallthrough
	case n < 85:
		return hostileFrame{bytes: h.flip(bytes.Clone(k.frame))}
	case n < 88: // ends too soon
		return sized(bytes.Clone(k.frame[:4+h.r.IntN(len(k.frame)-4)]))
	case n < 91: // goes on behind its end
		return sized(append(bytes.Clone(k.frame), h.garbage(1+h.r.IntN(40))...))
	case n < 94:
		return sized(h.tags(bytes.Clone(k.frame)))
	case n < 97:
		return hostileFrame{bytes: h.header(bytes.Clone(k.frame))}
	case n < 98:
		return sized(append(make([]byte, 4), h.garbage(1+h.r.IntN(200))...))
	}
	return h.noFrame(k)
}

// sized writes the size that the frame has.
func sized(b []byte) hostileFrame {
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return hostileFrame{bytes: b, end: len(b) == 4}
}

// produce is a request that is right but for its batches.
func (h *hostileRequests) produce() []byte {
	rq := h.right(keyProduce, int16(h.r.IntN(14))).(*kmsg.ProduceRequest)
	for t := range rq.Topics {
		for p := range rq.Topics[t].Partitions {
			part := &rq.Topics[t].Partitions[p]
			part.Records = h.spoiltBytes(part.Records)
		}
	}
	return h.formatted(rq)
}

func (h *hostileRequests) flip(b []byte) []byte {
	for range 1 + h.r.IntN(8) {
		b[4+hostileHeader+h.r.IntN(len(b)-4-hostileHeader)] ^= 1 << h.r.IntN(8)
	}
	return b
}

func (h *hostileRequests) garbage(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(h.r.Uint32())
	}
	return b
}

// tags puts tagged fields in the place of the last byte, which is their number in a flexible version: unknown ones, the
// same twice, known numbers with junk in them, or more than there is.
func (h *hostileRequests) tags(b []byte) []byte {
	b = b[:len(b)-1]
	n := 1 + h.r.IntN(5)
	claim := uint64(n)
	if h.r.IntN(4) == 0 {
		claim = uint64(h.evil32())
	}
	b = binary.AppendUvarint(b, claim)
	for range n {
		b = binary.AppendUvarint(b, uint64(h.r.IntN(4)*h.r.IntN(1000)))
		junk := h.garbage(h.r.IntN(20))
		b = append(binary.AppendUvarint(b, uint64(len(junk))), junk...)
	}
	return b
}

// header has another key or version than the body is of, known or not.
func (h *hostileRequests) header(b []byte) []byte {
	if h.r.IntN(2) == 0 {
		binary.BigEndian.PutUint16(b[4:], uint16([]int{h.r.IntN(100), h.r.IntN(1 << 16)}[h.r.IntN(2)]))
	}
	binary.BigEndian.PutUint16(b[6:], uint16([]int{h.r.IntN(20), h.r.IntN(1 << 16), 0xffff}[h.r.IntN(3)]))
	return b
}

// otherProtocols are the first words of peers that took the port for another one.
var otherProtocols = [][]byte{
	[]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
	[]byte("POST /topics/x HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n"),
	[]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	[]byte("SSH-2.0-OpenSSH_9.6\r\n"),
	[]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), // TLS ClientHello
	[]byte("\x00\x00\x00\x2a\xffSMB"),
	[]byte("AMQP\x00\x00\x09\x01"),
	[]byte("*1\r\n$4\r\nPING\r\n"),
	[]byte("\x00\x00\x00\x08\x04\xd2\x16\x2f"), // PostgreSQL's SSLRequest
}

// noFrame ends the connection: another protocol, a size that cannot be, a frame that is cut short at any place.
func (h *hostileRequests) noFrame(k *hostileKind) hostileFrame {
	f := hostileFrame{end: true}
	switch h.r.IntN(4) {
	case 0:
		f.bytes = otherProtocols[h.r.IntN(len(otherProtocols))]
	case 1:
		sizes := []uint32{0xffffffff, 0x80000000, 0, 0x7fffffff, 0xfffffff0, 256 << 20}
		f.bytes = binary.BigEndian.AppendUint32(nil, sizes[h.r.IntN(len(sizes))])
		f.bytes = append(f.bytes, k.frame[4:]...)
	case 2: // it claims more than it will ever send
		f.bytes = bytes.Clone(k.frame)
		binary.BigEndian.PutUint32(f.bytes, uint32(len(f.bytes)+h.r.IntN(30<<20)))
	default:
		f.bytes = k.frame[:1+h.r.IntN(len(k.frame)-1)]
	}
	return f
}

// newHostileRequests is one chunk's source; what does not depend on the seed is shared.
func newHostileRequests(seed, chunk uint64, shared *hostileRequests) *hostileRequests {
	h := *shared
	h.r, h.leaves = rand.New(rand.NewPCG(seed, chunk)), nil
	return &h
}
