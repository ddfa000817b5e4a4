package faults

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// shareRules are what a group's configs promise, and where its partitions end: from start on, each record must have been
// delivered.
type shareRules struct {
	limit int16         // share.delivery.count.limit
	lock  time.Duration // share.record.lock.duration.ms
	logs  map[partitionKey]extent
}

type extent struct{ start, end int64 }

// course is what became of one record.
type course struct {
	deliveries []*delivery // in the order in which they were asked for
	sayings    []*saying
}

func (c *course) String() string {
	var all []string
	for _, d := range c.deliveries {
		all = append(all, d.String())
	}
	for _, s := range c.sayings {
		all = append(all, s.String())
	}
	return strings.Join(all, "; ")
}

// check says which promises of share groups the history breaks:
//
//	S1: every record is delivered.
//	S2: what was accepted or rejected, and answered so, is not delivered to who asks after that.
//	S3: while a member has a record, nobody is given it.
//	S4: a record is delivered at most as often as the limit says, and its count never falls; under one leader it rises.
//
// Nothing that clients cannot know for certain is held against the cluster: what an answer gave may have been given at any
// time between the question and the answer, and a member may have lost it with its leader, or with its session.
func (h *shareHistory) check(rules shareRules) (wrong []string, judged map[string]int64) {
	judged = map[string]int64{}
	records := h.courses()
	for _, k := range slices.SortedFunc(maps.Keys(rules.logs), comparePartitions) {
		for at := rules.logs[k].start; at < rules.logs[k].end; at++ {
			if c := records[k][at]; c == nil || len(c.deliveries) == 0 {
				wrong = append(wrong, fmt.Sprintf("S1: %s/%d: offset %d was never delivered", k.topic, k.number, at))
			}
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(records), comparePartitions) {
		for _, at := range slices.Sorted(maps.Keys(records[k])) {
			for _, problem := range h.follow(k, at, records[k][at], rules, judged) {
				wrong = append(wrong, fmt.Sprintf("%s/%d: %s; all of it: %v", k.topic, k.number, problem, records[k][at]))
			}
		}
	}
	return wrong, judged
}

// courses sorts what happened by the record.
func (h *shareHistory) courses() map[partitionKey]map[int64]*course {
	all := map[partitionKey]map[int64]*course{}
	of := func(k partitionKey, at int64) *course {
		if all[k] == nil {
			all[k] = map[int64]*course{}
		}
		if all[k][at] == nil {
			all[k][at] = &course{}
		}
		return all[k][at]
	}
	slices.SortStableFunc(h.deliveries, func(a, b *delivery) int { return cmp.Compare(a.start, b.start) })
	for _, d := range h.deliveries {
		for at := d.first; at <= d.last; at++ {
			c := of(d.of, at)
			c.deliveries = append(c.deliveries, d)
		}
	}
	for _, s := range h.sayings {
		for at := s.first; at <= s.last; at++ {
			c := of(s.of, at)
			c.sayings = append(c.sayings, s)
		}
	}
	return all
}

// follow goes through what became of one record.
func (h *shareHistory) follow(k partitionKey, at int64, c *course, rules shareRules, judged map[string]int64) (wrong []string) {
	over := never // when it was known that it would not come again
	for _, s := range c.sayings {
		if s.final() && s.code == 0 {
			over = min(over, s.end)
		}
	}
	if over != never {
		judged["records that were done with"]++
	}
	for i, d := range c.deliveries {
		if d.start > over {
			wrong = append(wrong, fmt.Sprintf("S2: offset %d was done with at %s: %v", at, over.Round(time.Millisecond), d))
		}
		if d.count < 1 || d.count > rules.limit {
			wrong = append(wrong, fmt.Sprintf("S4: offset %d: %v", at, d))
		}
		for _, later := range c.deliveries[i+1:] {
			wrong = append(wrong, h.compare(k, at, c, d, later, rules, judged)...)
		}
	}
	return wrong
}

// compare looks at two deliveries of a record, of which a was asked for first.
func (h *shareHistory) compare(k partitionKey, at int64, c *course, a, b *delivery, rules shareRules, judged map[string]int64) (wrong []string) {
	from, to := a.start, max(a.end, b.end)
	steady := h.steady(k, from, to)
	if a.before(b.interval) {
		judged["deliveries of a record in their order"]++
		if b.count < a.count || steady && b.count == a.count {
			wrong = append(wrong, fmt.Sprintf("S4: offset %d, its count: %v, then %v", at, a, b))
		}
	}
	if !steady {
		return wrong
	}
	judged["deliveries of a record by one leader"]++
	if to-from >= rules.lock || h.mayHaveEnded(a, c, from, to) || h.mayHaveEnded(b, c, from, to) {
		return wrong
	}
	return append(wrong, fmt.Sprintf("S3: offset %d is given to two: %v, and %v", at, a, b))
}

// mayHaveEnded says whether who was given d may have lost or given back the record between two moments.
func (h *shareHistory) mayHaveEnded(d *delivery, c *course, from, to time.Duration) bool {
	for _, s := range c.sayings {
		if s.member == d.member && s.kind != saysRenew && s.start <= to && s.end >= from {
			return true
		}
	}
	return slices.ContainsFunc(h.partings, func(p *parting) bool {
		if p.start == d.start {
			return false // the session that it was given in begins with it
		}
		return p.member == d.member && p.broker == d.broker && p.start <= to && p.end >= from
	})
}
