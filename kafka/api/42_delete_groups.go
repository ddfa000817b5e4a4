package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/wire"
)

// deleteGroups serves key 42, versions 0-3. A group that is named twice is deleted, and answered for, once.
func deleteGroups(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.DeleteGroupsRequest) (kmsg.Response, error) {
	once, seen := *req, map[string]bool{}
	once.Groups = nil
	for _, id := range req.Groups {
		if !seen[id] {
			once.Groups = append(once.Groups, id)
		}
		seen[id] = true
	}
	return b.Groups.DeleteGroups(ctx, rq.Version, &once), nil
}
