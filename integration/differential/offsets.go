package main

import (
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const listOffsetsKey, leaderEpochKey, deleteRecordsKey = 2, 23, 21

func init() {
	scenarios = append(scenarios,
		scenario{"list offsets", listOffsets},
		scenario{"offset for leader epoch", offsetForLeaderEpoch},
		scenario{"delete records", deleteRecords},
	)
}

func offsetsRequest(topic string, partition int32, timestamp int64) *kmsg.ListOffsetsRequest {
	rq := kmsg.NewPtrListOffsetsRequest()
	rq.ReplicaID, rq.TimeoutMillis = -1, 5000
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp, p.CurrentLeaderEpoch, p.MaxNumOffsets = partition, timestamp, -1, 5
	t.Partitions = append(t.Partitions, p)
	rq.Topics = append(rq.Topics, t)
	return rq
}

func listOffsets(s *script) {
	t := s.topic("listed", 2)
	times := plain("a", "b", "c")
	times.Records = append(append(record(0, 0, nil, []byte("a")), record(1, 50, nil, []byte("b"))...), record(2, 20, nil, []byte("c"))...)
	times.MaxTimestamp = 1050
	s.write(t, 0, sealed(times), sealed(compressed(at(plain("d", "e"), 3000), gzipCodec)), sealed(at(plain("f"), 2000)), sealed(at(plain("g"), 3000)))
	ask := func(label string, change func(rq *kmsg.ListOffsetsRequest, p *kmsg.ListOffsetsRequestTopicPartition)) {
		s.all(listOffsetsKey, label, func(int16) kmsg.Request {
			rq := offsetsRequest(t, 0, -1)
			change(rq, &rq.Topics[0].Partitions[0])
			return rq
		})
	}
	type rq = *kmsg.ListOffsetsRequest
	type part = *kmsg.ListOffsetsRequestTopicPartition
	for _, ts := range []int64{-1, -2, -3, -4, -5, -6, -7, -100, 0, 999, 1000, 1001, 1050, 1051, 2000, 2001, 3000, 3001, math.MaxInt64, math.MinInt64} {
		ask(fmt.Sprint("time ", ts), func(_ rq, p part) { p.Timestamp = ts })
		ask(fmt.Sprint("empty partition, time ", ts), func(_ rq, p part) { p.Timestamp, p.Partition = ts, 1 })
	}
	for _, ts := range []int64{-1, -2, -3, 2000, 9000} {
		ask(fmt.Sprint("read committed, time ", ts), func(r rq, p part) { p.Timestamp, r.IsolationLevel = ts, 1 })
	}
	ask("isolation level 7", func(r rq, _ part) { r.IsolationLevel = 7 })
	ask("unknown partition", func(_ rq, p part) { p.Partition = 9 })
	ask("negative partition", func(_ rq, p part) { p.Partition = -1 })
	ask("unknown topic", func(r rq, _ part) { r.Topics[0].Topic = s.name("never") })
	ask("odd topic", func(r rq, _ part) { r.Topics[0].Topic = "a b" })
	ask("no topic", func(r rq, _ part) { r.Topics[0].Topic = "" })
	ask("no topics", func(r rq, _ part) { r.Topics = nil })
	ask("no partitions", func(r rq, _ part) { r.Topics[0].Partitions = nil })
	ask("a partition twice", func(r rq, p part) { r.Topics[0].Partitions = append(r.Topics[0].Partitions, *p) })
	ask("unknown and out of versions", func(_ rq, p part) { p.Partition, p.Timestamp = 9, -99 })
	ask("leader epoch 0", func(_ rq, p part) { p.CurrentLeaderEpoch = 0 })
	ask("leader epoch 4", func(_ rq, p part) { p.CurrentLeaderEpoch = 4 })
	ask("leader epoch 4, unknown partition", func(_ rq, p part) { p.CurrentLeaderEpoch, p.Partition = 4, 9 })
	ask("as a debugging replica", func(r rq, _ part) { r.ReplicaID = -2 })
	ask("as a stranger replica", func(r rq, _ part) { r.ReplicaID = 77 })
	ask("max offsets 1", func(_ rq, p part) { p.MaxNumOffsets = 1 })
	ask("max offsets 0", func(_ rq, p part) { p.MaxNumOffsets = 0 })
}

func offsetForLeaderEpoch(s *script) {
	t := s.topic("epochs", 2)
	s.write(t, 0, sealed(plain("a", "b")))
	ask := func(label, topic string, partition, current, epoch int32, replica int32) {
		s.all(leaderEpochKey, label, func(int16) kmsg.Request {
			rq := kmsg.NewPtrOffsetForLeaderEpochRequest()
			rq.ReplicaID = replica
			ft := kmsg.NewOffsetForLeaderEpochRequestTopic()
			ft.Topic = topic
			p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
			p.Partition, p.CurrentLeaderEpoch, p.LeaderEpoch = partition, current, epoch
			ft.Partitions = append(ft.Partitions, p)
			rq.Topics = append(rq.Topics, ft)
			return rq
		})
	}
	for _, epoch := range []int32{-2, -1, 0, 1, 99} {
		ask(fmt.Sprint("epoch ", epoch), t, 0, -1, epoch, -2)
		ask(fmt.Sprint("empty partition, epoch ", epoch), t, 1, -1, epoch, -2)
	}
	ask("current epoch 0", t, 0, 0, 0, -2)
	ask("current epoch 3", t, 0, 3, 0, -2)
	ask("unknown partition", t, 9, -1, 0, -2)
	ask("unknown topic", s.name("never"), 0, -1, 0, -2)
	ask("no topic", "", 0, -1, 0, -2)
	ask("as a client", t, 0, -1, 0, -1)
	ask("as a stranger replica", t, 0, -1, 0, 77)
	s.all(leaderEpochKey, "nothing", func(int16) kmsg.Request { return kmsg.NewPtrOffsetForLeaderEpochRequest() })
}

func deleteRecords(s *script) {
	s.each(deleteRecordsKey, func(v int16) {
		t := s.topic(fmt.Sprintf("cut%d", v), 2)
		compacted := s.topic(fmt.Sprintf("cutcompacted%d", v), 1, "cleanup.policy", "compact")
		both := s.topic(fmt.Sprintf("cutboth%d", v), 1, "cleanup.policy", "compact,delete")
		s.write(t, 0, sealed(plain("a", "b", "c")), sealed(plain("d", "e")))
		s.write(compacted, 0, sealed(plain("a")))
		s.write(both, 0, sealed(plain("a")))
		ask := func(label, topic string, partition int32, offset int64) {
			rq := kmsg.NewPtrDeleteRecordsRequest()
			rq.TimeoutMillis = 5000
			ft := kmsg.NewDeleteRecordsRequestTopic()
			ft.Topic = topic
			ft.Partitions = append(ft.Partitions, kmsg.DeleteRecordsRequestTopicPartition{Partition: partition, Offset: offset})
			rq.Topics = append(rq.Topics, ft)
			s.do(label, v, rq)
		}
		ask("to 0", t, 0, 0)
		ask("to 1", t, 0, 1)
		ask("to 0 again", t, 0, 0)
		ask("to 3", t, 0, 3)
		ask("beyond the end", t, 0, 6)
		ask("to -2", t, 0, -2)
		ask("to the end", t, 0, -1)
		ask("to the end by number", t, 0, 5)
		ask("unknown partition", t, 9, 0)
		ask("unknown topic", s.name("never"), 0, 0)
		ask("odd topic", "a b", 0, 0)
		ask("empty partition", t, 1, -1)
		ask("a compacted topic", compacted, 0, 1)
		ask("a compacted and deleted topic", both, 0, 1)
		s.do("nothing", v, kmsg.NewPtrDeleteRecordsRequest())
		s.do("", s.last(listOffsetsKey), offsetsRequest(t, 0, -2))
		rq := fetchRequest(t, 0, 2)
		s.do("from what was deleted", 11, rq)
	})
}
