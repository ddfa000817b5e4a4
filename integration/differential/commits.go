package main

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const offsetCommitKey, offsetFetchKey, offsetDeleteKey = 8, 9, 47

func init() {
	scenarios = append(scenarios,
		scenario{"commit offsets", commitOffsets},
		scenario{"commit as a member", commitAsMember},
		scenario{"fetch offsets", fetchCommitted},
		scenario{"delete offsets", deleteOffsets},
	)
}

func commitRequest(group, topic string, partition int32, offset int64) *kmsg.OffsetCommitRequest {
	rq := kmsg.NewPtrOffsetCommitRequest()
	rq.Group, rq.Generation = group, -1
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = topic
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	note := "a note"
	p.Partition, p.Offset, p.Metadata, p.LeaderEpoch = partition, offset, &note, -1
	t.Partitions = append(t.Partitions, p)
	rq.Topics = append(rq.Topics, t)
	return rq
}

// identify fills in the topics' ids where the version has only ids.
func (s *script) identify(v int16, rq *kmsg.OffsetCommitRequest) *kmsg.OffsetCommitRequest {
	for i := range rq.Topics {
		t := &rq.Topics[i]
		if v < 10 || t.TopicID != [16]byte{} {
			continue
		}
		t.TopicID = [16]byte{0xee, 1}
		for id, name := range s.ids {
			if name == t.Topic {
				t.TopicID = id
			}
		}
	}
	return rq
}

// fetchOffsets asks for a group's offsets of one partition of a topic, or of all when topic is empty.
func fetchOffsets(v int16, group, topic string) *kmsg.OffsetFetchRequest {
	rq := kmsg.NewPtrOffsetFetchRequest()
	rq.Group = group
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group, g.MemberEpoch = group, -1
	if topic != "" {
		rq.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: topic, Partitions: []int32{0, 1}}}
		g.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: topic, Partitions: []int32{0, 1}}}
	}
	if v >= 8 {
		rq.Groups = append(rq.Groups, g)
	}
	return rq
}

func commitOffsets(s *script) {
	t := s.topic("committed", 2)
	type rq = *kmsg.OffsetCommitRequest
	ask := func(label string, change func(rq rq, p *kmsg.OffsetCommitRequestTopicPartition)) {
		s.all(offsetCommitKey, label, func(v int16) kmsg.Request {
			r := commitRequest(s.name(fmt.Sprintf("c%d", v)), t, 0, 5)
			change(r, &r.Topics[0].Partitions[0])
			return s.identify(v, r)
		})
	}
	type part = *kmsg.OffsetCommitRequestTopicPartition
	ask("simple", func(rq, part) {})
	ask("null metadata", func(_ rq, p part) { p.Metadata = nil })
	ask("metadata of 4096", func(_ rq, p part) { m := strings.Repeat("m", 4096); p.Metadata = &m })
	ask("metadata of 4097", func(_ rq, p part) { m := strings.Repeat("m", 4097); p.Metadata = &m })
	ask("offset -1", func(_ rq, p part) { p.Offset = -1 })
	ask("offset -5", func(_ rq, p part) { p.Offset = -5 })
	ask("beyond the log", func(_ rq, p part) { p.Offset = 1 << 40 })
	ask("leader epoch", func(_ rq, p part) { p.LeaderEpoch = 7 })
	ask("leader epoch -5", func(_ rq, p part) { p.LeaderEpoch = -5 })
	ask("unknown partition", func(_ rq, p part) { p.Partition = 9 })
	ask("negative partition", func(_ rq, p part) { p.Partition = -1 })
	ask("unknown topic", func(r rq, _ part) { r.Topics[0].Topic = s.name("never") })
	ask("odd topic", func(r rq, _ part) { r.Topics[0].Topic = "a b" })
	ask("a known and an unknown topic", func(r rq, _ part) {
		r.Topics = append(r.Topics, commitRequest("", s.name("never"), 0, 1).Topics...)
	})
	ask("an unknown and a known topic", func(r rq, _ part) {
		r.Topics = append(commitRequest("", s.name("never"), 0, 1).Topics, r.Topics...)
	})
	ask("a known and an unknown partition", func(r rq, p part) {
		q := *p
		q.Partition = 9
		r.Topics[0].Partitions = append([]kmsg.OffsetCommitRequestTopicPartition{q}, r.Topics[0].Partitions...)
	})
	ask("a partition twice", func(r rq, p part) { r.Topics[0].Partitions = append(r.Topics[0].Partitions, *p) })
	ask("empty group", func(r rq, _ part) { r.Group = "" })
	ask("a member of an unknown group", func(r rq, _ part) { r.Group, r.MemberID, r.Generation = r.Group+"-none", "m", 1 })
	ask("a generation without a member", func(r rq, _ part) { r.Group, r.Generation = r.Group+"-none", 3 })
	ask("a member without a generation", func(r rq, _ part) { r.Group, r.MemberID = r.Group+"-another", "m" })
	ask("a member of a group without members", func(r rq, _ part) { r.MemberID, r.Generation = "m", 1 })
	ask("an instance", func(r rq, _ part) { i := "i"; r.InstanceID = &i })
	ask("no topics", func(r rq, _ part) { r.Topics = nil })
	ask("no partitions", func(r rq, _ part) { r.Topics[0].Partitions = nil })
	ask("retention of an hour", func(r rq, _ part) { r.RetentionTimeMillis = 3600000 })
	s.all(offsetFetchKey, "after all", func(v int16) kmsg.Request {
		if v >= 10 {
			return nil
		}
		return fetchOffsets(v, s.name(fmt.Sprintf("c%d", s.common[offsetCommitKey].min)), t)
	})
}

func commitAsMember(s *script) {
	t := s.topic("membered", 1)
	group := s.name("membered")
	joined := s.join("", 5, static(joinRequest(group, "", "range"), "i1"))
	member := joined.MemberID
	ask := func(label, member string, generation int32, instance string) {
		s.all(offsetCommitKey, label, func(v int16) kmsg.Request {
			rq := commitRequest(group, t, 0, int64(v))
			rq.MemberID, rq.Generation = member, generation
			if instance != "" {
				rq.InstanceID = &instance
			}
			return s.identify(v, rq)
		})
	}
	ask("while completing", member, joined.Generation, "")
	s.quiet(3, syncRequest(group, member, joined.Generation, member))
	ask("member", member, joined.Generation, "")
	ask("member with its instance", member, joined.Generation, "i1")
	ask("member with another instance", member, joined.Generation, "i2")
	ask("fenced member", "nobody", joined.Generation, "i1")
	ask("wrong generation", member, joined.Generation+1, "")
	ask("unknown member", "nobody", joined.Generation, "")
	ask("nobody, of a group with members", "", -1, "")
	ask("nobody with a generation", "", joined.Generation, "")
	ask("member without a generation", member, -1, "")
}

func fetchCommitted(s *script) {
	t, u := s.topic("kept", 2), s.topic("kept2", 1)
	group, never := s.name("keeps"), s.name("never")
	commit := commitRequest(group, t, 0, 3)
	commit.Topics[0].Partitions[0].LeaderEpoch = 2
	s.quiet(7, commit)
	s.quiet(7, commitRequest(group, u, 0, 4))
	ask := func(label, group, topic string, change func(rq *kmsg.OffsetFetchRequest)) {
		s.all(offsetFetchKey, label, func(v int16) kmsg.Request {
			if v < 2 && topic == "" && label != "no topics" {
				return nil // which cannot ask for all
			}
			rq := fetchOffsets(v, group, topic)
			change(rq)
			if v >= 10 {
				s.fetchByID(rq)
			}
			return rq
		})
	}
	none := func(*kmsg.OffsetFetchRequest) {}
	ask("some", group, t, none)
	ask("unknown topic", group, s.name("nowhere"), none)
	ask("unknown group", never, t, none)
	ask("all of an unknown group", never, "", none)
	ask("empty group", "", t, none)
	ask("all of an empty group", "", "", none)
	ask("no topics", group, "", func(rq *kmsg.OffsetFetchRequest) {
		rq.Topics = []kmsg.OffsetFetchRequestTopic{}
		for i := range rq.Groups {
			rq.Groups[i].Topics = []kmsg.OffsetFetchRequestGroupTopic{}
		}
	})
	ask("stable ones", group, t, func(rq *kmsg.OffsetFetchRequest) { rq.RequireStable = true })
	ask("a topic twice", group, t, func(rq *kmsg.OffsetFetchRequest) {
		rq.Topics = append(rq.Topics, rq.Topics...)
		for i := range rq.Groups {
			rq.Groups[i].Topics = append(rq.Groups[i].Topics, rq.Groups[i].Topics...)
		}
	})
	many := func(label string, change func(rq *kmsg.OffsetFetchRequest)) {
		s.all(offsetFetchKey, label, func(v int16) kmsg.Request {
			if v < 8 {
				return nil
			}
			rq := fetchOffsets(v, group, t)
			change(rq)
			if v >= 10 {
				s.fetchByID(rq)
			}
			return rq
		})
	}
	many("no groups", func(rq *kmsg.OffsetFetchRequest) { rq.Groups = nil })
	many("two groups", func(rq *kmsg.OffsetFetchRequest) {
		rq.Groups = append(rq.Groups, fetchOffsets(8, never, t).Groups...)
	})
	many("a group twice", func(rq *kmsg.OffsetFetchRequest) { rq.Groups = append(rq.Groups, rq.Groups...) })
	member := "m"
	many("an unknown member", func(rq *kmsg.OffsetFetchRequest) { rq.Groups[0].MemberID, rq.Groups[0].MemberEpoch = &member, 3 })
	many("a member epoch without a member", func(rq *kmsg.OffsetFetchRequest) { rq.Groups[0].MemberEpoch = 3 })
	many("an unknown member of an unknown group", func(rq *kmsg.OffsetFetchRequest) {
		rq.Groups = fetchOffsets(8, never, t).Groups
		rq.Groups[0].MemberID, rq.Groups[0].MemberEpoch = &member, 3
	})
	s.forgottenTopic()
}

// forgottenTopic records what becomes of the offsets of a topic that is deleted.
func (s *script) forgottenTopic() {
	t, group := s.topic("doomed", 1), s.name("mourns")
	s.quiet(7, commitRequest(group, t, 0, 4))
	s.quiet(3, deleteRequest(3, t))
	until(func() bool { // Kafka's coordinator hears of it later
		return len(s.quiet(5, fetchOffsets(5, group, "")).(*kmsg.OffsetFetchResponse).Topics) == 0
	})
	s.all(offsetFetchKey, "of a deleted topic", func(v int16) kmsg.Request {
		if v < 2 || v >= 10 {
			return nil
		}
		return fetchOffsets(v, group, "")
	})
}

func (s *script) fetchByID(rq *kmsg.OffsetFetchRequest) {
	for g := range rq.Groups {
		for i := range rq.Groups[g].Topics {
			t := &rq.Groups[g].Topics[i]
			t.TopicID = [16]byte{0xee, 1}
			for id, name := range s.ids {
				if name == t.Topic {
					t.TopicID = id
				}
			}
		}
	}
}

func deleteOffsets(s *script) {
	t, u := s.topic("dropped", 2), s.topic("dropped2", 1)
	group, live := s.name("drops"), s.name("drops-live")
	ask := func(label, group string, topics ...string) {
		s.all(offsetDeleteKey, label, func(int16) kmsg.Request {
			rq := kmsg.NewPtrOffsetDeleteRequest()
			rq.Group = group
			for _, name := range topics {
				ft := kmsg.NewOffsetDeleteRequestTopic()
				ft.Topic = name
				ft.Partitions = []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}, {Partition: 7}}
				rq.Topics = append(rq.Topics, ft)
			}
			return rq
		})
	}
	s.quiet(7, commitRequest(group, t, 0, 3))
	s.quiet(7, commitRequest(group, u, 0, 3))
	ask("one topic", group, t)
	ask("again", group, t)
	ask("unknown topic", group, s.name("never"))
	ask("no topics", group)
	ask("unknown group", s.name("never"), t)
	ask("empty group", "", t)
	ask("a topic twice", group, u, u)
	ask("a group without offsets", group, u)
	rq := joinRequest(live, "", "range")
	rq.Protocols[0].Metadata = subscription("", t)
	member := s.quiet(3, rq).(*kmsg.JoinGroupResponse).MemberID
	s.quiet(3, syncRequest(live, member, 1, member))
	ask("topics that a member has and has not subscribed to", live, t, u)
}
