package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/wire"
)

// listGroups serves key 16, versions 0-5.
func listGroups(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.ListGroupsRequest) (kmsg.Response, error) {
	return b.Groups.ListGroups(ctx, rq.Version, req), nil
}
