package controller

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// ElectLeadersRequest.ElectionType.
const (
	preferredElection = 0
	uncleanElection   = 1
)

// ElectLeaders answers key 43 (KIP-460), each partition by itself: ELECTION_NOT_NEEDED, PREFERRED_LEADER_NOT_AVAILABLE,
// ELIGIBLE_LEADERS_NOT_AVAILABLE, UNKNOWN_TOPIC_OR_PARTITION, INVALID_REQUEST, NOT_CONTROLLER. Asked for all partitions,
// it passes over those that need none.
func (c *Controller) ElectLeaders(ctx context.Context, rq *kmsg.ElectLeadersRequest) []kmsg.ElectLeadersResponseTopic {
	asked := electionsAsked(c.o.Log.Image(), rq)
	cfg := c.o.Config()
	outcome := c.carryOut(ctx, false, len(asked), func(img *image.Image) planner {
		e := newElectorate(img, cfg)
		return func(i int) ([]image.Record, error) { return e.planElection(asked[i], rq.ElectionType) }
	})
	var results []kmsg.ElectLeadersResponseTopic
	for i, a := range asked {
		if rq.Topics == nil && kerr.Of(outcome[i]) == kerr.ElectionNotNeeded {
			continue
		}
		if n := len(results); n == 0 || results[n-1].Topic != a.topic {
			results = append(results, kmsg.ElectLeadersResponseTopic{Topic: a.topic})
		}
		p := kmsg.NewElectLeadersResponseTopicPartition()
		p.Partition = a.partition
		p.ErrorCode, p.ErrorMessage = report(outcome[i])
		topic := &results[len(results)-1]
		topic.Partitions = append(topic.Partitions, p)
	}
	return results
}

type electionAsked struct {
	topic     string
	partition int32
}

// electionsAsked is every partition that is asked for, once.
func electionsAsked(img *image.Image, rq *kmsg.ElectLeadersRequest) (asked []electionAsked) {
	if rq.Topics == nil {
		for t := range img.Topics {
			for _, p := range t.Partitions {
				asked = append(asked, electionAsked{t.Name, p.Number})
			}
		}
		return asked
	}
	seen := map[electionAsked]bool{}
	for _, t := range rq.Topics {
		for _, p := range t.Partitions {
			if a := (electionAsked{t.Topic, p}); !seen[a] {
				seen[a] = true
				asked = append(asked, a)
			}
		}
	}
	return asked
}

func (e *electorate) planElection(a electionAsked, kind int8) ([]image.Record, error) {
	t, ok := e.img.TopicNamed(a.topic)
	if !ok || a.partition < 0 || int(a.partition) >= len(t.Partitions) {
		return nil, kerr.UnknownTopicOrPartition
	}
	p := t.Partitions[a.partition]
	var next image.Partition
	var err error
	switch kind {
	case preferredElection:
		next, err = e.prefer(t, p)
	case uncleanElection:
		next, err = e.rescue(t, p)
	default:
		err = kerr.Detail(kerr.InvalidRequest, "Unknown election type %d", kind)
	}
	if err != nil {
		return nil, err
	}
	return []image.Record{image.PartitionChange{Topic: t.ID, From: p.Epoch, Partition: next}}, nil
}
