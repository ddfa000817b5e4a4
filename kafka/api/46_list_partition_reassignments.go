package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/kafka/wire"
)

// listPartitionReassignments serves key 46, version 0 (KIP-455).
func listPartitionReassignments(b *Broker, ctx context.Context, _ *wire.Request, req *kmsg.ListPartitionReassignmentsRequest) (kmsg.Response, error) {
	resp := req.ResponseKind().(*kmsg.ListPartitionReassignmentsResponse)
	if err := context.Cause(ctx); err != nil {
		resp.ErrorCode = int16(kerr.Of(err))
		return resp, nil
	}
	resp.Topics = b.Controller.ListPartitionReassignments(req)
	return resp, nil
}
