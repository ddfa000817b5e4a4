package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/wire"
)

// offsetCommit serves key 8, versions 0-10. Version 0, which in Kafka went to ZooKeeper, commits as a simple consumer. A
// commit goes on its way at once, so that those which a client sends one behind another share an entry of the metadata log.
func offsetCommit(b *Broker, ctx context.Context, rq *wire.Request) wire.Pending {
	if rq.Behind {
		return commitLater(b, ctx, rq)
	}
	commit := b.Groups.BeginCommit(rq.Version, rq.Body.(*kmsg.OffsetCommitRequest))
	return wire.Pending{Ready: commit.Ready, Finish: func(ctx context.Context, r *wire.Reply) error {
		r.Message(commit.Wait(ctx))
		return nil
	}}
}

var commitLater = slow(func(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.OffsetCommitRequest) (kmsg.Response, error) {
	return b.Groups.OffsetCommit(ctx, rq.Version, req), nil
})
