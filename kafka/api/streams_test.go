package api

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
)

// streamsJoin joins as the one member of an application that counts words.
func streamsJoin(version int16, group string) *kmsg.StreamsGroupHeartbeatRequest {
	rq := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	rq.Version, rq.Group, rq.MemberID, rq.ProcessID, rq.RebalanceTimeoutMillis = version, group, "m", ptr("p"), 60_000
	rq.ActiveTasks, rq.StandbyTasks, rq.WarmupTasks = []kmsg.TaskIDs{}, []kmsg.TaskIDs{}, []kmsg.TaskIDs{}
	rq.Topology = &kmsg.StreamsGroupHeartbeatRequestTopology{Subtopologies: []kmsg.StreamsGroupHeartbeatRequestTopologySubtopology{
		{SubtopologyID: "0", SourceTopics: []string{"t"}, RepartitionSinkTopics: []string{group + "-repartition"}},
		{
			SubtopologyID: "1", RepartitionSourceTopics: []kmsg.TopicInfo{{Topic: group + "-repartition"}},
			StateChangelogTopics: []kmsg.TopicInfo{{Topic: group + "-changelog", Configs: []kmsg.TopicInfoConfig{{Key: "cleanup.policy", Value: "compact"}}}},
		},
	}}
	return rq
}

// The broker makes an application's topics, and its tasks are given out when they are there, in each version.
func TestStreamsGroup(t *testing.T) {
	n := start(t, map[string]string{"group.streams.initial.rebalance.delay.ms": "0", "group.streams.assignment.interval.ms": "0"})
	n.create("t", 2)
	for version := range int16(2) {
		group := string(rune('a' + version))
		resp := ask[*kmsg.StreamsGroupHeartbeatResponse](n, streamsJoin(version, group))
		n.code(resp.ErrorCode, kerr.None)
		if resp.MemberEpoch != 2 || len(resp.Status) != 1 || resp.Status[0].StatusCode != missingInternalTopics || resp.ActiveTasks == nil {
			t.Fatalf("%+v", resp)
		}
		for _, name := range []string{group + "-repartition", group + "-changelog"} {
			if topic, ok := n.Meta.Image().TopicNamed(name); !ok || len(topic.Partitions) != 2 {
				t.Errorf("topic %s is %+v", name, topic)
			}
		}
		again := kmsg.NewPtrStreamsGroupHeartbeatRequest()
		again.Version, again.Group, again.MemberID, again.MemberEpoch = version, group, "m", 2
		resp = ask[*kmsg.StreamsGroupHeartbeatResponse](n, again)
		if len(resp.Status) > 0 || len(resp.ActiveTasks) != 2 || len(resp.ActiveTasks[0].Partitions) != 2 {
			t.Fatalf("%+v", resp)
		}
		n.describeStreams(version, group)
	}
	list := kmsg.NewPtrListGroupsRequest()
	list.Version, list.TypesFilter, list.StatesFilter = 5, []string{"streams"}, []string{"stable"}
	if got := ask[*kmsg.ListGroupsResponse](n, list).Groups; len(got) != 2 || got[0].GroupType != "streams" || got[0].ProtocolType != "streams" {
		t.Errorf("%+v", got)
	}
	remove := kmsg.NewPtrDeleteGroupsRequest()
	remove.Version, remove.Groups = 2, []string{"a"}
	n.code(ask[*kmsg.DeleteGroupsResponse](n, remove).Groups[0].ErrorCode, kerr.NonEmptyGroup)
	leave := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	leave.Version, leave.Group, leave.MemberID, leave.MemberEpoch = 1, "a", "m", -1
	n.code(ask[*kmsg.StreamsGroupHeartbeatResponse](n, leave).ErrorCode, kerr.None)
	n.code(ask[*kmsg.DeleteGroupsResponse](n, remove).Groups[0].ErrorCode, kerr.None)
}

func (n *node) describeStreams(version int16, group string) {
	n.t.Helper()
	rq := kmsg.NewPtrStreamsGroupDescribeRequest()
	rq.Version, rq.Groups, rq.IncludeAuthorizedOperations = version, []string{group, "none"}, true
	rq.IncludeTopologyDescription = version > 0
	got := ask[*kmsg.StreamsGroupDescribeResponse](n, rq).Groups
	if is := got[0]; is.State != "Stable" || len(is.Members) != 1 || is.Members[0].ClientID != "tester" || is.AuthorizedOperations != groupOperations ||
		is.Topology.Subtopologies[1].StateChangelogTopics[0].NumPartitions != 2 || is.TopologyDescriptionStatus != int8(version) {
		n.t.Errorf("v%d: %+v", version, is)
	}
	n.code(got[1].ErrorCode, kerr.GroupIDNotFound)
}

// What keeps a topic from being made is told.
func TestStreamsGroupWithoutItsTopics(t *testing.T) {
	n := start(t, nil)
	n.create("t", 2)
	rq := streamsJoin(1, "a")
	rq.Topology.Subtopologies[1].StateChangelogTopics[0].Configs[0].Value = "nonsense"
	resp := ask[*kmsg.StreamsGroupHeartbeatResponse](n, rq)
	n.code(resp.ErrorCode, kerr.None)
	for _, s := range resp.Status {
		if s.StatusCode == missingInternalTopics && strings.Contains(s.StatusDetail, "INVALID_CONFIG") {
			return
		}
	}
	t.Errorf("%+v", resp.Status)
}
