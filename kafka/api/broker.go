// Package api is the Kafka protocol's meaning: one file per API key, named by the key's number, and table.go, which
// says what is served. Handlers translate between the protocol and the node's floors; they hold no state of their own
// but the fetch sessions. They do not know sockets.
package api

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/controller"
	"chronik/cluster/group"
	"chronik/cluster/replica"
	"chronik/cluster/share"
	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/kafka/quota"
	"chronik/kafka/wire"
	"chronik/metalog/image"
)

// Metadata is the metadata log as this node has applied it.
type Metadata interface {
	Image() *image.Image
	Leader() image.BrokerID // NoBroker when unknown
	Wait(ctx context.Context, index image.Index) error
}

// Broker answers requests for one node. Its fields are set before the first request and never change.
type Broker struct {
	Self       image.BrokerID
	Meta       Metadata
	Parts      *replica.Manager
	Controller *controller.Controller
	Groups     *group.Coordinator
	Shares     *share.Manager
	Config     func() *config.Broker // the broker's, compiled; one atomic load
	Quotas     *quota.Manager        // nil: nobody has any
	Draining   <-chan struct{}       // closed when the node stops: fetches then answer with what there is
	DataDir    string                // as DescribeLogDirs shows it
	Logger     *slog.Logger

	// Forward sends a request to another broker, where it is the controller; nil for a node that is alone, and so is it.
	// ECONNREFUSED in its error says that nothing was sent.
	Forward func(ctx context.Context, to image.BrokerID, rq *kmsg.EnvelopeRequest) (*kmsg.EnvelopeResponse, error)

	sessions sessions
}

// Begin is wire.Handler's.
func (b *Broker) Begin(ctx context.Context, rq *wire.Request) wire.Pending {
	if !table[rq.Key].visible(rq.Peer) {
		return wire.Pending{Finish: func(context.Context, *wire.Reply) error {
			return fmt.Errorf("%s on listener %s: only other brokers may ask that", kmsg.NameForKey(rq.Key), rq.Peer.Listener)
		}}
	}
	if b.limited(rq) {
		return b.metered(ctx, rq, &table[rq.Key])
	}
	return table[rq.Key].begin(b, ctx, rq)
}

// Served is wire.Handler's.
func (b *Broker) Served(key, version int16) bool {
	if key < 0 || int(key) >= len(table) || table[key].begin == nil {
		return false
	}
	return table[key].min <= version && version <= table[key].max
}

// finalised refuses what belongs to a feature that the cluster does not have (any more), as Kafka does: its level was lowered, or the
// cluster is older than the feature and nobody has raised it.
func (b *Broker) finalised(feature string) error {
	if b.Meta.Image().Feature(feature) > 0 {
		return nil
	}
	return kerr.Detail(kerr.UnsupportedVersion, "%s is not finalised: kafka-features.sh upgrade raises it", feature)
}

// endpoint is where a client reaches broker n. A broker without a host of its own is told as the one that the other
// brokers reach it by, or as the address that this client came by: it got here, so it will again.
func (b *Broker) endpoint(n *image.Broker, peer *wire.Peer) (host string, port int32) {
	for _, e := range n.Endpoints {
		if e.Name != peer.Listener {
			continue
		}
		host, port = e.Host, e.Port
		if inner, ok := n.Endpoint(image.InternalListener); ok && host == "" && n.ID != b.Self {
			host = inner.Host
		}
		if host == "" {
			host = peer.Local.Addr().Unmap().WithZone("").String()
		}
		if port == 0 {
			port = int32(peer.Local.Port())
		}
		return host, port
	}
	return "", -1
}

// resolve finds a topic by its id, or by its name where the version has no ids yet.
func resolve(img *image.Image, id uuid.UUID, name string) (*image.Topic, bool) {
	if id != uuid.Nil {
		return img.Topic(id)
	}
	return img.TopicNamed(name)
}

// stillLeads is err, or NOT_LEADER_OR_FOLLOWER where there is none and this node may not be a leader any more: it may have been
// stopped since it looked. Ask it when the answer is there.
func (b *Broker) stillLeads(err error) error {
	if err == nil && !b.Parts.Serving() {
		return kerr.NotLeaderOrFollower
	}
	return err
}

// mostRepeats is how often one thing may be asked for in one request and still be answered. Kafka has no bound, and
// clients never repeat themselves: but a short request must not have an endless answer.
const mostRepeats = 8

// asked counts how often each thing was asked for in a request.
type asked[K comparable] map[K]int

func (a asked[K]) tooOften(key K) bool {
	a[key]++
	return a[key] > mostRepeats
}

// handler is a request that is answered by one function; begin adapts it for the table.
type handler[R kmsg.Request] func(b *Broker, ctx context.Context, rq *wire.Request, req R) (kmsg.Response, error)

// quick serves a handler that never waits, slow one that may; both run when their turn to answer has come, so that a
// connection's requests take effect in their order.
func quick[R kmsg.Request](h handler[R]) begin { return h.begin(nil) }
func slow[R kmsg.Request](h handler[R]) begin  { return h.begin(wire.Waits) }

func (h handler[R]) begin(ready func() bool) begin {
	return func(b *Broker, _ context.Context, rq *wire.Request) wire.Pending {
		return wire.Pending{Ready: ready, Later: true, Finish: func(ctx context.Context, r *wire.Reply) error {
			resp, err := h(b, ctx, rq, rq.Body.(R))
			if err != nil {
				return err
			}
			r.Message(resp)
			return nil
		}}
	}
}
