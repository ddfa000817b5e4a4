package group

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"chronik/cluster/coordinator"
	"chronik/metalog/image"
)

// changed begins the next epoch: members, subscriptions or topics are other ones.
func (g *consumerGroup) changed(now coordinator.Instant) {
	g.at.group++
	g.at.left(len(g.members), now)
	g.at.topics = g.topicsNow()
	g.ledger.mark(epochsKey)
	if next := g.assigned + g.settings().interval; g.assigned >= 0 && next > now.Up && g.occupied() {
		g.assignBy = min(g.assignBy, next) // what else changes until then is assigned with it (KIP-1263)
		return
	}
	g.retarget(now)
}

// refresh begins the next epoch if the topics are not those of this one.
func (g *consumerGroup) refresh(now coordinator.Instant) {
	g.refreshBy = never
	clear(g.patterns)
	if !g.occupied() {
		return
	}
	if g.topicsNow() != g.at.topics {
		g.changed(now)
	} else if g.at.assignment < g.at.group && g.assignBy == never {
		g.retarget(now)
	}
}

// topicsNow looks up what the members subscribe to.
func (g *consumerGroup) topicsNow() uint64 {
	g.match()
	all := map[string]bool{}
	for _, mem := range g.members {
		for _, name := range mem.topics {
			all[name] = true
		}
		for _, name := range g.patterns[mem.pattern] {
			all[name] = true
		}
	}
	return fingerprint(g.image(), slices.Collect(maps.Keys(all)))
}

// match resolves the regular expressions that are in use and were not since the topics changed.
func (g *consumerGroup) match() {
	used := map[string]bool{}
	for _, mem := range g.members {
		used[mem.pattern] = mem.pattern != ""
	}
	maps.DeleteFunc(g.patterns, func(pattern string, _ []string) bool { return !used[pattern] })
	for _, mem := range g.members {
		if _, known := g.patterns[mem.pattern]; !known && mem.pattern != "" {
			g.patterns[mem.pattern] = matching(g.image(), mem.pattern)
		}
	}
}

// matching lists the topics whose names match.
func matching(img *image.Image, pattern string) (names []string) {
	expression, err := compilePattern(pattern)
	if err != nil {
		return nil // it was checked when it came
	}
	img.Topics(func(t *image.Topic) bool {
		if expression.MatchString(t.Name) {
			names = append(names, t.Name)
		}
		return true
	})
	return names
}

// mostPattern bounds a regular expression, in bytes: it is held against every topic's name while the group waits, whose time grows with
// its length.
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

// retarget makes the target assignment of the present epoch.
func (g *consumerGroup) retarget(now coordinator.Instant) {
	g.assignBy, g.assigned = never, now.Up
	if !g.occupied() {
		g.assigned = -never // whoever comes next need not wait
	}
	targets := g.assignor()(g.subscriptions())
	for _, mem := range g.sorted() {
		if target := targets[mem.id]; !target.equal(mem.target) {
			mem.target = target
			g.ledger.mark(targetEntry + mem.id)
		}
	}
	g.at.assignment = g.at.group
	g.ledger.mark(epochsKey)
}

// subscriptions is what the assignors go by.
func (g *consumerGroup) subscriptions() assignable {
	img := g.image()
	a := assignable{sizes: map[image.TopicID]int32{}}
	for _, mem := range g.sorted() {
		s := subscriber{id: mem.id, instance: mem.instance, had: mem.target}
		for _, name := range mem.names(g) {
			if t, ok := img.TopicNamed(name); ok {
				s.topics = append(s.topics, t.ID)
				a.sizes[t.ID] = int32(len(t.Partitions))
			}
		}
		slices.SortFunc(s.topics, compareTopics)
		a.members = append(a.members, s)
	}
	return a
}

// names are the topics that the member subscribes to, by name and by pattern, sorted.
func (mem *consumer) names(g *consumerGroup) []string {
	if mem.pattern == "" {
		return mem.topics
	}
	return sortedNames(slices.Concat(mem.topics, g.patterns[mem.pattern]))
}

// assignor is the one that most members ask for; of those with as many votes the one that the broker prefers.
func (g *consumerGroup) assignor() assign { return assignors[g.assignorName()] }

func (g *consumerGroup) assignorName() string {
	votes := map[string]int{}
	for _, mem := range g.members {
		votes[mem.assignor]++
	}
	best := ""
	for _, name := range g.config().ConsumerAssignors {
		if assignors[name] != nil && (best == "" || votes[name] > votes[best]) {
			best = name
		}
	}
	if best == "" {
		return uniformName
	}
	return best
}
