package api

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/kafka/wire"
	"chronik/metalog/image"
)

// What changes the metadata is carried out where the metadata log leads. Another node sends the request there whole
// (Envelope, KIP-590), and answers when it has applied what came of it: a client reads its own writes at the node that it
// asked.

// indexTag is the tagged field of an Envelope response that says which index the forwarding node must have applied. Kafka
// has none; it is far beyond those that it may come to have.
const indexTag = 0x4348524b

// askAgain is how long to wait while no controller is known, or the one that is thinks that it is none.
const askAgain = 20 * time.Millisecond

// controlled is an entry whose handler runs at the controller; other nodes forward to it.
func controlled[R kmsg.Request](min, max int16, h handler[R]) entry {
	return entry{
		min: min, max: max,
		begin: handler[R](h.atController).begin(wire.Waits),
		direct: func(b *Broker, ctx context.Context, rq *wire.Request) (kmsg.Response, error) {
			return h(b, ctx, rq, rq.Body.(R))
		},
	}
}

// atController is h wherever the controller is. Without one, or without its answer, it is h with a context that has
// ended, so that each item of the request has its code: NOT_CONTROLLER says that nothing was done, REQUEST_TIMED_OUT that
// nobody knows.
func (h handler[R]) atController(b *Broker, ctx context.Context, rq *wire.Request, req R) (kmsg.Response, error) {
	if b.Forward == nil {
		return h(b, ctx, rq, req)
	}
	timeout := int32(0)
	if t, ok := any(req).(kmsg.TimeoutRequest); ok {
		timeout = t.Timeout()
	}
	within, cancel := patience(ctx, timeout)
	defer cancel()
	resp, err := b.askController(within, rq, req)
	if err == nil {
		return resp, nil
	}
	if !errors.Is(err, errHere) {
		b.Logger.Info("a request could not be forwarded to the controller", "apiKey", kmsg.NameForKey(rq.Key), "error", err)
		ended, end := context.WithCancelCause(ctx)
		end(kerr.Of(err))
		ctx = ended
	}
	return h(b, ctx, rq, req)
}

// errHere says that this node is the controller.
var errHere = errors.New("the controller is here")

// askController forwards a request until a controller has taken it, or is this node (errHere).
func (b *Broker) askController(ctx context.Context, rq *wire.Request, req kmsg.Request) (kmsg.Response, error) {
	for {
		if b.Controller.Leads() {
			return nil, errHere
		}
		if to := b.Meta.Leader(); to != image.NoBroker && to != b.Self {
			resp, err := b.forward(ctx, to, rq, req)
			if !nothingDone(err) {
				return resp, err
			}
		}
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return nil, kerr.NotController
		}
	}
}

// nothingDone says that a request can be sent again.
func nothingDone(err error) bool {
	return kerr.Of(err) == kerr.NotController || errors.Is(err, syscall.ECONNREFUSED)
}

// forward has one node carry a request out, and waits for what came of it. NOT_CONTROLLER: it is not the controller;
// REQUEST_TIMED_OUT: it may have been carried out.
func (b *Broker) forward(ctx context.Context, to image.BrokerID, rq *wire.Request, req kmsg.Request) (kmsg.Response, error) {
	envelope := kmsg.NewPtrEnvelopeRequest()
	framed := kmsg.NewRequestFormatter(kmsg.FormatterClientID(rq.ClientID)).AppendRequest(nil, req, rq.CorrelationID)
	envelope.RequestData = framed[4:]
	envelope.RequestPrincipal = []byte(rq.Peer.Principal)
	envelope.ClientHostAddress = rq.Peer.Remote.Addr().Unmap().AsSlice()
	answer, err := b.Forward(ctx, to, envelope)
	if err != nil {
		if nothingDone(err) {
			return nil, err
		}
		return nil, kerr.Detail(kerr.RequestTimedOut, "no answer of controller %d: %v", to, err)
	}
	if answer.ErrorCode != 0 {
		return nil, kerr.Code(answer.ErrorCode)
	}
	resp, index, err := opened(answer, req)
	if err == nil {
		err = b.Meta.Wait(ctx, index)
	}
	if err != nil {
		return nil, kerr.Detail(kerr.RequestTimedOut, "the answer of controller %d: %v", to, err)
	}
	return resp, nil
}

// opened takes the answer to req out of its envelope.
func opened(answer *kmsg.EnvelopeResponse, req kmsg.Request) (resp kmsg.Response, index image.Index, err error) {
	answer.UnknownTags.Each(func(tag uint32, value []byte) {
		if n, size := binary.Uvarint(value); tag == indexTag && size > 0 {
			index = image.Index(n)
		}
	})
	resp = req.ResponseKind()
	body, header := answer.ResponseData, 4
	if resp.IsFlexible() {
		header++
	}
	if len(body) < header {
		return nil, 0, fmt.Errorf("an envelope with %d bytes", len(body))
	}
	return resp, index, resp.ReadFrom(body[header:])
}
