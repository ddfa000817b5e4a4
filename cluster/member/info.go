package member

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"chronik/metalog/image"
)

// Info is what a node says of itself.
type Info struct {
	Node        image.BrokerID
	Expect      int       // of how many nodes it would found a cluster; 0: it founds none
	Cluster     uuid.UUID // zero: it belongs to none yet
	Incarnation uuid.UUID // of its data directory
	Server      string    // its Raft server id
	Addr        string    // host:port of its internal port
}

// What must fit memberlist's 512 bytes.
const (
	infoVersion = 1
	maxServer   = 128
	maxAddr     = 255
	maxExpect   = 255
)

// name is the node's in gossip. A wiped disk is another node, so that it does not look like a conflict with itself.
func (i Info) name() string { return fmt.Sprintf("%d@%s", i.Node, i.Incarnation) }

func (i Info) check() error {
	switch {
	case i.Node < 0:
		return fmt.Errorf("node id %d is negative", i.Node)
	case i.Expect < 0 || i.Expect > maxExpect:
		return fmt.Errorf("%d nodes are expected: at most %d", i.Expect, maxExpect)
	case len(i.Server) > maxServer || len(i.Addr) > maxAddr:
		return fmt.Errorf("server id %q or address %q is too long for gossip (%d, %d)", i.Server, i.Addr, maxServer, maxAddr)
	}
	return nil
}

// encode writes version (1 byte), node id (4), Expect (1), cluster id (16), incarnation (16), then server id and address,
// each behind a byte with its length. Later versions add behind that; a change that this one cannot read past has another
// version number.
func (i Info) encode() []byte {
	b := binary.BigEndian.AppendUint32([]byte{infoVersion}, uint32(i.Node))
	b = append(b, byte(i.Expect))
	b = append(b, i.Cluster[:]...)
	b = append(b, i.Incarnation[:]...)
	b = append(append(b, byte(len(i.Server))), i.Server...)
	return append(append(b, byte(len(i.Addr))), i.Addr...)
}

var errInfo = errors.New("what it says of itself cannot be read")

func parseInfo(b []byte) (i Info, err error) {
	const fixed = 1 + 4 + 1 + 16 + 16
	if len(b) < fixed || b[0] != infoVersion {
		return i, errInfo
	}
	i.Node = image.BrokerID(binary.BigEndian.Uint32(b[1:]))
	i.Expect = int(b[5])
	i.Cluster, i.Incarnation = uuid.UUID(b[6:22]), uuid.UUID(b[22:fixed])
	var ok1, ok2 bool
	b = b[fixed:]
	i.Server, b, ok1 = text(b)
	i.Addr, _, ok2 = text(b)
	if !ok1 || !ok2 || i.check() != nil {
		return Info{}, errInfo
	}
	return i, nil
}

func text(b []byte) (string, []byte, bool) {
	if len(b) == 0 || int(b[0]) > len(b)-1 {
		return "", nil, false
	}
	end := 1 + int(b[0])
	return string(b[1:end]), b[end:], true
}
