package main

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const fetchKey = 1

func init() {
	scenarios = append(scenarios,
		scenario{"fetch", fetch},
		scenario{"fetch sessions", fetchSessions},
	)
}

func fetchRequest(topic string, partition int32, offset int64) *kmsg.FetchRequest {
	rq := kmsg.NewPtrFetchRequest()
	rq.ReplicaID, rq.SessionEpoch, rq.MaxBytes, rq.MinBytes = -1, -1, 50<<20, 0
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	t.Partitions = append(t.Partitions, wanted(partition, offset))
	rq.Topics = append(rq.Topics, t)
	return rq
}

func wanted(partition int32, offset int64) kmsg.FetchRequestTopicPartition {
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, 10<<20
	return p
}

// byID fills in a fetch's topic ids where the version has them.
func (s *script) byID(v int16, rq *kmsg.FetchRequest) *kmsg.FetchRequest {
	find := func(name string) [16]byte {
		for id, n := range s.ids {
			if n == name {
				return id
			}
		}
		return [16]byte{0xee, 1}
	}
	for i := range rq.Topics {
		if t := &rq.Topics[i]; v >= 13 && t.TopicID == [16]byte{} && t.Topic != "" {
			t.TopicID = find(t.Topic)
		}
	}
	for i := range rq.ForgottenTopics {
		if t := &rq.ForgottenTopics[i]; v >= 13 && t.TopicID == [16]byte{} && t.Topic != "" {
			t.TopicID = find(t.Topic)
		}
	}
	return rq
}

func fetch(s *script) {
	t, u := s.topic("fetched", 2), s.topic("fetched2", 1)
	s.write(t, 0, sealed(plain("a", "b", "c")), sealed(compressed(plain("d", "e"), gzipCodec)), sealed(plain("f")))
	s.write(u, 0, sealed(plain("x")), sealed(plain("y")))
	ask := func(label string, change func(rq *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition)) {
		s.all(fetchKey, label, func(v int16) kmsg.Request {
			rq := fetchRequest(t, 0, 0)
			change(rq, &rq.Topics[0].Partitions[0])
			if v < 15 {
				rq.ReplicaState.ID = -1 // a tag that they do not have
			}
			return s.byID(v, rq)
		})
	}
	type rq = *kmsg.FetchRequest
	type part = *kmsg.FetchRequestTopicPartition
	ask("all", func(rq, part) {})
	ask("from the middle of a batch", func(_ rq, p part) { p.FetchOffset = 1 })
	ask("from the middle of a compressed batch", func(_ rq, p part) { p.FetchOffset = 4 })
	ask("from the end", func(_ rq, p part) { p.FetchOffset = 6 })
	ask("from beyond the end", func(_ rq, p part) { p.FetchOffset = 7 })
	ask("from -1", func(_ rq, p part) { p.FetchOffset = -1 })
	ask("from -2", func(_ rq, p part) { p.FetchOffset = -2 })
	ask("an empty partition", func(_ rq, p part) { p.Partition = 1 })
	ask("unknown partition", func(_ rq, p part) { p.Partition = 5 })
	ask("negative partition", func(_ rq, p part) { p.Partition = -1 })
	ask("unknown topic", func(r rq, _ part) { r.Topics[0].Topic = s.name("never") })
	ask("odd topic", func(r rq, _ part) { r.Topics[0].Topic = "a b" })
	ask("no topic", func(r rq, _ part) { r.Topics[0].Topic = "" })
	ask("no topics", func(r rq, _ part) { r.Topics = nil })
	ask("no partitions", func(r rq, _ part) { r.Topics[0].Partitions = nil })
	ask("max bytes 0", func(r rq, _ part) { r.MaxBytes = 0 })
	ask("max bytes 1", func(r rq, _ part) { r.MaxBytes = 1 })
	ask("max bytes -1", func(r rq, _ part) { r.MaxBytes = -1 })
	ask("max bytes of a batch and a half", func(r rq, _ part) { r.MaxBytes = 150 })
	ask("partition bytes 0", func(_ rq, p part) { p.PartitionMaxBytes = 0 })
	ask("partition bytes 1", func(_ rq, p part) { p.PartitionMaxBytes = 1 })
	ask("partition bytes -1", func(_ rq, p part) { p.PartitionMaxBytes = -1 })
	ask("partition bytes of a batch and a half", func(_ rq, p part) { p.PartitionMaxBytes = 150 })
	ask("two partitions, max bytes 1", func(r rq, _ part) {
		r.MaxBytes = 1
		r.Topics = append(r.Topics, fetchRequest(u, 0, 0).Topics...)
	})
	ask("two partitions, partition bytes 1", func(r rq, p part) {
		p.PartitionMaxBytes = 1
		r.Topics = append(r.Topics, fetchRequest(u, 0, 0).Topics...)
		r.Topics[1].Partitions[0].PartitionMaxBytes = 1
	})
	ask("an empty one, then one, partition bytes 1", func(r rq, p part) {
		p.PartitionMaxBytes, p.Partition = 1, 1
		r.Topics = append(r.Topics, fetchRequest(u, 0, 0).Topics...)
		r.Topics[1].Partitions[0].PartitionMaxBytes = 1
	})
	ask("a partition twice", func(r rq, p part) { r.Topics[0].Partitions = append(r.Topics[0].Partitions, wanted(0, 5)) })
	ask("a good and a bad partition, waiting", func(r rq, _ part) {
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, wanted(9, 0))
		r.MinBytes, r.MaxWaitMillis = 1<<20, 300
	})
	ask("waiting in vain", func(r rq, p part) { p.FetchOffset, r.MinBytes, r.MaxWaitMillis = 6, 1, 100 })
	ask("waiting a negative time", func(r rq, p part) { p.FetchOffset, r.MinBytes, r.MaxWaitMillis = 6, 1, -5 })
	ask("min bytes -1", func(r rq, p part) { p.FetchOffset, r.MinBytes, r.MaxWaitMillis = 6, -1, 20000 })
	ask("read committed", func(r rq, _ part) { r.IsolationLevel = 1 })
	ask("read committed, at the end", func(r rq, p part) { r.IsolationLevel, p.FetchOffset = 1, 6 })
	ask("isolation level 5", func(r rq, _ part) { r.IsolationLevel = 5 })
	ask("isolation level -1", func(r rq, _ part) { r.IsolationLevel = -1 })
	ask("leader epoch 0", func(_ rq, p part) { p.CurrentLeaderEpoch = 0 })
	ask("leader epoch 5", func(_ rq, p part) { p.CurrentLeaderEpoch = 5 })
	ask("leader epoch -2", func(_ rq, p part) { p.CurrentLeaderEpoch = -2 })
	ask("last fetched epoch 0", func(_ rq, p part) { p.LastFetchedEpoch, p.FetchOffset = 0, 6 })
	ask("last fetched epoch 0, beyond the end", func(_ rq, p part) { p.LastFetchedEpoch, p.FetchOffset = 0, 9 })
	ask("last fetched epoch 5", func(_ rq, p part) { p.LastFetchedEpoch = 5 })
	ask("last fetched epoch 0 and a current one", func(_ rq, p part) { p.LastFetchedEpoch, p.CurrentLeaderEpoch = 0, 0 })
	ask("a rack", func(r rq, _ part) { r.Rack = "nowhere" })
	ask("log start offset 2", func(_ rq, p part) { p.LogStartOffset = 2 })
	ask("as a debugging replica", func(r rq, _ part) { r.ReplicaID, r.ReplicaState.ID = -2, -2 })
	ask("as a stranger replica", func(r rq, _ part) { r.ReplicaID, r.ReplicaState.ID = 77, 77 })
	ask("zero topic id", func(r rq, _ part) { r.Topics[0].Topic, r.Topics[0].TopicID = "", [16]byte{} })
	s.woken(t)
}

// woken records that a new record ends the wait of a fetch.
func (s *script) woken(topic string) {
	next := int64(0)
	s.each(fetchKey, func(v int16) {
		rq := fetchRequest(topic, 1, next)
		rq.MinBytes, rq.MaxWaitMillis = 1, 6000
		s.byID(v, rq)
		join := s.apart(func(waiting *script) { waiting.do("woken by a record", v, rq) })
		s.write(topic, 1, sealed(plain("w")))
		join()
		next++
	})
}

func fetchSessions(s *script) {
	s.each(fetchKey, func(v int16) {
		if v < 7 {
			return
		}
		t, u := s.topic(fmt.Sprintf("session%da", v), 2), s.topic(fmt.Sprintf("session%db", v), 1)
		s.write(t, 0, sealed(plain("a")))
		ask := func(label string, id, epoch int32, change func(rq *kmsg.FetchRequest)) int32 {
			rq := fetchRequest(t, 0, 0)
			rq.Topics = nil
			rq.SessionID, rq.SessionEpoch = id, epoch
			change(rq)
			if resp, ok := s.do(label, v, s.byID(v, rq)).(*kmsg.FetchResponse); ok {
				return resp.SessionID
			}
			return 0
		}
		type request = *kmsg.FetchRequest
		none := func(request) {}
		of := func(topic string, parts ...kmsg.FetchRequestTopicPartition) func(request) {
			return func(r request) {
				ft := kmsg.NewFetchRequestTopic()
				ft.Topic, ft.Partitions = topic, parts
				r.Topics = append(r.Topics, ft)
			}
		}
		forget := func(topic string, parts ...int32) func(request) {
			return func(r request) {
				r.ForgottenTopics = append(r.ForgottenTopics, kmsg.FetchRequestForgottenTopic{Topic: topic, Partitions: parts})
			}
		}
		ask("unknown session", 12345, 1, none)
		ask("unknown session, full", 12345, 0, of(t, wanted(0, 0)))
		ask("unknown session, ended", 12345, -1, of(t, wanted(0, 0)))
		ask("no session, epoch 3", 0, 3, of(t, wanted(0, 0)))
		ask("no session, epoch -5", 0, -5, of(t, wanted(0, 0)))
		ask("session without partitions", 0, 0, none)
		id := ask("session", 0, 0, of(t, wanted(0, 0), wanted(1, 0)))
		ask("nothing new in offsets", id, 1, none)
		ask("the offset moves", id, 2, of(t, wanted(0, 1)))
		ask("idle", id, 3, none)
		ask("old epoch", id, 3, none)
		ask("epoch too high", id, 9, none)
		s.write(t, 1, sealed(plain("b")))
		ask("a record in the other", id, 4, none)
		ask("and it moves", id, 5, of(t, wanted(1, 1)))
		ask("a topic comes", id, 6, of(u, wanted(0, 0)))
		ask("an unknown one comes", id, 7, of(s.name("never"), wanted(0, 0)))
		ask("which is told again", id, 8, none)
		ask("an unknown partition comes", id, 9, of(u, wanted(4, 0)))
		ask("both are forgotten", id, 10, func(r request) { forget(s.name("never"), 0)(r); forget(u, 4)(r) })
		ask("what was never there is forgotten", id, 11, forget(u, 9))
		s.write(u, 0, sealed(plain("c")))
		ask("forgotten with a record", id, 12, forget(u, 0))
		ask("idle again", id, 13, none)
		ask("offset out of range", id, 14, of(t, wanted(0, 99)))
		ask("still out of range", id, 15, none)
		ask("all are forgotten", id, 16, forget(t, 0, 1))
		ask("empty", id, 17, none)
		ask("ended", id, -1, none)
		ask("after its end", id, 18, none)
		id = ask("another session", 0, 0, of(t, wanted(0, 0)))
		ask("negative epoch", id, -7, none)
		ask("full on it", id, 0, of(t, wanted(0, 0)))
		ask("the former one", id, 1, none)
		if v == 12 && s.last(fetchKey) >= 13 {
			id = ask("by name", 0, 0, of(t, wanted(0, 0)))
			rq := fetchRequest(t, 0, 0)
			rq.SessionID, rq.SessionEpoch = id, 1
			s.do("of a session by name", 13, s.byID(13, rq))
		}
	})
}
