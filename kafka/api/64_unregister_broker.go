package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/kafka/wire"
	"chronik/metalog/image"
)

// unregisterBroker serves key 64, version 0: a broker that is gone for good.
func unregisterBroker(b *Broker, ctx context.Context, _ *wire.Request, req *kmsg.UnregisterBrokerRequest) (kmsg.Response, error) {
	ctx, cancel := patience(ctx, 0)
	defer cancel()
	resp := req.ResponseKind().(*kmsg.UnregisterBrokerResponse)
	if err := b.Controller.UnregisterBroker(ctx, image.BrokerID(req.BrokerID)); err != nil {
		resp.ErrorCode = int16(kerr.Of(err))
		resp.ErrorMessage = orNil(kerr.Message(err))
	}
	return resp, nil
}
