package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/wire"
)

// leaveGroup serves key 13, versions 0-5.
func leaveGroup(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.LeaveGroupRequest) (kmsg.Response, error) {
	return b.Groups.Leave(ctx, rq.Version, req), nil
}
