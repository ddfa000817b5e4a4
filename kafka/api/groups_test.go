package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
)

func commitRequest(version int16, group, topic string, id [16]byte, partition int32, offset int64) *kmsg.OffsetCommitRequest {
	rq := kmsg.NewPtrOffsetCommitRequest()
	rq.Version, rq.Group = version, group
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.Metadata = partition, offset, ptr("note")
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic, t.TopicID, t.Partitions = topic, id, append(t.Partitions, p)
	rq.Topics = append(rq.Topics, t)
	return rq
}

// commit commits an offset as a simple consumer.
func (n *node) commit(group, topic string, partition int32, offset int64) {
	n.t.Helper()
	rq := commitRequest(8, group, topic, [16]byte{}, partition, offset)
	n.code(ask[*kmsg.OffsetCommitResponse](n, rq).Topics[0].Partitions[0].ErrorCode, kerr.None)
}

// Commits that a client sends one behind another begin at once, and take effect in their order.
func TestCommitsOfOneConnectionKeepTheirOrder(t *testing.T) {
	n := start(t, nil)
	n.create("t", 1)
	const last = 200
	var begun []pending
	for i := range int64(last + 1) {
		begun = append(begun, n.begin(t.Context(), commitRequest(8, "g", "t", [16]byte{}, 0, i)))
	}
	for _, p := range begun {
		if _, err := n.raw(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	topic, _ := n.Meta.Image().TopicNamed("t")
	if o, ok := n.Meta.Image().Offset("g", topic.ID, 0); !ok || o.Offset != last {
		t.Errorf("committed is %d", o.Offset)
	}
}

func joinRequest(version int16, group, member string) *kmsg.JoinGroupRequest {
	rq := kmsg.NewPtrJoinGroupRequest()
	rq.Version, rq.Group, rq.MemberID, rq.ProtocolType = version, group, member, "consumer"
	rq.SessionTimeoutMillis, rq.RebalanceTimeoutMillis = 30_000, 30_000
	rq.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte("subscription")}}
	return rq
}

func syncRequest(version int16, group string, joined *kmsg.JoinGroupResponse) *kmsg.SyncGroupRequest {
	rq := kmsg.NewPtrSyncGroupRequest()
	rq.Version, rq.Group, rq.MemberID, rq.Generation = version, group, joined.MemberID, joined.Generation
	rq.ProtocolType, rq.Protocol = ptr("consumer"), ptr("range")
	rq.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: joined.MemberID, MemberAssignment: []byte("all of it")}}
	return rq
}

// T11, T36: a group of one lives a whole life in every version.
func TestAGroupsLifeInEveryVersion(t *testing.T) {
	n := start(t, nil)
	n.create("t", 1)
	for v := range int16(10) {
		group := fmt.Sprintf("g%d", v)
		joined := ask[*kmsg.JoinGroupResponse](n, joinRequest(v, group, ""))
		if v >= 4 {
			n.code(joined.ErrorCode, kerr.MemberIDRequired)
			joined = ask[*kmsg.JoinGroupResponse](n, joinRequest(v, group, joined.MemberID))
		}
		n.code(joined.ErrorCode, kerr.None)
		if joined.LeaderID != joined.MemberID || joined.Generation != 1 || *joined.Protocol != "range" || len(joined.Members) != 1 ||
			!strings.HasPrefix(joined.MemberID, "tester-") || (v >= 7) != (joined.ProtocolType != nil) {
			t.Errorf("v%d: %+v", v, joined)
		}
		synced := ask[*kmsg.SyncGroupResponse](n, syncRequest(min(v, 5), group, joined))
		n.code(synced.ErrorCode, kerr.None)
		if string(synced.MemberAssignment) != "all of it" || v >= 5 && (*synced.ProtocolType != "consumer" || *synced.Protocol != "range") {
			t.Errorf("v%d: %+v", v, synced)
		}
		beat := kmsg.NewPtrHeartbeatRequest()
		beat.Version, beat.Group, beat.MemberID, beat.Generation = min(v, 4), group, joined.MemberID, joined.Generation
		n.code(ask[*kmsg.HeartbeatResponse](n, beat).ErrorCode, kerr.None)
		commit := commitRequest(max(1, min(v, 9)), group, "t", [16]byte{}, 0, 7)
		commit.MemberID, commit.Generation = joined.MemberID, joined.Generation
		n.code(ask[*kmsg.OffsetCommitResponse](n, commit).Topics[0].Partitions[0].ErrorCode, kerr.None)
		n.described(group, min(v, 6), "Stable")
		leave := kmsg.NewPtrLeaveGroupRequest()
		leave.Version, leave.Group, leave.MemberID = min(v, 5), group, joined.MemberID
		leave.Members = []kmsg.LeaveGroupRequestMember{{MemberID: joined.MemberID}, {MemberID: "nobody"}}
		left := ask[*kmsg.LeaveGroupResponse](n, leave)
		n.code(left.ErrorCode, kerr.None)
		if leave.Version >= 3 {
			n.code(left.Members[0].ErrorCode, kerr.None)
			n.code(left.Members[1].ErrorCode, kerr.UnknownMemberID)
		}
		n.code(ask[*kmsg.HeartbeatResponse](n, beat).ErrorCode, kerr.UnknownMemberID)
		n.described(group, min(v, 6), "Empty")
		deletion := kmsg.NewPtrDeleteGroupsRequest()
		deletion.Version, deletion.Groups = min(v, 3), []string{group, group}
		deleted := ask[*kmsg.DeleteGroupsResponse](n, deletion)
		if len(deleted.Groups) != 1 {
			t.Errorf("a group that is named twice is answered for %d times", len(deleted.Groups))
		}
		n.code(deleted.Groups[0].ErrorCode, kerr.None)
		n.described(group, min(v, 6), "Dead")
	}
}

func (n *node) described(group string, version int16, state string) {
	n.t.Helper()
	rq := kmsg.NewPtrDescribeGroupsRequest()
	rq.Version, rq.Groups, rq.IncludeAuthorizedOperations = version, []string{group}, true
	got := ask[*kmsg.DescribeGroupsResponse](n, rq).Groups[0]
	if got.State != state {
		n.t.Errorf("v%d: the group is %s, want %s", version, got.State, state)
	}
	if operations := got.AuthorizedOperations == groupOperations; operations != (version >= 3 && got.ErrorCode == 0) {
		n.t.Errorf("v%d %s: operations %x", version, state, got.AuthorizedOperations)
	}
	if state == "Stable" {
		m := got.Members[0]
		if m.ClientID != "tester" || m.ClientHost != "/10.1.2.3" || string(m.MemberAssignment) != "all of it" || got.Protocol != "range" {
			n.t.Errorf("v%d: %+v", version, got)
		}
	}
}

// T11, KIP-559.
func TestSyncGroupNeedsItsProtocolFromVersion5On(t *testing.T) {
	n := start(t, nil)
	joined := ask[*kmsg.JoinGroupResponse](n, joinRequest(3, "g", ""))
	rq := syncRequest(5, "g", joined)
	rq.Protocol = nil
	n.code(ask[*kmsg.SyncGroupResponse](n, rq).ErrorCode, kerr.InconsistentGroupProtocol)
	rq.Version = 4
	n.code(ask[*kmsg.SyncGroupResponse](n, rq).ErrorCode, kerr.None)
}

// A second member makes the first one join again; both then get their assignment from the leader's sync.
func TestTwoMembers(t *testing.T) {
	n := start(t, nil)
	first := ask[*kmsg.JoinGroupResponse](n, joinRequest(3, "g", ""))
	n.code(ask[*kmsg.SyncGroupResponse](n, syncRequest(3, "g", first)).ErrorCode, kerr.None)

	type outcome struct {
		b   []byte
		err error
	}
	waiting := func(rq kmsg.Request) <-chan outcome {
		p, done := n.begin(t.Context(), rq), make(chan outcome, 1)
		if p.Ready() {
			t.Fatalf("%s does not wait", kmsg.NameForKey(rq.Key()))
		}
		go func() {
			b, err := n.raw(soon(t), p)
			done <- outcome{b, err}
		}()
		return done
	}
	take := func(rq kmsg.Request, from <-chan outcome) kmsg.Response {
		got := <-from
		if got.err != nil {
			t.Fatal(got.err)
		}
		return n.decode(rq, got.b)
	}
	rq := joinRequest(3, "g", "")
	second := waiting(rq)
	again := joinRequest(3, "g", first.MemberID)
	beat := kmsg.NewPtrHeartbeatRequest()
	beat.Group, beat.MemberID, beat.Generation = "g", first.MemberID, 1
	for kerr.Code(ask[*kmsg.HeartbeatResponse](n, beat).ErrorCode) != kerr.RebalanceInProgress {
		if t.Context().Err() != nil {
			t.Fatal("no rebalance")
		}
	}
	leader := ask[*kmsg.JoinGroupResponse](n, again)
	follower := take(rq, second).(*kmsg.JoinGroupResponse)
	if leader.Generation != 2 || follower.Generation != 2 || len(leader.Members) != 2 || len(follower.Members) != 0 || follower.LeaderID != first.MemberID {
		t.Fatalf("%+v\n%+v", leader, follower)
	}
	sync := syncRequest(3, "g", follower)
	sync.GroupAssignment = nil
	early := waiting(sync)
	assign := syncRequest(3, "g", leader)
	assign.GroupAssignment = append(assign.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: follower.MemberID, MemberAssignment: []byte("the rest")})
	n.code(ask[*kmsg.SyncGroupResponse](n, assign).ErrorCode, kerr.None)
	if got := take(sync, early).(*kmsg.SyncGroupResponse); string(got.MemberAssignment) != "the rest" {
		t.Errorf("%+v", got)
	}
}

// T36: every partition that was committed is fetched, by every form of the request.
func TestOffsetsOfEveryVersion(t *testing.T) {
	n := start(t, nil)
	id := n.create("t", 3)
	other := n.create("u", 1)
	fetch := func(version int16, all bool, group string) string {
		rq := kmsg.NewPtrOffsetFetchRequest()
		rq.Version, rq.Group = version, group
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = group
		if !all {
			rq.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{0, 1, 2}}, {Topic: "none", Partitions: []int32{0}}}
			g.Topics = []kmsg.OffsetFetchRequestGroupTopic{
				{Topic: "t", TopicID: id, Partitions: []int32{0, 1, 2}}, {Topic: "none", TopicID: uuid.UUID{9}, Partitions: []int32{0}},
			}
		}
		rq.Groups = append(rq.Groups, g)
		got := ask[*kmsg.OffsetFetchResponse](n, rq)
		var out []string
		one := func(topic string, partition int32, offset int64, metadata *string, code int16) {
			s := fmt.Sprintf("%s/%d:%d%s", topic, partition, offset, *metadata)
			if code != 0 {
				s += ":" + kerr.Code(code).String()
			}
			out = append(out, s)
		}
		for _, t := range got.Topics {
			for _, p := range t.Partitions {
				one(t.Topic, p.Partition, p.Offset, p.Metadata, p.ErrorCode)
			}
		}
		for _, g := range got.Groups {
			for _, t := range g.Topics {
				name := map[[16]byte]string{id: "t", other: "u", {}: t.Topic, {9}: "none"}[t.TopicID]
				for _, p := range t.Partitions {
					one(name, p.Partition, p.Offset, p.Metadata, p.ErrorCode)
				}
			}
		}
		return strings.Join(out, " ")
	}
	for v := range int16(11) {
		group := fmt.Sprintf("g%d", v)
		for p := range int32(2) {
			commit := commitRequest(v, group, "t", id, p, 10+int64(p))
			n.code(ask[*kmsg.OffsetCommitResponse](n, commit).Topics[0].Partitions[0].ErrorCode, kerr.None)
		}
		want := "t/0:10note t/1:11note t/2:-1 none/0:-1"
		switch {
		case v == 0:
			want = "t/0:10note t/1:11note t/2:-1:UNKNOWN_TOPIC_OR_PARTITION none/0:-1:UNKNOWN_TOPIC_OR_PARTITION"
		case v >= 10:
			want += ":UNKNOWN_TOPIC_ID"
		}
		if got := fetch(v, false, group); got != want {
			t.Errorf("v%d: %s, want %s", v, got, want)
		}
		want = "t/0:10note t/1:11note"
		if v < 2 {
			want = "" // there is no asking for all yet
		}
		if got := fetch(v, true, group); got != want {
			t.Errorf("all of v%d: %s, want %s", v, got, want)
		}
		if got := fetch(v, true, "nobody"); got != "" {
			t.Errorf("v%d: %s of a group that is not there", v, got)
		}
	}
}

// T36: a consumer that only commits makes a group that tools see.
func TestASimpleConsumersGroupIsListed(t *testing.T) {
	n := start(t, nil)
	n.create("t", 2)
	n.commit("simple", "t", 1, 5)
	for v := range int16(6) {
		rq := kmsg.NewPtrListGroupsRequest()
		rq.Version = v
		got := ask[*kmsg.ListGroupsResponse](n, rq)
		if len(got.Groups) != 1 || got.Groups[0].Group != "simple" || v >= 4 && got.Groups[0].GroupState != "Empty" || v >= 5 && got.Groups[0].GroupType != "classic" {
			t.Errorf("v%d: %+v", v, got)
		}
		rq.StatesFilter = []string{"Stable"}
		if got := ask[*kmsg.ListGroupsResponse](n, rq); v >= 4 && len(got.Groups) != 0 {
			t.Errorf("v%d: %+v is stable", v, got)
		}
	}
	rq := kmsg.NewPtrOffsetDeleteRequest()
	rq.Group = "simple"
	rq.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 1}, {Partition: 7}}}}
	got := ask[*kmsg.OffsetDeleteResponse](n, rq)
	n.code(got.Topics[0].Partitions[0].ErrorCode, kerr.None)
	n.code(got.Topics[0].Partitions[1].ErrorCode, kerr.UnknownTopicOrPartition)
}
