package cluster

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"chronik/metalog/image"
)

// What nodes say over the stream "join": one question and one answer a connection, each a length of four bytes and JSON.

// The kinds of question.
const (
	askWho     = "who"     // what are you, and would you found a cluster with this set?
	askPromise = "promise" // promise to found this cluster with this set, and no other ever
	askFound   = "found"   // all have promised: begin
	askAdmit   = "admit"   // I am new: make me a server of your cluster
	askRun     = "run"     // which run of mine has registered last?
)

const (
	maxMessage  = 64 << 10
	joinTimeout = 5 * time.Second // for a question and its answer
	hopTimeout  = time.Second     // less for who answers, and again for whom that one has to ask
)

// pact is what the founders agree on: the cluster's id and its first servers, in the order of their node ids.
type pact struct {
	Cluster uuid.UUID
	Set     []server
}

func (p pact) equal(q pact) bool { return p.Cluster == q.Cluster && slices.Equal(p.Set, q.Set) }

// founder is the node that asks all others: the one with the lowest id.
func (p pact) founder() image.BrokerID {
	if len(p.Set) == 0 {
		return image.NoBroker
	}
	return p.Set[0].Node
}

func (p pact) String() string {
	return fmt.Sprintf("cluster %s of %s", FormatClusterID(p.Cluster), names(p.Set))
}

type question struct {
	Kind       string
	From       server
	Pact       pact
	Configured uuid.UUID // the cluster-id that the operator has set, or zero
	Hop        bool      // it is passed on by a member, and not to be passed on again
}

type reply struct {
	Self       server
	Cluster    uuid.UUID // that it belongs to, or zero
	Promised   *pact
	Configured uuid.UUID
	Run        uuid.UUID // the last one of the asking node, or zero
	Epoch      int64     `json:",omitempty"` // of that run's registration
	OK         bool
	Refusal    string // why not, in words for the operator
}

// names lists servers for a person.
func names(set []server) string {
	parts := make([]string, 0, len(set))
	for _, s := range set {
		parts = append(parts, fmt.Sprintf("node %d (%s)", s.Node, s.Addr))
	}
	return strings.Join(parts, ", ")
}

func writeMessage(w io.Writer, m any) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if len(b) > maxMessage {
		return fmt.Errorf("a message of %d bytes, at most %d", len(b), maxMessage)
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	return err
}

var errMessage = errors.New("a message that is too long")

func readMessage(r io.Reader, m any) error {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxMessage {
		return errMessage
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	return json.Unmarshal(b, m)
}

// dialer is the internal port, as far as founding needs it.
type dialer interface {
	Dial(ctx context.Context, addr, stream string) (net.Conn, error)
}

// askOver asks over the internal port.
func askOver(d dialer) func(context.Context, string, question) (reply, error) {
	return func(ctx context.Context, addr string, q question) (a reply, err error) {
		ctx, cancel := context.WithTimeout(ctx, joinTimeout)
		defer cancel()
		nc, err := d.Dial(ctx, addr, joinStream)
		if err != nil {
			return a, err
		}
		defer nc.Close()
		unhook := context.AfterFunc(ctx, func() { nc.Close() })
		defer unhook()
		if err = writeMessage(nc, q); err == nil {
			err = readMessage(nc, &a)
		}
		if err != nil && ctx.Err() != nil {
			err = ctx.Err()
		}
		if err != nil {
			return a, fmt.Errorf("asking the node at %s: %w", addr, err)
		}
		return a, nil
	}
}
