package cluster

import (
	"fmt"
	"slices"
	"strings"

	"chronik/cluster/partlog"
	"chronik/metalog/image"
	"chronik/wal/mutant"
)

// replicaOf says which partition of which topic.
type replicaOf struct {
	topic     image.TopicID
	partition int32
}

func replicaFor(id partlog.ID) replicaOf { return replicaOf{id.Topic, id.Partition} }

// planForget is the changes by which self stops to count as a replica of the partitions that are hurt, whose records it is
// about to forget: it leaves ISR and ELR, and the lead. Each of them begins a new leader epoch, so that no leader goes by
// where self was: it must fetch again, which it does when it has forgotten. Where nobody else has what was committed, the
// error says of which partitions, and nothing may be forgotten.
func planForget(img *image.Image, self image.BrokerID, hurt map[replicaOf]error) (recs []image.Record, err error) {
	var alone []string
	for t := range img.Topics {
		for _, p := range t.Partitions {
			if _, is := hurt[replicaOf{t.ID, p.Number}]; !is || !slices.Contains(p.Replicas, self) {
				continue
			}
			minISR, _ := img.MinISR(t.Name)
			next, ok := withoutReplica(p, self, minISR)
			if !ok {
				alone = append(alone, fmt.Sprintf("%s-%d", t.Name, p.Number))
				continue
			}
			recs = append(recs, image.PartitionChange{Topic: t.ID, From: p.Epoch, Partition: next})
		}
	}
	if len(alone) > 0 {
		return nil, fmt.Errorf("no other replica is known to have all that was acknowledged of %s: restore this node's data directory, or give "+
			"up what only it had by an unclean election (kafka-leader-election --election-type unclean) and start this node again",
			strings.Join(alone, ", "))
	}
	return recs, nil
}

// withoutReplica is p when self has nothing of it any more; false when nobody else is known to have all of it.
func withoutReplica(p *image.Partition, self image.BrokerID, minISR int) (next image.Partition, ok bool) {
	not := func(list []image.BrokerID) (others []image.BrokerID) {
		for _, id := range list {
			if id != self {
				others = append(others, id)
			}
		}
		return others
	}
	next = *p
	if mutant.On(mutant.KeepDamagedInISR) {
		return next, true
	}
	next.ISR, next.ELR = not(p.ISR), not(p.ELR)
	if len(next.ISR) > 0 {
		next.ELR = not(image.EligibleLeaders(p, next.ISR, minISR))
	}
	if p.Leader == self {
		next.Leader = image.NoBroker // the controller has another one elected
	}
	next.LeaderEpoch++
	return next, len(next.ISR) > 0 || len(next.ELR) > 0
}
