package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/wire"
)

// heartbeat serves key 12, versions 0-4.
func heartbeat(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.HeartbeatRequest) (kmsg.Response, error) {
	return b.Groups.Heartbeat(ctx, rq.Version, req), nil
}
