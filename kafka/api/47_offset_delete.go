package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/wire"
)

// offsetDelete serves key 47, version 0.
func offsetDelete(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.OffsetDeleteRequest) (kmsg.Response, error) {
	return b.Groups.OffsetDelete(ctx, rq.Version, req), nil
}
