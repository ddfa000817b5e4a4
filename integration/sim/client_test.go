package sim

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// client speaks Kafka's protocol to the nodes, one request at a time. It is used by one goroutine.
type client struct {
	w      *world
	host   *host
	r      *rand.Rand
	format *kmsg.RequestFormatter
	conns  map[string]*clientConn
	next   int32
	topics map[string]*kmsg.MetadataResponseTopic // as they were seen last
}

type clientConn struct {
	net.Conn
	src *bufio.Reader
}

// requestTimeout is how long a client waits for an answer.
const requestTimeout = 3 * time.Second

func (w *world) newClient(name string, host *host, seed uint64) *client {
	return &client{
		w: w, host: host, r: rand.New(rand.NewPCG(seed, 4)), format: kmsg.NewRequestFormatter(kmsg.FormatterClientID(name)),
		conns: map[string]*clientConn{}, topics: map[string]*kmsg.MetadataResponseTopic{},
	}
}

func (c *client) close() {
	for _, k := range c.conns {
		k.Close()
	}
	clear(c.conns)
}

// ask sends rq to the node at addr. An error leaves it unknown whether it was carried out.
func (c *client) ask(ctx context.Context, addr string, rq kmsg.Request) (kmsg.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	k := c.conns[addr]
	if k == nil {
		nc, err := c.host.Dial(ctx, addr)
		if err != nil {
			return nil, err
		}
		k = &clientConn{nc, bufio.NewReader(nc)}
		c.conns[addr] = k
	}
	resp, err := c.exchange(ctx, k, rq)
	if err != nil {
		k.Conn.(*end).abort() // a node that was held still may find the request in its socket, behind what came over the next connection
		delete(c.conns, addr)
	}
	return resp, err
}

func (c *client) exchange(ctx context.Context, k *clientConn, rq kmsg.Request) (kmsg.Response, error) {
	stop := context.AfterFunc(ctx, func() { _ = k.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	c.next++
	if _, err := k.Write(c.format.AppendRequest(nil, rq, c.next)); err != nil {
		return nil, err
	}
	var head [8]byte
	if _, err := io.ReadFull(k.src, head[:]); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:])-4)
	if _, err := io.ReadFull(k.src, body); err != nil {
		return nil, err
	}
	if id := int32(binary.BigEndian.Uint32(head[4:])); id != c.next {
		c.w.complain("the answer to request %d came for request %d", id, c.next)
		return nil, errors.New("an answer to another request")
	}
	resp := rq.ResponseKind()
	resp.SetVersion(rq.GetVersion())
	if resp.IsFlexible() {
		body = body[1:] // no tags in the header
	}
	if err := resp.ReadFrom(body); err != nil {
		c.w.complain("the answer to %s cannot be read: %v", kmsg.NameForKey(rq.Key()), err)
		return nil, err
	}
	return resp, nil
}

// anyone is the address of some node.
func (c *client) anyone() string { return clientAddr(image.BrokerID(1 + c.r.IntN(len(c.w.machines)))) }

func clientAddr(id image.BrokerID) string { return fmt.Sprintf("%s:%d", nodeAddr(id), kafkaPort) }

// refresh asks some node which topics there are and where their leaders are.
func (c *client) refresh(ctx context.Context) error {
	rq := kmsg.NewPtrMetadataRequest()
	rq.Version = 12
	got, err := c.ask(ctx, c.anyone(), rq)
	if err != nil {
		return err
	}
	resp := got.(*kmsg.MetadataResponse)
	clear(c.topics)
	for i := range resp.Topics {
		if t := &resp.Topics[i]; t.ErrorCode == 0 && t.Topic != nil {
			c.topics[*t.Topic] = t
		}
	}
	return nil
}

// leader is who leads, as far as the client knows.
func (c *client) leader(s spot) (leader image.BrokerID, epoch int32, ok bool) {
	t := c.topics[s.topic]
	if t == nil {
		return image.NoBroker, -1, false
	}
	for _, p := range t.Partitions {
		if p.Partition == s.partition {
			return image.BrokerID(p.Leader), p.LeaderEpoch, p.Leader >= 0
		}
	}
	return image.NoBroker, -1, false
}

// forget is for a leader that is not the one any more, or does not answer.
func (c *client) forget(s spot) { delete(c.topics, s.topic) }

// pause waits for about d; false when ctx has ended.
func (c *client) pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(time.Duration(1 + c.r.Int64N(int64(2*d)))):
		return true
	case <-ctx.Done():
		return false
	}
}

// passing says whether a request that was refused so may be sent again.
func passing(code int16) bool {
	switch kerr.Code(code) {
	case kerr.NotLeaderOrFollower, kerr.LeaderNotAvailable, kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.FencedLeaderEpoch,
		kerr.UnknownLeaderEpoch, kerr.RequestTimedOut, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend,
		kerr.KafkaStorageError, kerr.NotController, kerr.NotCoordinator, kerr.CoordinatorNotAvailable,
		kerr.CoordinatorLoadInProgress, kerr.OffsetNotAvailable, kerr.NetworkException,
		kerr.UnknownServerError: // what came of a request to the controller is not known
		return true
	}
	return false
}
