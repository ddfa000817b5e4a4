package api

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/kafka/wire"
)

// consumerGroupDescribe serves key 69, versions 0-1 (KIP-848).
func consumerGroupDescribe(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.ConsumerGroupDescribeRequest) (kmsg.Response, error) {
	req.Groups = slices.DeleteFunc(req.Groups, asked[string]{}.tooOften)
	resp := b.Groups.ConsumerGroupDescribe(ctx, rq.Version, req)
	if req.IncludeAuthorizedOperations {
		for i := range resp.Groups {
			if kerr.Code(resp.Groups[i].ErrorCode) == kerr.None {
				resp.Groups[i].AuthorizedOperations = groupOperations
			}
		}
	}
	return resp, nil
}
