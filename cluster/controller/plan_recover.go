package controller

import (
	"fmt"
	"math"
	"slices"

	"github.com/google/uuid"

	"chronik/metalog/image"
)

const (
	// epochLeap is how far leader epochs go on: those who are lost may have led in epochs that the survivor does not know
	// of, and a log of theirs that comes back must not find other records under the same epoch.
	epochLeap = 1 << 20

	// streamLeap is the same for the streams of partitions that the survivor has not heard of.
	streamLeap = 1 << 32
)

// PlanRecovery returns the records by which the node self goes on with its metadata alone. All others have lost what they
// had: they are fenced, under directories and runs (of ids) that nobody has, and leave every ISR and ELR, so that whatever disk
// comes back is another replica. Numbers that the lost may have given out meanwhile, without the survivor, are passed over:
// leader epochs, streams, producer ids. Brokers' epochs follow from the index at which the records are applied.
func PlanRecovery(img *image.Image, self image.BrokerID, ids func() uuid.UUID) ([]image.Record, error) {
	recs := disown(img, self, ids)
	then, _, err := img.Apply(img.Index()+1, recs)
	if err != nil {
		return nil, err
	}
	for t := range then.Topics {
		for _, p := range t.Partitions {
			next := *p
			next.LeaderEpoch += epochLeap
			recs = append(recs, image.PartitionChange{Topic: t.ID, From: p.Epoch, Partition: next})
		}
	}
	return append(recs, passOver(then, self, ids())...), nil
}

// disown fences the others, and registers for each what nobody is.
func disown(img *image.Image, self image.BrokerID, ids func() uuid.UUID) (recs []image.Record) {
	for _, b := range img.Brokers() {
		if b.ID == self {
			continue
		}
		if !b.Fenced {
			recs = append(recs, image.FenceRecord{ID: b.ID, Epoch: b.Epoch, Fenced: true})
		}
		recs = append(recs, image.BrokerRecord{
			ID: b.ID, Incarnation: ids(), Rack: b.Rack, Endpoints: b.Endpoints, Features: b.Features, Fenced: true, Run: ids(),
		})
	}
	return recs
}

// passOver leaps over streams, by a topic that comes and goes at once, and over producer ids.
func passOver(img *image.Image, self image.BrokerID, id uuid.UUID) []image.Record {
	part := image.Partition{Stream: img.NextStream() + streamLeap, Replicas: []image.BrokerID{self}, Leader: image.NoBroker}
	return []image.Record{
		image.TopicRecord{ID: id, Name: fmt.Sprintf("__recovered-%s", id), Internal: true},
		image.PartitionRecord{Topic: id, Partition: part},
		image.RemoveTopicRecord{ID: id},
		image.ProducerIDsRecord{Broker: self, Start: img.NextProducerID(), Count: math.MaxInt32},
	}
}

// Remains says what of a partition is at the node self when all others are lost.
type Remains int8

const (
	Whole   Remains = iota // in sync, or eligible, as far as the node knows
	Older                  // a replica that was not in sync: it lacks what was committed since
	Nowhere                // no replica
)

// RemainsOf looks at one partition.
func RemainsOf(p *image.Partition, self image.BrokerID) Remains {
	switch {
	case slices.Contains(p.ISR, self), slices.Contains(p.ELR, self):
		return Whole
	case slices.Contains(p.Replicas, self):
		return Older
	}
	return Nowhere
}
