package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/replica"
	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/kafka/wire"
)

// deleteRecords serves key 21, versions 0-2. A partition is answered for when its new log start is durable here and on the
// replicas in sync: REQUEST_TIMED_OUT says that it is here.
func deleteRecords(b *Broker, ctx context.Context, _ *wire.Request, req *kmsg.DeleteRecordsRequest) (kmsg.Response, error) {
	ctx, cancel := patience(ctx, req.TimeoutMillis)
	defer cancel()
	resp := req.ResponseKind().(*kmsg.DeleteRecordsResponse)
	var raised []*replica.Partition
	for i := range req.Topics {
		in := &req.Topics[i]
		out := kmsg.NewDeleteRecordsResponseTopic()
		out.Topic = in.Topic
		for _, p := range in.Partitions {
			part, low, err := b.deleteBefore(in.Topic, p.Partition, p.Offset)
			raised = append(raised, part)
			deleted := kmsg.NewDeleteRecordsResponseTopicPartition()
			deleted.Partition, deleted.LowWatermark, deleted.ErrorCode = p.Partition, low, int16(kerr.Of(err))
			out.Partitions = append(out.Partitions, deleted)
		}
		resp.Topics = append(resp.Topics, out)
	}
	b.awaitDeleted(ctx, req, resp, raised)
	return resp, nil
}

// deleteBefore returns the partition and the lowest offset that is left there, or -1 with an error.
func (b *Broker) deleteBefore(topic string, partition int32, offset int64) (*replica.Partition, int64, error) {
	p, err := b.leaderNamed(topic, partition, -1)
	if err != nil {
		return nil, -1, err
	}
	if config.IsInternalTopic(topic) {
		return nil, -1, kerr.InvalidTopicException
	}
	low, err := p.DeleteRecords(offset)
	return p, low, err
}

// awaitDeleted waits for the other replicas of the partitions of a request, which are in its order.
func (b *Broker) awaitDeleted(ctx context.Context, req *kmsg.DeleteRecordsRequest, resp *kmsg.DeleteRecordsResponse, raised []*replica.Partition) {
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			out, p := &resp.Topics[i].Partitions[j], raised[0]
			raised = raised[1:]
			if kerr.Code(out.ErrorCode) != kerr.None {
				continue
			}
			before := out.LowWatermark // which may be beyond what was asked for: other records have expired
			if asked := req.Topics[i].Partitions[j].Offset; asked >= 0 {
				before = asked
			}
			if err := b.stillLeads(p.AwaitDeleted(ctx, before)); err != nil {
				out.LowWatermark, out.ErrorCode = -1, int16(kerr.Of(err))
			}
		}
	}
}
