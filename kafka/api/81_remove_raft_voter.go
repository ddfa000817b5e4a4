package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/kafka/wire"
)

// removeRaftVoter serves key 81, version 0 (KIP-853).
func removeRaftVoter(b *Broker, ctx context.Context, _ *wire.Request, req *kmsg.RemoveRaftVoterRequest) (kmsg.Response, error) {
	ctx, cancel := patience(ctx, 0)
	defer cancel()
	resp := req.ResponseKind().(*kmsg.RemoveRaftVoterResponse)
	cluster, err := clusterAsked(req.ClusterID)
	if err == nil {
		err = b.Controller.RemoveVoter(ctx, cluster, req)
	}
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = int16(kerr.Of(err)), orNil(kerr.Message(err))
	}
	return resp, nil
}
