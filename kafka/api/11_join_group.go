package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/group"
	"chronik/kafka/wire"
)

// joinGroup serves key 11, versions 0-9. The answer waits for the group's other members.
func joinGroup(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.JoinGroupRequest) (kmsg.Response, error) {
	return b.Groups.Join(ctx, client(rq), rq.Version, req), nil
}

// client is who sent rq, as DescribeGroups shows it: with a slash, as Java prints addresses and tools expect them.
func client(rq *wire.Request) group.Client {
	return group.Client{ID: rq.ClientID, Host: "/" + rq.Peer.Remote.Addr().Unmap().String()}
}
