package api

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
)

// A feature that was lowered must not be served on: tools would say that it is off.
func TestWhatIsNotFinalisedIsRefused(t *testing.T) {
	n := start(t, nil)
	id := n.create("t", 1)
	n.code(n.heartbeat().ErrorCode, kerr.None)
	rq := kmsg.NewPtrUpdateFeaturesRequest()
	rq.Version = 1
	for _, name := range []string{"group.version", "share.version", "streams.version"} {
		u := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
		u.Feature, u.MaxVersionLevel, u.UpgradeType = name, 0, 2 // a safe downgrade
		rq.FeatureUpdates = append(rq.FeatureUpdates, u)
	}
	n.code(ask[*kmsg.UpdateFeaturesResponse](n, rq).ErrorCode, kerr.None)
	n.code(n.heartbeat().ErrorCode, kerr.UnsupportedVersion)

	share := kmsg.NewPtrShareGroupHeartbeatRequest()
	share.Version, share.GroupID, share.MemberID, share.SubscribedTopicNames = 1, "s", "m", []string{"t"}
	n.code(ask[*kmsg.ShareGroupHeartbeatResponse](n, share).ErrorCode, kerr.UnsupportedVersion)
	fetch := kmsg.NewPtrShareFetchRequest()
	fetch.Version, fetch.GroupID, fetch.MemberID = 2, ptr("s"), ptr("m")
	fetch.Topics = []kmsg.ShareFetchRequestTopic{{TopicID: id}}
	n.code(ask[*kmsg.ShareFetchResponse](n, fetch).ErrorCode, kerr.UnsupportedVersion)
	said := kmsg.NewPtrShareAcknowledgeRequest()
	said.Version, said.GroupID, said.MemberID = 2, ptr("s"), ptr("m")
	n.code(ask[*kmsg.ShareAcknowledgeResponse](n, said).ErrorCode, kerr.UnsupportedVersion)
	streams := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	streams.Version, streams.Group, streams.MemberID = 1, "x", "m"
	n.code(ask[*kmsg.StreamsGroupHeartbeatResponse](n, streams).ErrorCode, kerr.UnsupportedVersion)
}

// heartbeat has a member join a consumer group of KIP-848.
func (n *node) heartbeat() *kmsg.ConsumerGroupHeartbeatResponse {
	rq := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	rq.Version, rq.Group, rq.MemberID, rq.MemberEpoch, rq.RebalanceTimeoutMillis = 1, "g", "m", 0, 60_000
	rq.SubscribedTopicNames, rq.Topics = []string{"t"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	return ask[*kmsg.ConsumerGroupHeartbeatResponse](n, rq)
}
