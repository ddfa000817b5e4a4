package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/wire"
)

// offsetCommit serves key 8, versions 0-10. Version 0, which in Kafka went to ZooKeeper, commits as a simple consumer.
func offsetCommit(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.OffsetCommitRequest) (kmsg.Response, error) {
	return b.Groups.OffsetCommit(ctx, rq.Version, req), nil
}
