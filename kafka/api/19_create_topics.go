package api

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/wire"
)

// createTopics serves key 19, versions 0-7. When a topic is answered for, this node has applied it and leads what it is
// to lead: a produce right after succeeds.
func createTopics(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.CreateTopicsRequest) (kmsg.Response, error) {
	ctx, cancel := patience(ctx, req.TimeoutMillis)
	defer cancel()
	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
	quota := b.changes(rq, 6)
	resp.Topics = b.Controller.CreateTopics(ctx, req, quota.permit())
	resp.ThrottleMillis = quota.throttleMs()
	return resp, nil
}

// leastPatience is how long a change of the metadata may take whatever the client says. Several clients send a timeout
// of 0 and do not mean it: they treat REQUEST_TIMED_OUT as a failure.
const leastPatience = 5 * time.Second

// patience bounds a change of the metadata by the request's timeout.
func patience(ctx context.Context, timeoutMs int32) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, max(leastPatience, time.Duration(timeoutMs)*time.Millisecond))
}
