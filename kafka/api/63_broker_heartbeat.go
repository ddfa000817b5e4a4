package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/wire"
)

// brokerHeartbeat serves key 63, versions 0-2, between nodes, where the controller is.
func brokerHeartbeat(b *Broker, ctx context.Context, _ *wire.Request, req *kmsg.BrokerHeartbeatRequest) (kmsg.Response, error) {
	return b.Controller.Heartbeat(ctx, req), nil
}
