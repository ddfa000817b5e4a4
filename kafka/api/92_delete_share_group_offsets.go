package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/wire"
)

// deleteShareGroupOffsets serves key 92, version 0.
func deleteShareGroupOffsets(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.DeleteShareGroupOffsetsRequest) (kmsg.Response, error) {
	return b.Groups.DeleteShareGroupOffsets(ctx, rq.Version, req), nil
}
