package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/wire"
	"chronik/metalog/image"
)

// begin starts a request; see wire.Handler.
type begin func(b *Broker, ctx context.Context, rq *wire.Request) wire.Pending

// entry says which versions of a key are served, and by what.
type entry struct {
	min, max int16
	begin    begin

	// direct is set for what the controller carries out: begin without the way to it.
	direct func(b *Broker, ctx context.Context, rq *wire.Request) (kmsg.Response, error)
	inner  bool // served to other brokers, and not there for clients
}

// between is an entry for other brokers.
func between(min, max int16, b begin) entry { return entry{min: min, max: max, begin: b, inner: true} }

// visible says whether peer may know of the entry.
func (e *entry) visible(peer *wire.Peer) bool {
	return !e.inner || peer.Listener == image.InternalListener
}

// table is all that is served, by API key: what ApiVersions says is what stands here.
var table [kmsgMaxKey + 1]entry

const kmsgMaxKey = 94

// The table is filled at start because ApiVersions, one of its entries, reads it.
func init() {
	table = [...]entry{
		0:          {min: 0, max: 13, begin: produce},
		1:          {min: 0, max: 18, begin: fetch},
		2:          {min: 0, max: 11, begin: quick(listOffsets)},
		3:          {min: 0, max: 13, begin: slow(metadata)},
		8:          {min: 0, max: 10, begin: offsetCommit},
		9:          {min: 0, max: 10, begin: slow(offsetFetch)},
		10:         {min: 0, max: 6, begin: quick(findCoordinator)},
		11:         {min: 0, max: 9, begin: slow(joinGroup)},
		12:         {min: 0, max: 4, begin: quick(heartbeat)},
		13:         {min: 0, max: 5, begin: slow(leaveGroup)},
		14:         {min: 0, max: 5, begin: slow(syncGroup)},
		15:         {min: 0, max: 6, begin: quick(describeGroups)},
		16:         {min: 0, max: 5, begin: quick(listGroups)},
		18:         {min: 0, max: 5, begin: quick(apiVersions)},
		19:         controlled(0, 7, createTopics),
		20:         controlled(0, 6, deleteTopics),
		21:         {min: 0, max: 2, begin: slow(deleteRecords)},
		22:         {min: 0, max: 5, begin: slow(initProducerID)},
		23:         {min: 0, max: 4, begin: quick(offsetForLeaderEpoch)},
		32:         {min: 0, max: 4, begin: quick(describeConfigs)},
		33:         controlled(0, 2, alterConfigs),
		34:         {min: 0, max: 2, begin: quick(alterReplicaLogDirs)},
		35:         {min: 0, max: 5, begin: quick(describeLogDirs)},
		37:         controlled(0, 3, createPartitions),
		42:         {min: 0, max: 3, begin: slow(deleteGroups)},
		43:         controlled(0, 2, electLeaders),
		44:         controlled(0, 1, incrementalAlterConfigs),
		45:         controlled(0, 1, alterPartitionReassignments),
		46:         controlled(0, 0, listPartitionReassignments),
		47:         {min: 0, max: 0, begin: slow(offsetDelete)},
		48:         {min: 0, max: 1, begin: quick(describeClientQuotas)},
		49:         controlled(0, 1, alterClientQuotas),
		55:         controlled(0, 2, describeQuorum),
		57:         controlled(0, 2, updateFeatures),
		58:         between(0, 0, slow(envelope)),
		60:         {min: 0, max: 2, begin: quick(describeCluster)},
		61:         {min: 0, max: 0, begin: quick(describeProducers)},
		63:         between(0, 2, slow(brokerHeartbeat)),
		64:         controlled(0, 0, unregisterBroker),
		68:         {min: 0, max: 1, begin: slow(consumerGroupHeartbeat)},
		69:         {min: 0, max: 1, begin: quick(consumerGroupDescribe)},
		74:         {min: 0, max: 1, begin: quick(listConfigResources)},
		75:         {min: 0, max: 0, begin: quick(describeTopicPartitions)},
		76:         {min: 1, max: 1, begin: slow(shareGroupHeartbeat)},
		77:         {min: 1, max: 1, begin: quick(shareGroupDescribe)},
		78:         {min: 1, max: 2, begin: slow(shareFetch)},
		79:         {min: 1, max: 2, begin: slow(shareAcknowledge)},
		80:         controlled(0, 1, addRaftVoter),
		81:         controlled(0, 0, removeRaftVoter),
		88:         {min: 0, max: 1, begin: slow(streamsGroupHeartbeat)},
		89:         {min: 0, max: 1, begin: quick(streamsGroupDescribe)},
		90:         {min: 0, max: 1, begin: slow(describeShareGroupOffsets)},
		91:         {min: 0, max: 0, begin: slow(alterShareGroupOffsets)},
		92:         {min: 0, max: 0, begin: slow(deleteShareGroupOffsets)},
		kmsgMaxKey: {},
	}
}
