package share

import (
	"math"
	"slices"
	"time"

	"chronik/cluster/coordinator"
	"chronik/cluster/share/state"
	"chronik/kafka/config"
	"chronik/metalog/image"
)

// never is a time that does not come.
const never = time.Duration(math.MaxInt64)

// span is consecutive records of one fate. While a change of it is being agreed on it is changing: nobody can have its
// records, and it becomes what it is to be when write has come through.
type span struct {
	first, last int64
	state       state.Delivery
	count       int16         // deliveries
	member      string        // that has acquired the records
	until       time.Duration // when it has had them long enough
	changing    bool
	becomes     state.Delivery
	write       int64 // number of the write that says so
}

func (s *span) len() int64 { return s.last - s.first + 1 }

// free says whether the records can be acquired.
func (s *span) free() bool { return s.state == state.Available && !s.changing }

// held says whether member may acknowledge the records.
func (s *span) held(member string) bool {
	return s.state == state.Acquired && !s.changing && s.member == member
}

// alike says whether two spans differ in nothing but the records.
func (s *span) alike(o *span) bool {
	a, b := *s, *o
	a.first, a.last, b.first, b.last = 0, 0, 0, 0
	return a == b
}

// partition is a share group's state of one partition on the partition's leader, in one leader epoch and state epoch: a
// machine of cluster/coordinator. The spans cover, without gaps, what lies between the group's start and what it has not
// looked at yet. It reads no log: it is told which records there are.
type partition struct {
	key    Key
	config func() config.ShareGroup
	wake   func() // somebody may acquire records that nobody could before

	spans  []span
	start  int64 // of the first span; state.NotBegun
	end    int64 // behind the last span: the first record that was not looked at
	before int32 // epoch of the leader that has stored the spans; state.NoEpoch when they were held against the log

	writer
}

func newPartition(key Key, since tenure, s *image.ShareState, config func() config.ShareGroup, wake func()) *partition {
	p := &partition{key: key, config: config, wake: wake, start: state.NotBegun, writer: writer{tenure: since, next: 1, retryAt: never}}
	stored, err := state.Decode(s.Value)
	if err != nil {
		p.broken = true
		return p
	}
	p.load(stored)
	return p
}

// load takes over what is stored. A record that has been delivered as often as it may be, and not acknowledged, was
// acquired when the leader before this one went: its time is over.
func (p *partition) load(s state.State) {
	p.start, p.end, p.begun, p.before = s.Start, s.Start, s.Start != state.NotBegun, s.LeaderEpoch
	limit := int16(p.config().DeliveryCountLimit)
	for _, r := range s.Ranges {
		p.extend(r.First - 1)
		d := r.Delivery
		if d == state.Available && r.Count >= limit {
			d = state.Archived
		}
		p.spans = append(p.spans, span{first: r.First, last: r.Last, state: d, count: r.Count})
		p.end = r.Last + 1
	}
	p.tidy()
}

// stored is what is to be agreed on: the spans as they will be.
func (p *partition) stored() state.State {
	s := state.State{Start: p.start, LeaderEpoch: p.tenure.leaderEpoch()}
	for i := range p.spans {
		from := &p.spans[i]
		r := state.Range{First: from.first, Last: from.last, Delivery: from.state, Count: from.count}
		if from.changing {
			r.Delivery = from.becomes
		}
		if r.Delivery == state.Acquired {
			r.Delivery = state.Available // with this delivery counted
		}
		if r.Delivery.Done() && r.First == s.Start {
			s.Start = r.Last + 1
			continue
		}
		last := len(s.Ranges) - 1
		switch {
		case r.Delivery == state.Available && r.Count == 0:
		case last >= 0 && s.Ranges[last].Last+1 == r.First && s.Ranges[last].Delivery == r.Delivery && s.Ranges[last].Count == r.Count:
			s.Ranges[last].Last = r.Last
		default:
			s.Ranges = append(s.Ranges, r)
		}
	}
	return s
}

// extend makes what lies before next and was not looked at available, up to last.
func (p *partition) extend(last int64) {
	if last >= p.end {
		p.spans = append(p.spans, span{first: p.end, last: last})
		p.end = last + 1
	}
}

// change has fn alter the spans within [first, last], which are split so that these end where spans do.
func (p *partition) change(first, last int64, fn func(*span)) {
	p.split(first)
	p.split(last + 1)
	for i := p.at(first); i < len(p.spans) && p.spans[i].first <= last; i++ {
		fn(&p.spans[i])
	}
}

// at is the index of the first span that does not end before offset.
func (p *partition) at(offset int64) int {
	i, _ := slices.BinarySearchFunc(p.spans, offset, func(s span, o int64) int {
		if s.last < o {
			return -1
		}
		return 1
	})
	return i
}

func (p *partition) split(at int64) {
	i := p.at(at)
	if i == len(p.spans) || p.spans[i].first >= at {
		return
	}
	right := p.spans[i]
	p.spans[i].last, right.first = at-1, at
	p.spans = slices.Insert(p.spans, i+1, right)
}

// tidy joins what has become alike, and moves the start past what is done.
func (p *partition) tidy() {
	kept := p.spans[:0]
	for _, s := range p.spans {
		last := len(kept) - 1
		switch {
		case last < 0 && s.state.Done() && !s.changing:
			p.start = s.last + 1
		case last >= 0 && kept[last].alike(&s):
			kept[last].last = s.last
		default:
			kept = append(kept, s)
		}
	}
	clear(p.spans[len(kept):])
	p.spans = kept
}

// startAt takes over that the log begins later than the group does: what is gone can neither be delivered nor
// acknowledged.
func (p *partition) startAt(logStart int64) {
	if p.start == state.NotBegun || logStart <= p.start {
		return
	}
	p.dirty = true
	p.extend(logStart - 1)
	p.split(logStart)
	p.spans = slices.Delete(p.spans, 0, p.at(logStart))
	p.start = logStart
	p.tidy()
}

// inherit holds what an earlier leader has stored against the log: behind where the records of its epoch end stand others, which
// nobody has had.
func (p *partition) inherit(ended func(leaderEpoch int32) int64) {
	if p.before == state.NoEpoch {
		return
	}
	if end := ended(p.before); end >= 0 {
		p.endAt(end)
	}
	p.before = state.NoEpoch
}

// endAt takes over that the log ends earlier than the group has looked: after an unclean election there will be other records
// at these offsets. That is recorded: who begins with what is stored would take them for those that were acknowledged.
func (p *partition) endAt(logEnd int64) {
	if p.start == state.NotBegun || logEnd >= p.end {
		return
	}
	p.dirty = true
	p.start = min(p.start, logEnd)
	p.split(logEnd)
	p.spans = slices.Delete(p.spans, p.at(logEnd), len(p.spans))
	p.end = logEnd
}

// Deadline is coordinator.Machine's.
func (p *partition) Deadline() (time.Duration, bool) {
	at := p.retryAt
	for i := range p.spans {
		if s := &p.spans[i]; s.state == state.Acquired && !s.changing {
			at = min(at, s.until)
		}
	}
	return at, at != never
}

// Expire is coordinator.Machine's: records whose member had them long enough are free again, or given up, when that is agreed on: else
// another leader could deliver them with a lower count than they had.
func (p *partition) Expire(now coordinator.Instant, fx *coordinator.Effects) {
	expired := false
	for i := range p.spans {
		if s := &p.spans[i]; s.state == state.Acquired && !s.changing && s.until <= now.Up {
			s.changing, s.becomes, s.write, s.until, s.member = true, p.released(s), p.next, 0, ""
			expired = true
		}
	}
	if expired {
		p.dirty = true
		p.tidy()
	}
	if p.retryAt <= now.Up {
		p.retryAt = never
	}
	p.flush(now, fx)
}

// released is what a record becomes that was delivered and not dealt with.
func (p *partition) released(s *span) state.Delivery {
	if s.count >= int16(p.config().DeliveryCountLimit) {
		return state.Archived
	}
	return state.Available
}

// Idle is coordinator.Machine's.
func (p *partition) Idle() bool {
	if p.broken || p.fenced {
		return true
	}
	if p.dirty || p.writing {
		return false
	}
	return !slices.ContainsFunc(p.spans, func(s span) bool { return s.state == state.Acquired || s.changing })
}
