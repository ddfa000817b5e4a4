package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/kafka/wire"
)

// electLeaders serves key 43, versions 0-2 (KIP-460). Version 0 knows preferred leaders only.
func electLeaders(b *Broker, ctx context.Context, _ *wire.Request, req *kmsg.ElectLeadersRequest) (kmsg.Response, error) {
	ctx, cancel := patience(ctx, req.TimeoutMillis)
	defer cancel()
	resp := req.ResponseKind().(*kmsg.ElectLeadersResponse)
	if req.Version == 0 {
		req.ElectionType = 0
	}
	if err := context.Cause(ctx); err != nil {
		resp.ErrorCode = int16(kerr.Of(err))
		return resp, nil
	}
	resp.Topics = b.Controller.ElectLeaders(ctx, req)
	return resp, nil
}
