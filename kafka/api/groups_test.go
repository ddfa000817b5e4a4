package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
)

// commit commits an offset as a simple consumer.
func (n *node) commit(group, topic string, partition int32, offset int64) {
	n.t.Helper()
	rq := kmsg.NewPtrOffsetCommitRequest()
	rq.Version, rq.Group = 8, group
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.Metadata = partition, offset, ptr("note")
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic, t.Partitions = topic, append(t.Partitions, p)
	rq.Topics = append(rq.Topics, t)
	n.code(ask[*kmsg.OffsetCommitResponse](n, rq).Topics[0].Partitions[0].ErrorCode, kerr.None)
}
