package api

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/kafka/wire"
	"chronik/metalog/image"
)

// describeTopicPartitions serves key 75, version 0 (KIP-966): topics in the order of their names, a page at a time. The
// answer's cursor is where the next page begins.
func describeTopicPartitions(b *Broker, _ context.Context, _ *wire.Request, req *kmsg.DescribeTopicPartitionsRequest) (kmsg.Response, error) {
	resp := req.ResponseKind().(*kmsg.DescribeTopicPartitionsResponse)
	room := max(1, min(b.Config().MaxDescribedPartitions, req.ResponsePartitionLimit))
	p := page{img: b.Meta.Image(), resp: resp, room: int(room)}
	if c := req.Cursor; c != nil {
		p.topic, p.from = c.Topic, c.Partition
	}
	names := make([]string, 0, len(req.Topics))
	for _, t := range req.Topics {
		names = append(names, t.Topic)
	}
	if p.from < 0 || req.Cursor != nil && len(names) > 0 && !slices.Contains(names, p.topic) {
		for _, name := range names {
			p.refuse(name, kerr.InvalidRequest)
		}
		return resp, nil
	}
	if len(names) == 0 {
		p.img.TopicsFrom(p.topic, p.describe)
		return resp, nil
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if name >= p.topic && !p.lookUp(name) {
			break
		}
	}
	return resp, nil
}

// page is an answer that is being filled.
type page struct {
	img   *image.Image
	resp  *kmsg.DescribeTopicPartitionsResponse
	topic string // where the page begins, with its first partition
	from  int32
	room  int // for partitions
}

// lookUp and describe add a topic, and say whether there is room for another one.
func (p *page) lookUp(name string) bool {
	if p.room == 0 {
		p.end(name, 0)
		return false
	}
	if t, ok := p.img.TopicNamed(name); ok {
		return p.describe(t)
	}
	code := kerr.UnknownTopicOrPartition
	if config.CheckTopicName(name) != nil {
		code = kerr.InvalidTopicException
	}
	p.refuse(name, code)
	return true
}

func (p *page) describe(t *image.Topic) bool {
	if p.room == 0 {
		p.end(t.Name, 0)
		return false
	}
	first := 0
	if t.Name == p.topic {
		first = min(int(p.from), len(t.Partitions))
	}
	out := kmsg.NewDescribeTopicPartitionsResponseTopic()
	out.Topic, out.TopicID, out.IsInternal, out.AuthorizedOperations = &t.Name, t.ID, t.Internal, topicOperations
	last := min(len(t.Partitions), first+p.room)
	alive := living(p.img)
	for _, part := range t.Partitions[first:last] {
		out.Partitions = append(out.Partitions, describedPartition(part, alive))
	}
	p.resp.Topics = append(p.resp.Topics, out)
	p.room -= last - first
	if last < len(t.Partitions) {
		p.end(t.Name, int32(last))
		return false
	}
	return true
}

// end says that the next page begins with partition from of topic.
func (p *page) end(topic string, from int32) {
	p.resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: topic, Partition: from}
}

func (p *page) refuse(name string, code kerr.Code) {
	out := kmsg.NewDescribeTopicPartitionsResponseTopic()
	out.Topic, out.ErrorCode = &name, int16(code)
	if code != kerr.InvalidRequest { // which refuses the request, not a topic
		out.AuthorizedOperations = topicOperations
	}
	p.resp.Topics = append(p.resp.Topics, out)
}

func describedPartition(in *image.Partition, alive map[image.BrokerID]bool) kmsg.DescribeTopicPartitionsResponseTopicPartition {
	out := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
	out.Partition, out.LeaderID, out.LeaderEpoch = in.Number, int32(in.Leader), in.LeaderEpoch
	out.Replicas, out.ISR = brokerIDs(in.Replicas), brokerIDs(in.ISR)
	out.EligibleLeaderReplicas, out.LastKnownELR = brokerIDs(in.ELR), brokerIDs(in.LastKnownELR)
	out.OfflineReplicas = offline(in, alive)
	if !alive[in.Leader] {
		out.ErrorCode, out.LeaderID = int16(kerr.LeaderNotAvailable), int32(image.NoBroker)
	}
	return out
}
