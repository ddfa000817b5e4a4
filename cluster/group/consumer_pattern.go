package group

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"chronik/cluster/coordinator"
	"chronik/metalog/image"
)

// Members may subscribe by regular expression. To hold one against every topic's name takes long, and the machine shares its lock
// with other groups: so that is done beside it (coordinator.Work). An expression that a member brings is looked up before its
// heartbeat is dealt with, those in use whenever topics have changed and when the coordinator has just begun. Until then
// nothing is assigned anew.

// matches are the topics that regular expressions match.
type matches struct {
	names map[string][]string // sorted, by expression
	count map[string]int      // how many of the expressions match a topic
}

func newMatches() matches { return matches{map[string][]string{}, map[string]int{}} }

func (m matches) has(pattern string) bool {
	_, known := m.names[pattern]
	return known
}

func (m matches) set(pattern string, names []string) {
	m.drop(pattern)
	m.names[pattern] = names
	for _, name := range names {
		m.count[name]++
	}
}

func (m matches) drop(pattern string) {
	for _, name := range m.names[pattern] {
		if m.count[name]--; m.count[name] == 0 {
			delete(m.count, name)
		}
	}
	delete(m.names, pattern)
}

// found is what the expression of a heartbeat matches.
type found struct {
	names  []string
	topics int // the machine's count of changes of topics when that was looked up
	looks  int // how often it was
}

// mostLooks is how often it is looked up what a heartbeat's expression matches, when topics change meanwhile each time.
const mostLooks = 3

// matched says whether what h subscribes to by expression is known. If not, that is looked up, and h dealt with again.
func (m *machine) matched(h consumerHeartbeat, fx *coordinator.Effects) bool {
	pattern := value(h.pattern)
	g, ok := m.kind.(*consumerGroup)
	switch {
	case pattern == "", ok && g.patterns.has(pattern):
		return true
	case ok && h.epoch != joining && g.members[h.memberID] == nil:
		return true // it will be refused
	case h.found != nil && (h.found.topics == m.topicChanges || h.found.looks == mostLooks):
		return true
	}
	img, looks := m.image(), 1
	if h.found != nil {
		looks += h.found.looks
	}
	h.found = &found{topics: m.topicChanges, looks: looks}
	fx.Work(func() { h.found.names = matching(img, pattern) }, func(now coordinator.Instant, fx *coordinator.Effects) {
		m.consumerHeartbeat(now, h, fx)
	})
	return false
}

// take has the group know what was found for a heartbeat. What it may have missed, because topics changed each time, is looked up
// after the answer.
func (g *consumerGroup) take(now coordinator.Instant, pattern string, f found) {
	if g.patterns.has(pattern) {
		return
	}
	g.patterns.set(pattern, f.names)
	if f.topics != g.topicChanges {
		g.refreshBy = now.Up
	}
}

// refresh looks up what the expressions in use match, and begins the next epoch if the topics are not those of this one. What
// changes meanwhile has it look again.
func (g *consumerGroup) refresh(now coordinator.Instant, fx *coordinator.Effects) {
	g.refreshBy = never
	used := g.used()
	switch {
	case !g.occupied():
		return
	case len(used) == 0:
		g.recheck(now)
		return
	case g.looking:
		g.again = true
		return
	}
	g.looking, g.again = true, false
	img, names := g.image(), map[string][]string{}
	fx.Work(func() {
		for pattern := range used {
			names[pattern] = matching(img, pattern)
		}
	}, func(now coordinator.Instant, fx *coordinator.Effects) { g.refreshed(now, names, fx) })
}

func (g *consumerGroup) refreshed(now coordinator.Instant, names map[string][]string, fx *coordinator.Effects) {
	g.looking = false
	if g.kind != kind(g) || g.dead {
		return
	}
	for pattern, list := range names {
		g.patterns.set(pattern, list)
	}
	g.recheck(now)
	if g.again {
		g.refresh(now, fx)
	}
	g.ledger.flush(fx)
}

// used are the expressions that members have.
func (g *consumerGroup) used() map[string]bool {
	used := map[string]bool{}
	for _, mem := range g.members {
		if mem.pattern != "" {
			used[mem.pattern] = true
		}
	}
	return used
}

// resolved says whether it is known what all of them match.
func (g *consumerGroup) resolved() bool {
	for _, mem := range g.members {
		if mem.pattern != "" && !g.patterns.has(mem.pattern) {
			return false
		}
	}
	return true
}

func (g *consumerGroup) forgetUnused() {
	if len(g.patterns.names) == 0 {
		return
	}
	used := g.used()
	for _, pattern := range slices.Collect(maps.Keys(g.patterns.names)) {
		if !used[pattern] {
			g.patterns.drop(pattern)
		}
	}
}

// matching lists the topics whose names match.
func matching(img *image.Image, pattern string) (names []string) {
	expression, err := compilePattern(pattern)
	if err != nil {
		return nil // it was checked when it came
	}
	prefix := literalPrefix(pattern)
	img.TopicsFrom(prefix, func(t *image.Topic) bool {
		if expression.MatchString(t.Name) {
			names = append(names, t.Name)
		}
		return strings.HasPrefix(t.Name, prefix)
	})
	return names
}

// literalPrefix is what every name begins with that matches.
func literalPrefix(pattern string) string {
	expression, err := regexp.Compile(pattern)
	if err != nil {
		return ""
	}
	prefix, _ := expression.LiteralPrefix()
	return prefix
}

// mostPattern bounds a regular expression, in bytes: the time to hold it against every topic's name grows with its length.
const mostPattern = 4 << 10

// compilePattern reads a regular expression in the syntax of RE2, which names of topics match as a whole.
func compilePattern(pattern string) (*regexp.Regexp, error) {
	if len(pattern) > mostPattern {
		return nil, fmt.Errorf("it has %d bytes, and may have %d", len(pattern), mostPattern)
	}
	if _, err := regexp.Compile(pattern); err != nil {
		return nil, err // before it stands in brackets that it could close
	}
	return regexp.Compile(`^(?:` + pattern + `)$`)
}
