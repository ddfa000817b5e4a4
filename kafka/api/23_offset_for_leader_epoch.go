package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/kafka/wire"
)

// offsetForLeaderEpoch serves key 23, versions 0-4: where a leader's epoch ended, by which a consumer finds out that the
// log was truncated under it (KIP-320).
func offsetForLeaderEpoch(b *Broker, _ context.Context, _ *wire.Request, req *kmsg.OffsetForLeaderEpochRequest) (kmsg.Response, error) {
	resp := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
	for i := range req.Topics {
		in := &req.Topics[i]
		out := kmsg.NewOffsetForLeaderEpochResponseTopic()
		out.Topic = in.Topic
		for _, asked := range in.Partitions {
			ended := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			ended.Partition, ended.LeaderEpoch, ended.EndOffset = asked.Partition, -1, -1
			p, err := b.leaderNamed(in.Topic, asked.Partition, asked.CurrentLeaderEpoch)
			if err == nil {
				epoch, end := p.Log().EpochEnd(asked.LeaderEpoch)
				if err = b.stillLeads(nil); err == nil {
					ended.LeaderEpoch, ended.EndOffset = epoch, end
				}
			}
			ended.ErrorCode = int16(kerr.Of(err))
			out.Partitions = append(out.Partitions, ended)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}
