package controller

import (
	"context"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// CreateTopics answers key 19 (KIP-4), each topic by itself: TOPIC_ALREADY_EXISTS, INVALID_TOPIC_EXCEPTION,
// INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR, INVALID_REPLICA_ASSIGNMENT, INVALID_CONFIG, INVALID_REQUEST,
// POLICY_VIOLATION for more than 10,000 partitions in one request, NOT_CONTROLLER, and what permit says. A topic whose outcome is 0 can be used.
func (c *Controller) CreateTopics(ctx context.Context, rq *kmsg.CreateTopicsRequest, permit Permit) []kmsg.CreateTopicsResponseTopic {
	wanted, twice := distinct(rq.Topics, func(t *kmsg.CreateTopicsRequestTopic) string { return t.Topic })
	cfg := c.o.Config()
	ids := make([]uuid.UUID, len(wanted))
	for i := range ids {
		ids[i] = c.o.NewID()
	}
	tooMany, may := checkCreated(wanted, cfg), newPermits(permit)
	outcome := c.carryOut(ctx, rq.ValidateOnly, len(wanted), func(img *image.Image) planner {
		p := newTopicPlan(img, cfg)
		return func(i int) ([]image.Record, error) {
			if tooMany != nil {
				return nil, tooMany
			}
			recs, err := p.create(wanted[i], ids[i])
			if err == nil {
				err = may.item(i, partitionsAsked(wanted[i], cfg))
			}
			if err != nil {
				return nil, err
			}
			return recs, nil
		}
	})
	results := make([]kmsg.CreateTopicsResponseTopic, 0, len(rq.Topics))
	for i, w := range wanted {
		results = append(results, created(w, ids[i], cfg, outcome[i]))
	}
	for _, name := range twice {
		w := kmsg.CreateTopicsRequestTopic{Topic: name}
		results = append(results, created(&w, uuid.Nil, cfg, errDuplicateTopic))
	}
	return results
}

func created(rq *kmsg.CreateTopicsRequestTopic, id uuid.UUID, cfg *config.Broker, err error) kmsg.CreateTopicsResponseTopic {
	r := kmsg.NewCreateTopicsResponseTopic()
	r.Topic, r.NumPartitions, r.ReplicationFactor = rq.Topic, -1, -1
	r.Configs = []kmsg.CreateTopicsResponseTopicConfig{}
	if err != nil {
		r.ErrorCode, r.ErrorMessage = report(err)
		return r
	}
	r.TopicID, r.NumPartitions, r.ReplicationFactor = id, int32(partitionsAsked(rq, cfg)), rq.ReplicationFactor
	if len(rq.ReplicaAssignment) > 0 {
		r.ReplicationFactor = int16(len(rq.ReplicaAssignment[0].Replicas))
	} else if r.ReplicationFactor == -1 {
		r.ReplicationFactor = cfg.DefaultReplicationFactor
	}
	set, _ := configsOf(rq) // the plan has refused what is wrong with them
	for _, d := range cfg.DescribeTopic(set) {
		one := kmsg.NewCreateTopicsResponseTopicConfig()
		one.Name, one.Value, one.ReadOnly, one.Source, one.IsSensitive = d.Name, d.Value, d.ReadOnly, int8(d.Source), d.Sensitive
		r.Configs = append(r.Configs, one)
	}
	return r
}

// distinct is the items that are named once, and the names that are there more often.
func distinct[T any](items []T, name func(*T) string) (wanted []*T, twice []string) {
	count := make(map[string]int, len(items))
	for i := range items {
		count[name(&items[i])]++
	}
	for i := range items {
		switch n := name(&items[i]); {
		case count[n] == 1:
			wanted = append(wanted, &items[i])
		case count[n] > 1:
			twice = append(twice, n)
			count[n] = 0
		}
	}
	return wanted, twice
}

var errDuplicateTopic = kerr.Detail(kerr.InvalidRequest, "Duplicate topic name.")

// DeleteTopics answers key 20, one result for each topic: UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID, INVALID_REQUEST,
// TOPIC_DELETION_DISABLED, NOT_CONTROLLER, and what permit says.
func (c *Controller) DeleteTopics(ctx context.Context, rq *kmsg.DeleteTopicsRequest, permit Permit) []kmsg.DeleteTopicsResponseTopic {
	if err := c.take(ctx); err != nil {
		return deleted(planDeletion(c.o.Log.Image(), true, rq), err)
	}
	defer c.release()
	plan, may := planDeletion(c.o.Log.Image(), c.o.Config().DeleteTopics, rq), newPermits(permit)
	outcome := c.decide(ctx, len(plan), func(img *image.Image) planner {
		return func(i int) ([]image.Record, error) {
			return planRemoval(img, plan[i], func(n int) error { return may.item(i, n) })
		}
	})
	for i, err := range outcome {
		plan[i].err = err
	}
	return deleted(plan, nil)
}

func deleted(plan []doomed, err error) []kmsg.DeleteTopicsResponseTopic {
	results := make([]kmsg.DeleteTopicsResponseTopic, len(plan))
	for i, d := range plan {
		r := &results[i]
		*r = kmsg.NewDeleteTopicsResponseTopic()
		r.Topic, r.TopicID = d.name, d.id
		if d.err == nil {
			d.err = err
		}
		r.ErrorCode, r.ErrorMessage = report(d.err)
	}
	return results
}

// CreatePartitions answers key 37, each topic by itself: UNKNOWN_TOPIC_OR_PARTITION, INVALID_PARTITIONS,
// INVALID_REPLICA_ASSIGNMENT, INVALID_REPLICATION_FACTOR, INVALID_REQUEST, POLICY_VIOLATION, NOT_CONTROLLER, and what permit
// says.
func (c *Controller) CreatePartitions(ctx context.Context, rq *kmsg.CreatePartitionsRequest, permit Permit) []kmsg.CreatePartitionsResponseTopic {
	wanted, twice := distinct(rq.Topics, func(t *kmsg.CreatePartitionsRequestTopic) string { return t.Topic })
	cfg, may := c.o.Config(), newPermits(permit)
	outcome := c.carryOut(ctx, rq.ValidateOnly, len(wanted), func(img *image.Image) planner {
		// By the image that is planned on: a topic that another client has just made is in it.
		p, tooMany := newTopicPlan(img, cfg), checkAdded(img, wanted)
		return func(i int) ([]image.Record, error) {
			if tooMany != nil {
				return nil, tooMany
			}
			recs, err := p.add(wanted[i])
			if err == nil {
				err = may.item(i, len(recs))
			}
			if err != nil {
				return nil, err
			}
			return recs, nil
		}
	})
	results := make([]kmsg.CreatePartitionsResponseTopic, 0, len(rq.Topics))
	for i, w := range wanted {
		results = append(results, grown(w.Topic, outcome[i]))
	}
	for _, name := range twice {
		results = append(results, grown(name, errDuplicateTopic))
	}
	return results
}

func grown(topic string, err error) kmsg.CreatePartitionsResponseTopic {
	r := kmsg.NewCreatePartitionsResponseTopic()
	r.Topic = topic
	r.ErrorCode, r.ErrorMessage = report(err)
	return r
}

// report is an outcome as responses have it: a code, and a message when there is one.
func report(err error) (code int16, message *string) {
	if text := kerr.Message(err); text != "" {
		message = &text
	}
	return int16(kerr.Of(err)), message
}
