package faults

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A shareHistory is what the members of one share group were given and what they said of it, with who led what meanwhile. Its
// history guards it.
type shareHistory struct {
	deliveries []*delivery
	sayings    []*saying
	partings   []*parting
	views      []leadership
	deaths     []death
}

// delivery is consecutive records that an answer gave to a member.
type delivery struct {
	interval
	broker, member string
	of             partitionKey
	first, last    int64
	count          int16
}

// saying is what a member says of consecutive records: one attempt. What was never answered has no code.
type saying struct {
	interval
	broker, member string
	of             partitionKey
	first, last    int64
	kind           int8
	code           int16
}

// What a member can say of a record (KIP-932, KIP-1222).
const (
	saysGap, saysAccept, saysRelease, saysReject, saysRenew = 0, 1, 2, 3, 4
)

// final: when this was agreed on, nobody is given the record any more.
func (s *saying) final() bool {
	return s.kind == saysGap || s.kind == saysAccept || s.kind == saysReject
}

// parting is when a member's session at a broker may have ended, and all that the member had there may have been given back.
type parting struct {
	interval
	broker, member string
}

// noticed is how long a broker may take to see that a connection has ended.
const noticed = 10 * time.Second

// leadership is what all nodes said at one time of who leads the partitions.
type leadership struct {
	interval
	of map[partitionKey]tenure
}

type tenure struct {
	broker string
	epoch  int32
}

type death struct {
	broker string
	at     time.Duration
}

// askedForShare notes a ShareFetch.
func (h *history) askedForShare(q *question, broker string, rq *kmsg.ShareFetchRequest) {
	q.member = *rq.MemberID
	h.session(q, broker, rq.ShareSessionEpoch)
	for _, t := range rq.Topics {
		for _, p := range t.Partitions {
			for _, b := range p.AcknowledgementBatches {
				h.says(q, broker, partitionKey{h.name("", t.TopicID), p.Partition}, b.FirstOffset, b.LastOffset, b.AcknowledgeTypes)
			}
		}
	}
}

// askedToAcknowledge notes a ShareAcknowledge.
func (h *history) askedToAcknowledge(q *question, broker string, rq *kmsg.ShareAcknowledgeRequest) {
	q.member = *rq.MemberID
	h.session(q, broker, rq.ShareSessionEpoch)
	for _, t := range rq.Topics {
		for _, p := range t.Partitions {
			for _, b := range p.AcknowledgementBatches {
				h.says(q, broker, partitionKey{h.name("", t.TopicID), p.Partition}, b.FirstOffset, b.LastOffset, b.AcknowledgeTypes)
			}
		}
	}
}

// session notes a request that begins a session anew, or ends it.
func (h *history) session(q *question, broker string, epoch int32) {
	if epoch <= 0 {
		q.parting = &parting{interval{q.start, never}, broker, q.member}
		h.shares.partings = append(h.shares.partings, q.parting)
	}
}

// says notes what a request says of some records, a run of one kind at a time.
func (h *history) says(q *question, broker string, of partitionKey, first, last int64, kinds []int8) {
	for i := 0; i < len(kinds); {
		end := i + 1
		for end < len(kinds) && kinds[end] == kinds[i] {
			end++
		}
		s := &saying{interval{q.start, never}, broker, q.member, of, first + int64(i), first + int64(end) - 1, kinds[i], unanswered}
		if len(kinds) == 1 {
			s.last = last
		}
		q.sayings, h.shares.sayings = append(q.sayings, s), append(h.shares.sayings, s)
		i = end
	}
}

func (h *history) answeredShare(broker string, q *question, took interval, r *kmsg.ShareFetchResponse) {
	q.refuseAll(took, r.ErrorCode)
	q.part(took)
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			of := partitionKey{h.name("", t.TopicID), p.Partition}
			q.hear(took, of, p.AcknowledgeErrorCode)
			for _, a := range p.AcquiredRecords {
				h.shares.deliveries = append(h.shares.deliveries, &delivery{took, broker, q.member, of, a.FirstOffset, a.LastOffset, a.DeliveryCount})
			}
		}
	}
}

func (h *history) answeredAcknowledge(q *question, took interval, r *kmsg.ShareAcknowledgeResponse) {
	q.refuseAll(took, r.ErrorCode)
	q.part(took)
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			q.hear(took, partitionKey{h.name("", t.TopicID), p.Partition}, p.ErrorCode)
		}
	}
}

func (q *question) hear(took interval, of partitionKey, code int16) {
	for _, s := range q.sayings {
		if s.of == of {
			s.end, s.code = took.end, code
		}
	}
}

// part notes the answer to a request that begins or ends a session.
func (q *question) part(took interval) {
	if q.parting != nil {
		q.parting.end = took.end
	}
}

// refuseAll is for an answer with an error for the whole request.
func (q *question) refuseAll(took interval, code int16) {
	if code == 0 {
		return
	}
	for _, s := range q.sayings {
		s.end, s.code = took.end, code
	}
}

// parted notes that a member's connection to a broker has ended.
func (h *history) parted(broker, member string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	h.shares.partings = append(h.shares.partings, &parting{interval{now, now + noticed}, broker, member})
}

// steady says whether one broker led the partition in one life and in one epoch all the time between two moments.
func (h *shareHistory) steady(k partitionKey, from, to time.Duration) bool {
	before, after := -1, -1
	for i := range h.views {
		if h.views[i].end <= from {
			before = i
		}
		if h.views[i].start >= to {
			after = i
			break
		}
	}
	if before < 0 || after < 0 {
		return false
	}
	was, known := h.views[before].of[k]
	if !known || h.views[after].of[k] != was {
		return false
	}
	for _, d := range h.deaths {
		if d.broker == was.broker && d.at >= h.views[before].start && d.at <= h.views[after].end {
			return false
		}
	}
	return true
}

func (d *delivery) String() string {
	end := d.end.Round(time.Millisecond).String()
	return fmt.Sprintf("%d to %d for the %d. time, to %.8s by %s, asked at %s, answered at %s", d.first, d.last, d.count, d.member, d.broker, d.start.Round(time.Millisecond), end)
}

func (s *saying) String() string {
	return fmt.Sprintf("%.8s says %d of %d to %d to %s, asked at %s, answered at %s with %d", s.member, s.kind, s.first, s.last, s.broker, s.start.Round(time.Millisecond), s.end.Round(time.Millisecond), s.code)
}
