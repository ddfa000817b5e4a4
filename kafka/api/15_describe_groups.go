package api

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/kafka/wire"
)

// describeGroups serves key 15, versions 0-6.
func describeGroups(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.DescribeGroupsRequest) (kmsg.Response, error) {
	req.Groups = slices.DeleteFunc(req.Groups, asked[string]{}.tooOften)
	resp := b.Groups.DescribeGroups(ctx, rq.Version, req)
	if req.IncludeAuthorizedOperations {
		for i := range resp.Groups {
			if kerr.Code(resp.Groups[i].ErrorCode) == kerr.None {
				resp.Groups[i].AuthorizedOperations = groupOperations
			}
		}
	}
	return resp, nil
}
