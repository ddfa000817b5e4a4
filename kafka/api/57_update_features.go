package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/kafka/wire"
)

// updateFeatures serves key 57, versions 0-2 (KIP-584, 778). All levels change, or none: there is one outcome.
func updateFeatures(b *Broker, ctx context.Context, _ *wire.Request, req *kmsg.UpdateFeaturesRequest) (kmsg.Response, error) {
	ctx, cancel := patience(ctx, req.TimeoutMillis)
	defer cancel()
	resp := req.ResponseKind().(*kmsg.UpdateFeaturesResponse)
	if err := b.Controller.UpdateFeatures(ctx, req); err != nil {
		resp.ErrorCode, resp.ErrorMessage = int16(kerr.Of(err)), orNil(kerr.Message(err))
		return resp, nil
	}
	for _, u := range req.FeatureUpdates {
		one := kmsg.NewUpdateFeaturesResponseResult()
		one.Feature = u.Feature
		resp.Results = append(resp.Results, one)
	}
	return resp, nil
}
