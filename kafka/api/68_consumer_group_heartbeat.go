package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/wire"
)

// consumerGroupHeartbeat serves key 68, versions 0-1 (KIP-848).
func consumerGroupHeartbeat(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.ConsumerGroupHeartbeatRequest) (kmsg.Response, error) {
	if err := b.finalised("group.version"); err != nil {
		resp := req.ResponseKind().(*kmsg.ConsumerGroupHeartbeatResponse)
		resp.ErrorCode, resp.ErrorMessage = codeAndMessage(err)
		return resp, nil
	}
	return b.Groups.ConsumerGroupHeartbeat(ctx, client(rq), rq.Version, req), nil
}
