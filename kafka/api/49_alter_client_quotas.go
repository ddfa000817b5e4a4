package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/wire"
)

// alterClientQuotas serves key 49, versions 0-1 (KIP-546). The request has no timeout.
func alterClientQuotas(b *Broker, ctx context.Context, _ *wire.Request, req *kmsg.AlterClientQuotasRequest) (kmsg.Response, error) {
	ctx, cancel := patience(ctx, 0)
	defer cancel()
	resp := req.ResponseKind().(*kmsg.AlterClientQuotasResponse)
	resp.Entries = b.Controller.AlterClientQuotas(ctx, req)
	return resp, nil
}
