package api

import (
	"context"
	"encoding/base64"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/kafka/wire"
)

// addRaftVoter serves key 80, versions 0-1 (KIP-853, 1186). The node is one that has joined: where it listens is known, so
// the request's listeners are not looked at. It always waits for the commit.
func addRaftVoter(b *Broker, ctx context.Context, _ *wire.Request, req *kmsg.AddRaftVoterRequest) (kmsg.Response, error) {
	ctx, cancel := patience(ctx, req.TimeoutMillis)
	defer cancel()
	resp := req.ResponseKind().(*kmsg.AddRaftVoterResponse)
	cluster, err := clusterAsked(req.ClusterID)
	if err == nil {
		err = b.Controller.AddVoter(ctx, cluster, req)
	}
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = int16(kerr.Of(err)), orNil(kerr.Message(err))
	}
	return resp, nil
}

// clusterAsked is the cluster that a client means, zero when it does not say.
func clusterAsked(text *string) (uuid.UUID, error) {
	if text == nil {
		return uuid.Nil, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(*text)
	if err != nil || len(raw) != len(uuid.Nil) {
		return uuid.Nil, kerr.InconsistentClusterID
	}
	return uuid.UUID(raw), nil
}
