package api

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/replica"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// Fetch sessions (KIP-227): a client names its partitions once and then only what changed, and gets back only what
// changed. A session belongs to one client, which uses it one request at a time.

// sessionEviction is how long a session must have been idle before another may take its place (Kafka's
// min.incremental.fetch.session.eviction.ms).
const sessionEviction = 2 * time.Minute

// fetchItem is one partition of a fetch. A session hands out copies of its own ones: a client that breaks the rules and
// fetches twice at a time gets nonsense, but no torn values.
type fetchItem struct {
	topic uuid.UUID // or else
	name  string
	part  kmsg.FetchRequestTopicPartition

	// What a session remembers of the last answer, in its own items:
	told              bool // the client has taken over these two:
	toldHW, toldStart int64

	own *fetchItem // the session's own, in a copy

	// Of a follower's:
	fed   *replica.Fed       // nil once it is forgotten
	at    *replica.Partition // that tells fed what changes
	round int64              // in which a fetch has got a copy
	rests bool               // in a copy: until it changes there is nothing to be said of it
	until int64              // in a copy: where the log ended when the fetch first found something durable in it; 0: it has not
}

type itemKey struct {
	topic     uuid.UUID
	name      string
	partition int32
}

// fetchSession's fields are guarded by mu, except used, which sessions.mu guards, large, and those that never change: byID, follower, feed.
type fetchSession struct {
	id   int32
	used time.Time

	mu    sync.Mutex
	epoch int32 // that the next request must carry
	byID  bool
	items []*fetchItem // in the order in which they are served: whoever got records goes to the end
	index map[itemKey]*fetchItem

	// Of a follower's (fetch_feed.go):
	follower    image.BrokerID // NoBroker: it is a consumer's
	feed        *replica.Feed  // nil in a consumer's
	brokerEpoch int64
	round       int64 // counts the fetches
	over        bool
	large       atomic.Bool // the last answer was
}

// sessions is the node's cache of fetch sessions; the zero value is ready.
type sessions struct {
	mu   sync.Mutex
	byID map[int32]*fetchSession
}

// newFetchSession makes a session of items, which are its own from then on. It has no id before it is opened.
func newFetchSession(items []*fetchItem, byID bool, parts *replica.Manager, who *replica.Follower) *fetchSession {
	f := &fetchSession{epoch: 1, byID: byID, items: items, index: make(map[itemKey]*fetchItem, len(items)), follower: image.NoBroker}
	if who != nil {
		f.follower, f.feed, f.brokerEpoch = who.ID, parts.NewFeed(), who.Epoch
	}
	for _, it := range items {
		f.adopt(it)
	}
	return f
}

// adopt makes the item one of the session's; the caller holds f.mu.
func (f *fetchSession) adopt(it *fetchItem) {
	f.index[it.key(f.byID)] = it
	if f.feed != nil {
		it.fed = f.feed.Add(it)
	}
}

// open gives the session an id, or returns false when the cache is full of sessions in use: the fetch is then answered
// without one, which every client understands.
func (s *sessions) open(f *fetchSession, now time.Time, slots int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID == nil {
		s.byID = make(map[int32]*fetchSession)
	}
	if f.feed != nil {
		s.dropOthers(f.follower)
	}
	if len(s.byID) >= slots && !s.evict(now) {
		return false
	}
	f.used = now
	for f.id == 0 || s.byID[f.id] != nil {
		f.id = rand.Int32()
	}
	s.byID[f.id] = f
	return true
}

// evict drops the session that was idle longest, when that is long enough.
func (s *sessions) evict(now time.Time) bool {
	var oldest *fetchSession
	for _, f := range s.byID {
		if oldest == nil || f.used.Before(oldest.used) {
			oldest = f
		}
	}
	if oldest == nil || now.Sub(oldest.used) < sessionEviction {
		return false
	}
	s.drop(oldest)
	return true
}

func (s *sessions) close(id int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.byID[id]; f != nil {
		s.drop(f)
	}
}

// drop ends the session; the caller holds s.mu.
func (s *sessions) drop(f *fetchSession) {
	delete(s.byID, f.id)
	f.end()
}

func (s *sessions) find(id int32, now time.Time) (*fetchSession, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.byID[id]
	if f == nil {
		return nil, kerr.FetchSessionIDNotFound
	}
	f.used = now
	return f, nil
}

// update takes an incremental request's changes and returns the partitions to fetch, in order; of a follower's session none
// (changed).
func (f *fetchSession) update(req *kmsg.FetchRequest, changed []*fetchItem) ([]*fetchItem, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return nil, kerr.FetchSessionIDNotFound
	}
	if req.SessionEpoch != f.epoch {
		return nil, kerr.InvalidFetchSessionEpoch
	}
	if f.byID != (req.Version >= 13) {
		return nil, kerr.FetchSessionTopicIDError
	}
	f.epoch = nextEpoch(f.epoch)
	for _, it := range changed {
		if old := f.index[it.key(f.byID)]; old != nil {
			if old.part.CurrentLeaderEpoch != it.part.CurrentLeaderEpoch {
				old.told = false // who follows another leader epoch takes over nothing of one before
			}
			if old.part = it.part; f.feed != nil {
				old.fed.Change()
			}
			continue
		}
		f.items = append(f.items, it)
		f.adopt(it)
	}
	f.forget(req.ForgottenTopics)
	if f.feed != nil {
		return nil, nil
	}
	return f.copies(), nil
}

func (f *fetchSession) empty() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.items) == 0
}

// copies is what a consumer fetches; the caller holds f.mu, or is the only one that knows f.
func (f *fetchSession) copies() []*fetchItem {
	all, pointers := make([]fetchItem, len(f.items)), make([]*fetchItem, len(f.items))
	for i, it := range f.items {
		all[i] = *it
		all[i].own = it
		pointers[i] = &all[i]
	}
	return pointers
}

func (f *fetchSession) forget(topics []kmsg.FetchRequestForgottenTopic) {
	gone := make(map[*fetchItem]bool)
	for i := range topics {
		for _, p := range topics[i].Partitions {
			k := fetchItem{topic: topics[i].TopicID, name: topics[i].Topic, part: kmsg.FetchRequestTopicPartition{Partition: p}}
			key := k.key(f.byID)
			if it := f.index[key]; it != nil {
				gone[it] = true
				delete(f.index, key)
				it.leave()
			}
		}
	}
	if len(gone) == 0 {
		return
	}
	f.keep(func(it *fetchItem) bool { return !gone[it] })
}

// news drops the answers that say nothing new, remembers the others, and puts the partitions that got records behind
// the rest, so that a small response serves each in turn.
func (f *fetchSession) news(all []answer) []answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	got := make(map[*fetchItem]bool)
	kept := all[:0]
	if f.feed != nil {
		f.relist(all)
	}
	for _, a := range all {
		it := a.item.own
		if len(a.Records) == 0 && a.Err == kerr.None && a.DivergingEpoch < 0 && a.PreferredReplica < 0 && it.told &&
			it.toldHW == a.HighWatermark && it.toldStart == a.LogStart {
			continue
		}
		it.told = a.Err == kerr.None && a.DivergingEpoch < 0 // who has to truncate does that, and takes over nothing else
		it.toldHW, it.toldStart = a.HighWatermark, a.LogStart
		kept = append(kept, a)
		if len(a.Records) > 0 {
			got[it] = true
		}
	}
	if len(got) == 0 || f.feed != nil {
		return kept
	}
	var back []*fetchItem
	f.keep(func(it *fetchItem) bool {
		if got[it] {
			back = append(back, it)
		}
		return !got[it]
	})
	f.items = append(f.items, back...)
	return kept
}

func (f *fetchSession) keep(want func(*fetchItem) bool) {
	kept := make([]*fetchItem, 0, len(f.items))
	for _, it := range f.items {
		if want(it) {
			kept = append(kept, it)
		}
	}
	f.items = kept
}

// key is what a session knows a partition by: topic ids and names are never mixed in one session.
func (it *fetchItem) key(byID bool) itemKey {
	if byID {
		return itemKey{topic: it.topic, partition: it.part.Partition}
	}
	return itemKey{name: it.name, partition: it.part.Partition}
}

// nextEpoch goes from the greatest epoch to 1: 0 and -1 open and close sessions.
func nextEpoch(e int32) int32 {
	if e == 1<<31-1 {
		return 1
	}
	return e + 1
}
