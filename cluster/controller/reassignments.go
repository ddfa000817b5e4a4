package controller

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// AlterPartitionReassignments answers key 45 (KIP-455, 860), each partition by itself: it begins to move its replicas, or
// without replicas takes back a move that is on its way. UNKNOWN_TOPIC_OR_PARTITION, INVALID_REPLICA_ASSIGNMENT,
// INVALID_REPLICATION_FACTOR, NO_REASSIGNMENT_IN_PROGRESS, INVALID_REQUEST for a partition that is there twice,
// NOT_CONTROLLER.
func (c *Controller) AlterPartitionReassignments(ctx context.Context, rq *kmsg.AlterPartitionAssignmentsRequest) []kmsg.AlterPartitionAssignmentsResponseTopic {
	asked, cfg := reassignmentsAsked(rq), c.o.Config()
	outcome := c.carryOut(ctx, false, len(asked), func(img *image.Image) planner {
		e, brokers := newElectorate(img, cfg), newSpread(img)
		return func(i int) ([]image.Record, error) { return e.planReassignment(brokers, asked[i]) }
	})
	results, i := make([]kmsg.AlterPartitionAssignmentsResponseTopic, 0, len(rq.Topics)), 0
	for _, t := range rq.Topics {
		out := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		out.Topic = t.Topic
		for _, p := range t.Partitions {
			one := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			one.Partition = p.Partition
			one.ErrorCode, one.ErrorMessage = report(outcome[i])
			out.Partitions = append(out.Partitions, one)
			i++
		}
		results = append(results, out)
	}
	return results
}

func reassignmentsAsked(rq *kmsg.AlterPartitionAssignmentsRequest) (asked []reassignmentAsked) {
	count := map[electionAsked]int{}
	for _, t := range rq.Topics {
		for _, p := range t.Partitions {
			count[electionAsked{t.Topic, p.Partition}]++
		}
	}
	for _, t := range rq.Topics {
		for _, p := range t.Partitions {
			a := reassignmentAsked{topic: t.Topic, partition: p.Partition, replicas: p.Replicas, cancel: p.Replicas == nil}
			a.sameSize = rq.Version >= 1 && !rq.AllowReplicationFactorChange
			if count[electionAsked{t.Topic, p.Partition}] > 1 {
				a.err = kerr.Detail(kerr.InvalidRequest, "Each partition must appear at most once.")
			}
			asked = append(asked, a)
		}
	}
	return asked
}

// ListPartitionReassignments answers key 46: the partitions of the request whose replicas are being moved, null topics for
// all. What is not there, or is not being moved, is left out.
func (c *Controller) ListPartitionReassignments(rq *kmsg.ListPartitionReassignmentsRequest) (results []kmsg.ListPartitionReassignmentsResponseTopic) {
	img := c.o.Log.Image()
	add := func(t *image.Topic, partitions []*image.Partition) {
		out := kmsg.NewListPartitionReassignmentsResponseTopic()
		out.Topic = t.Name
		for _, p := range partitions {
			if !p.Reassigning() {
				continue
			}
			one := kmsg.NewListPartitionReassignmentsResponseTopicPartition()
			one.Partition = p.Number
			one.Replicas, one.AddingReplicas, one.RemovingReplicas = numbers(p.Replicas), numbers(p.Adding), numbers(p.Removing)
			out.Partitions = append(out.Partitions, one)
		}
		if len(out.Partitions) > 0 {
			results = append(results, out)
		}
	}
	if rq.Topics == nil {
		for t := range img.Topics {
			add(t, t.Partitions)
		}
	}
	for _, a := range distinctPartitions(rq) {
		if t, ok := img.TopicNamed(a.topic); ok {
			var list []*image.Partition
			for _, n := range a.partitions {
				if n >= 0 && int(n) < len(t.Partitions) {
					list = append(list, t.Partitions[n])
				}
			}
			add(t, list)
		}
	}
	return results
}

type partitionsAskedFor struct {
	topic      string
	partitions []int32
}

// distinctPartitions is what a request asks for, everything once.
func distinctPartitions(rq *kmsg.ListPartitionReassignmentsRequest) (asked []partitionsAskedFor) {
	seen := map[electionAsked]bool{}
	for _, t := range rq.Topics {
		one := partitionsAskedFor{topic: t.Topic}
		for _, p := range t.Partitions {
			if a := (electionAsked{t.Topic, p}); !seen[a] {
				seen[a] = true
				one.partitions = append(one.partitions, p)
			}
		}
		asked = append(asked, one)
	}
	return asked
}

func numbers(ids []image.BrokerID) []int32 {
	list := make([]int32, len(ids))
	for i, id := range ids {
		list[i] = int32(id)
	}
	return list
}
