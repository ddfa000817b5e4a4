package controller

import (
	"strings"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// metadataTopic is the name of Kafka's own metadata log; nobody may have a topic called so.
const metadataTopic = "__cluster_metadata"

// maxNewPartitions bounds one request, as in Kafka (MAX_PARTITIONS_PER_BATCH): the answer waits for all of them.
const maxNewPartitions = 10_000

// topicPlan plans the creation of topics and partitions, one after the other, on top of one image.
type topicPlan struct {
	img        *image.Image
	cfg        *config.Broker
	brokers    spread
	nextStream uint64
	named      map[string]string // topics planned before, by their names without the difference of '.' and '_'
}

func newTopicPlan(img *image.Image, cfg *config.Broker) *topicPlan {
	return &topicPlan{img: img, cfg: cfg, brokers: newSpread(img), nextStream: img.NextStream(), named: map[string]string{}}
}

// create returns the records of a new topic: itself, its configs, its partitions.
func (p *topicPlan) create(rq *kmsg.CreateTopicsRequestTopic, id uuid.UUID) ([]image.Record, error) {
	if err := p.checkName(rq.Topic); err != nil {
		return nil, err
	}
	configs, err := p.configRecords(rq)
	if err != nil {
		return nil, err
	}
	parts, err := p.newPartitions(rq)
	if err != nil {
		return nil, err
	}
	recs := append([]image.Record{image.TopicRecord{ID: id, Name: rq.Topic, Internal: config.IsInternalTopic(rq.Topic)}}, configs...)
	for _, part := range parts {
		recs = append(recs, image.PartitionRecord{Topic: id, Partition: part})
	}
	p.nextStream += uint64(len(parts))
	p.named[unified(rq.Topic)] = rq.Topic
	return recs, nil
}

func (p *topicPlan) checkName(name string) error {
	if name == metadataTopic {
		return kerr.Detail(kerr.InvalidRequest, "Creation of internal topic %s is prohibited.", name)
	}
	if err := config.CheckTopicName(name); err != nil {
		return err
	}
	other, planned := p.named[unified(name)]
	if _, ok := p.img.TopicNamed(name); ok || planned && other == name {
		return kerr.Detail(kerr.TopicAlreadyExists, "Topic '%s' already exists.", name)
	}
	if !planned {
		other, planned = collision(p.img, name)
	}
	if planned {
		return kerr.Detail(kerr.InvalidTopicException, "Topic '%s' collides with existing topic: %s", name, other)
	}
	return nil
}

func (p *topicPlan) configRecords(rq *kmsg.CreateTopicsRequestTopic) (recs []image.Record, err error) {
	set, err := configsOf(rq)
	if err != nil {
		return nil, err
	}
	if _, err := p.cfg.CompileTopic(set); err != nil {
		return nil, err
	}
	return changes(image.Resource{Type: image.TopicResource, Name: rq.Topic}, nil, set), nil
}

// configsOf is the configs that a new topic is asked to have.
func configsOf(rq *kmsg.CreateTopicsRequestTopic) (map[string]string, error) {
	set := make(map[string]string, len(rq.Configs))
	var null []string
	for _, c := range rq.Configs {
		if c.Value == nil {
			null = append(null, c.Name)
		} else {
			set[c.Name] = *c.Value
		}
	}
	if len(null) > 0 {
		return nil, kerr.Detail(kerr.InvalidConfig, "Null value not supported for topic configs: %s", strings.Join(null, ","))
	}
	return set, nil
}

func (p *topicPlan) newPartitions(rq *kmsg.CreateTopicsRequestTopic) ([]image.Partition, error) {
	switch {
	case len(rq.ReplicaAssignment) > 0:
		return p.assignedPartitions(rq)
	case rq.ReplicationFactor < -1 || rq.ReplicationFactor == 0:
		return nil, kerr.Detail(kerr.InvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value.")
	case rq.NumPartitions < -1 || rq.NumPartitions == 0:
		return nil, kerr.Detail(kerr.InvalidPartitions, "Number of partitions was set to an invalid non-positive value.")
	}
	factor := int(rq.ReplicationFactor)
	if factor == -1 {
		factor = int(p.cfg.DefaultReplicationFactor)
	}
	return p.spreadPartitions(0, partitionsAsked(rq, p.cfg), factor)
}

// spreadPartitions places partitions from first to end.
func (p *topicPlan) spreadPartitions(first, end, factor int) ([]image.Partition, error) {
	if err := p.brokers.check(factor); err != nil {
		return nil, err
	}
	parts := make([]image.Partition, 0, end-first)
	for n := first; n < end; n++ {
		stream := p.nextStream + uint64(n-first)
		part, _ := p.brokers.partition(int32(n), stream, p.brokers.place(stream, factor)) // its first replica is active
		parts = append(parts, part)
	}
	return parts, nil
}

func (p *topicPlan) assignedPartitions(rq *kmsg.CreateTopicsRequestTopic) ([]image.Partition, error) {
	if rq.ReplicationFactor != -1 {
		return nil, kerr.Detail(kerr.InvalidRequest, "A manual partition assignment was specified, but replication factor was not set to -1.")
	}
	if rq.NumPartitions != -1 {
		return nil, kerr.Detail(kerr.InvalidRequest, "A manual partition assignment was specified, but numPartitions was not set to -1.")
	}
	by := make(map[int32][]int32, len(rq.ReplicaAssignment))
	for _, a := range rq.ReplicaAssignment {
		if _, twice := by[a.Partition]; twice {
			return nil, kerr.Detail(kerr.InvalidReplicaAssignment, "Found multiple manual partition assignments for partition %d", a.Partition)
		}
		by[a.Partition] = a.Replicas
	}
	parts, factor := make([]image.Partition, 0, len(by)), 0
	for n := range int32(len(by)) {
		brokers, ok := by[n]
		if !ok {
			return nil, kerr.Detail(kerr.InvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence")
		}
		part, err := p.brokers.assigned(n, p.nextStream+uint64(n), brokers, factor)
		if err != nil {
			return nil, err
		}
		parts, factor = append(parts, part), len(brokers)
	}
	return parts, nil
}

// partitionsAsked is how many partitions a topic would get; it may be a nonsensical number.
func partitionsAsked(rq *kmsg.CreateTopicsRequestTopic, cfg *config.Broker) int {
	switch {
	case len(rq.ReplicaAssignment) > 0:
		return len(rq.ReplicaAssignment)
	case rq.NumPartitions == -1:
		return int(cfg.NumPartitions)
	}
	return max(0, int(rq.NumPartitions))
}

// unified is the name as metrics have it, where '.' and '_' are the same.
func unified(name string) string { return strings.ReplaceAll(name, ".", "_") }

// maxVariants is how many ambiguous characters are tried out; names with more of them are compared with all others that
// begin alike.
const maxVariants = 6

// collision is the first topic that differs from name only in '.' and '_'.
func collision(img *image.Image, name string) (other string, ok bool) {
	first := strings.IndexAny(name, "._")
	if first < 0 {
		return "", false
	}
	if strings.Count(name, ".")+strings.Count(name, "_") <= maxVariants {
		return variant(img, name, []byte(name), first)
	}
	prefix, like := name[:first], unified(name)
	img.TopicsFrom(prefix, func(t *image.Topic) bool {
		if unified(t.Name) == like && t.Name != name {
			other, ok = t.Name, true
		}
		return !ok && strings.HasPrefix(t.Name, prefix)
	})
	return other, ok
}

// variant looks every way up in which name's characters from i on may be written; those before i are in b.
func variant(img *image.Image, name string, b []byte, i int) (string, bool) {
	if i < 0 {
		if t, ok := img.TopicNamed(string(b)); ok && t.Name != name {
			return t.Name, true
		}
		return "", false
	}
	next := strings.IndexAny(name[i+1:], "._")
	if next >= 0 {
		next += i + 1
	}
	for _, c := range []byte("._") {
		b[i] = c
		if other, ok := variant(img, name, b, next); ok {
			return other, true
		}
	}
	return "", false
}
