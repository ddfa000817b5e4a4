package replica

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetchVersion is that of a follower's requests: topics by id, the replica with its broker epoch.
const fetchVersion = 17

type partitionKey struct {
	topic     uuid.UUID
	partition int32
}

// fetchSession is a fetcher's side of a fetch session (KIP-227): what the leader knows to be fetched, and what it is to be
// told.
type fetchSession struct {
	id, epoch int32
	live      map[partitionKey]*fetched   // what is fetched
	forgotten map[partitionKey]struct{}   // what the leader has in the session and need not
	told      map[partitionKey]struct{}   // what the leader has in the session
	changed   map[partitionKey]struct{}   // of live: what the leader does not know as it is
	waiting   map[*Partition]struct{}     // what is not fetched now: it has no place, or had an error
	keys      map[*Partition]partitionKey // of live
}

func newFetchSession() fetchSession {
	return fetchSession{
		live: map[partitionKey]*fetched{}, told: map[partitionKey]struct{}{}, changed: map[partitionKey]struct{}{},
		forgotten: map[partitionKey]struct{}{}, waiting: map[*Partition]struct{}{}, keys: map[*Partition]partitionKey{},
	}
}

// put has the partition fetched from the place that it was given.
func (s *fetchSession) put(in *fetched) {
	k := partitionKey{in.p.topic, in.p.number}
	s.live[k], s.keys[in.p] = in, k
	s.changed[k] = struct{}{}
	delete(s.forgotten, k)
}

// wait has the partition not fetched until it is put again.
func (s *fetchSession) wait(in *fetched) {
	s.drop(in.p)
	s.waiting[in.p] = struct{}{}
}

func (s *fetchSession) drop(p *Partition) {
	if k, ok := s.keys[p]; ok {
		delete(s.live, k)
		delete(s.changed, k)
		delete(s.keys, p)
		if _, told := s.told[k]; told {
			s.forgotten[k] = struct{}{}
		}
	}
	delete(s.waiting, p)
}

// request says what the leader does not know, or everything when there is no session.
func (s *fetchSession) request(wait time.Duration) *kmsg.FetchRequest {
	rq := kmsg.NewPtrFetchRequest()
	rq.Version = fetchVersion
	rq.MaxWaitMillis, rq.MinBytes = int32(wait/time.Millisecond), 1
	rq.SessionID, rq.SessionEpoch = s.id, s.epoch
	var keys []partitionKey
	if s.epoch == 0 {
		clear(s.told)
		clear(s.forgotten)
		for k := range s.live {
			keys = append(keys, k)
		}
	} else {
		for k := range s.changed {
			keys = append(keys, k)
		}
		s.forget(rq)
	}
	slices.SortFunc(keys, func(a, b partitionKey) int {
		return cmp.Or(slices.Compare(a.topic[:], b.topic[:]), cmp.Compare(a.partition, b.partition))
	})
	for _, k := range keys {
		s.add(rq, k)
		s.told[k] = struct{}{}
	}
	clear(s.changed)
	return rq
}

func (s *fetchSession) add(rq *kmsg.FetchRequest, k partitionKey) {
	if n := len(rq.Topics); n == 0 || rq.Topics[n-1].TopicID != k.topic {
		t := kmsg.NewFetchRequestTopic()
		t.TopicID = k.topic
		rq.Topics = append(rq.Topics, t)
	}
	in := s.live[k]
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.CurrentLeaderEpoch = k.partition, in.epoch
	p.FetchOffset, p.LastFetchedEpoch, p.LogStartOffset = in.sent.offset, in.sent.epoch, in.sent.start
	t := &rq.Topics[len(rq.Topics)-1]
	t.Partitions = append(t.Partitions, p)
}

// forget names what the leader has in the session and is not fetched any more.
func (s *fetchSession) forget(rq *kmsg.FetchRequest) {
	for k := range s.forgotten {
		t := kmsg.NewFetchRequestForgottenTopic()
		t.TopicID, t.Partitions = k.topic, []int32{k.partition}
		rq.ForgottenTopics = append(rq.ForgottenTopics, t)
		delete(s.told, k)
	}
	clear(s.forgotten)
}

// answered takes over the session that the leader has opened, or goes on with.
func (s *fetchSession) answered(resp *kmsg.FetchResponse) {
	switch {
	case resp.SessionID == 0:
		s.id, s.epoch = 0, 0
	case s.epoch == 0:
		s.id, s.epoch = resp.SessionID, 1
	case s.epoch == 1<<31-1:
		s.epoch = 1
	default:
		s.epoch++
	}
}

// reset ends the session: the next request opens another one, and ends this at the leader.
func (s *fetchSession) reset() { s.epoch = 0 }
