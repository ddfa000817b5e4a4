package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/kafka/wire"
)

// syncGroup serves key 14, versions 0-5. The answer waits for the assignment by the group's leader.
func syncGroup(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.SyncGroupRequest) (kmsg.Response, error) {
	if rq.Version >= 5 && (req.ProtocolType == nil || req.Protocol == nil) { // KIP-559: optional before, needed from then on
		resp := req.ResponseKind().(*kmsg.SyncGroupResponse)
		resp.ErrorCode = int16(kerr.InconsistentGroupProtocol)
		return resp, nil
	}
	return b.Groups.Sync(ctx, rq.Version, req), nil
}
