package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/wire"
)

// createPartitions serves key 37, versions 0-3.
func createPartitions(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.CreatePartitionsRequest) (kmsg.Response, error) {
	ctx, cancel := patience(ctx, req.TimeoutMillis)
	defer cancel()
	resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
	quota := b.changes(rq, 3)
	resp.Topics = b.Controller.CreatePartitions(ctx, req, quota.permit())
	resp.ThrottleMillis = quota.throttleMs()
	return resp, nil
}
