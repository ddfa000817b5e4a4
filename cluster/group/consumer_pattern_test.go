package group

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chronik/cluster/coordinator"
	"chronik/metalog/image"
)

// A regular expression that a member sends is bounded, and means the whole name whatever stands in it.
func TestAPatternIsBoundedAndMeansTheWholeName(t *testing.T) {
	for pattern, matches := range map[string]map[string]bool{
		"a|bc":                             {"a": true, "bc": true, "abc": false, "xa": false},
		"(?i)A.*":                          {"abc": true, "xa": false},
		"^orders$":                         {"orders": true, "orders2": false},
		"a)|(?:b":                          nil,
		"(":                                nil,
		"a{2,1}":                           nil,
		"(?=a)a":                           nil,
		strings.Repeat("a", mostPattern+1): nil,
	} {
		expression, err := compilePattern(pattern)
		if (err == nil) != (matches != nil) {
			t.Errorf("%s: %v", shown(pattern), err)
			continue
		}
		for name, want := range matches {
			if expression.MatchString(name) != want {
				t.Errorf("%s: %s is not %v", pattern, name, want)
			}
		}
	}
	if _, err := compilePattern(strings.Repeat("a", mostPattern)); err != nil {
		t.Error(err)
	}
	if text := shown(strings.Repeat("ä", 200)); len(text) > 110 || !strings.HasSuffix(text, "ä...") {
		t.Error(text)
	}
}

// Only the names that begin as they must are looked at, and none is missed.
func TestMatchingByItsPrefix(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "ab", "abc", "abd", "b", "ba", "A", "a.b"} {
		w.topic(name, 1)
	}
	for pattern, want := range map[string]string{
		"ab.*": "[ab abc abd]", "ab": "[ab]", "a|b": "[a b]", "(?i)a": "[A a]", "^ab": "[ab]", "ab?": "[a ab]", "": "[]", "x.*": "[]",
		"a[.]b": "[a.b]", "a.*|t": "[a a.b ab abc abd t]", "(ab)c": "[abc]", "(a|ab)(c|bd)": "[abc abd]", ".*": "[A a a.b ab abc abd b ba t]",
	} {
		if got := fmt.Sprint(matching(w.img, pattern)); got != want {
			t.Errorf("%s: %s, want %s", pattern, got, want)
		}
	}
}

// BenchmarkPatterns is 1,000 regular expressions over 10,000 topics: looked up beside the group, and taken over by it under the
// lock that it shares with others.
func BenchmarkPatterns(b *testing.B) {
	g := patternedGroup(b, 1000, 10_000)
	img, names := g.image(), map[string][]string{}
	begun := time.Now()
	for pattern := range g.used() {
		names[pattern] = matching(img, pattern)
	}
	beside := time.Since(begun)
	var fx coordinator.Effects
	g.refreshed(coordinator.Instant{}, names, &fx) // assigns
	for b.Loop() {
		g.refreshed(coordinator.Instant{}, names, &fx)
	}
	b.ReportMetric(beside.Seconds(), "s-beside")
}

func patternedGroup(t rapid.TB, members, topics int) *consumerGroup {
	w := newWorld(t)
	var recs []image.Record
	for i := range topics {
		id := image.TopicID{0: 7, 14: byte(i >> 8), 15: byte(i)}
		recs = append(recs, image.TopicRecord{ID: id, Name: fmt.Sprintf("topic-%04d", i)},
			image.PartitionRecord{Topic: id, Partition: image.Partition{Stream: uint64(i + 10)}})
	}
	img, _, err := w.img.Apply(w.img.Index()+1, recs)
	if err != nil {
		t.Fatal(err)
	}
	w.img = img
	g := emptyConsumerGroup(w.m, 0)
	w.m.kind = g
	for i := range members {
		mem := newConsumer(fmt.Sprint("m", i), "")
		mem.pattern = fmt.Sprintf("topic-[0-9]*%03d", i)
		g.enlist(mem)
	}
	return g
}
