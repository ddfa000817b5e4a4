package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/wire"
)

// incrementalAlterConfigs serves key 44, versions 0-1 (KIP-339). The request has no timeout.
func incrementalAlterConfigs(b *Broker, ctx context.Context, _ *wire.Request, req *kmsg.IncrementalAlterConfigsRequest) (kmsg.Response, error) {
	ctx, cancel := patience(ctx, 0)
	defer cancel()
	resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	resp.Resources = b.Controller.IncrementalAlterConfigs(ctx, req)
	return resp, nil
}
