package main

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	shareHeartbeatKey, shareDescribeKey, shareFetchKey, shareAcknowledgeKey = 76, 77, 78, 79
	describeShareOffsetsKey, alterShareOffsetsKey, deleteShareOffsetsKey    = 90, 91, 92
)

func init() {
	scenarios = append(scenarios,
		scenario{"share heartbeats", shareHeartbeats},
		scenario{"share sessions", shareSessions},
		scenario{"share acknowledgements", shareAcknowledgements},
		scenario{"share offsets", shareOffsets},
		scenario{"groups of another kind", otherKinds},
	)
}

// Ids of members are the clients' own, in the form in which Java writes UUIDs.
const shareMember, otherShareMember = "AAAAAAAAAAAAAAAAAAAAAQ", "AAAAAAAAAAAAAAAAAAAAAg"

var unknownTopic = [16]byte{0xee, 7}

func shareHeartbeatRequest(group, member string, epoch int32, topics ...string) *kmsg.ShareGroupHeartbeatRequest {
	rq := kmsg.NewPtrShareGroupHeartbeatRequest()
	rq.GroupID, rq.MemberID, rq.MemberEpoch, rq.SubscribedTopicNames = group, member, epoch, topics
	return rq
}

func shareHeartbeats(s *script) {
	topic := s.topic("t", 1)
	ask := func(label string, rq *kmsg.ShareGroupHeartbeatRequest) { s.do(label, s.last(shareHeartbeatKey), rq) }
	group := s.name("g")
	ask("no group", shareHeartbeatRequest("", shareMember, 0, topic))
	ask("no member", shareHeartbeatRequest(group, "", 0, topic))
	ask("no topics", shareHeartbeatRequest(group, shareMember, 0))
	ask("epoch -2", shareHeartbeatRequest(group, shareMember, -2, topic))
	rq, rack := shareHeartbeatRequest(group, shareMember, 0, topic), ""
	rq.RackID = &rack
	ask("no rack", rq)
	ask("unknown group", shareHeartbeatRequest(group, shareMember, 1, topic))
	ask("leaving an unknown group", shareHeartbeatRequest(group, shareMember, -1))
	s.joinShare(group, shareMember, topic)
	ask("unknown member", shareHeartbeatRequest(group, otherShareMember, 1, topic))
	ask("leaving as nobody", shareHeartbeatRequest(group, otherShareMember, -1))
	ask("epoch too high", shareHeartbeatRequest(group, shareMember, 1000, topic))
	ask("leaving", shareHeartbeatRequest(group, shareMember, -1))
	ask("having left", shareHeartbeatRequest(group, shareMember, 1, topic))
}

// joinShare joins a group that begins with the first records, and returns when the member has been given the topic.
func (s *script) joinShare(group, member, topic string) {
	set, value := kmsg.NewPtrIncrementalAlterConfigsRequest(), "earliest"
	set.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{
		ResourceType: kmsg.ConfigResourceTypeGroupConfig, ResourceName: group,
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "share.auto.offset.reset", Value: &value}},
	}}
	s.quiet(1, set)
	v := s.last(shareHeartbeatKey)
	epoch := int32(0)
	given := until(func() bool {
		resp := s.quiet(v, shareHeartbeatRequest(group, member, epoch, topic)).(*kmsg.ShareGroupHeartbeatResponse)
		if resp.ErrorCode == 0 {
			epoch = resp.MemberEpoch
		}
		return resp.Assignment != nil && len(resp.Assignment.TopicPartitions) > 0
	})
	if !given {
		panic(stop{fmt.Errorf("%s is given nothing", member)})
	}
}

// shareBatch is what a member says of some records.
type shareBatch struct {
	first, last int64
	types       []int8
}

func shareFetchRequest(group, member string, epoch int32, topic [16]byte, partitions ...int32) *kmsg.ShareFetchRequest {
	rq := kmsg.NewPtrShareFetchRequest()
	rq.GroupID, rq.MemberID, rq.ShareSessionEpoch = &group, &member, epoch
	rq.MaxWaitMillis, rq.MinBytes, rq.MaxBytes, rq.MaxRecords, rq.BatchSize = 500, 1, 1<<20, 2, 2
	t := kmsg.NewShareFetchRequestTopic()
	t.TopicID = topic
	for _, n := range partitions {
		p := kmsg.NewShareFetchRequestTopicPartition()
		p.Partition, p.PartitionMaxBytes = n, 1<<20
		t.Partitions = append(t.Partitions, p)
	}
	if len(partitions) > 0 {
		rq.Topics = append(rq.Topics, t)
	}
	return rq
}

// saying adds what the member says to a fetch of one partition.
func saying(rq *kmsg.ShareFetchRequest, batches ...shareBatch) *kmsg.ShareFetchRequest {
	for _, b := range batches {
		rq.Topics[0].Partitions[0].AcknowledgementBatches = append(rq.Topics[0].Partitions[0].AcknowledgementBatches,
			kmsg.ShareFetchRequestTopicPartitionAcknowledgementBatch{FirstOffset: b.first, LastOffset: b.last, AcknowledgeTypes: b.types})
	}
	return rq
}

func shareSessions(s *script) {
	topic := s.topic("t", 2)
	id := s.id(topic)
	s.write(topic, 0, sealed(plain("a", "b", "c", "d")))
	group := s.name("g")
	s.joinShare(group, shareMember, topic)
	fetch := func(label string, rq *kmsg.ShareFetchRequest) { s.do(label, s.last(shareFetchKey), rq) }
	request := func(epoch int32, partitions ...int32) *kmsg.ShareFetchRequest {
		return shareFetchRequest(group, shareMember, epoch, id, partitions...)
	}
	nobody := request(0, 0)
	nobody.MemberID = nil
	fetch("no member", nobody)
	nowhere := request(0, 0)
	nowhere.GroupID = nil
	fetch("no group", nowhere)
	fetch("epoch 5 without a session", request(5, 0))
	fetch("closing no session", request(-1))
	fetch("epoch -2 without a session", request(-2, 0))
	fetch("opening with acknowledgements", saying(request(0, 0), shareBatch{0, 0, []int8{1}}))
	fetch("opening", request(0, 0))
	fetch("epoch too high", request(5))
	fetch("epoch 1", request(1))
	fetch("epoch 1 again", request(1))
	fetch("epoch 0 with the session there", request(0, 0))
	forget := request(1)
	forget.ForgottenTopicsData = []kmsg.ShareFetchRequestForgottenTopicsData{{TopicID: unknownTopic, Partitions: []int32{0}}, {TopicID: id, Partitions: []int32{9}}}
	fetch("forgetting what is not there", forget)
	renew := saying(request(2, 0), shareBatch{0, 0, []int8{4}})
	renew.IsRenewAck = true
	fetch("renewing and fetching", renew)
	renew = saying(request(2, 0), shareBatch{0, 0, []int8{4}})
	renew.IsRenewAck, renew.MaxWaitMillis, renew.MinBytes, renew.MaxBytes, renew.MaxRecords, renew.BatchSize = true, 0, 0, 0, 0, 0
	fetch("renewing", renew)
	fetch("closing with partitions", request(-1, 0))
	fetch("closing", request(-1))
	fetch("closing again", request(-1))
	fetch("opening with an unknown topic", shareFetchRequest(group, shareMember, 0, unknownTopic, 0))
	fetch("opening with an unknown partition", request(0, 9))
	fetch("an unknown topic", shareFetchRequest(group, shareMember, 1, unknownTopic, 0))
	fetch("saying of an unknown topic", saying(shareFetchRequest(group, shareMember, 2, unknownTopic, 0), shareBatch{0, 0, []int8{1}}))
	fetch("a member that has not joined", shareFetchRequest(group, otherShareMember, 0, id, 0))
	fetch("a group that is not there", shareFetchRequest(s.name("none"), shareMember, 0, id, 0))
}

func shareAcknowledgeRequest(group, member string, epoch int32, topic [16]byte, partition int32, batches ...shareBatch) *kmsg.ShareAcknowledgeRequest {
	rq := kmsg.NewPtrShareAcknowledgeRequest()
	rq.GroupID, rq.MemberID, rq.ShareSessionEpoch = &group, &member, epoch
	if len(batches) == 0 {
		return rq
	}
	p := kmsg.NewShareAcknowledgeRequestTopicPartition()
	p.Partition = partition
	for _, b := range batches {
		p.AcknowledgementBatches = append(p.AcknowledgementBatches,
			kmsg.ShareAcknowledgeRequestTopicPartitionAcknowledgementBatch{FirstOffset: b.first, LastOffset: b.last, AcknowledgeTypes: b.types})
	}
	rq.Topics = []kmsg.ShareAcknowledgeRequestTopic{{TopicID: topic, Partitions: []kmsg.ShareAcknowledgeRequestTopicPartition{p}}}
	return rq
}

func shareAcknowledgements(s *script) {
	topic := s.topic("t", 2)
	id := s.id(topic)
	for range 5 {
		s.write(topic, 0, sealed(plain("a", "b", "c", "d")))
	}
	group := s.name("g")
	s.joinShare(group, shareMember, topic)
	epoch := int32(0)
	say := func(label string, of [16]byte, partition int32, batches ...shareBatch) {
		s.do(label, s.last(shareAcknowledgeKey), shareAcknowledgeRequest(group, shareMember, epoch, of, partition, batches...))
		epoch++
	}
	accept := []int8{1}
	say("without a session, epoch 0", id, 0, shareBatch{0, 0, accept})
	say("without a session, epoch 1", id, 0, shareBatch{0, 0, accept})
	epoch = -1
	say("closing no session", id, 0, shareBatch{0, 0, accept})
	first := shareFetchRequest(group, shareMember, 0, id, 0)
	first.MaxRecords, first.BatchSize = 4, 4
	s.do("four records", s.last(shareFetchKey), first)
	epoch = 7
	say("epoch too high", id, 0, shareBatch{0, 0, accept})
	epoch = 1
	say("an unknown topic", unknownTopic, 0, shareBatch{0, 0, accept})
	say("an unknown partition", id, 9, shareBatch{0, 0, accept})
	say("a partition that was not fetched", id, 1, shareBatch{0, 0, accept})
	say("nothing", id, 0)
	say("no types", id, 0, shareBatch{0, 0, nil})
	say("too many types", id, 0, shareBatch{0, 0, []int8{1, 1}})
	say("too few types", id, 0, shareBatch{0, 2, []int8{1, 1}})
	say("first behind last", id, 0, shareBatch{2, 1, accept})
	say("type 5", id, 0, shareBatch{0, 0, []int8{5}})
	say("type -1", id, 0, shareBatch{0, 0, []int8{-1}})
	say("type 4 without renewing", id, 0, shareBatch{0, 0, []int8{4}})
	say("overlapping", id, 0, shareBatch{0, 1, accept}, shareBatch{1, 2, accept})
	say("in another order", id, 0, shareBatch{2, 2, accept}, shareBatch{0, 0, accept})
	say("not acquired", id, 0, shareBatch{4, 4, accept})
	say("beyond the end", id, 0, shareBatch{0, 1000, accept})
	say("one that is acquired and one that is not", id, 0, shareBatch{3, 4, accept})
	say("one that is acquired", id, 0, shareBatch{1, 1, accept})
	say("the same again", id, 0, shareBatch{1, 1, accept})
	say("a gap", id, 0, shareBatch{0, 0, []int8{0}})
	say("before the start", id, 0, shareBatch{0, 0, accept})
	say("negative", id, 0, shareBatch{-1, 0, accept})
	epoch = 0
	say("epoch 0 with the session there", id, 0, shareBatch{2, 2, accept})
	epoch = -1
	say("closing", id, 0, shareBatch{2, 2, accept})
	epoch = -1
	say("closing again", id, 0, shareBatch{3, 3, accept})
}

func describeShareOffsets(group string, topics map[string][]int32) *kmsg.DescribeShareGroupOffsetsRequest {
	rq := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
	g := kmsg.NewDescribeShareGroupOffsetsRequestGroup()
	g.GroupID = group
	for name, partitions := range topics {
		g.Topics = append(g.Topics, kmsg.DescribeShareGroupOffsetsRequestGroupTopic{Topic: name, Partitions: partitions})
	}
	rq.Groups = append(rq.Groups, g)
	return rq
}

func alterShareOffsets(group, topic string, partition int32, offsets ...int64) *kmsg.AlterShareGroupOffsetsRequest {
	rq := kmsg.NewPtrAlterShareGroupOffsetsRequest()
	rq.GroupID = group
	t := kmsg.NewAlterShareGroupOffsetsRequestTopic()
	t.Topic = topic
	for _, o := range offsets {
		p := kmsg.NewAlterShareGroupOffsetsRequestTopicPartition()
		p.Partition, p.StartOffset = partition, o
		t.Partitions = append(t.Partitions, p)
	}
	rq.Topics = append(rq.Topics, t)
	return rq
}

func deleteShareOffsets(group string, topics ...string) *kmsg.DeleteShareGroupOffsetsRequest {
	rq := kmsg.NewPtrDeleteShareGroupOffsetsRequest()
	rq.GroupID = group
	for _, name := range topics {
		t := kmsg.NewDeleteShareGroupOffsetsRequestTopic()
		t.Topic = name
		rq.Topics = append(rq.Topics, t)
	}
	return rq
}

func shareOffsets(s *script) {
	topic, other := s.topic("t", 2), s.topic("u", 1)
	s.write(topic, 0, sealed(plain("a", "b", "c", "d")))
	group, none, unknown := s.name("g"), s.name("none"), s.name("nothing")
	describe := func(label, group string, topics map[string][]int32) {
		s.do(label, s.last(describeShareOffsetsKey), describeShareOffsets(group, topics))
	}
	alter := func(label string, rq *kmsg.AlterShareGroupOffsetsRequest) {
		s.do(label, s.last(alterShareOffsetsKey), rq)
	}
	remove := func(label string, rq *kmsg.DeleteShareGroupOffsetsRequest) {
		s.do(label, s.last(deleteShareOffsetsKey), rq)
	}
	describe("unknown group, all", none, nil)
	describe("unknown group, some", none, map[string][]int32{topic: {0}})
	describe("no group", "", nil)
	remove("unknown group", deleteShareOffsets(none, topic))
	remove("no group", deleteShareOffsets("", topic))
	alter("no group", alterShareOffsets("", topic, 0, 1))
	alter("unknown group", alterShareOffsets(none, topic, 0, 1))
	describe("group that was made", none, nil)
	s.joinShare(group, shareMember, topic)
	alter("non-empty group", alterShareOffsets(group, topic, 0, 1))
	remove("non-empty group", deleteShareOffsets(group, topic))
	s.quiet(s.last(shareHeartbeatKey), shareHeartbeatRequest(group, shareMember, -1))
	describe("nothing read", group, map[string][]int32{topic: {0, 1}})
	describe("another topic", group, map[string][]int32{other: {0}})
	describe("unknown topic", group, map[string][]int32{unknown: {0}})
	describe("unknown partition", group, map[string][]int32{topic: {9}})
	describe("negative partition", group, map[string][]int32{topic: {-1}})
	alter("unknown topic", alterShareOffsets(group, unknown, 0, 1))
	alter("unknown partition", alterShareOffsets(group, topic, 9, 1))
	alter("negative offset", alterShareOffsets(group, topic, 0, -1))
	alter("no topics", &kmsg.AlterShareGroupOffsetsRequest{GroupID: group})
	alter("no partitions", alterShareOffsets(group, topic, 0))
	alter("partition 0", alterShareOffsets(group, topic, 0, 1))
	describe("altered", group, map[string][]int32{topic: {0}})
	alter("partition twice", alterShareOffsets(group, topic, 0, 2, 3))
	describe("altered twice", group, map[string][]int32{topic: {0}})
	twice := alterShareOffsets(group, topic, 0, 1)
	twice.Topics = append(twice.Topics, alterShareOffsets(group, topic, 0, 2).Topics...)
	alter("topic twice", twice)
	describe("altered by topic twice", group, map[string][]int32{topic: {0}})
	alter("beyond the end", alterShareOffsets(group, topic, 0, 1000))
	alter("another topic", alterShareOffsets(group, other, 0, 0))
	describe("all", group, nil)
	remove("unknown topic", deleteShareOffsets(group, unknown))
	remove("no topics", deleteShareOffsets(group))
	remove("topic twice", deleteShareOffsets(group, other, other))
	remove("topic", deleteShareOffsets(group, topic))
	remove("topic again", deleteShareOffsets(group, topic))
	describe("deleted", group, map[string][]int32{topic: {0}})
}

// otherKinds asks for groups by the requests of another kind.
func otherKinds(s *script) {
	topic := s.topic("t", 1)
	id := s.id(topic)
	classic, share, none := s.name("classic"), s.name("share"), s.name("none")
	commit := commitRequest(classic, topic, 0, 1)
	s.quiet(7, commit)
	s.joinShare(share, shareMember, topic)
	for _, g := range []struct{ label, group string }{{"a classic group", classic}, {"a share group", share}, {"no group", none}} {
		describe := kmsg.NewPtrShareGroupDescribeRequest()
		describe.GroupIDs = []string{g.group}
		s.do(g.label, s.last(shareDescribeKey), describe)
		classicDescribe := kmsg.NewPtrDescribeGroupsRequest()
		classicDescribe.Groups = []string{g.group}
		s.do(g.label, s.last(describeGroupsKey), classicDescribe)
		consumer := kmsg.NewPtrConsumerGroupDescribeRequest()
		consumer.Groups = []string{g.group}
		s.do(g.label, s.last(69), consumer)
	}
	s.do("a classic group", s.last(describeShareOffsetsKey), describeShareOffsets(classic, nil))
	s.do("a classic group", s.last(alterShareOffsetsKey), alterShareOffsets(classic, topic, 0, 1))
	s.do("a classic group", s.last(deleteShareOffsetsKey), deleteShareOffsets(classic, topic))
	s.do("a classic group", s.last(shareFetchKey), shareFetchRequest(classic, shareMember, 0, id, 0))
	s.do("joining a classic group", s.last(shareHeartbeatKey), shareHeartbeatRequest(classic, shareMember, 0, topic))
	s.do("joining a share group", s.last(joinKey), joinRequest(share, "", "range"))
	s.do("committing for a share group", s.last(offsetCommitKey)-1, commitRequest(share, topic, 0, 1))
	consumer := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	consumer.Group, consumer.MemberID, consumer.SubscribedTopicNames, consumer.RebalanceTimeoutMillis = share, shareMember, []string{topic}, 10000
	consumer.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	s.do("joining a share group", s.last(68), consumer)
	remove := kmsg.NewPtrDeleteGroupsRequest()
	remove.Groups = []string{share}
	s.do("a share group with members", s.last(deleteGroups), remove)
	s.quiet(s.last(shareHeartbeatKey), shareHeartbeatRequest(share, shareMember, -1))
	s.do("an empty share group", s.last(deleteGroups), remove)
	s.do("a share group that is gone", s.last(deleteGroups), remove)
}
