package api

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
)

// sharer is a member of a share group of one topic.
type sharer struct {
	n     *node
	id    [16]byte
	name  string
	epoch int32 // of its session
}

// joinShare makes a member of group "s", which begins with the first record.
func (n *node) joinShare(name string, id [16]byte) *sharer {
	n.t.Helper()
	set := kmsg.NewPtrIncrementalAlterConfigsRequest()
	set.Version = 1
	set.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeGroupConfig, ResourceName: "s",
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "share.auto.offset.reset", Value: ptr("earliest")}}}}
	n.code(ask[*kmsg.IncrementalAlterConfigsResponse](n, set).Resources[0].ErrorCode, kerr.None)
	rq := kmsg.NewPtrShareGroupHeartbeatRequest()
	rq.Version, rq.GroupID, rq.MemberID, rq.SubscribedTopicNames = 1, "s", name, []string{"t"}
	got := ask[*kmsg.ShareGroupHeartbeatResponse](n, rq)
	n.code(got.ErrorCode, kerr.None)
	if got.Assignment == nil || len(got.Assignment.TopicPartitions) == 0 {
		n.t.Fatal("a member that joins is given nothing")
	}
	return &sharer{n: n, id: id, name: name}
}

// fetch asks for at most so many records of a partition, and says what of those before is acknowledged.
func (s *sharer) fetch(partition, most int32, said ...kmsg.ShareFetchRequestTopicPartitionAcknowledgementBatch) kmsg.ShareFetchResponseTopicPartition {
	s.n.t.Helper()
	rq := kmsg.NewPtrShareFetchRequest()
	rq.Version, rq.GroupID, rq.MemberID, rq.ShareSessionEpoch = 2, ptr("s"), ptr(s.name), s.epoch
	rq.MaxWaitMillis, rq.MinBytes, rq.MaxBytes, rq.MaxRecords, rq.BatchSize = 100, 1, 1<<20, most, most
	p := kmsg.NewShareFetchRequestTopicPartition()
	p.Partition, p.AcknowledgementBatches = partition, said
	rq.Topics = []kmsg.ShareFetchRequestTopic{{TopicID: s.id, Partitions: []kmsg.ShareFetchRequestTopicPartition{p}}}
	got := ask[*kmsg.ShareFetchResponse](s.n, rq)
	s.n.code(got.ErrorCode, kerr.None)
	s.epoch++
	if len(got.Topics) == 0 {
		return kmsg.ShareFetchResponseTopicPartition{}
	}
	if got.Topics[0].Partitions[0].Records == nil {
		s.n.t.Fatal("no records must be empty, not null")
	}
	return got.Topics[0].Partitions[0]
}

func said(first, last int64, types ...int8) kmsg.ShareFetchRequestTopicPartitionAcknowledgementBatch {
	return kmsg.ShareFetchRequestTopicPartitionAcknowledgementBatch{FirstOffset: first, LastOffset: last, AcknowledgeTypes: types}
}

func (s *sharer) expect(got kmsg.ShareFetchResponseTopicPartition, want ...kmsg.ShareFetchResponseTopicPartitionAcquiredRecord) {
	s.n.t.Helper()
	s.n.code(got.ErrorCode, kerr.None)
	s.n.code(got.AcknowledgeErrorCode, kerr.None)
	if len(got.AcquiredRecords) != len(want) || (len(got.Records) > 0) != (len(want) > 0) {
		s.n.t.Fatalf("%d bytes, acquired %v, want %v", len(got.Records), got.AcquiredRecords, want)
	}
	for i, w := range want {
		g := got.AcquiredRecords[i]
		if g.FirstOffset != w.FirstOffset || g.LastOffset != w.LastOffset || g.DeliveryCount != w.DeliveryCount {
			s.n.t.Errorf("acquired %v, want %v", g, w)
		}
	}
}

func acquired(first, last int64, count int16) kmsg.ShareFetchResponseTopicPartitionAcquiredRecord {
	return kmsg.ShareFetchResponseTopicPartitionAcquiredRecord{FirstOffset: first, LastOffset: last, DeliveryCount: count}
}

func TestShareFetch(t *testing.T) {
	n := start(t, map[string]string{"group.share.assignment.interval.ms": "0"})
	id := n.create("t", 2)
	for range 4 {
		n.produce("t", 0, 1, 2, 3)
	}
	a, b := n.joinShare("a", id), n.joinShare("b", id)
	a.expect(a.fetch(0, 4), acquired(0, 5, 1))
	b.expect(b.fetch(0, 100), acquired(6, 11, 1))
	a.expect(a.fetch(0, 100, said(0, 2, 1), said(3, 5, 2, 1, 3)), acquired(3, 3, 2))
	a.expect(a.fetch(0, 100))
	b.expect(b.fetch(0, 100, said(6, 11, 1)))
	if got := a.fetch(0, 100, said(6, 7, 1)); kerr.Code(got.AcknowledgeErrorCode) != kerr.InvalidRecordState && got.AcknowledgeErrorCode != 0 {
		t.Error(kerr.Code(got.AcknowledgeErrorCode))
	}
	a.epoch = -1
	a.fetch(0, 0)
	b.expect(b.fetch(0, 100), acquired(3, 3, 3))
}
