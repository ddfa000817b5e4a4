package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/wire"
)

// deleteTopics serves key 20, versions 0-6. When a topic is answered for, this node does not know it any more.
func deleteTopics(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.DeleteTopicsRequest) (kmsg.Response, error) {
	ctx, cancel := patience(ctx, req.TimeoutMillis)
	defer cancel()
	resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
	quota := b.changes(rq, 5)
	resp.Topics = b.Controller.DeleteTopics(ctx, req, quota.permit())
	resp.ThrottleMillis = quota.throttleMs()
	return resp, nil
}
