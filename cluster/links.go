package cluster

import (
	"context"
	"net"
	"strconv"
	"sync"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/peer"
	"chronik/metalog/image"
	"chronik/wal/arena"
)

// links are this node's connections to the internal ports of the other brokers: three to each, so that a heartbeat waits
// neither behind a fetch that waits for records nor behind a client's request that the controller takes its time for: what
// comes over a connection is done in its order. Addresses are looked up in the image for each request.
type links struct {
	net   *peer.Net
	image func() *image.Image
	pool  *arena.Pool

	mu  sync.Mutex // guards all
	all map[image.BrokerID]*link
}

type link struct{ heartbeats, forwarded, fetches *peer.Client }

func newLinks(n *peer.Net, img func() *image.Image, pool *arena.Pool) *links {
	return &links{net: n, image: img, pool: pool, all: map[image.BrokerID]*link{}}
}

func (l *links) to(id image.BrokerID) *link {
	l.mu.Lock()
	defer l.mu.Unlock()
	k, ok := l.all[id]
	if !ok {
		addr := func() (string, bool) { return l.locate(id) }
		k = &link{heartbeats: l.net.NewClient(addr), forwarded: l.net.NewClient(addr), fetches: l.net.NewClient(addr)}
		l.all[id] = k
	}
	return k
}

// internalAddr is where the other brokers reach the broker.
func internalAddr(img *image.Image, id image.BrokerID) (addr string, ok bool) {
	b, ok := img.Broker(id)
	if !ok {
		return "", false
	}
	e, ok := b.Endpoint(image.InternalListener)
	return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))), ok
}

func (l *links) locate(id image.BrokerID) (addr string, ok bool) { return internalAddr(l.image(), id) }

// lastRun is the run of a node that has registered last, as this node knows, and the epoch that it got.
func (l *links) lastRun(id image.BrokerID) (run uuid.UUID, epoch int64) {
	if b, ok := l.image().Broker(id); ok {
		return b.Run, b.Epoch
	}
	return uuid.Nil, 0
}

// Fetch is replica.Link's.
func (l *links) Fetch(ctx context.Context, to image.BrokerID, rq *kmsg.FetchRequest) (*kmsg.FetchResponse, *arena.Buf, error) {
	resp, buf, err := l.to(to).fetches.DoInto(ctx, l.pool, rq)
	if err != nil {
		return nil, nil, err
	}
	return resp.(*kmsg.FetchResponse), buf, nil
}

// Forward sends a client's request to the controller's broker.
func (l *links) Forward(ctx context.Context, to image.BrokerID, rq *kmsg.EnvelopeRequest) (*kmsg.EnvelopeResponse, error) {
	resp, err := l.to(to).forwarded.Do(ctx, rq)
	if err != nil {
		return nil, err
	}
	return resp.(*kmsg.EnvelopeResponse), nil
}

func (l *links) heartbeat(ctx context.Context, to image.BrokerID, rq *kmsg.BrokerHeartbeatRequest) (*kmsg.BrokerHeartbeatResponse, error) {
	resp, err := l.to(to).heartbeats.Do(ctx, rq)
	if err != nil {
		return nil, err
	}
	return resp.(*kmsg.BrokerHeartbeatResponse), nil
}

// probe tries whether somebody listens where b does.
func (l *links) probe(ctx context.Context, b *image.Broker) error {
	addr, ok := internalAddr(l.image(), b.ID)
	if !ok {
		return nil // a node alone, which nobody reaches
	}
	c, err := l.net.Dial(ctx, addr, peer.Kafka)
	if err != nil {
		return err
	}
	return c.Close()
}
