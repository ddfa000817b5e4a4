package group

import (
	"cmp"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
)

// topology is what a streams application does, as its members tell it when they join (KIP-1071). It never changes; all
// lists are sorted, so that two members of one application tell equal ones.
type topology struct {
	epoch         int32
	subtopologies []subtopology // by id
}

// subtopology is a part of a topology that runs by itself: a task of it for each partition of what it reads.
type subtopology struct {
	id            string
	sources       []string        // topics that must be there
	sinks         []string        // repartition topics that it writes to
	repartitions  []internalTopic // topics between subtopologies, from which it reads
	changelogs    []internalTopic // topics that keep its state
	copartitioned [][]string      // topics of sources and repartitions that must have as many partitions
}

// internalTopic is a topic that the broker makes for an application.
type internalTopic struct {
	name       string
	partitions int32 // 0: as many as what is written into it has
	replicas   int16 // 0: the broker's default
	configs    []pair
}

// pair is a name with its value.
type pair struct{ name, value string }

func comparePairs(a, b pair) int {
	return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.value, b.value))
}

// readTopology is a topology as a request has it. Errors: STREAMS_INVALID_TOPOLOGY, INVALID_REQUEST.
func readTopology(rq *kmsg.StreamsGroupHeartbeatRequestTopology) (*topology, error) {
	if rq.Epoch < 0 {
		return nil, kerr.Detail(kerr.InvalidRequest, "The topology's epoch is %d, and must not be negative.", rq.Epoch)
	}
	t := &topology{epoch: rq.Epoch}
	for i := range rq.Subtopologies {
		s, err := readSubtopology(&rq.Subtopologies[i])
		if err != nil {
			return nil, err
		}
		t.subtopologies = append(t.subtopologies, s)
	}
	slices.SortFunc(t.subtopologies, func(a, b subtopology) int { return cmp.Compare(a.id, b.id) })
	for i, s := range t.subtopologies[min(1, len(t.subtopologies)):] {
		if t.subtopologies[i].id == s.id {
			return nil, kerr.Detail(kerr.InvalidRequest, "Subtopology %s is there twice.", s.id)
		}
	}
	return t, nil
}

func readSubtopology(rq *kmsg.StreamsGroupHeartbeatRequestTopologySubtopology) (s subtopology, err error) {
	if len(rq.SourceTopicRegex) > 0 {
		return s, kerr.Detail(kerr.InvalidRequest, "Regular expressions for source topics are not supported by Kafka's brokers yet, nor by this one.")
	}
	for _, c := range rq.StateChangelogTopics {
		if c.NumPartitions != 0 {
			return s, kerr.Detail(kerr.StreamsInvalidTopology, "Changelog topic %s has %d partitions; their number must be left to the broker.", c.Topic, c.NumPartitions)
		}
	}
	s = subtopology{
		id: rq.SubtopologyID, sources: slices.Sorted(slices.Values(rq.SourceTopics)), sinks: slices.Sorted(slices.Values(rq.RepartitionSinkTopics)),
		repartitions: readInternalTopics(rq.RepartitionSourceTopics), changelogs: readInternalTopics(rq.StateChangelogTopics),
	}
	for _, g := range rq.CopartitionGroups {
		together, ok := resolveGroup(rq, g)
		if !ok {
			return s, kerr.Detail(kerr.InvalidRequest, "A copartition group of subtopology %s names a topic that the subtopology does not have.", s.id)
		}
		s.copartitioned = append(s.copartitioned, together)
	}
	slices.SortFunc(s.copartitioned, slices.Compare)
	return s, nil
}

func readInternalTopics(list []kmsg.TopicInfo) (topics []internalTopic) {
	for _, i := range list {
		t := internalTopic{name: i.Topic, partitions: max(i.NumPartitions, 0), replicas: i.ReplicationFactor}
		for _, c := range i.Configs {
			t.configs = append(t.configs, pair{c.Key, c.Value})
		}
		slices.SortFunc(t.configs, comparePairs)
		topics = append(topics, t)
	}
	slices.SortFunc(topics, func(a, b internalTopic) int { return cmp.Compare(a.name, b.name) })
	return topics
}

// resolveGroup is the topics of a copartition group by name.
func resolveGroup(s *kmsg.StreamsGroupHeartbeatRequestTopologySubtopology, g kmsg.StreamsGroupHeartbeatRequestTopologySubtopologyCopartitionGroup) (names []string, ok bool) {
	for _, i := range g.SourceTopics {
		if i < 0 || int(i) >= len(s.SourceTopics) {
			return nil, false
		}
		names = append(names, s.SourceTopics[i])
	}
	for _, i := range g.RepartitionSourceTopics {
		if i < 0 || int(i) >= len(s.RepartitionSourceTopics) {
			return nil, false
		}
		names = append(names, s.RepartitionSourceTopics[i].Topic)
	}
	slices.Sort(names)
	return names, true
}

func (t *topology) equal(other *topology) bool {
	return t.epoch == other.epoch && slices.EqualFunc(t.subtopologies, other.subtopologies, subtopology.equal)
}

func (s subtopology) equal(o subtopology) bool {
	return s.id == o.id && slices.Equal(s.sources, o.sources) && slices.Equal(s.sinks, o.sinks) &&
		slices.EqualFunc(s.repartitions, o.repartitions, internalTopic.equal) &&
		slices.EqualFunc(s.changelogs, o.changelogs, internalTopic.equal) &&
		slices.EqualFunc(s.copartitioned, o.copartitioned, slices.Equal)
}

func (t internalTopic) equal(o internalTopic) bool {
	return t.name == o.name && t.partitions == o.partitions && t.replicas == o.replicas && slices.Equal(t.configs, o.configs)
}

// reads are the topics that a task of s consumes, sorted.
func (s *subtopology) reads() []string {
	list := slices.Clone(s.sources)
	for _, r := range s.repartitions {
		list = append(list, r.name)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// stateful says whether tasks of s keep something that another member would have to restore first.
func (s *subtopology) stateful() bool { return len(s.changelogs) > 0 }

// topics are all that t is concerned with.
func (t *topology) topics() (list []string) {
	for i := range t.subtopologies {
		s := &t.subtopologies[i]
		list = append(list, s.reads()...)
		for _, c := range s.changelogs {
			list = append(list, c.name)
		}
	}
	return list
}

// reader is the subtopology that consumes a topic, or nil.
func (t *topology) reader(topic string) *subtopology {
	for i := range t.subtopologies {
		if _, found := slices.BinarySearch(t.subtopologies[i].reads(), topic); found {
			return &t.subtopologies[i]
		}
	}
	return nil
}
