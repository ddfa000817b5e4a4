package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/controller"
	"chronik/kafka/kerr"
	"chronik/kafka/wire"
	"chronik/metalog/image"
)

// metadataTopic is how Kafka calls its metadata log; ours has one partition too, and is no topic.
const metadataTopic = "__cluster_metadata"

// describeQuorum serves key 55, versions 0-2 (KIP-595, 836, 853): the metadata log's voters, and who only listens.
func describeQuorum(b *Broker, _ context.Context, _ *wire.Request, req *kmsg.DescribeQuorumRequest) (kmsg.Response, error) {
	resp := req.ResponseKind().(*kmsg.DescribeQuorumResponse)
	q, err := b.Controller.Quorum()
	if err != nil {
		resp.ErrorCode = int16(kerr.Of(err))
		return resp, nil
	}
	told := asked[itemKey]{}
	for _, t := range req.Topics {
		out := kmsg.NewDescribeQuorumResponseTopic()
		out.Topic = t.Topic
		for _, p := range t.Partitions {
			if !told.tooOften(itemKey{name: t.Topic, partition: p.Partition}) {
				out.Partitions = append(out.Partitions, describedQuorum(t.Topic, p.Partition, q))
			}
		}
		resp.Topics = append(resp.Topics, out)
	}
	if req.Version >= 2 {
		for _, n := range b.Meta.Image().Brokers() {
			resp.Nodes = append(resp.Nodes, quorumNode(n))
		}
	}
	return resp, nil
}

func describedQuorum(topic string, partition int32, q controller.Quorum) kmsg.DescribeQuorumResponseTopicPartition {
	out := kmsg.NewDescribeQuorumResponseTopicPartition()
	out.Partition, out.LeaderID = partition, -1
	if topic != metadataTopic || partition != 0 {
		out.ErrorCode = int16(kerr.UnknownTopicOrPartition)
		return out
	}
	out.LeaderID, out.LeaderEpoch, out.HighWatermark = int32(q.Leader), int32(q.Epoch), int64(q.Index)
	for _, r := range q.Replicas {
		s := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
		s.ReplicaID, s.ReplicaDirectoryID, s.LogEndOffset = int32(r.Node), r.Directory, r.Applied
		s.LastFetchTimestamp, s.LastCaughtUpTimestamp = r.HeardAt, r.CaughtUpAt
		if r.Voter {
			out.CurrentVoters = append(out.CurrentVoters, s)
		} else {
			out.Observers = append(out.Observers, s)
		}
	}
	return out
}

func quorumNode(n *image.Broker) kmsg.DescribeQuorumResponseNode {
	out := kmsg.NewDescribeQuorumResponseNode()
	out.NodeID = int32(n.ID)
	if e, ok := n.Endpoint(image.InternalListener); ok {
		l := kmsg.NewDescribeQuorumResponseNodeListener()
		l.Name, l.Host, l.Port = e.Name, e.Host, uint16(e.Port)
		out.Listeners = append(out.Listeners, l)
	}
	return out
}
