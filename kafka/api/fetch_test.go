package api

import (
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func ieee(b []byte) uint32 { return crc32.ChecksumIEEE(b) }

func fetchRequest(version int16, topic string, id [16]byte, offset int64) *kmsg.FetchRequest {
	rq := kmsg.NewPtrFetchRequest()
	rq.Version, rq.MaxBytes, rq.SessionEpoch = version, 1<<20, -1
	p := kmsg.NewFetchRequestTopicPartition()
	p.FetchOffset, p.PartitionMaxBytes = offset, 1<<20
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID, t.Partitions = topic, id, append(t.Partitions, p)
	rq.Topics = append(rq.Topics, t)
	return rq
}
