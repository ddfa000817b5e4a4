package metalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// What nodes say to the one that leads, and what it answers, over the stream "propose". FORMAT.md has the bytes.
//
//	message is a request or the answer with its id. Answers come in any order.
type message struct {
	kind      byte
	id        uint64
	low       bool           // of a propose: behind the others
	proposals [][]byte       // of a propose: encoded records
	outcomes  []outcomeOf    // of an answer to it, one for each proposal
	index     image.Index    // of the answer to a sync
	leads     bool           // of the answer to a sync, without it index says nothing; and of that to a begin
	node      image.BrokerID // of a begin: who asks
}

const (
	msgPropose  = 1
	msgProposed = 2
	msgSync     = 3
	msgSynced   = 4
	msgBegin    = 5
	msgBegun    = 6
)

// outcomeOf a proposal, as the leader knows it.
type outcomeOf struct {
	is    byte
	index image.Index // of the entry, when applied or refused
	code  kerr.Code   // when refused
	text  string      // for people
}

const (
	isApplied     = 0
	isRefused     = 1
	isNotProposed = 2 // it is in no log
	isUnknown     = 3
)

const (
	frameHead = 4 + 4

	// maxFrame is a full entry's worth of proposals, or the outcomes of maxTogether of them.
	maxFrame = maxEntry + 64<<10

	// maxTogether bounds how many proposals share an entry or a message.
	maxTogether = 4096

	// maxText is how much of an error's text goes back.
	maxText = 200
)

// turnsAway says that the leader took nothing, or not all, of what it was sent.
func (m *message) turnsAway() bool {
	return slices.ContainsFunc(m.outcomes, func(o outcomeOf) bool { return o.is == isNotProposed })
}

// encodeFrame is length and checksum before the message.
func encodeFrame(m *message) []byte {
	b := append(make([]byte, frameHead, 64), m.kind)
	b = binary.AppendUvarint(b, m.id)
	switch m.kind {
	case msgPropose:
		b = append(b, flag(m.low))
		b = binary.AppendUvarint(b, uint64(len(m.proposals)))
		for _, p := range m.proposals {
			b = append(binary.AppendUvarint(b, uint64(len(p))), p...)
		}
	case msgProposed:
		b = binary.AppendUvarint(b, uint64(len(m.outcomes)))
		for _, o := range m.outcomes {
			b = append(b, o.is)
			b = binary.AppendUvarint(b, uint64(o.index))
			b = binary.AppendVarint(b, int64(o.code))
			text := o.text[:min(len(o.text), maxText)]
			b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
		}
	case msgSynced:
		b = append(b, flag(m.leads))
		b = binary.AppendUvarint(b, uint64(m.index))
	case msgBegin:
		b = binary.AppendUvarint(b, uint64(uint32(m.node)))
	case msgBegun:
		b = append(b, flag(m.leads))
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-frameHead))
	binary.BigEndian.PutUint32(b[4:], crc32.Checksum(b[frameHead:], castagnoli))
	return b
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}

// readFrame reads a message. io.EOF means that the connection ended between two.
func readFrame(r io.Reader) (*message, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxFrame {
		return nil, fmt.Errorf("a message of %d bytes", size)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	if crc32.Checksum(b, castagnoli) != binary.BigEndian.Uint32(head[4:]) {
		return nil, errors.New("the checksum of a message is wrong")
	}
	return decodeMessage(b)
}

// decodeMessage keeps slices of b in the message.
func decodeMessage(b []byte) (*message, error) {
	f := fields{b: b}
	m := &message{kind: f.byte(), id: f.number()}
	switch m.kind {
	case msgPropose:
		m.low = f.flag()
		for range f.count(maxTogether) {
			m.proposals = append(m.proposals, f.bytes())
		}
	case msgProposed:
		for range f.count(maxTogether) {
			o := outcomeOf{f.byte(), image.Index(f.number()), kerr.Code(f.signed()), f.text()}
			if o.is > isUnknown {
				f.fail()
			}
			m.outcomes = append(m.outcomes, o)
		}
	case msgSync:
	case msgSynced:
		m.leads, m.index = f.flag(), image.Index(f.number())
	case msgBegin:
		m.node = image.BrokerID(uint32(f.number()))
	case msgBegun:
		m.leads = f.flag()
	default:
		return nil, fmt.Errorf("a message of kind %d", m.kind)
	}
	if err := f.end(); err != nil {
		return nil, err
	}
	return m, nil
}

// fields takes values from the front of b. After one that is not there, all are zero, and end says so.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) fail() { f.b, f.bad = nil, true }

func (f *fields) byte() byte {
	if len(f.b) == 0 {
		f.fail()
		return 0
	}
	v := f.b[0]
	f.b = f.b[1:]
	return v
}

func (f *fields) flag() bool {
	v := f.byte()
	if v > 1 {
		f.fail()
	}
	return v == 1
}

func (f *fields) number() uint64 {
	v, n := binary.Uvarint(f.b)
	if n <= 0 {
		f.fail()
		return 0
	}
	f.b = f.b[n:]
	return v
}

func (f *fields) signed() int64 {
	v, n := binary.Varint(f.b)
	if n <= 0 {
		f.fail()
		return 0
	}
	f.b = f.b[n:]
	return v
}

// count is how many values follow; each takes a byte at least.
func (f *fields) count(most int) int {
	n := f.number()
	if n > uint64(most) || n > uint64(len(f.b)) {
		f.fail()
		return 0
	}
	return int(n)
}

func (f *fields) bytes() []byte {
	n := f.number()
	if n > uint64(len(f.b)) {
		f.fail()
		return nil
	}
	v := f.b[:n:n]
	f.b = f.b[n:]
	return v
}

func (f *fields) text() string { return string(f.bytes()) }

func (f *fields) end() error {
	if f.bad || len(f.b) > 0 {
		return errors.New("a message that is cut short, or too long")
	}
	return nil
}
