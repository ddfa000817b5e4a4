package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/kafka/wire"
)

// deleteRecords serves key 21, versions 0-2. A partition is answered for when its new log start is durable.
func deleteRecords(b *Broker, _ context.Context, _ *wire.Request, req *kmsg.DeleteRecordsRequest) (kmsg.Response, error) {
	resp := req.ResponseKind().(*kmsg.DeleteRecordsResponse)
	for i := range req.Topics {
		in := &req.Topics[i]
		out := kmsg.NewDeleteRecordsResponseTopic()
		out.Topic = in.Topic
		for _, p := range in.Partitions {
			low, err := b.deleteBefore(in.Topic, p.Partition, p.Offset)
			deleted := kmsg.NewDeleteRecordsResponseTopicPartition()
			deleted.Partition, deleted.LowWatermark, deleted.ErrorCode = p.Partition, low, int16(kerr.Of(err))
			out.Partitions = append(out.Partitions, deleted)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

// deleteBefore returns the lowest offset that is left, or -1 with an error.
func (b *Broker) deleteBefore(topic string, partition int32, offset int64) (int64, error) {
	p, err := b.leaderNamed(topic, partition, -1)
	if err != nil {
		return -1, err
	}
	if config.IsInternalTopic(topic) {
		return -1, kerr.InvalidTopicException
	}
	low, err := p.DeleteRecords(offset)
	if err != nil {
		return -1, err
	}
	return low, nil
}
