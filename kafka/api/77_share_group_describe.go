package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/wire"
)

// shareGroupDescribe serves key 77, version 1.
func shareGroupDescribe(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.ShareGroupDescribeRequest) (kmsg.Response, error) {
	return b.Groups.ShareGroupDescribe(ctx, rq.Version, req), nil
}
