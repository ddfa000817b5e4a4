package faults

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// A judge that lets a broken promise pass proves nothing, and one that sees some where there are none is not believed.
// Each case changes a history in which all is well; want is how what is found begins, nothing where it just holds.
func TestFaultsHistoryFindsWhatIsBroken(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     func(h *history)
	}{
		{"all is well", "", func(*history) {}},
		{"bytes that are no batch", "odd", func(h *history) { h.odd = []string{"odd"} }},

		{"lost", "t/0: I1: what a has acknowledged at offset 3 is not there", func(h *history) { unread(h, 3) }},
		{"other bytes in its place", "t/0: I1", func(h *history) { reread(h, 3, func(b *seenBatch) { b.content = 99 }) }},
		{"unanswered and lost", "", func(h *history) { h.wrote[5].code, h.wrote[5].end = unanswered, never; unread(h, 5) }},
		{"refused and lost", "", func(h *history) { h.wrote[5].code = 6; unread(h, 5) }},

		{"phantom", "t/0: I2", func(h *history) { reread(h, 5, func(b *seenBatch) { b.content = 99 }) }},

		{"two readers, two contents", "t/0: I3", func(h *history) { h.read[0].batches[0].sum++ }},
		{"two readers, two epochs", "t/0: I3", func(h *history) { h.read[0].batches[0].epoch++ }},
		{"two readers, batches of another size", "t/0: I3", func(h *history) { h.read[0].batches[0].last++ }},

		{"a copy of an idempotent producer's", "t/0: I4: the batch at offset 5", func(h *history) {
			h.wrote[5].content, h.wrote[5].producer = h.wrote[4].content, 7
			h.wrote[4].producer = 7
			reread(h, 5, func(b *seenBatch) { b.content = h.wrote[4].content })
		}},
		{"a retry with another offset", "t/0: I4: sequence 4", func(h *history) { retry(h, 4, func(w *written) { w.base = 5; w.content = h.wrote[5].content }) }},
		{"a retry with its offset", "", func(h *history) { retry(h, 4, func(*written) {}) }},

		{"twice without a retry", "t/0: I5", func(h *history) {
			h.wrote[4].producer, h.wrote[5].producer = -1, -1
			h.wrote[5].to.topic = "elsewhere"
			h.wrote[5].code = 3
			reread(h, 5, func(b *seenBatch) { b.content = h.wrote[4].content })
		}},
		{"twice after an unknown outcome", "", func(h *history) {
			h.wrote[4].producer, h.wrote[5].producer = -1, -1
			h.wrote[5].content = h.wrote[4].content
			reread(h, 5, func(b *seenBatch) { b.content = h.wrote[4].content })
		}},
		{"twice after a refusal", "t/0: I5", func(h *history) {
			h.wrote[4].producer, h.wrote[5].producer = -1, -1
			h.wrote[5].content, h.wrote[5].code = h.wrote[4].content, 19
			reread(h, 5, func(b *seenBatch) { b.content = h.wrote[4].content })
		}},

		{"a gap", "t/0: I6", func(h *history) { h.wrote[2].code = unanswered; unread(h, 2) }},
		{"offsets that are used again", "t/0: I6", func(h *history) { reread(h, 2, func(b *seenBatch) { b.last++ }) }},

		{"above the high watermark", "t/0: I7: b shows offset 5", func(h *history) { h.read[1].highWatermark = 5 }},
		{"a high watermark that falls", "t/0: I7: a tells the high watermark 1 in epoch 0, where it was 2", func(h *history) {
			h.read = append(h.read, fetched{at(8, 9), "a", part, 0, 1, nil})
		}},
		{"a high watermark below what is acknowledged", "t/0: I7: b tells the high watermark 4 in epoch 1", func(h *history) {
			h.read = append(h.read, fetched{at(65, 66), "b", part, 1, 4, nil})
		}},
		{"a high watermark that falls in the next epoch", "", func(h *history) { h.read = append(h.read, fetched{at(42, 43), "b", part, 1, 2, nil}) }},
		{"a low high watermark at the same time", "", func(h *history) { h.read = append(h.read, fetched{at(44, 66), "b", part, 1, 4, nil}) }},
		{"a high watermark above the end", "t/0: I7: b tells the high watermark 7, and", func(h *history) { h.read[1].highWatermark = 7 }},

		{"epochs that fall", "t/0: I8: the batch at offset 5", func(h *history) { reread(h, 5, func(b *seenBatch) { b.epoch = 0 }) }},
		{"two leaders", "t/0: I8: a and c have both", func(h *history) { h.wrote[2].broker = "c" }},
		{"another broker answers a retry", "", func(h *history) { retry(h, 4, func(w *written) { w.broker = "c" }) }},
		{"a deposed leader acknowledges", "t/0: I8: a acknowledges offset 3", func(h *history) { h.wrote[3].interval = at(57, 58) }},
		{"a deposed leader's answer comes late", "", func(h *history) { h.wrote[3].end = 58 }},
		{"a deposed leader serves reads", "t/0: I8: a serves reads in epoch 0", func(h *history) {
			h.read = append(h.read, fetched{at(57, 58), "a", part, 0, 4, nil})
		}},
		{"a deposed leader's reader was early", "", func(h *history) { h.read = append(h.read, fetched{at(44, 58), "a", part, 0, 4, nil}) }},

		{"a commit goes back", "I11: the commit {g t 0} is 1", func(h *history) { lookup(h, 40, 1) }},
		{"a commit is forgotten", "I11: the commit {g t 0} is -1", func(h *history) { lookup(h, 40, -1) }},
		{"a commit that nobody made", "I11", func(h *history) { lookup(h, 40, 9) }},
		{"the commit before, at the same time", "", func(h *history) { h.commits[1].end = 41; lookup(h, 40, 1) }},
		{"no commit yet", "", func(h *history) { lookup(h, 5, -1) }},
		{"a commit without an answer comes late", "", func(h *history) {
			h.commits[0].end, h.commits[0].code = never, unanswered
			lookup(h, 40, 1)
		}},
	} {
		h := goodHistory()
		c.change(h)
		got := h.check()
		if found := slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, c.want) }); found != (c.want != "") || c.want == "" && len(got) > 0 {
			t.Errorf("%s: want %q, got %q", c.name, c.want, got)
		}
	}
}

var part = partitionKey{"t", 0}

func at(start, end time.Duration) interval { return interval{start, end} }

// goodHistory has a batch of one record at each offset from 0 to 5: four that a took in epoch 0, two that b took in epoch 1.
// The one at offset n was asked for at 10n and acknowledged at 10n+5. Some was read at once, everything at the end. A group
// has committed 1, then 2.
func goodHistory() *history {
	h := newHistory()
	var log []seenBatch
	for n := range 6 {
		broker, epoch := "a", int32(0)
		if n > 3 {
			broker, epoch = "b", 1
		}
		content := uint64(n + 1)
		start := time.Duration(10 * n)
		h.wrote = append(h.wrote, &written{at(start, start+5), broker, part, int64(100 + n), 0, int32(n), content, 0, int64(n)})
		log = append(log, seenBatch{int64(n), int64(n), epoch, content, content})
	}
	h.read = []fetched{
		{at(6, 7), "a", part, 0, 2, slices.Clone(log[:1])}, // the next one has been taken, and its answer is on its way
		{at(100, 101), "b", part, 1, 6, log},
	}
	key := commit{"g", "t", 0}
	h.commits = []*committed{{at(10, 11), key, 1, 0}, {at(20, 21), key, 2, 0}}
	lookup(h, 15, 1)
	lookup(h, 30, 2)
	return h
}

func lookup(h *history, when time.Duration, is int64) {
	h.lookups = append(h.lookups, lookedUp{at(when, when+1), commit{"g", "t", 0}, is})
}

// unread has the last reader not find an offset.
func unread(h *history, offset int64) {
	last := &h.read[1]
	last.batches = slices.DeleteFunc(last.batches, func(b seenBatch) bool { return b.base == offset })
	if offset == 5 {
		last.highWatermark = 5
	}
}

func reread(h *history, offset int, change func(*seenBatch)) { change(&h.read[1].batches[offset]) }

// retry has offset's batch sent again after its acknowledgement was lost on the way.
func retry(h *history, offset int, change func(*written)) {
	again := *h.wrote[offset]
	again.interval = at(90, 91)
	change(&again)
	h.wrote = append(h.wrote, &again)
}
