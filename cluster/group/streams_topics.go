package group

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// Statuses of a member in the answer to its heartbeat (KIP-1071, 1332).
const (
	staleTopology         int8 = 0
	missingSourceTopics   int8 = 1
	incorrectPartitions   int8 = 2
	missingInternal       int8 = 3
	shutdownApplication   int8 = 4
	assignmentDelayed     int8 = 5
	missingClientTags     int8 = 6
	missingClientTagsAt        = 1 // the first version of a heartbeat with missingClientTags
	acceptableRecoveryLag      = 10_000
	taskOffsetIntervalMs       = 60_000
)

// configured is what a topology comes to with the topics that there are.
type configured struct {
	of     *topology
	topics uint64           // fingerprint of the topics that it was worked out by
	tasks  map[string]int32 // how many each subtopology has; nil: not to be known yet
	sizes  map[string]int32 // partitions of internal topics

	missing []internalTopic // to be made, with their partitions
	code    int8            // of a status that says why it can't run ...
	detail  string          // ... or "" when it can
}

func (c *configured) ready() bool { return c.detail == "" }

// unfit is a reason why a topology cannot run that somebody can do something about.
type unfit struct {
	code   int8
	detail string
}

func (u *unfit) Error() string { return u.detail }

// configure works out how many tasks there are, and which internal topics must be made with how many partitions. Errors:
// STREAMS_INVALID_TOPOLOGY for what can't be so whatever topics there are.
func configure(img *image.Image, t *topology) (*configured, error) {
	c := &configured{of: t, topics: fingerprint(img, t.topics()), sizes: map[string]int32{}}
	err := c.workOut(img)
	if reason, ok := err.(*unfit); ok {
		c.code, c.detail, c.missing = reason.code, reason.detail, nil
		c.tasks = nil
		return c, nil
	}
	if err == nil && len(c.missing) > 0 {
		c.code, c.detail = missingInternal, "Internal topics are missing: "+names(c.missing)+"."
	}
	return c, err
}

func names(topics []internalTopic) string {
	var list []string
	for _, t := range topics {
		list = append(list, t.name)
	}
	return strings.Join(list, ", ")
}

func (c *configured) workOut(img *image.Image) error {
	if err := c.findSources(img); err != nil {
		return err
	}
	size := func(topic string) (int32, bool) {
		if n, ok := c.sizes[topic]; ok {
			return n, true
		}
		if is, ok := img.TopicNamed(topic); ok {
			return int32(len(is.Partitions)), true
		}
		return 0, false
	}
	if err := c.sizeRepartitions(size); err != nil {
		return err
	}
	for i := range c.of.subtopologies {
		for _, group := range c.of.subtopologies[i].copartitioned {
			if err := c.copartition(group, size); err != nil {
				return err
			}
		}
	}
	if err := c.countTasks(size); err != nil {
		return err
	}
	return c.findInternal(img)
}

// findSources wants every topic that others write into.
func (c *configured) findSources(img *image.Image) error {
	var missing []string
	for i := range c.of.subtopologies {
		for _, name := range c.of.subtopologies[i].sources {
			if _, ok := img.TopicNamed(name); !ok && !c.of.repartition(name) {
				missing = append(missing, name)
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return &unfit{missingSourceTopics, "Source topics " + strings.Join(slices.Compact(missing), ", ") + " are missing."}
}

func (t *topology) repartition(topic string) bool {
	return slices.ContainsFunc(t.subtopologies, func(s subtopology) bool {
		return slices.ContainsFunc(s.repartitions, func(r internalTopic) bool { return r.name == topic })
	})
}

// sizeRepartitions gives each topic between subtopologies its own number of partitions, or the largest of what the one that
// writes it reads. That may be such a topic again, so it goes on until nothing is open.
func (c *configured) sizeRepartitions(size func(string) (int32, bool)) error {
	for _, s := range c.of.subtopologies {
		for _, r := range s.repartitions {
			if r.partitions > 0 {
				c.sizes[r.name] = r.partitions
			}
		}
	}
	for open := true; open; {
		open = false
		progress := false
		for i := range c.of.subtopologies {
			s := &c.of.subtopologies[i]
			for _, sink := range s.sinks {
				if c.sizes[sink] > 0 {
					continue
				}
				if n := c.largest(s.reads(), size); n > 0 {
					c.sizes[sink], progress = n, true
				} else {
					open = true
				}
			}
		}
		if open && !progress {
			return kerr.Detail(kerr.StreamsInvalidTopology, "The numbers of partitions of the repartition topics depend on each other in a circle.")
		}
	}
	for _, s := range c.of.subtopologies {
		for _, r := range s.repartitions {
			if c.sizes[r.name] == 0 {
				return kerr.Detail(kerr.StreamsInvalidTopology, "Nothing writes repartition topic %s.", r.name)
			}
		}
	}
	return nil
}

// largest is the most partitions that one of the topics has; of repartition topics only those count whose number was decided
// on, not what may be there from an earlier time.
func (c *configured) largest(topics []string, size func(string) (int32, bool)) (most int32) {
	for _, t := range topics {
		if _, decided := c.sizes[t]; decided || !c.of.repartition(t) {
			n, _ := size(t)
			most = max(most, n)
		}
	}
	return most
}

// copartition gives the repartition topics of a copartition group as many partitions as the others have; and where there
// are no others, as many as those that say so, or else the largest of them.
func (c *configured) copartition(group []string, size func(string) (int32, bool)) error {
	sizes, want := map[string]int32{}, int32(0)
	from := func(use func(string) bool) (same bool) {
		for _, t := range group {
			if n := sizes[t]; use(t) && want == 0 {
				want = n
			} else if use(t) && n != want {
				return false
			}
		}
		return true
	}
	for _, t := range group {
		n, ok := size(t)
		if !ok {
			return kerr.Detail(kerr.StreamsInvalidTopology, "Topic %s of a copartition group is nobody's.", t)
		}
		sizes[t] = n
	}
	fixed := c.of.fixed()
	same := from(func(t string) bool { return !c.of.repartition(t) })
	if same && want == 0 {
		same = from(func(t string) bool { return fixed[t] })
	}
	if same && want == 0 {
		want = slices.Max(append(slices.Collect(maps.Values(sizes)), 0))
	}
	for _, t := range group {
		same = same && (!fixed[t] || sizes[t] == want)
		if c.of.repartition(t) {
			c.sizes[t] = want
		}
	}
	if !same {
		return &unfit{incorrectPartitions, "Topics that must have the same number of partitions do not: " + showSizes(sizes) + "."}
	}
	return nil
}

// fixed are the repartition topics whose number of partitions the application says.
func (t *topology) fixed() map[string]bool {
	fixed := map[string]bool{}
	for _, s := range t.subtopologies {
		for _, r := range s.repartitions {
			if r.partitions > 0 {
				fixed[r.name] = true
			}
		}
	}
	return fixed
}

func showSizes(sizes map[string]int32) string {
	var list []string
	for _, t := range slices.Sorted(maps.Keys(sizes)) {
		list = append(list, fmt.Sprintf("%s=%d", t, sizes[t]))
	}
	return strings.Join(list, ", ")
}

// countTasks is one task for each partition of the largest topic that a subtopology reads. Its changelogs have one for each
// task.
func (c *configured) countTasks(size func(string) (int32, bool)) error {
	c.tasks = map[string]int32{}
	for i := range c.of.subtopologies {
		s := &c.of.subtopologies[i]
		reads := s.reads()
		n := c.largest(reads, size)
		if n == 0 {
			return kerr.Detail(kerr.StreamsInvalidTopology, "Subtopology %s reads no topic.", s.id)
		}
		c.tasks[s.id] = n
		for _, l := range s.changelogs {
			if _, source := slices.BinarySearch(reads, l.name); !source {
				c.sizes[l.name] = n
			}
		}
	}
	return nil
}

// findInternal looks for the topics that are the application's own: those that are not there are to be made.
func (c *configured) findInternal(img *image.Image) error {
	want := map[string]internalTopic{}
	for _, s := range c.of.subtopologies {
		for _, t := range append(slices.Clone(s.repartitions), s.changelogs...) {
			if n, ok := c.sizes[t.name]; ok {
				t.partitions = n
				want[t.name] = t
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		t := want[name]
		is, ok := img.TopicNamed(name)
		switch {
		case !ok:
			c.missing = append(c.missing, t)
		case int32(len(is.Partitions)) != t.partitions:
			return &unfit{incorrectPartitions, fmt.Sprintf("Topic %s has %d partitions and must have %d.", name, len(is.Partitions), t.partitions)}
		}
	}
	return nil
}

// creatable is the request for topics that are missing.
func (c *configured) creatable() *kmsg.CreateTopicsRequest {
	if len(c.missing) == 0 {
		return nil
	}
	rq := kmsg.NewPtrCreateTopicsRequest()
	for _, m := range c.missing {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = m.name, m.partitions, -1
		if m.replicas > 0 {
			t.ReplicationFactor = m.replicas
		}
		for _, c := range m.configs {
			one := kmsg.NewCreateTopicsRequestTopicConfig()
			one.Name, one.Value = c.name, &c.value
			t.Configs = append(t.Configs, one)
		}
		rq.Topics = append(rq.Topics, t)
	}
	return rq
}
