package faults

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// sharedWorld is a partition of four records: a was given the first two and accepted them; b was given the others, rejected one,
// and released the last, which a was given then and accepted. Node n led all the time.
func sharedWorld() (*shareHistory, shareRules) {
	ms := func(from, to int) interval {
		return interval{time.Duration(from) * time.Millisecond, time.Duration(to) * time.Millisecond}
	}
	view := func(from, to int) leadership {
		return leadership{ms(from, to), map[partitionKey]tenure{part: {"n", 3}}}
	}
	h := &shareHistory{
		views: []leadership{view(0, 5), view(900, 905)},
		deliveries: []*delivery{
			{ms(10, 20), "n", "a", part, 0, 1, 1},
			{ms(30, 40), "n", "b", part, 2, 3, 1},
			{ms(70, 80), "n", "a", part, 3, 3, 2},
		},
		sayings: []*saying{
			{ms(21, 29), "n", "a", part, 0, 1, saysAccept, 0},
			{ms(50, 60), "n", "b", part, 2, 2, saysReject, 0},
			{ms(50, 60), "n", "b", part, 3, 3, saysRelease, 0},
			{ms(90, 99), "n", "a", part, 3, 3, saysAccept, 0},
		},
	}
	return h, shareRules{limit: 5, lock: time.Second, logs: map[partitionKey]extent{part: {0, 4}}}
}

func again(h *shareHistory, from, to int, member string, offset int64, count int16) {
	h.deliveries = append(h.deliveries, &delivery{
		interval{time.Duration(from) * time.Millisecond, time.Duration(to) * time.Millisecond}, "n", member, part, offset, offset, count,
	})
}

// A judge that does not see what it is for proves nothing. Each case breaks one promise; without it all is well.
func TestFaultsShareCheckFindsWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name, want string
		spoil      func(h *shareHistory)
	}{
		{"all is well", "", func(*shareHistory) {}},
		{"a record that nobody is given", "S1: t/0: offset 1 ", func(h *shareHistory) { h.deliveries[0].last = 0 }},
		{"an accepted record again", "t/0: S2: offset 1 ", func(h *shareHistory) { again(h, 100, 110, "b", 1, 2) }},
		{"a rejected record again", "t/0: S2: offset 2 ", func(h *shareHistory) { again(h, 61, 62, "a", 2, 2) }},
		{"again under another leader", "t/0: S2: offset 0 ", func(h *shareHistory) { again(h, 950, 960, "b", 0, 1) }},
		{"a gap that is no gap", "t/0: S2: offset 0 ", func(h *shareHistory) { h.sayings[0].kind = saysGap; again(h, 100, 110, "b", 0, 2) }},
		{"a record that another one has", "t/0: S3: offset 2 ", func(h *shareHistory) { again(h, 41, 45, "a", 2, 2) }},
		{"at the same time", "t/0: S3: offset 0 ", func(h *shareHistory) { again(h, 15, 18, "b", 0, 2) }},
		{"though it was renewed only", "t/0: S3: offset 2 ", func(h *shareHistory) {
			h.sayings[1].kind = saysRenew
			again(h, 70, 75, "a", 2, 2)
		}},
		{"more often than the limit says", "t/0: S4: offset 3:", func(h *shareHistory) { h.deliveries[2].count = 6 }},
		{"for the 0. time", "t/0: S4: offset 3:", func(h *shareHistory) { h.deliveries[1].count, h.deliveries[2].count = 0, 1 }},
		{"a count that does not rise", "t/0: S4: offset 3, its count", func(h *shareHistory) { h.deliveries[2].count = 1 }},
		{"a count that falls under another leader", "t/0: S4: offset 3, its count", func(h *shareHistory) {
			h.views[1].of[part] = tenure{"m", 4}
			h.deliveries[1].count, h.deliveries[2].count = 2, 1
		}},
	} {
		h, rules := sharedWorld()
		c.spoil(h)
		got, _ := h.check(rules)
		if found := slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, c.want) }); found != (c.want != "") || c.want == "" && len(got) > 0 {
			t.Errorf("%s: want %q, got %q", c.name, c.want, got)
		}
	}
}

// What must be allowed: whatever may have been lost with a leader or a session, or was asked for before it was known better.
func TestFaultsShareCheckAllowsWhatIsUnknown(t *testing.T) {
	for name, change := range map[string]func(h *shareHistory, rules *shareRules){
		"an acceptance that was refused": func(h *shareHistory, _ *shareRules) { h.sayings[0].code = 121; again(h, 100, 110, "b", 1, 2) },
		"one that was never answered": func(h *shareHistory, _ *shareRules) {
			h.sayings[0].code, h.sayings[0].end = unanswered, never
			again(h, 100, 110, "b", 1, 2)
		},
		"asked for before it was answered": func(h *shareHistory, _ *shareRules) { again(h, 28, 200, "b", 1, 2) },
		"a lock that has ended": func(h *shareHistory, rules *shareRules) {
			rules.lock = 10 * time.Millisecond
			again(h, 41, 45, "a", 2, 2)
		},
		"the same count under a new leader": func(h *shareHistory, _ *shareRules) { h.views[1].of[part] = tenure{"m", 4}; h.deliveries[2].count = 1 },
		"another leader that gives it again": func(h *shareHistory, _ *shareRules) {
			h.views[1].of[part] = tenure{"m", 4}
			again(h, 41, 45, "a", 2, 1)
		},
		"the same broker in another life": func(h *shareHistory, _ *shareRules) {
			h.deaths = []death{{"n", 500 * time.Millisecond}}
			again(h, 41, 45, "a", 2, 1)
		},
		"a leader that nobody has seen": func(h *shareHistory, _ *shareRules) { h.views = h.views[:1]; again(h, 41, 45, "a", 2, 1) },
		"a session that has ended": func(h *shareHistory, _ *shareRules) {
			h.partings = []*parting{{interval{42 * time.Millisecond, noticed}, "n", "b"}}
			again(h, 43, 45, "a", 2, 2)
		},
	} {
		h, rules := sharedWorld()
		change(h, &rules)
		if got, _ := h.check(rules); len(got) > 0 {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// What the tap makes of requests and answers is what was asked and answered.
func TestFaultsShareHistoryIsWhatWasSaid(t *testing.T) {
	h := newHistory()
	id := [16]byte{7}
	h.topics[id] = "t"
	member := "m"
	rq := kmsg.NewPtrShareFetchRequest()
	rq.Version, rq.MemberID, rq.ShareSessionEpoch = 2, &member, 4
	rq.Topics = []kmsg.ShareFetchRequestTopic{{TopicID: id, Partitions: []kmsg.ShareFetchRequestTopicPartition{{
		AcknowledgementBatches: []kmsg.ShareFetchRequestTopicPartitionAcknowledgementBatch{
			{FirstOffset: 3, LastOffset: 9, AcknowledgeTypes: []int8{saysAccept}},
			{FirstOffset: 10, LastOffset: 12, AcknowledgeTypes: []int8{saysReject, saysReject, saysRelease}},
		},
	}}}}
	q := h.asked("n", rq, nil)
	resp := kmsg.NewPtrShareFetchResponse()
	resp.Version = 2
	resp.Topics = []kmsg.ShareFetchResponseTopic{{TopicID: id, Partitions: []kmsg.ShareFetchResponseTopicPartition{{
		AcquiredRecords: []kmsg.ShareFetchResponseTopicPartitionAcquiredRecord{{FirstOffset: 20, LastOffset: 29, DeliveryCount: 2}},
	}}}}
	h.answered("n", q, resp)
	if len(h.shares.partings) != 0 || len(h.shares.deliveries) != 1 || len(h.shares.sayings) != 3 {
		t.Fatalf("%+v", h.shares)
	}
	for i, want := range []struct {
		first, last int64
		kind        int8
	}{{3, 9, saysAccept}, {10, 11, saysReject}, {12, 12, saysRelease}} {
		if s := h.shares.sayings[i]; s.first != want.first || s.last != want.last || s.kind != want.kind || s.code != 0 || s.of != part || s.member != member {
			t.Errorf("%+v is not %+v", s, want)
		}
	}
	if d := h.shares.deliveries[0]; d.first != 20 || d.last != 29 || d.count != 2 || d.member != member || d.start != q.start || d.end < d.start {
		t.Errorf("%+v", d)
	}
	rq.ShareSessionEpoch = -1
	q = h.asked("n", rq, nil)
	resp.ErrorCode, resp.Topics = 122, nil
	h.answered("n", q, resp)
	if s := h.shares.sayings[3]; s.code != 122 || len(h.shares.partings) != 1 || h.shares.partings[0].end == never {
		t.Errorf("%+v of %+v", s, h.shares)
	}
}
