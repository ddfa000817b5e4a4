package controller

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// add returns the records that give a topic more partitions.
func (p *topicPlan) add(rq *kmsg.CreatePartitionsRequestTopic) ([]image.Record, error) {
	t, ok := p.img.TopicNamed(rq.Topic)
	if !ok {
		return nil, kerr.UnknownTopicOrPartition
	}
	parts, err := p.added(t, rq)
	if err != nil {
		return nil, err
	}
	recs := make([]image.Record, len(parts))
	for i, part := range parts {
		recs[i] = image.PartitionRecord{Topic: t.ID, Partition: part}
	}
	p.nextStream += uint64(len(parts))
	return recs, nil
}

func (p *topicPlan) added(t *image.Topic, rq *kmsg.CreatePartitionsRequestTopic) ([]image.Partition, error) {
	have, want := len(t.Partitions), int(rq.Count)
	switch {
	case want == have:
		return nil, kerr.Detail(kerr.InvalidPartitions, "Topic already has %d partition(s).", have)
	case want < have:
		return nil, kerr.Detail(kerr.InvalidPartitions, "The topic %s currently has %d partition(s); %d would not be an increase.", rq.Topic, have, want)
	case rq.Assignment != nil && len(rq.Assignment) != want-have:
		return nil, kerr.Detail(kerr.InvalidReplicaAssignment,
			"Attempted to add %d additional partition(s), but only %d assignment(s) were specified.", want-have, len(rq.Assignment))
	case have == 0:
		return nil, kerr.Detail(kerr.UnknownServerError, "Invalid state: topic %s appears to have no partitions.", rq.Topic)
	}
	factor := len(t.Partitions[0].Target())
	if rq.Assignment == nil {
		return p.spreadPartitions(have, want, factor)
	}
	parts := make([]image.Partition, 0, want-have)
	for i, a := range rq.Assignment {
		part, err := p.brokers.assigned(int32(have+i), p.nextStream+uint64(i), a.Replicas, factor)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return parts, nil
}

// checkAdded and checkCreated refuse a request that asks for too many partitions in all.
func checkAdded(img *image.Image, topics []*kmsg.CreatePartitionsRequestTopic) error {
	sum := 0
	for _, rq := range topics {
		if t, ok := img.TopicNamed(rq.Topic); ok {
			sum += max(0, int(rq.Count)-len(t.Partitions))
		}
	}
	return checkNewPartitions(sum)
}

func checkCreated(topics []*kmsg.CreateTopicsRequestTopic, cfg *config.Broker) error {
	sum := 0
	for _, rq := range topics {
		sum += partitionsAsked(rq, cfg)
	}
	return checkNewPartitions(sum)
}

func checkNewPartitions(n int) error {
	if n > maxNewPartitions {
		return kerr.Detail(kerr.PolicyViolation, "Excessively large number of partitions per request.")
	}
	return nil
}
