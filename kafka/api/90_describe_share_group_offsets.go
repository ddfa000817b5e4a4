package api

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/wire"
)

// describeShareGroupOffsets serves key 90, versions 0-1. A partition that a group's topics name again is left out: four bytes that do
// would each have a whole state read.
func describeShareGroupOffsets(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.DescribeShareGroupOffsetsRequest) (kmsg.Response, error) {
	told := asked[string]{}
	req.Groups = slices.DeleteFunc(req.Groups, func(g kmsg.DescribeShareGroupOffsetsRequestGroup) bool { return told.tooOften(g.GroupID) })
	for _, g := range req.Groups {
		named := map[itemKey]bool{}
		for i := range g.Topics {
			t := &g.Topics[i]
			t.Partitions = slices.DeleteFunc(t.Partitions, func(partition int32) bool {
				key := itemKey{name: t.Topic, partition: partition}
				again := named[key]
				named[key] = true
				return again
			})
		}
	}
	return b.Groups.DescribeShareGroupOffsets(ctx, rq.Version, req), nil
}
