package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/kafka/wire"
)

// describeProducers serves key 61, version 0: the idempotent producers that the leader of a partition remembers (KIP-664).
func describeProducers(b *Broker, _ context.Context, _ *wire.Request, req *kmsg.DescribeProducersRequest) (kmsg.Response, error) {
	resp := req.ResponseKind().(*kmsg.DescribeProducersResponse)
	told := asked[[2]any]{}
	for i := range req.Topics {
		in := &req.Topics[i]
		out := kmsg.NewDescribeProducersResponseTopic()
		out.Topic = in.Topic
		for _, n := range in.Partitions {
			if !told.tooOften([2]any{in.Topic, n}) {
				out.Partitions = append(out.Partitions, b.producersOf(in.Topic, n))
			}
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

func (b *Broker) producersOf(topic string, partition int32) kmsg.DescribeProducersResponseTopicPartition {
	out := kmsg.NewDescribeProducersResponseTopicPartition()
	out.Partition = partition
	p, err := b.leaderNamed(topic, partition, -1)
	if err != nil {
		out.ErrorCode, out.ErrorMessage = int16(kerr.Of(err)), orNil(kerr.Message(err))
		return out
	}
	for _, a := range p.Log().Producers() {
		one := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
		one.ProducerID, one.ProducerEpoch, one.LastSequence = a.ID, int32(a.Epoch), a.LastSequence
		one.LastTimestamp, one.CoordinatorEpoch, one.CurrentTxnStartOffset = a.LastTime, -1, a.TxnFirst
		out.ActiveProducers = append(out.ActiveProducers, one)
	}
	return out
}
