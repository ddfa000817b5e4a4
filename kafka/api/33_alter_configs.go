package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/wire"
)

// alterConfigs serves key 33, versions 0-2: what a resource has set is replaced as a whole. The request has no timeout.
func alterConfigs(b *Broker, ctx context.Context, _ *wire.Request, req *kmsg.AlterConfigsRequest) (kmsg.Response, error) {
	ctx, cancel := patience(ctx, 0)
	defer cancel()
	resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
	resp.Resources = b.Controller.AlterConfigs(ctx, req)
	return resp, nil
}
