package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/kafka/wire"
)

// findCoordinator serves key 10, versions 0-6. A group's coordinator is a function of the image, which every node has.
func findCoordinator(b *Broker, _ context.Context, rq *wire.Request, req *kmsg.FindCoordinatorRequest) (kmsg.Response, error) {
	resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
	if req.Version >= 4 {
		for _, key := range req.CoordinatorKeys {
			resp.Coordinators = append(resp.Coordinators, b.coordinator(req.CoordinatorType, key, rq.Peer))
		}
		return resp, nil
	}
	c := b.coordinator(req.CoordinatorType, req.CoordinatorKey, rq.Peer)
	resp.NodeID, resp.Host, resp.Port = c.NodeID, c.Host, c.Port
	resp.ErrorCode, resp.ErrorMessage = c.ErrorCode, c.ErrorMessage
	return resp, nil
}

// FindCoordinatorRequest.CoordinatorType; there is also 2, for share groups.
const (
	groupCoordinator       = 0
	transactionCoordinator = 1
)

func (b *Broker) coordinator(kind int8, key string, peer *wire.Peer) kmsg.FindCoordinatorResponseCoordinator {
	c := kmsg.FindCoordinatorResponseCoordinator{Key: key, NodeID: -1, Port: -1}
	if kind != groupCoordinator && kind != transactionCoordinator {
		c.ErrorCode = int16(kerr.InvalidRequest)
		c.ErrorMessage = orNil("only groups have a coordinator here")
		return c
	}
	if kind == transactionCoordinator {
		// Not INVALID_REQUEST, which says it best: librdkafka asks again for ever after that, while this one ends the producer.
		c.ErrorCode = int16(kerr.TransactionalIDAuthorizationFailed)
		c.ErrorMessage = orNil("transactions are not served by this broker")
		return c
	}
	img := b.Meta.Image()
	if n, ok := img.Broker(img.Coordinator(key)); ok {
		c.NodeID = int32(n.ID)
		c.Host, c.Port = b.endpoint(n, peer)
		return c
	}
	c.ErrorCode = int16(kerr.CoordinatorNotAvailable)
	return c
}
