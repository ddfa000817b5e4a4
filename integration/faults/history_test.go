package faults

import (
	"hash/maphash"
	"math"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/batch"
)

// A history is what clients have asked a cluster for and what they were answered, by whom and when. A tap notes it where
// it cannot be mistaken: in the bytes on the clients' connections, each attempt of a request for itself.
type history struct {
	began time.Time

	mu      sync.Mutex
	topics  map[[16]byte]string
	wrote   []*written
	read    []fetched
	commits []*committed
	lookups []lookedUp
	shares  shareHistory
	odd     []string // what could not be understood
}

func newHistory() *history { return &history{began: time.Now(), topics: map[[16]byte]string{}} }

func (h *history) now() time.Duration { return time.Since(h.began) }

// An interval is an operation's time, from before it was sent until its answer was read; never, if none was.
type interval struct{ start, end time.Duration }

const never = time.Duration(math.MaxInt64)

// before: a was over, for all to see, when b began.
func (a interval) before(b interval) bool { return a.end < b.start }

type partitionKey struct {
	topic  string
	number int32
}

// written is one attempt to write a batch. What was never answered has no code.
type written struct {
	interval
	broker   string
	to       partitionKey
	producer int64 // -1: not idempotent
	epoch    int16
	sequence int32
	content  uint64 // see contentOf
	code     int16
	base     int64
}

// unanswered is the code of an attempt whose outcome is not known.
const unanswered = math.MinInt16

func (w *written) acknowledged() bool { return w.code == 0 }

// fetched is one partition's part of one answer to a fetch.
type fetched struct {
	interval
	broker        string
	from          partitionKey
	epoch         int32 // that the reader believed its leader in; -1: none
	highWatermark int64
	batches       []seenBatch
}

// A seenBatch is a batch as it was read.
type seenBatch struct {
	base, last int64
	epoch      int32
	content    uint64 // see contentOf
	sum        uint64 // of all its bytes
}

func newSeenBatch(b batch.Batch) seenBatch {
	return seenBatch{b.BaseOffset(), b.LastOffset(), b.LeaderEpoch(), contentOf(b), maphash.Bytes(contentSeed, b)}
}

// contentOf tells one batch from another: what its producer has sent, without what a leader writes into it. The CRC of the
// same bytes is too short for it: of some thousands of batches in a log, in hundreds of logs, two have the same.
func contentOf(b batch.Batch) uint64 { return maphash.Bytes(contentSeed, b[checkedFrom:]) }

// checkedFrom is where the bytes begin that a batch's CRC covers.
const checkedFrom = 21

// committed is one attempt to commit an offset, lookedUp is one answer to the question for it.
type committed struct {
	interval
	of   commit
	at   int64
	code int16
}

type lookedUp struct {
	interval
	of commit
	at int64
}

// A question is a request that waits for its answer, with what the answer alone does not tell.
type question struct {
	start   time.Duration
	key     int16
	version int16
	wrote   []*written
	commits []*committed
	group   string
	member  string // of a share group
	sayings []*saying
	parting *parting               // nil for a request that begins and ends no session
	reading map[partitionKey]int32 // the leader epochs that a fetch goes by
}

// asked notes a request; nil is for one that is of no interest.
func (h *history) asked(broker string, body kmsg.Request, reading map[partitionKey]int32) *question {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := &question{start: h.now(), key: body.Key(), version: body.GetVersion()}
	switch rq := body.(type) {
	case *kmsg.ProduceRequest:
		h.askedToWrite(q, broker, rq)
	case *kmsg.FetchRequest:
		h.askedToRead(rq, reading)
		q.reading = make(map[partitionKey]int32, len(reading))
		for k, epoch := range reading {
			q.reading[k] = epoch
		}
	case *kmsg.OffsetCommitRequest:
		for _, t := range rq.Topics {
			for _, p := range t.Partitions {
				c := &committed{interval{q.start, never}, commit{rq.Group, h.name(t.Topic, t.TopicID), p.Partition}, p.Offset, unanswered}
				q.commits = append(q.commits, c)
			}
		}
		h.commits = append(h.commits, q.commits...)
	case *kmsg.OffsetFetchRequest:
		q.group = rq.Group
	case *kmsg.ShareFetchRequest:
		h.askedForShare(q, broker, rq)
	case *kmsg.ShareAcknowledgeRequest:
		h.askedToAcknowledge(q, broker, rq)
	case *kmsg.MetadataRequest:
	default:
		return nil
	}
	return q
}

func (h *history) askedToWrite(q *question, broker string, rq *kmsg.ProduceRequest) {
	for _, t := range rq.Topics {
		for _, p := range t.Partitions {
			b := batch.Batch(p.Records)
			if len(b) < batch.HeaderSize {
				h.odd = append(h.odd, "a client writes no batch")
				continue
			}
			q.wrote = append(q.wrote, &written{
				interval: interval{q.start, never}, broker: broker, to: partitionKey{h.name(t.Topic, t.TopicID), p.Partition},
				producer: b.ProducerID(), epoch: b.ProducerEpoch(), sequence: b.BaseSequence(), content: contentOf(b), code: unanswered,
			})
		}
	}
	h.wrote = append(h.wrote, q.wrote...)
}

// askedToRead brings what a connection's fetch session reads up to date (KIP-227).
func (h *history) askedToRead(rq *kmsg.FetchRequest, reading map[partitionKey]int32) {
	if rq.SessionEpoch <= 0 {
		clear(reading)
	}
	for _, t := range rq.Topics {
		for _, p := range t.Partitions {
			reading[partitionKey{h.name(t.Topic, t.TopicID), p.Partition}] = p.CurrentLeaderEpoch
		}
	}
	for _, t := range rq.ForgottenTopics {
		for _, p := range t.Partitions {
			delete(reading, partitionKey{h.name(t.Topic, t.TopicID), p})
		}
	}
}

// name is the topic's, which new versions give the id of.
func (h *history) name(name string, id [16]byte) string {
	if name != "" {
		return name
	}
	return h.topics[id]
}

// answered notes the answer to q.
func (h *history) answered(broker string, q *question, body kmsg.Response) {
	h.mu.Lock()
	defer h.mu.Unlock()
	took := interval{q.start, h.now()}
	switch r := body.(type) {
	case *kmsg.ProduceResponse:
		h.answeredWrite(q, took, r)
	case *kmsg.FetchResponse:
		h.answeredRead(broker, q, took, r)
	case *kmsg.OffsetCommitResponse:
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				for _, c := range q.commits {
					if c.of.topic == h.name(t.Topic, t.TopicID) && c.of.partition == p.Partition {
						c.end, c.code = took.end, p.ErrorCode
					}
				}
			}
		}
	case *kmsg.OffsetFetchResponse:
		h.answeredLookup(q, took, r)
	case *kmsg.ShareFetchResponse:
		h.answeredShare(broker, q, took, r)
	case *kmsg.ShareAcknowledgeResponse:
		h.answeredAcknowledge(q, took, r)
	case *kmsg.MetadataResponse:
		for _, t := range r.Topics {
			if t.Topic != nil {
				h.topics[t.TopicID] = *t.Topic
			}
		}
	}
}

func (h *history) answeredWrite(q *question, took interval, r *kmsg.ProduceResponse) {
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			for _, w := range q.wrote {
				if w.to == (partitionKey{h.name(t.Topic, t.TopicID), p.Partition}) {
					w.end, w.code, w.base = took.end, p.ErrorCode, p.BaseOffset
				}
			}
		}
	}
}

func (h *history) answeredRead(broker string, q *question, took interval, r *kmsg.FetchResponse) {
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				continue
			}
			from := partitionKey{h.name(t.Topic, t.TopicID), p.Partition}
			epoch, known := q.reading[from]
			if !known {
				epoch = -1
			}
			f := fetched{interval: took, broker: broker, from: from, epoch: epoch, highWatermark: p.HighWatermark}
			for rest := p.RecordBatches; len(rest) > 0; {
				b, more, err := batch.Next(rest)
				if err != nil {
					h.odd = append(h.odd, "a reader is given bytes that are no batch: "+err.Error())
					break
				}
				f.batches, rest = append(f.batches, newSeenBatch(b)), more
			}
			h.read = append(h.read, f)
		}
	}
}

func (h *history) answeredLookup(q *question, took interval, r *kmsg.OffsetFetchResponse) {
	note := func(group, topic string, partition int32, at int64, code int16) {
		if code == 0 {
			h.lookups = append(h.lookups, lookedUp{took, commit{group, topic, partition}, at})
		}
	}
	if r.ErrorCode == 0 {
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				note(q.group, t.Topic, p.Partition, p.Offset, p.ErrorCode)
			}
		}
	}
	for _, g := range r.Groups {
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				if g.ErrorCode == 0 {
					note(g.Group, h.name(t.Topic, t.TopicID), p.Partition, p.Offset, p.ErrorCode)
				}
			}
		}
	}
}

// gap is how long it took, after a broker was gone, until somebody else acknowledged what is written to the partitions that
// it led, at most.
func (h *history) gap(hit time.Duration, gone string) (longest time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	last, next := map[partitionKey]*written{}, map[partitionKey]*written{}
	for _, w := range h.wrote {
		switch {
		case !w.acknowledged():
		case w.end <= hit:
			if last[w.to] == nil || last[w.to].end < w.end {
				last[w.to] = w
			}
		case w.broker != gone && (next[w.to] == nil || w.end < next[w.to].end):
			next[w.to] = w
		}
	}
	for k, w := range last {
		if w.broker == gone && next[k] != nil {
			longest = max(longest, next[k].end-hit)
		}
	}
	return longest
}
