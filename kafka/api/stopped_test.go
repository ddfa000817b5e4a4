package api

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/replica"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// A process that is stopped between looking whether it leads and answering says nothing of a log that another node may have
// led since.
func TestWhoWasStoppedBeforeItAnsweredSaysNothingOfTheLog(t *testing.T) {
	n := start(t, nil)
	n.create("t", 1)
	n.produce("t", 0, 1000)
	var looked atomic.Int64
	begin := time.Now()
	parts := replica.New(replica.Options{Self: self, Store: n.Store, Config: n.Settings.Topic, Now: func() time.Time {
		if looked.Add(1) > 1 {
			return begin.Add(time.Hour) // it was stopped since
		}
		return begin
	}})
	defer parts.Close()
	parts.Apply(image.Between(image.Empty(), n.Meta.Image()))
	n.broker.Parts = parts
	serving := func() {
		looked.Store(-10) // until it is asked
		parts.Serve(begin.Add(time.Minute))
		looked.Store(0)
	}
	for version := range int16(12) {
		serving()
		if got := n.listOffset(version, "t", 0, latestTimestamp); got != "NOT_LEADER_OR_FOLLOWER" {
			t.Errorf("ListOffsets v%d: %s", version, got)
		}
	}
	serving()
	ended := kmsg.NewPtrOffsetForLeaderEpochRequest()
	ended.Version = 4
	topic, part := kmsg.NewOffsetForLeaderEpochRequestTopic(), kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	topic.Topic, topic.Partitions = "t", append(topic.Partitions, part)
	ended.Topics = append(ended.Topics, topic)
	if got := ask[*kmsg.OffsetForLeaderEpochResponse](n, ended).Topics[0].Partitions[0]; kerr.Code(got.ErrorCode) != kerr.NotLeaderOrFollower || got.EndOffset != -1 {
		t.Errorf("%+v", got)
	}
	serving()
	deletion := kmsg.NewPtrDeleteRecordsRequest()
	deletion.Version, deletion.TimeoutMillis = 2, 10_000
	of, at := kmsg.NewDeleteRecordsRequestTopic(), kmsg.NewDeleteRecordsRequestTopicPartition()
	at.Offset = 1
	of.Topic, of.Partitions = "t", append(of.Partitions, at)
	deletion.Topics = append(deletion.Topics, of)
	if got := ask[*kmsg.DeleteRecordsResponse](n, deletion).Topics[0].Partitions[0]; kerr.Code(got.ErrorCode) != kerr.NotLeaderOrFollower || got.LowWatermark != -1 {
		t.Errorf("%+v", got)
	}
}
