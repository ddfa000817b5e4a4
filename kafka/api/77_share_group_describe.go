package api

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/kafka/wire"
)

// shareGroupDescribe serves key 77, version 1.
func shareGroupDescribe(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.ShareGroupDescribeRequest) (kmsg.Response, error) {
	req.GroupIDs = slices.DeleteFunc(req.GroupIDs, asked[string]{}.tooOften)
	resp := b.Groups.ShareGroupDescribe(ctx, rq.Version, req)
	if req.IncludeAuthorizedOperations {
		for i := range resp.Groups {
			if kerr.Code(resp.Groups[i].ErrorCode) == kerr.None {
				resp.Groups[i].AuthorizedOperations = groupOperations
			}
		}
	}
	return resp, nil
}
