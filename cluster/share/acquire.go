package share

import (
	"time"

	"chronik/cluster/coordinator"
	"chronik/cluster/share/state"
	"chronik/kafka/kerr"
)

// Records is a batch of records as far as it matters here.
type Records struct {
	First, Last int64
	Hidden      bool // nobody is given them: a transaction's marker, or aborted
}

// Acquired is records that a member has got, First to Last, for the Count-th time.
type Acquired struct {
	First, Last int64
	Count       int16
}

// Want is how many records a member asks for.
type Want struct {
	Member string
	Most   int  // records
	Exact  bool // share.acquire.mode=record_limit (KIP-1206): never more than Most; else whole batches
	Batch  int  // records that make one Acquired, about
}

// begin sets where the group begins in the partition. t is answered when that is agreed on.
func (p *partition) begin(now coordinator.Instant, t coordinator.Ticket, start int64, fx *coordinator.Effects) {
	if err := p.refusal(); err != nil {
		fx.Answer(t, outcome{err})
		return
	}
	if p.start == state.NotBegun {
		p.start, p.end, p.dirty = start, start, true
	}
	p.answerWritten(now, t, fx)
}

func (p *partition) refusal() error {
	switch {
	case p.broken:
		return kerr.Detail(kerr.UnknownServerError, "the state of group %q cannot be read", p.key.Group)
	case p.fenced:
		return kerr.NotLeaderOrFollower
	}
	return nil
}

// place is where a member that wants records should read.
type place struct {
	from  int64
	none  bool // nothing can be acquired now
	unset bool // begin must come first
}

// look says where to read, after it has taken over where the log begins and ends: extent is asked now, since others may have
// acquired what came while the caller waited for its turn. ended is where the log's records of epochs up to one end, negative when
// it does not know.
func (p *partition) look(now coordinator.Instant, extent func() (logStart, logEnd int64), ended func(leaderEpoch int32) int64, fx *coordinator.Effects) (place, error) {
	if err := p.refusal(); err != nil {
		return place{}, err
	}
	if p.start == state.NotBegun {
		return place{unset: true}, nil
	}
	if !p.begun {
		return place{none: true}, nil
	}
	p.inherit(ended)
	logStart, logEnd := extent()
	p.startAt(logStart)
	p.endAt(logEnd)
	p.flush(now, fx)
	for i := range p.spans {
		if p.spans[i].free() {
			return place{from: p.spans[i].first}, nil
		}
	}
	return place{from: p.end, none: p.room() <= 0}, nil
}

// room is how many more records the group may have looked at and not be done with.
func (p *partition) room() int64 {
	return int64(p.config().PartitionMaxRecordLocks) - (p.end - p.start)
}

// acquire gives the member what can be had of the records that were found in the log from an offset on. Offsets between
// these that are in no batch are not there any more (compaction). The machine may be another one than that which was asked where to
// read: ended is as in look.
func (p *partition) acquire(now coordinator.Instant, from int64, found []Records, w Want, ended func(leaderEpoch int32) int64, fx *coordinator.Effects) []Acquired {
	p.inherit(ended)
	if p.refusal() != nil || !p.begun || len(found) == 0 || w.Most <= 0 || from > p.end {
		return nil
	}
	g := grant{partition: p, want: w, left: int64(w.Most), until: now.Up + lockDuration(p.config())}
	p.hide(from, found)
	g.again(from, found)
	g.fresh(found)
	p.tidy()
	p.flush(now, fx)
	return g.got
}

// hide archives what lies among the records and is given to nobody, as far as it was looked at before.
func (p *partition) hide(from int64, found []Records) {
	next := from
	for _, r := range found {
		p.archive(next, r.First-1)
		if r.Hidden {
			p.archive(r.First, r.Last)
		}
		next = r.Last + 1
	}
}

func (p *partition) archive(first, last int64) {
	first, last = max(first, p.start), min(last, p.end-1)
	if first > last {
		return
	}
	p.change(first, last, func(s *span) {
		if s.free() {
			s.state = state.Archived
			p.dirty = true // or whoever begins with what is stored reads them again, and comes no further where they are many
		}
	})
}

// grant is one acquire.
type grant struct {
	*partition
	want  Want
	left  int64 // records that the member still wants
	until time.Duration
	got   []Acquired
}

// again gives what was looked at before and is free.
func (g *grant) again(from int64, found []Records) {
	from = max(from, g.start)
	for last := min(found[len(found)-1].Last, g.end-1); from <= last && g.left > 0; {
		s := &g.spans[g.at(from)]
		first, end := from, min(s.last, last)
		if g.want.Exact {
			end = min(end, first+g.left-1)
		}
		from = end + 1
		if s.free() {
			g.give(first, end, 0)
		}
	}
}

// fresh gives what was not looked at before: whole batches, unless the member wants its number exactly.
func (g *grant) fresh(found []Records) {
	room := min(g.left, g.room())
	for i := 0; i < len(found) && room > 0; i++ {
		r := found[i]
		if r.Last < g.end {
			continue
		}
		if r.First > g.end {
			gap := g.end
			g.extend(r.First - 1)
			g.archive(gap, r.First-1)
		}
		first, last := g.end, r.Last
		if g.want.Exact && !r.Hidden {
			last = min(last, first+room-1)
		}
		g.extend(last)
		if r.Hidden {
			g.archive(first, last)
			continue
		}
		g.give(first, last, g.want.Batch)
		room -= last - first + 1
	}
}

// give makes the records the member's. Those that follow each other and have been delivered as often are told as one, up to
// batch of them.
func (g *grant) give(first, last int64, batch int) {
	g.change(first, last, func(s *span) {
		s.state, s.member, s.until = state.Acquired, g.want.Member, g.until
		s.count++
		g.left -= s.len()
		if i := len(g.got) - 1; i >= 0 {
			before := &g.got[i]
			full := batch > 0 && before.Last-before.First+1 >= int64(batch)
			if before.Last+1 == s.first && before.Count == s.count && !full {
				before.Last = s.last
				return
			}
		}
		g.got = append(g.got, Acquired{s.first, s.last, s.count})
	})
}
