package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/kafka/wire"
)

// alterReplicaLogDirs serves key 34, versions 0-2 (KIP-113). There is one directory: a replica that is here is there
// already, and no other can be moved to (LOG_DIR_NOT_FOUND).
func alterReplicaLogDirs(b *Broker, _ context.Context, _ *wire.Request, req *kmsg.AlterReplicaLogDirsRequest) (kmsg.Response, error) {
	resp := req.ResponseKind().(*kmsg.AlterReplicaLogDirsResponse)
	told := asked[itemKey]{}
	for _, dir := range req.Dirs {
		for _, t := range dir.Topics {
			out := kmsg.NewAlterReplicaLogDirsResponseTopic()
			out.Topic = t.Topic
			for _, n := range t.Partitions {
				if told.tooOften(itemKey{name: t.Topic, partition: n}) {
					continue
				}
				p := kmsg.NewAlterReplicaLogDirsResponseTopicPartition()
				p.Partition, p.ErrorCode = n, int16(b.movedTo(dir.Dir, t.Topic, n))
				out.Partitions = append(out.Partitions, p)
			}
			resp.Topics = append(resp.Topics, out)
		}
	}
	return resp, nil
}

// movedTo says whether the partition is in that directory.
func (b *Broker) movedTo(dir, topic string, partition int32) kerr.Code {
	if dir != b.logDir() {
		return kerr.LogDirNotFound
	}
	t, ok := b.Meta.Image().TopicNamed(topic)
	if !ok || partition < 0 || int(partition) >= len(t.Partitions) {
		return kerr.UnknownTopicOrPartition
	}
	if _, here := b.sizeOf(t.ID, partition); !here {
		return kerr.NotLeaderOrFollower
	}
	return kerr.None
}
