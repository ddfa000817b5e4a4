package api

import (
	"context"

	"chronik/kafka/wire"
)

// begin starts a request; see wire.Handler.
type begin func(b *Broker, ctx context.Context, rq *wire.Request) wire.Pending

// entry says which versions of a key are served, and by what.
type entry struct {
	min, max int16
	begin    begin
}

// table is all that is served, by API key: what ApiVersions says is what stands here.
var table [kmsgMaxKey + 1]entry

const kmsgMaxKey = 94

// The table is filled at start because ApiVersions, one of its entries, reads it.
func init() {
	table = [...]entry{
		0:          {0, 13, produce},
		1:          {0, 18, fetch},
		2:          {0, 11, quick(listOffsets)},
		3:          {0, 13, slow(metadata)},
		8:          {0, 10, slow(offsetCommit)},
		9:          {0, 10, quick(offsetFetch)},
		10:         {0, 6, quick(findCoordinator)},
		11:         {0, 9, slow(joinGroup)},
		12:         {0, 4, quick(heartbeat)},
		13:         {0, 5, slow(leaveGroup)},
		14:         {0, 5, slow(syncGroup)},
		15:         {0, 6, quick(describeGroups)},
		16:         {0, 5, quick(listGroups)},
		18:         {0, 5, quick(apiVersions)},
		19:         {0, 7, slow(createTopics)},
		20:         {0, 6, slow(deleteTopics)},
		21:         {0, 2, slow(deleteRecords)},
		22:         {0, 5, slow(initProducerID)},
		23:         {0, 4, quick(offsetForLeaderEpoch)},
		32:         {0, 4, quick(describeConfigs)},
		33:         {0, 2, slow(alterConfigs)},
		35:         {0, 5, quick(describeLogDirs)},
		37:         {0, 3, slow(createPartitions)},
		42:         {0, 3, slow(deleteGroups)},
		44:         {0, 1, slow(incrementalAlterConfigs)},
		47:         {0, 0, slow(offsetDelete)},
		60:         {0, 2, quick(describeCluster)},
		74:         {0, 1, quick(listConfigResources)},
		75:         {0, 0, quick(describeTopicPartitions)},
		kmsgMaxKey: {},
	}
}
