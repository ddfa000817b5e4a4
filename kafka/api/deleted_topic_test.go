package api

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
)

// A topic that is made again under its name is another one: no group, of whatever kind, may skip what is in it because it was
// further on in the one before, not after a restart either. As in Kafka the offsets go with the topic.
func TestATopicThatIsMadeAgainMustNotInheritOffsets(t *testing.T) {
	n := start(t, map[string]string{"group.streams.initial.rebalance.delay.ms": "0", "group.streams.assignment.interval.ms": "0"})
	gone := n.create("t", 1)
	n.create("u", 1)
	n.produce("t", 0, 1, 2, 3)
	groups := []string{"simple", "classic", "consumer", "streams"}
	n.commitAs("simple", "", -1)
	n.commitAs("classic", n.joinClassic("classic"), 1)
	n.commitAs("consumer", "m", n.joinConsumer("consumer"))
	n.commitAs("streams", "m", ask[*kmsg.StreamsGroupHeartbeatResponse](n, streamsJoin(1, "streams")).MemberEpoch)
	sharer := n.joinShare("m", gone)
	sharer.expect(sharer.fetch(0, 1), acquired(0, 2, 1))
	sharer.expect(sharer.fetch(0, 1, said(0, 0, 1)))
	for _, g := range groups {
		n.equal(g, n.offsets(g), []string{"t 3", "t 3", "u 3", "u 3"})
	}
	n.equal("s", n.shareOffsets("s"), []string{"t 1"})

	n.remove("t")
	for _, g := range groups {
		n.equal(g+" without the topic", n.offsets(g), []string{"t -1", "u 3", "u 3"})
	}
	n.equal("s without the topic", n.shareOffsets("s"), nil)
	late := ask[*kmsg.OffsetCommitResponse](n, commitRequest(10, "simple", "", gone, 0, 3))
	n.code(late.Topics[0].Partitions[0].ErrorCode, kerr.UnknownTopicID)

	again := n.create("t", 1)
	n.produce("t", 0, 4)
	for range 2 {
		for _, g := range groups {
			n.equal(g+" with the new topic", n.offsets(g), []string{"t -1", "u 3", "u 3"})
		}
		n.restart()
	}
	sharer = n.joinShare("another", again)
	sharer.expect(sharer.fetch(0, 9), acquired(0, 0, 1))
}

// commitAs commits 3 for the first partitions of t and u.
func (n *node) commitAs(group, member string, epoch int32) {
	n.t.Helper()
	for _, topic := range []string{"t", "u"} {
		rq := commitRequest(9, group, topic, uuid.Nil, 0, 3)
		rq.MemberID, rq.Generation = member, epoch
		n.code(ask[*kmsg.OffsetCommitResponse](n, rq).Topics[0].Partitions[0].ErrorCode, kerr.None)
	}
}

// joinClassic is the id of a group's only member, which is at generation 1.
func (n *node) joinClassic(group string) string {
	n.t.Helper()
	joined := ask[*kmsg.JoinGroupResponse](n, joinRequest(3, group, ""))
	n.code(joined.ErrorCode, kerr.None)
	n.code(ask[*kmsg.SyncGroupResponse](n, syncRequest(3, group, joined)).ErrorCode, kerr.None)
	return joined.MemberID
}

// joinConsumer is the epoch of member m.
func (n *node) joinConsumer(group string) int32 {
	n.t.Helper()
	rq := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	rq.Version, rq.Group, rq.MemberID, rq.RebalanceTimeoutMillis = 1, group, "m", 60_000
	rq.SubscribedTopicNames, rq.Topics = []string{"t", "u"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	joined := ask[*kmsg.ConsumerGroupHeartbeatResponse](n, rq)
	n.code(joined.ErrorCode, kerr.None)
	return joined.MemberEpoch
}

func (n *node) remove(topic string) {
	n.t.Helper()
	rq := kmsg.NewPtrDeleteTopicsRequest()
	rq.Version, rq.TimeoutMillis, rq.TopicNames = 5, 10_000, []string{topic}
	n.code(ask[*kmsg.DeleteTopicsResponse](n, rq).Topics[0].ErrorCode, kerr.None)
}

// offsets are what a group is told of partition 0 of t and of u: in the list of all that it has committed, and by name.
func (n *node) offsets(group string) (list []string) {
	n.t.Helper()
	rq := kmsg.NewPtrOffsetFetchRequest()
	rq.Version = 9
	for _, topics := range [][]kmsg.OffsetFetchRequestGroupTopic{nil, {{Topic: "t", Partitions: []int32{0}}, {Topic: "u", Partitions: []int32{0}}}} {
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group, g.Topics = group, topics
		rq.Groups = append(rq.Groups, g)
	}
	for _, g := range ask[*kmsg.OffsetFetchResponse](n, rq).Groups {
		n.code(g.ErrorCode, kerr.None)
		for _, t := range g.Topics {
			list = append(list, fmt.Sprint(t.Topic, " ", t.Partitions[0].Offset))
		}
	}
	slices.Sort(list)
	return list
}

// shareOffsets are where a share group begins in all the partitions of which it has a state.
func (n *node) shareOffsets(group string) (list []string) {
	n.t.Helper()
	rq := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
	rq.Version, rq.Groups = 1, []kmsg.DescribeShareGroupOffsetsRequestGroup{{GroupID: group}}
	got := ask[*kmsg.DescribeShareGroupOffsetsResponse](n, rq).Groups[0]
	n.code(got.ErrorCode, kerr.None)
	for _, t := range got.Topics {
		list = append(list, fmt.Sprint(t.Topic, " ", t.Partitions[0].StartOffset))
	}
	return list
}
