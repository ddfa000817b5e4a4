package api

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
)

// listOffset asks for one place and says what came: the code, or timestamp@offset/epoch.
func (n *node) listOffset(version int16, topic string, partition int32, timestamp int64, change ...func(*kmsg.ListOffsetsRequest)) string {
	n.t.Helper()
	rq := kmsg.NewPtrListOffsetsRequest()
	rq.Version, rq.ReplicaID = version, -1
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp, p.MaxNumOffsets = partition, timestamp, 10
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic, t.Partitions = topic, append(t.Partitions, p)
	rq.Topics = append(rq.Topics, t)
	for _, c := range change {
		c(rq)
	}
	got := ask[*kmsg.ListOffsetsResponse](n, rq).Topics[0].Partitions[0]
	if got.ErrorCode != 0 {
		if version > 0 && (got.Offset != -1 || got.Timestamp != -1) {
			n.t.Errorf("an error with offset %d and timestamp %d", got.Offset, got.Timestamp)
		}
		return kerr.Code(got.ErrorCode).String()
	}
	if version == 0 {
		return fmt.Sprint(got.OldStyleOffsets)
	}
	return fmt.Sprintf("%d@%d/%d", got.Timestamp, got.Offset, got.LeaderEpoch)
}

// T10: the look-up by time is a look-up.
func TestListOffsets(t *testing.T) {
	n := start(t, nil)
	n.create("t", 2)
	n.produce("t", 0, 1000, 3000, 2000)
	n.produce("t", 0, 5000)
	n.produce("t", 0, 4000, 4500)
	epoch := func(e int32) func(*kmsg.ListOffsetsRequest) {
		return func(rq *kmsg.ListOffsetsRequest) { rq.Topics[0].Partitions[0].CurrentLeaderEpoch = e }
	}
	for _, c := range []struct {
		version   int16
		topic     string
		partition int32
		timestamp int64
		want      string
		change    func(*kmsg.ListOffsetsRequest)
	}{
		{11, "t", 0, latestTimestamp, "-1@6/0", nil},
		{11, "t", 0, earliestTimestamp, "-1@0/0", nil},
		{11, "t", 0, maxTimestamp, "5000@3/0", nil},
		{11, "t", 0, earliestLocalTimestamp, "-1@0/0", nil},
		{11, "t", 0, latestTieredTimestamp, "-1@-1/-1", nil},
		{11, "t", 0, earliestPendingUpload, "-1@-1/-1", nil},
		{11, "t", 0, -7, "UNSUPPORTED_VERSION", nil},
		{10, "t", 0, earliestPendingUpload, "UNSUPPORTED_VERSION", nil},
		{8, "t", 0, latestTieredTimestamp, "UNSUPPORTED_VERSION", nil},
		{7, "t", 0, earliestLocalTimestamp, "UNSUPPORTED_VERSION", nil},
		{6, "t", 0, maxTimestamp, "UNSUPPORTED_VERSION", nil},
		{6, "none", 0, maxTimestamp, "UNSUPPORTED_VERSION", nil},
		{1, "t", 0, latestTimestamp, "-1@6/-1", nil},
		{4, "t", 0, 0, "1000@0/0", nil},
		{4, "t", 0, 1000, "1000@0/0", nil},
		{4, "t", 0, 1001, "3000@1/0", nil},
		{4, "t", 0, 3001, "5000@3/0", nil},
		{4, "t", 0, 5001, "-1@-1/-1", nil},
		{4, "t", 1, 0, "-1@-1/-1", nil},
		{7, "t", 1, maxTimestamp, "-1@-1/-1", nil},
		{7, "t", 1, earliestTimestamp, "-1@0/0", nil},
		{7, "t", 1, latestTimestamp, "-1@0/0", nil},
		{4, "t", 2, latestTimestamp, "UNKNOWN_TOPIC_OR_PARTITION", nil},
		{4, "t", -1, latestTimestamp, "UNKNOWN_TOPIC_OR_PARTITION", nil},
		{4, "none", 0, latestTimestamp, "UNKNOWN_TOPIC_OR_PARTITION", nil},
		{4, "t", 0, latestTimestamp, "-1@6/0", epoch(0)},
		{4, "t", 0, latestTimestamp, "UNKNOWN_LEADER_EPOCH", epoch(1)},
		{2, "t", 0, latestTimestamp, "-1@6/-1", func(rq *kmsg.ListOffsetsRequest) { rq.IsolationLevel = 1 }},
		{0, "t", 0, latestTimestamp, "[6 0]", nil},
		{0, "t", 0, earliestTimestamp, "[0]", nil},
		{0, "t", 0, latestTimestamp, "[6]", func(rq *kmsg.ListOffsetsRequest) { rq.Topics[0].Partitions[0].MaxNumOffsets = 1 }},
		{0, "t", 1, latestTimestamp, "[0]", nil},
		{0, "t", 0, maxTimestamp, "UNSUPPORTED_VERSION", nil},
		{0, "none", 0, latestTimestamp, "UNKNOWN_TOPIC_OR_PARTITION", nil},
		{3, "t", 0, latestTimestamp, "INVALID_REQUEST", func(rq *kmsg.ListOffsetsRequest) {
			rq.Topics[0].Partitions = append(rq.Topics[0].Partitions, rq.Topics[0].Partitions[0])
		}},
	} {
		if c.change == nil {
			c.change = func(*kmsg.ListOffsetsRequest) {}
		}
		if got := n.listOffset(c.version, c.topic, c.partition, c.timestamp, c.change); got != c.want {
			t.Errorf("v%d %s/%d at %d: %s, want %s", c.version, c.topic, c.partition, c.timestamp, got, c.want)
		}
	}
}

func TestDeleteRecords(t *testing.T) {
	n := start(t, nil)
	n.create("t", 1)
	n.create("compacted", 1, "cleanup.policy", "compact")
	n.produce("t", 0, 1, 2, 3, 4, 5)
	for _, c := range []struct {
		topic     string
		partition int32
		offset    int64
		want      string
	}{
		{"t", 0, 2, "2 NONE"},
		{"t", 0, 1, "2 NONE"}, // it never moves back
		{"t", 0, 6, "-1 OFFSET_OUT_OF_RANGE"},
		{"t", 0, -2, "-1 OFFSET_OUT_OF_RANGE"},
		{"t", 1, 0, "-1 UNKNOWN_TOPIC_OR_PARTITION"},
		{"none", 0, 0, "-1 UNKNOWN_TOPIC_OR_PARTITION"},
		{"compacted", 0, 0, "-1 POLICY_VIOLATION"},
		{"t", 0, -1, "5 NONE"},
	} {
		rq := kmsg.NewPtrDeleteRecordsRequest()
		rq.Version, rq.TimeoutMillis = 2, 10_000
		topic := kmsg.NewDeleteRecordsRequestTopic()
		topic.Topic = c.topic
		topic.Partitions = append(topic.Partitions, kmsg.DeleteRecordsRequestTopicPartition{Partition: c.partition, Offset: c.offset})
		rq.Topics = append(rq.Topics, topic)
		got := ask[*kmsg.DeleteRecordsResponse](n, rq).Topics[0].Partitions[0]
		if s := fmt.Sprint(got.LowWatermark, " ", kerr.Code(got.ErrorCode)); s != c.want {
			t.Errorf("%s/%d before %d: %s, want %s", c.topic, c.partition, c.offset, s, c.want)
		}
	}
	if got := n.listOffset(7, "t", 0, earliestTimestamp); got != "-1@5/0" {
		t.Errorf("the log begins at %s", got)
	}
}

func TestOffsetForLeaderEpoch(t *testing.T) {
	n := start(t, nil)
	n.create("t", 1)
	n.produce("t", 0, 1, 2, 3)
	for _, c := range []struct {
		version        int16
		topic          string
		current, asked int32
		code           kerr.Code
		epoch          int32
		end            int64
	}{
		{4, "t", -1, 0, kerr.None, 0, 3},
		{4, "t", 0, 0, kerr.None, 0, 3},
		{4, "t", 1, 0, kerr.UnknownLeaderEpoch, -1, -1},
		{4, "t", -1, 5, kerr.None, -1, -1}, // newer than all that are known
		{4, "none", -1, 0, kerr.UnknownTopicOrPartition, -1, -1},
		{1, "t", 9, 0, kerr.None, 0, 3}, // the client's own epoch is not sent yet
		{0, "t", 9, 0, kerr.None, -1, 3},
	} {
		rq := kmsg.NewPtrOffsetForLeaderEpochRequest()
		rq.Version = c.version
		p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		p.CurrentLeaderEpoch, p.LeaderEpoch = c.current, c.asked
		topic := kmsg.NewOffsetForLeaderEpochRequestTopic()
		topic.Topic, topic.Partitions = c.topic, append(topic.Partitions, p)
		rq.Topics = append(rq.Topics, topic)
		got := ask[*kmsg.OffsetForLeaderEpochResponse](n, rq).Topics[0].Partitions[0]
		if kerr.Code(got.ErrorCode) != c.code || got.LeaderEpoch != c.epoch || got.EndOffset != c.end {
			t.Errorf("%+v: %v %d %d", c, kerr.Code(got.ErrorCode), got.LeaderEpoch, got.EndOffset)
		}
	}
}
