package peer

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/google/uuid"

	"chronik/metalog/image"
)

// What Dial's errors wrap, for a person to mend.
var (
	ErrKey       = errors.New("the two nodes have different cluster keys")
	ErrCluster   = errors.New("the two nodes do not belong to the same cluster")
	ErrNoStream  = errors.New("nothing on that node takes such connections, or not yet")
	ErrBusy      = errors.New("that node has too many connections waiting")
	errNoChronik = errors.New("what was sent is no hello of a node")
)

// helloTimeout bounds a whole handshake.
const helloTimeout = 5 * time.Second

// The bytes of FORMAT.md.
const (
	version   = 1
	maxStream = 32
	nonceSize = 32
	macSize   = sha256.Size
	helloSize = 4 + 1 + 1 + maxStream + len(uuid.Nil) + 4 + nonceSize
	proofSize = 1 + len(uuid.Nil) + 4 + macSize
)

var magic = [4]byte{'C', 'H', 'N', 'K'}

// A verdict is what the side that was dialled says in the end.
type verdict byte

const (
	welcome verdict = iota
	wrongKey
	wrongCluster
	noStream
	busy
)

// err is nil for a welcome.
func (v verdict) err() error {
	switch v {
	case welcome:
		return nil
	case wrongKey:
		return ErrKey
	case wrongCluster:
		return ErrCluster
	case noStream:
		return ErrNoStream
	case busy:
		return ErrBusy
	}
	return fmt.Errorf("it refuses the connection with code %d, which this version does not know", byte(v))
}

// who is one side of a connection.
type who struct {
	cluster uuid.UUID // zero: none yet
	node    image.BrokerID
}

// hello is the first message of the side that dials.
type hello struct {
	stream string
	who
	nonce [nonceSize]byte
}

func (h hello) encode() []byte {
	b := append(make([]byte, 0, helloSize), magic[:]...)
	b = append(b, version, byte(len(h.stream)))
	b = append(append(b, h.stream...), make([]byte, maxStream-len(h.stream))...)
	b = append(b, h.cluster[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(h.node))
	return append(b, h.nonce[:]...)
}

// parseHello takes helloSize bytes, and only those that encode writes.
func parseHello(b []byte) (h hello, err error) {
	if !bytes.Equal(b[:4], magic[:]) {
		return h, errNoChronik
	}
	if b[4] != version {
		return h, fmt.Errorf("it speaks version %d of this protocol, and this node version %d", b[4], version)
	}
	n, rest := int(b[5]), b[6:]
	if n == 0 || n > maxStream {
		return h, errNoChronik
	}
	h.stream, rest = string(rest[:n]), rest[maxStream:]
	h.cluster, rest = uuid.UUID(rest[:len(h.cluster)]), rest[len(h.cluster):]
	h.node, rest = image.BrokerID(binary.BigEndian.Uint32(rest)), rest[4:]
	copy(h.nonce[:], rest)
	if h.node < 0 || !bytes.Equal(h.encode(), b) {
		return h, errNoChronik
	}
	return h, nil
}

// notOurs names the clusters.
func notOurs(other, self who) error {
	return fmt.Errorf("%w: node %d belongs to %s, this one to %s", ErrCluster, other.node, name(other.cluster), name(self.cluster))
}

func name(cluster uuid.UUID) string {
	if cluster == uuid.Nil {
		return "none yet"
	}
	return cluster.String()
}

// proof is the last message: what the dialled side is, and that it has the key.
type proof struct {
	verdict
	who
	mac [macSize]byte
}

// said is what the MAC covers.
func (p proof) said() []byte {
	b := append([]byte{byte(p.verdict)}, p.cluster[:]...)
	return binary.BigEndian.AppendUint32(b, uint32(p.node))
}

func parseProof(b []byte) (p proof) {
	p.verdict = verdict(b[0])
	p.cluster = uuid.UUID(b[1:])
	p.node = image.BrokerID(binary.BigEndian.Uint32(b[1+len(p.cluster):]))
	copy(p.mac[:], b[proofSize-macSize:])
	return p
}

// mac is what one side proves itself with. The role keeps one side's proof from being sent back as the other's; the
// parts have fixed lengths.
func mac(key []byte, role string, parts ...[]byte) (sum [macSize]byte) {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(role))
	for _, p := range parts {
		h.Write(p)
	}
	h.Sum(sum[:0])
	return sum
}

const (
	dials   = "chronik dials\x00"
	answers = "chronik answers\x00"
)

// greet is the dialling side: hello, challenge, own proof, the other's. It reads not a byte more than that.
func greet(nc net.Conn, key []byte, h hello) (who, error) {
	rand.Read(h.nonce[:])
	sent := h.encode()
	if _, err := nc.Write(sent); err != nil {
		return who{}, err
	}
	var challenge [nonceSize]byte
	if _, err := io.ReadFull(nc, challenge[:]); err != nil {
		return who{}, fmt.Errorf("waiting for its challenge: %w", err)
	}
	own := mac(key, dials, sent, challenge[:])
	if _, err := nc.Write(own[:]); err != nil {
		return who{}, err
	}
	var b [proofSize]byte
	if _, err := io.ReadFull(nc, b[:]); err != nil {
		return who{}, fmt.Errorf("waiting for its proof: %w", err)
	}
	p := parseProof(b[:])
	want := mac(key, answers, sent, challenge[:], p.said())
	if !hmac.Equal(want[:], p.mac[:]) {
		return who{}, ErrKey // what it says cannot be believed, but it does not have this key
	}
	if p.verdict == wrongCluster {
		return p.who, notOurs(p.who, h.who)
	}
	return p.who, p.err()
}

// challenge is the dialled side up to the other's proof. A stranger gets nothing of it but a random number.
func challenge(nc net.Conn, key []byte) (h hello, transcript []byte, err error) {
	transcript = make([]byte, helloSize, helloSize+nonceSize)
	if _, err := io.ReadFull(nc, transcript); err != nil {
		return h, nil, fmt.Errorf("%w (%w)", errNoChronik, err)
	}
	if h, err = parseHello(transcript); err != nil {
		return h, nil, err
	}
	var nonce [nonceSize]byte
	rand.Read(nonce[:])
	transcript = append(transcript, nonce[:]...)
	if _, err := nc.Write(nonce[:]); err != nil {
		return h, nil, err
	}
	var got [macSize]byte
	if _, err := io.ReadFull(nc, got[:]); err != nil {
		return h, nil, fmt.Errorf("waiting for its proof: %w", err)
	}
	want := mac(key, dials, transcript)
	if !hmac.Equal(want[:], got[:]) {
		_, err := nc.Write(make([]byte, proofSize)) // no proof for who has none, and so it finds out
		return h, nil, errors.Join(ErrKey, err)
	}
	return h, transcript, nil
}

// decide writes the last word.
func decide(nc net.Conn, key, transcript []byte, v verdict, self who) error {
	p := proof{verdict: v, who: self}
	p.mac = mac(key, answers, transcript, p.said())
	_, err := nc.Write(append(p.said(), p.mac[:]...))
	return err
}
