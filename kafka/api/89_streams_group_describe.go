package api

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/kafka/wire"
)

// streamsGroupDescribe serves key 89, versions 0-1.
func streamsGroupDescribe(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.StreamsGroupDescribeRequest) (kmsg.Response, error) {
	req.Groups = slices.DeleteFunc(req.Groups, asked[string]{}.tooOften)
	resp := b.Groups.StreamsDescribe(ctx, rq.Version, req)
	if req.IncludeAuthorizedOperations {
		for i := range resp.Groups {
			if kerr.Code(resp.Groups[i].ErrorCode) == kerr.None {
				resp.Groups[i].AuthorizedOperations = groupOperations
			}
		}
	}
	return resp, nil
}
