package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/wire"
)

// alterShareGroupOffsets serves key 91, version 0.
func alterShareGroupOffsets(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.AlterShareGroupOffsetsRequest) (kmsg.Response, error) {
	return b.Groups.AlterShareGroupOffsets(ctx, rq.Version, req), nil
}
