package group

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/config"
	"chronik/kafka/kerr"
)

func openForConsumers(l *memoryLog) *Coordinator {
	c := testConfig()
	c.ConsumerMaxSize, c.ConsumerAssignors = 10, []string{uniformName}
	return New(Options{
		Log: l, Config: func() Config { return c }, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Group: func(string) config.Group {
			return config.Group{Consumer: config.ConsumerGroup{SessionTimeoutMs: 45_000, HeartbeatIntervalMs: 5000}}
		},
		NewMemberID: func(clientID string) string { return clientID },
	})
}

func newHeartbeat(group, id string, epoch int32) *kmsg.ConsumerGroupHeartbeatRequest {
	rq := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	rq.Group, rq.MemberID, rq.MemberEpoch = group, id, epoch
	rq.RebalanceTimeoutMillis, rq.SubscribedTopicNames = 10_000, []string{"t"}
	rq.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	return rq
}

// Who says to be a member may read offsets at its epoch only; of a group that is not there nobody has any, and that is no error.
// As Kafka's OffsetMetadataManager has it.
func TestOffsetFetchOfMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openForConsumers(newMemoryLog(t))
		defer c.Close()
		if code := kerr.Code(c.OffsetCommit(t.Context(), 8, newCommit("simple", "t", 0, 5)).Topics[0].Partitions[0].ErrorCode); code != kerr.None {
			t.Fatal(code)
		}
		joined := c.ConsumerGroupHeartbeat(t.Context(), Client{}, 1, newHeartbeat("g", "m", joining))
		if joined.ErrorCode != 0 || joined.MemberEpoch != 1 {
			t.Fatal(kerr.Code(joined.ErrorCode), joined.MemberEpoch)
		}
		commit := newCommit("g", "t", 0, 7)
		commit.MemberID, commit.Generation = "m", 1
		if code := kerr.Code(c.OffsetCommit(t.Context(), 9, commit).Topics[0].Partitions[0].ErrorCode); code != kerr.None {
			t.Fatal(code)
		}
		for _, is := range []struct {
			group, member string
			epoch         int32
			code          kerr.Code
			offset        int64
		}{
			{"g", "m", 1, kerr.None, 7},
			{"g", "m", 0, kerr.StaleMemberEpoch, 0},
			{"g", "m", 2, kerr.StaleMemberEpoch, 0},
			{"g", "m", -1, kerr.StaleMemberEpoch, 0},
			{"g", "x", 1, kerr.UnknownMemberID, 0},
			{"g", "", -1, kerr.UnknownMemberID, 0},
			{"g", "null", 1, kerr.UnknownMemberID, 0},
			{"g", "null", -1, kerr.None, 7},
			{"simple", "m", 1, kerr.None, 5},
			{"simple", "null", -1, kerr.None, 5},
			{"none", "m", 1, kerr.None, -1},
			{"none", "null", -1, kerr.None, -1},
		} {
			g := kmsg.NewOffsetFetchRequestGroup()
			g.Group, g.MemberEpoch = is.group, is.epoch
			if is.member != "null" {
				g.MemberID = &is.member
			}
			g.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", Partitions: []int32{0}}}
			rq := kmsg.NewPtrOffsetFetchRequest()
			rq.Groups = append(rq.Groups, g)
			got := c.OffsetFetch(t.Context(), 9, rq).Groups[0]
			if kerr.Code(got.ErrorCode) != is.code || is.code == kerr.None && got.Topics[0].Partitions[0].Offset != is.offset {
				t.Errorf("%s of %q at %d: %v %+v, want %v %d", is.group, is.member, is.epoch, kerr.Code(got.ErrorCode), got.Topics, is.code, is.offset)
			}
		}
	})
}

// Heartbeats that make no sense whatever the group, as Kafka's GroupCoordinatorService refuses them.
func TestHeartbeatsThatMakeNoSense(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openForConsumers(newMemoryLog(t))
		defer c.Close()
		for what, is := range map[string]struct {
			change func(*kmsg.ConsumerGroupHeartbeatRequest)
			want   kerr.Code
		}{
			"no group":                 {func(rq *kmsg.ConsumerGroupHeartbeatRequest) { rq.Group = "" }, kerr.InvalidRequest},
			"no member id":             {func(rq *kmsg.ConsumerGroupHeartbeatRequest) { rq.MemberID = "" }, kerr.InvalidRequest},
			"an empty instance":        {func(rq *kmsg.ConsumerGroupHeartbeatRequest) { rq.InstanceID = text("") }, kerr.InvalidRequest},
			"an empty rack":            {func(rq *kmsg.ConsumerGroupHeartbeatRequest) { rq.RackID = text("") }, kerr.InvalidRequest},
			"no rebalance timeout":     {func(rq *kmsg.ConsumerGroupHeartbeatRequest) { rq.RebalanceTimeoutMillis = -1 }, kerr.InvalidRequest},
			"nothing owned, not empty": {func(rq *kmsg.ConsumerGroupHeartbeatRequest) { rq.Topics = nil }, kerr.InvalidRequest},
			"something owned": {func(rq *kmsg.ConsumerGroupHeartbeatRequest) {
				rq.Topics = append(rq.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: topicT})
			}, kerr.InvalidRequest},
			"no subscription":            {func(rq *kmsg.ConsumerGroupHeartbeatRequest) { rq.SubscribedTopicNames = nil }, kerr.InvalidRequest},
			"an epoch of no meaning":     {func(rq *kmsg.ConsumerGroupHeartbeatRequest) { rq.MemberEpoch = -3 }, kerr.InvalidRequest},
			"away, but not static":       {func(rq *kmsg.ConsumerGroupHeartbeatRequest) { rq.MemberEpoch = -2 }, kerr.InvalidRequest},
			"an assignor of nobody":      {func(rq *kmsg.ConsumerGroupHeartbeatRequest) { rq.ServerAssignor = text("x") }, kerr.UnsupportedAssignor},
			"an expression that is none": {func(rq *kmsg.ConsumerGroupHeartbeatRequest) { rq.SubscribedTopicRegex = text("(") }, kerr.InvalidRegularExpression},
			"a group that is not there":  {func(rq *kmsg.ConsumerGroupHeartbeatRequest) { rq.MemberEpoch = 1 }, kerr.GroupIDNotFound},
			"leaving what is not there":  {func(rq *kmsg.ConsumerGroupHeartbeatRequest) { rq.MemberEpoch = -1 }, kerr.GroupIDNotFound},
		} {
			rq := newHeartbeat("g", "m", joining)
			is.change(rq)
			if got := kerr.Code(c.ConsumerGroupHeartbeat(t.Context(), Client{}, 1, rq).ErrorCode); got != is.want {
				t.Errorf("%s: %v, want %v", what, got, is.want)
			}
		}
	})
}
