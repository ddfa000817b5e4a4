package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/kafka/wire"
)

// alterPartitionReassignments serves key 45, versions 0-1 (KIP-455, 860). Kafka calls its message so; kmsg calls it
// AlterPartitionAssignments.
func alterPartitionReassignments(b *Broker, ctx context.Context, _ *wire.Request, req *kmsg.AlterPartitionAssignmentsRequest) (kmsg.Response, error) {
	ctx, cancel := patience(ctx, req.TimeoutMillis)
	defer cancel()
	resp := req.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
	resp.AllowReplicationFactorChange = req.AllowReplicationFactorChange
	if err := context.Cause(ctx); err != nil {
		resp.ErrorCode = int16(kerr.Of(err))
		return resp, nil
	}
	resp.Topics = b.Controller.AlterPartitionReassignments(ctx, req)
	return resp, nil
}
