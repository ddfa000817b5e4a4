package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/wire"
)

// describeShareGroupOffsets serves key 90, versions 0-1.
func describeShareGroupOffsets(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.DescribeShareGroupOffsetsRequest) (kmsg.Response, error) {
	return b.Groups.DescribeShareGroupOffsets(ctx, rq.Version, req), nil
}
