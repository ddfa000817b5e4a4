package api

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/share"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
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
	for _, t := range got.Topics {
		for _, p := range t.Partitions {
			if p.Records == nil {
				s.n.t.Fatal("no records must be empty, not null")
			}
			if p.Partition == partition {
				return p
			}
		}
	}
	return kmsg.ShareFetchResponseTopicPartition{}
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

// A partition that cannot be read must not keep the records of the others from the member.
func TestAPartitionThatFailsStarvesNoOther(t *testing.T) {
	n := start(t, map[string]string{"group.share.assignment.interval.ms": "0"})
	id := n.create("t", 1)
	n.produce("t", 0, 1, 2, 3)
	a := n.joinShare("a", id)
	if got := a.fetch(9, 100); got.ErrorCode == 0 {
		t.Fatal("there is no such partition")
	}
	a.expect(a.fetch(0, 100), acquired(0, 2, 1)) // the session has both
}

// purse lends so many bytes.
type purse struct{ has, least int }

func (p *purse) Lend(_ context.Context, n int, wait bool) bool {
	if n > p.has {
		return false // who waits has waited long enough
	}
	p.has -= n
	p.least = min(p.least, p.has)
	return true
}

func (p *purse) Return(n int) { p.has += n }

// The records of a share fetch are copied twice: that is memory which the fetch must have been given, and gives back.
func TestAShareFetchCopiesWhatItHasMemoryFor(t *testing.T) {
	n := start(t, map[string]string{"group.share.assignment.interval.ms": "0"})
	id := n.create("t", 2)
	n.produce("t", 0, 1, 2, 3)
	n.produce("t", 1, 1, 2, 3)
	a := n.joinShare("a", id)
	p := &purse{}
	n.lender = p
	a.expect(a.fetch(0, 100))
	whole := 1 << 20
	p.has, p.least = whole, whole
	got := a.fetch(0, 100)
	a.expect(got, acquired(0, 2, 1))
	if used := whole - p.least; used != 2*len(got.Records) || p.has != whole {
		t.Errorf("%d bytes were taken for %d of records, and %d given back", used, len(got.Records), p.has-p.least)
	}
	p.has, p.least = 2*len(got.Records), whole // for one partition
	a.fetch(0, 100, said(0, 2, 2))
	if p.least < 0 || p.has != 2*len(got.Records) {
		t.Errorf("%+v", p)
	}
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
	n.code(a.fetch(0, 100, said(6, 7, 1)).AcknowledgeErrorCode, kerr.InvalidRecordState)
	a.epoch = -1
	a.fetch(0, 0)
	b.expect(b.fetch(0, 100), acquired(3, 3, 3))
}

// What is acquired for a connection that has just ended must not stay locked: nobody was told of it.
func TestWhatIsAcquiredBehindTheSessionsEndIsGivenBack(t *testing.T) {
	n := start(t, map[string]string{"group.share.assignment.interval.ms": "0"})
	id := n.create("t", 1)
	n.produce("t", 0, 1, 2, 3)
	b := n.joinShare("b", id)
	parts := []image.TopicPartition{{Topic: id}}
	session := share.Session{Group: "s", Member: "a"}
	conn, end := context.WithCancel(t.Context())
	if _, err := n.broker.Shares.Fetch(conn, session, parts, nil, false); err != nil {
		t.Fatal(err)
	}
	r, err := n.broker.Shares.Read(t.Context(), share.Key{Group: "s", Partition: parts[0]}, 1<<20, true, func(int) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	end()
	for session.Epoch = 1; n.broker.Shares.Acknowledging(session) == nil; session.Epoch++ { // until it has heard of the end
		runtime.Gosched()
	}
	if _, got := r.Acquire(share.Want{Member: "a", Most: 100, Batch: 100}); len(got) == 0 {
		t.Fatal("nothing was acquired")
	}
	n.broker.Shares.Keep(session, parts)
	b.expect(b.fetch(0, 100), acquired(0, 2, 2))
}

// As in Kafka: who sets where a group is to begin need not have a member of it first.
func TestAShareGroupIsMadeByItsOffsets(t *testing.T) {
	n := start(t, nil)
	n.create("t", 2)
	alter := func(topic string, partition int32) *kmsg.AlterShareGroupOffsetsResponse {
		rq := kmsg.NewPtrAlterShareGroupOffsetsRequest()
		rq.GroupID = "made"
		rq.Topics = []kmsg.AlterShareGroupOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.AlterShareGroupOffsetsRequestTopicPartition{{Partition: partition, StartOffset: 4}}}}
		return ask[*kmsg.AlterShareGroupOffsetsResponse](n, rq)
	}
	n.code(alter("none", 0).ErrorCode, kerr.GroupIDNotFound) // nothing is to begin
	got := alter("t", 1)
	n.code(got.ErrorCode, kerr.None)
	n.code(got.Topics[0].Partitions[0].ErrorCode, kerr.None)

	describe := kmsg.NewPtrShareGroupDescribeRequest()
	describe.Version, describe.GroupIDs = 1, []string{"made"}
	group := ask[*kmsg.ShareGroupDescribeResponse](n, describe).Groups[0]
	n.code(group.ErrorCode, kerr.None)
	if group.GroupState != "Empty" || group.AuthorizedOperations != kmsg.NewShareGroupDescribeResponseGroup().AuthorizedOperations {
		t.Errorf("%+v", group)
	}
	describe.GroupIDs, describe.IncludeAuthorizedOperations = []string{"made", "none"}, true
	for i, g := range ask[*kmsg.ShareGroupDescribeResponse](n, describe).Groups {
		if told := g.AuthorizedOperations == groupOperations; told != (i == 0) {
			t.Errorf("%+v", g)
		}
	}
	offsets := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
	offsets.Version = 1
	offsets.Groups = []kmsg.DescribeShareGroupOffsetsRequestGroup{
		{GroupID: "made", Topics: []kmsg.DescribeShareGroupOffsetsRequestGroupTopic{{Topic: "t", Partitions: []int32{0, 1, 9}}, {Topic: "none", Partitions: []int32{0}}}},
		{GroupID: "none"},
	}
	var lines []string
	for _, g := range ask[*kmsg.DescribeShareGroupOffsetsResponse](n, offsets).Groups {
		lines = append(lines, fmt.Sprint(g.GroupID, " ", g.ErrorCode))
		for _, topic := range g.Topics {
			for _, p := range topic.Partitions {
				lines = append(lines, fmt.Sprint(topic.Topic, "-", p.Partition, " ", p.StartOffset, " ", p.ErrorCode))
			}
		}
	}
	n.equal("offsets", lines, []string{"made 0", "t-0 -1 0", "t-1 4 0", "t-9 -1 3", "none-0 -1 0", "none 0"})
}
