package api

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/wire"
)

// shareGroupDescribe serves key 77, version 1.
func shareGroupDescribe(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.ShareGroupDescribeRequest) (kmsg.Response, error) {
	req.GroupIDs = slices.DeleteFunc(req.GroupIDs, asked[string]{}.tooOften)
	return b.Groups.ShareGroupDescribe(ctx, rq.Version, req), nil
}
