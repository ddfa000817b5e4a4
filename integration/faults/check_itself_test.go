package faults

import (
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A checker that does not see what it is for proves nothing. Each case breaks one promise; without it all is well.
func TestFaultsCheckFindsWhatIsWrongWithAPartition(t *testing.T) {
	type world struct {
		p          *partitionLedger
		start, end int64
		read       []sight
	}
	id := func(n uint64) recordID { return recordID{producer: 1, sequence: n} }
	for want, spoil := range map[string]func(w *world){
		"":                          func(*world) {},
		"lost: record 5":            func(w *world) { w.read, w.end = w.read[:5], 5 },
		"lost: record 6":            func(w *world) { w.p.shown[6] = id(6); w.read, w.end = w.read[:6], 6 },
		"changed: offset 2 holds o": func(w *world) { w.read[2].hash++ },
		"changed: offset 4 holds r": func(w *world) { w.p.shown[4] = id(3) },
		"twice: record 2":           func(w *world) { w.read, w.end = append(w.read, sight{7, id(2), true, 2}), 8 },
		"phantom: offset 7 holds record 0 of producer 2": func(w *world) { w.read, w.end = append(w.read, sight{7, recordID{producer: 2}, true, 2}), 8 },
		"phantom: offset 7 holds record 9":               func(w *world) { w.read, w.end = append(w.read, sight{7, id(9), true, 9}), 8 },
		"phantom: offset 3":                              func(w *world) { w.read[3].named = false },
		"moved: record 1": func(w *world) {
			w.read[1], w.read[2] = w.read[2], w.read[1]
			w.read[1].offset, w.read[2].offset = 1, 2
		},
		"gap: offset 4":         func(w *world) { w.read = slices.Delete(w.read, 3, 4) },
		"gap: the last offset":  func(w *world) { w.end = 8 },
		"start: the log starts": func(w *world) { w.start, w.read = 2, w.read[2:] },
		"reordered: offset 6":   func(w *world) { w.p.sent[id(7)] = &sent{hash: 7}; w.read[5].id, w.read[5].hash = id(7), 7 },
	} {
		// Record n stands at offset n. The first six are acknowledged, 6 and 7 are not, 9 was refused.
		w := &world{p: newPartitionLedger(), end: 7}
		for n := range uint64(7) {
			w.p.sent[id(n)] = &sent{hash: n, outcome: done, offset: int64(n)}
			w.read = append(w.read, sight{int64(n), id(n), true, n})
		}
		w.p.sent[id(6)].outcome = unknown
		w.p.sent[id(9)] = &sent{hash: 9, outcome: refused}
		spoil(w)
		got := w.p.check(w.start, w.end, w.read)
		if found := slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, want) }); found != (want != "") {
			t.Errorf("want %q, got %q", want, got)
		}
	}
}

// What must be allowed: a lost record that nobody acknowledged or saw, and the repetitions of a client that repeats.
func TestFaultsCheckAllowsWhatIsUnknown(t *testing.T) {
	p := newPartitionLedger()
	id := recordID{producer: 1}
	p.sent[id] = &sent{hash: 1, repeats: true, outcome: done, offset: 1}
	p.sent[recordID{producer: 1, sequence: 1}] = &sent{hash: 2}
	p.start.ask(5)
	if wrong := p.check(0, 2, []sight{{0, id, true, 1}, {1, id, true, 1}}); len(wrong) > 0 {
		t.Error(wrong)
	}
	if wrong := p.check(5, 5, nil); len(wrong) > 0 {
		t.Error(wrong)
	}
}

func TestFaultsCheckFindsWhatIsWrongWithTheRest(t *testing.T) {
	key := commit{"g", "a", 0}
	for want, spoil := range map[string]func(l *ledger, v view){
		"":                           func(*ledger, view) {},
		"commit: {g a 0} is at 6":    func(_ *ledger, v view) { v.commits[key] = 6 },
		"commit: {g a 0} is at -1":   func(_ *ledger, v view) { delete(v.commits, key) },
		"topic: a is there: false":   func(_ *ledger, v view) { delete(v.topics, "a") },
		"phantom: topic b":           func(_ *ledger, v view) { v.topics["b"] = topicView{id: [16]byte{2}} },
		"phantom: topic c":           func(_ *ledger, v view) { v.topics["c"] = topicView{} },
		"topic: partitions of a":     func(_ *ledger, v view) { v.topics["a"] = topicView{[16]byte{1}, 2, 100} },
		"topic: retention.ms of a":   func(_ *ledger, v view) { v.topics["a"] = topicView{[16]byte{1}, 3, defaultRetention} },
		"phantom: topic a":           func(_ *ledger, v view) { v.topics["a"] = topicView{[16]byte{9}, 3, 100} },
		"a/0, read under load: phan": func(l *ledger, _ view) { l.see(l.topics[0], 0, sight{}) },
		"producers 1 and 2": func(l *ledger, _ view) {
			for producer := range uint32(2) {
				id, r := recordID{producer: producer + 1}, &kgo.Record{ProducerID: 1000}
				l.send(l.topics[0], 0, id, r, false)
				l.acknowledge(l.topics[0], id, r)
			}
		},
	} {
		// Topic a has 3 partitions and a config; b was deleted; of d's creation and of the commit of 9 nobody knows.
		l := newLedger()
		for n, name := range []string{"a", "b", "d"} {
			topic := l.newTopic(name, 3, true)
			topic.exists.ask(present)
			if name != "d" {
				topic.exists.settle(done)
				topic.id = [16]byte{byte(n + 1)}
			}
		}
		l.topics[1].exists.ask(absent)
		l.topics[1].exists.settle(done)
		l.topics[0].retention.ask(100)
		l.topics[0].retention.settle(done)
		l.commits[key] = &register{is: 7, may: []int64{9}}
		v := view{map[string]topicView{"a": {[16]byte{1}, 3, 100}, "d": {[16]byte{4}, 3, defaultRetention}}, map[commit]int64{key: 9}}
		spoil(l, v)
		got := append(l.check(v), l.met()...)
		if found := slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, want) }); found != (want != "") {
			t.Errorf("want %q, got %q", want, got)
		}
	}
}

// What readers saw of a topic's fate must stay too: d is there, then it must not go.
func TestFaultsCheckRemembersWhatItFound(t *testing.T) {
	l := newLedger()
	l.newTopic("d", 1, false).exists.ask(present)
	if wrong := l.check(view{topics: map[string]topicView{"d": {[16]byte{1}, 1, defaultRetention}}}); len(wrong) > 0 {
		t.Error(wrong)
	}
	if wrong := l.check(view{}); len(wrong) != 1 {
		t.Error(wrong)
	}
}
