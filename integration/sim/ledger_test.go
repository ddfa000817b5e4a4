package sim

import (
	"fmt"
	"sync"

	"chronik/metalog/image"
)

// spot names a partition.
type spot struct {
	topic     string
	partition int32
}

// written is a record as it lies in a log.
type written struct {
	value string
	epoch int32 // of the leader that appended it
}

// origin is who sent a record, and which of its records it is.
type origin struct{ producer, number int }

// partitionLedger is what clients know of one partition.
type partitionLedger struct {
	sent  map[string]origin        // by value
	acked map[int64]string         // acknowledged: offset -> value
	by    map[int64]image.BrokerID // who acknowledged what was sent once
	shown map[int64]written        // what readers were given
}

// ledger is what all clients know. What the nodes hold must fit it at any time.
type ledger struct {
	mu    sync.Mutex
	parts map[spot]*partitionLedger
	acked int64
}

func newLedger() *ledger { return &ledger{parts: map[spot]*partitionLedger{}} }

// at is what is known of the partition; the caller holds mu.
func (l *ledger) at(s spot) *partitionLedger {
	p := l.parts[s]
	if p == nil {
		p = &partitionLedger{sent: map[string]origin{}, acked: map[int64]string{}, by: map[int64]image.BrokerID{}, shown: map[int64]written{}}
		l.parts[s] = p
	}
	return p
}

func (l *ledger) send(s spot, values []string, first origin) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, v := range values {
		l.at(s).sent[v] = origin{first.producer, first.number + i}
	}
}

// acknowledge notes an answer, and says what is wrong with it. by is nobody for what was sent before to another node, which
// may be the one that wrote it.
func (l *ledger) acknowledge(s spot, base int64, values []string, by image.BrokerID) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.at(s)
	for i, v := range values {
		at := base + int64(i)
		if was, ok := p.acked[at]; ok && was != v {
			return fmt.Sprintf("offset %d of %v was given to %s and to %s", at, s, was, v)
		}
		if was, ok := p.shown[at]; ok && was.value != v {
			return fmt.Sprintf("offset %d of %v was given to %s, where readers were shown %s", at, s, v, was.value)
		}
		p.acked[at] = v
		if by != image.NoBroker {
			p.by[at] = by
		}
		l.acked++
	}
	return ""
}

// show notes what a reader was given.
func (l *ledger) show(s spot, offset int64, r written) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.at(s)
	if _, ok := p.sent[r.value]; !ok {
		return fmt.Sprintf("offset %d of %v holds %q, which nobody has sent there", offset, s, r.value)
	}
	if was, ok := p.shown[offset]; ok && was != r {
		return fmt.Sprintf("offset %d of %v holds %v, where %v was read", offset, s, r, was)
	}
	if was, ok := p.acked[offset]; ok && was != r.value {
		return fmt.Sprintf("offset %d of %v holds %v, where %s was acknowledged", offset, s, r, was)
	}
	p.shown[offset] = r
	return ""
}

// check holds a whole partition against the ledger. Nothing is written meanwhile.
func (l *ledger) check(s spot, all []written) (wrong []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.at(s)
	say := func(format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("%v: ", s)+fmt.Sprintf(format, args...))
	}
	for at, v := range p.acked {
		if at >= int64(len(all)) || all[at].value != v {
			say("lost: %s was acknowledged at offset %d of %d", v, at, len(all))
		}
	}
	for at, r := range p.shown {
		if at >= int64(len(all)) || all[at] != r {
			say("changed: %v was read at offset %d of %d", r, at, len(all))
		}
	}
	seen, last := map[string]int64{}, map[int]int{}
	leaders := map[int32]image.BrokerID{}
	for i, r := range all {
		at := int64(i)
		from, sent := p.sent[r.value]
		before, twice := seen[r.value]
		switch {
		case !sent:
			say("phantom: offset %d holds %q", at, r.value)
		case twice:
			say("twice: %s stands at %d and at %d", r.value, before, at)
		case from.number < last[from.producer]:
			say("reordered: offset %d holds %s, behind number %d", at, r.value, last[from.producer])
		}
		seen[r.value], last[from.producer] = at, from.number
		by, known := p.by[at]
		if other, ok := leaders[r.epoch]; known && ok && other != by {
			say("both %d and %d have acknowledged in epoch %d", other, by, r.epoch)
		} else if known {
			leaders[r.epoch] = by
		}
	}
	return wrong
}
