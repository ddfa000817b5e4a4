package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/wire"
)

// shareGroupHeartbeat serves key 76, version 1 (KIP-932).
func shareGroupHeartbeat(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.ShareGroupHeartbeatRequest) (kmsg.Response, error) {
	if err := b.finalised("share.version"); err != nil {
		resp := req.ResponseKind().(*kmsg.ShareGroupHeartbeatResponse)
		resp.ErrorCode, resp.ErrorMessage = codeAndMessage(err)
		return resp, nil
	}
	return b.Groups.ShareGroupHeartbeat(ctx, client(rq), rq.Version, req), nil
}
