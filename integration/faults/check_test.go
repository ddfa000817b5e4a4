package faults

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A sight is a record as a reader was given it.
type sight struct {
	offset int64
	id     recordID
	named  bool // its key is one that the test gives
	hash   uint64
}

func newSight(r *kgo.Record) sight {
	id, named := parseRecordID(r.Key)
	return sight{r.Offset, id, named, contentHash(r)}
}

// judge says what is wrong with a sight alone: nobody has sent it here, it is not what was sent, or another one was
// shown at its offset.
func (p *partitionLedger) judge(s sight) string {
	was := p.sent[s.id]
	switch shown, known := p.shown[s.offset]; {
	case !s.named || was == nil:
		return fmt.Sprintf("phantom: offset %d holds %v, which nobody has sent there", s.offset, s.id)
	case was.outcome == refused:
		return fmt.Sprintf("phantom: offset %d holds %v, which was refused", s.offset, s.id)
	case was.hash != s.hash:
		return fmt.Sprintf("changed: offset %d holds other bytes than %v", s.offset, s.id)
	case known && shown != s.id:
		return fmt.Sprintf("changed: offset %d holds %v, readers were shown %v", s.offset, s.id, shown)
	}
	return ""
}

// check says what is wrong with a partition of which everything was read: it starts at start, ends before end, and
// nothing is being written.
func (p *partitionLedger) check(start, end int64, read []sight) (wrong []string) {
	add := func(problem string) {
		if problem != "" {
			wrong = append(wrong, problem)
		}
	}
	if !p.start.permits(start) {
		add(fmt.Sprintf("start: the log starts at %d, it was set to %d (or one of %v)", start, p.start.is, p.start.may))
	}
	add(dense(start, end, read))
	at := map[recordID][]int64{}
	for _, s := range read {
		add(p.judge(s))
		at[s.id] = append(at[s.id], s.offset)
	}
	for id, offsets := range at {
		if was := p.sent[id]; len(offsets) > 1 && was != nil && !was.repeats {
			add(fmt.Sprintf("twice: %v stands at offsets %v", id, offsets))
		}
	}
	for id, was := range p.sent {
		if was.outcome == done && was.offset >= start {
			add(missing("acknowledged", id, was.offset, at[id]))
		}
	}
	for offset, id := range p.shown {
		if offset >= start {
			add(missing("shown to readers", id, offset, at[id]))
		}
	}
	add(p.order(read))
	return wrong
}

func missing(how string, id recordID, offset int64, at []int64) string {
	switch {
	case slices.Contains(at, offset):
		return ""
	case len(at) == 0:
		return fmt.Sprintf("lost: %v, %s at offset %d", id, how, offset)
	default:
		return fmt.Sprintf("moved: %v, %s at offset %d, stands at %v", id, how, offset, at)
	}
}

// dense says where the offsets from start to end have a gap.
func dense(start, end int64, read []sight) string {
	next := start
	for _, s := range read {
		if s.offset != next {
			return fmt.Sprintf("gap: offset %d follows on %d, the log starts at %d", s.offset, next-1, start)
		}
		next++
	}
	if next != end {
		return fmt.Sprintf("gap: the last offset is %d, the log ends at %d", next-1, end)
	}
	return ""
}

// order says which records of a producer stand in another order than they were sent in. One that writes some of them
// more than once has no order.
func (p *partitionLedger) order(read []sight) string {
	last := map[uint32]uint64{}
	for _, s := range read {
		if was := p.sent[s.id]; was == nil || was.repeats {
			continue
		}
		if before, any := last[s.id.producer]; any && before > s.id.sequence {
			return fmt.Sprintf("reordered: offset %d holds %v, behind number %d", s.offset, s.id, before)
		}
		last[s.id.producer] = s.id.sequence
	}
	return ""
}

// accept takes what was read for what must stay.
func (p *partitionLedger) accept(start int64, read []sight) {
	p.start.found(start)
	for _, s := range read {
		p.shown[s.offset] = s.id
	}
}

// A topicView is a topic as the broker describes it.
type topicView struct {
	id         [16]byte
	partitions int64
	retention  int64
}

// A view is what the broker says that there is.
type view struct {
	topics  map[string]topicView
	commits map[commit]int64
}

// check says what of a view is not as it was left, and takes the rest for what must stay.
func (l *ledger) check(v view) (wrong []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	explained := map[string]bool{}
	for _, t := range l.topics {
		if t.gone() {
			continue
		}
		seen, listed := v.topics[t.name]
		if listed = listed && (t.id == [16]byte{} || t.id == seen.id); listed {
			explained[t.name] = true
		}
		wrong = append(wrong, t.check(listed, seen)...)
	}
	for name, seen := range v.topics {
		if !explained[name] {
			wrong = append(wrong, fmt.Sprintf("phantom: topic %s with the id %x, which was not created or is deleted", name, seen.id))
		}
	}
	for c, r := range l.commits {
		at, committed := v.commits[c]
		if !committed {
			at = nothingCommitted
		}
		if !r.permits(at) {
			wrong = append(wrong, fmt.Sprintf("commit: %v is at %d, it was set to %d (or one of %v)", c, at, r.is, r.may))
		}
		r.found(at)
	}
	return wrong
}

// nothingCommitted is the value of a commit that nobody has made.
const nothingCommitted = -1

func (t *topicLedger) check(listed bool, seen topicView) (wrong []string) {
	is := int64(absent)
	if listed {
		is, t.id = present, seen.id
	}
	if !t.exists.permits(is) {
		wrong = append(wrong, fmt.Sprintf("topic: %s is there: %v, which is not what was acknowledged", t.name, listed))
	}
	t.exists.found(is)
	if !listed {
		return wrong
	}
	for _, r := range []struct {
		what string
		*register
		is int64
	}{{"partitions", &t.size, seen.partitions}, {"retention.ms", &t.retention, seen.retention}} {
		if !r.permits(r.is) {
			wrong = append(wrong, fmt.Sprintf("topic: %s of %s is %d, it was set to %d (or one of %v)", r.what, t.name, r.is, r.register.is, r.may))
		}
		r.found(r.is)
	}
	return wrong
}
