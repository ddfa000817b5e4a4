package controller

import (
	"slices"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// A reassignment (KIP-455) goes in three steps, each a change of the partition: the new replicas come beside the old ones;
// the leader takes them into the ISR as they catch up; and when all that are to be are in sync, the others go. The last
// step is an election like those after a death: the same look at the whole brings it about, whoever controls by then.

// reassignmentAsked is one partition of a request; without replicas the reassignment that is on its way is cancelled.
type reassignmentAsked struct {
	topic     string
	partition int32
	replicas  []int32
	cancel    bool
	sameSize  bool // the number of replicas must stay (KIP-860)
	err       error
}

func (e *electorate) planReassignment(brokers spread, a reassignmentAsked) ([]image.Record, error) {
	if a.err != nil {
		return nil, a.err
	}
	t, ok := e.img.TopicNamed(a.topic)
	if !ok {
		return nil, kerr.Detail(kerr.UnknownTopicOrPartition, "There is no topic '%s'.", a.topic)
	}
	if a.partition < 0 || int(a.partition) >= len(t.Partitions) {
		return nil, kerr.Detail(kerr.UnknownTopicOrPartition, "Topic '%s' has no partition %d.", a.topic, a.partition)
	}
	p := t.Partitions[a.partition]
	next, err := e.asked(brokers, t, p, a)
	if err != nil || samePlace(p, &next) {
		return nil, err
	}
	return []image.Record{image.PartitionChange{Topic: t.ID, From: p.Epoch, Partition: next}}, nil
}

func (e *electorate) asked(brokers spread, t *image.Topic, p *image.Partition, a reassignmentAsked) (next image.Partition, err error) {
	if a.cancel {
		if !p.Reassigning() {
			return next, kerr.Detail(kerr.NoReassignmentInProgress, "No reassignment of %s-%d is in progress.", t.Name, p.Number)
		}
		return e.move(t, p, p.Original())
	}
	if err := brokers.checkAssignment(a.replicas, 0); err != nil {
		return next, err
	}
	if has := len(p.Target()); a.sameSize && has != len(a.replicas) {
		return next, kerr.Detail(kerr.InvalidReplicationFactor, "The replication factor of %s-%d is %d and was not to change; %d replicas were given.",
			t.Name, p.Number, has, len(a.replicas))
	}
	target := make([]image.BrokerID, len(a.replicas))
	for i, id := range a.replicas {
		target[i] = image.BrokerID(id)
	}
	return e.move(t, p, target)
}

// move is p on its way to the target, or there already if that is in sync. A move that is on its way is replaced: what it
// has brought goes, unless the new target has it too. Refused (INVALID_REPLICA_ASSIGNMENT) when only what goes at once
// has all that was committed, and the topic does not accept that loss.
func (e *electorate) move(t *image.Topic, p *image.Partition, target []image.BrokerID) (next image.Partition, err error) {
	original := p.Original()
	next = *p
	next.Adding, next.Removing = minus(target, original), minus(original, target)
	next.Replicas = slices.Concat(target, next.Removing)
	next.ISR = among(p.ISR, next.Replicas)
	next.ELR = image.EligibleLeaders(&next, next.ISR, e.minISR(t))
	had, has := len(p.ISR)+len(p.ELR), len(next.ISR)+len(next.ELR)
	if had > 0 && has == 0 && !e.topic(t).UncleanLeaderElection {
		return next, kerr.Detail(kerr.InvalidReplicaAssignment, "Only replicas that would go at once have all records of %s-%d: it would need an unclean leader election.",
			t.Name, p.Number)
	}
	from := next
	next, _ = e.elect(t, &from, byTopic)
	if next.LeaderEpoch == p.LeaderEpoch && len(minus(p.Replicas, next.Replicas)) > 0 {
		next.LeaderEpoch++
	}
	return next, nil
}

// arrive is p with its reassignment complete, if all replicas that it is to have are in sync.
func arrive(p image.Partition) image.Partition {
	if !arrived(&p) {
		return p
	}
	p.Replicas = p.Target()
	p.ISR, p.ELR = among(p.ISR, p.Replicas), nil
	p.Adding, p.Removing = nil, nil
	return p
}

func arrived(p *image.Partition) bool {
	return p.Reassigning() && len(minus(p.Target(), p.ISR)) == 0
}

// samePlace says whether nothing has changed but perhaps an order that nobody sees.
func samePlace(p, next *image.Partition) bool {
	return slices.Equal(p.Replicas, next.Replicas) && slices.Equal(p.Adding, next.Adding) && slices.Equal(p.Removing, next.Removing) &&
		slices.Equal(p.ISR, next.ISR) && slices.Equal(p.ELR, next.ELR) && p.Leader == next.Leader && p.LeaderEpoch == next.LeaderEpoch
}

// minus is the ids of list that are not among the others, sorted.
func minus(list, others []image.BrokerID) []image.BrokerID {
	rest := slices.DeleteFunc(slices.Clone(list), func(id image.BrokerID) bool { return slices.Contains(others, id) })
	slices.Sort(rest)
	return rest
}

// among is the ids of list that are among the others, in their order.
func among(list, others []image.BrokerID) []image.BrokerID {
	return slices.DeleteFunc(slices.Clone(list), func(id image.BrokerID) bool { return !slices.Contains(others, id) })
}
