package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/kafka/wire"
)

// initProducerID serves key 22, versions 0-5, for idempotent producers. Transactions come later: a request with a
// transactional id is refused rather than given a producer that cannot commit.
func initProducerID(b *Broker, ctx context.Context, _ *wire.Request, req *kmsg.InitProducerIDRequest) (kmsg.Response, error) {
	resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	if req.TransactionalID != nil || req.Version >= 3 && (req.ProducerID < 0) != (req.ProducerEpoch < 0) {
		resp.ErrorCode = int16(kerr.InvalidRequest)
		return resp, nil
	}
	id, err := b.Controller.ProducerID(ctx)
	if err != nil { // while nobody leads the metadata, or others were faster; to clients any other code is final
		resp.ErrorCode = int16(kerr.CoordinatorLoadInProgress)
		return resp, nil
	}
	resp.ProducerID, resp.ProducerEpoch = id, 0
	return resp, nil
}
