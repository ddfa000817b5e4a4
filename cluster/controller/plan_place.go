package controller

import (
	"slices"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// spread places new partitions: their leaders in turn on all brokers that are not fenced, and the other replicas so that
// a broker's partitions do not all have the same followers.
type spread struct {
	active, fenced []image.BrokerID
}

func newSpread(img *image.Image) spread {
	var s spread
	for _, b := range img.Brokers() {
		if b.Fenced {
			s.fenced = append(s.fenced, b.ID)
		} else {
			s.active = append(s.active, b.ID)
		}
	}
	return s
}

// check refuses a replication factor that can't be had.
func (s spread) check(factor int) error {
	switch {
	case len(s.active) == 0:
		return kerr.Detail(kerr.InvalidReplicationFactor, "Unable to replicate the partition %d time(s): All brokers are currently fenced.", factor)
	case factor > len(s.active)+len(s.fenced):
		return kerr.Detail(kerr.InvalidReplicationFactor,
			"Unable to replicate the partition %d time(s): The target replication factor of %d cannot be reached because only %d broker(s) are registered.",
			factor, factor, len(s.active)+len(s.fenced))
	}
	return nil
}

// place is the replicas of the partition with that stream, which numbers partitions through all topics; the first leads.
// Fenced brokers are used only when the others do not suffice.
func (s spread) place(stream uint64, factor int) []image.BrokerID {
	replicas := make([]image.BrokerID, 0, factor)
	n := uint64(len(s.active))
	first, shift := stream%n, stream/n
	replicas = append(replicas, s.active[first])
	for j := uint64(0); j+1 < n && len(replicas) < factor; j++ {
		replicas = append(replicas, s.active[(first+1+(shift+j)%(n-1))%n])
	}
	for j := 0; len(replicas) < factor; j++ {
		replicas = append(replicas, s.fenced[(int(shift%uint64(len(s.fenced)))+j)%len(s.fenced)])
	}
	return replicas
}

// partition is a new partition with these replicas; ok is false when none of them could lead.
func (s spread) partition(number int32, stream uint64, replicas []image.BrokerID) (p image.Partition, ok bool) {
	isr := slices.DeleteFunc(slices.Clone(replicas), func(b image.BrokerID) bool { return !slices.Contains(s.active, b) })
	if len(isr) == 0 {
		return p, false
	}
	return image.Partition{Number: number, Stream: stream, Replicas: replicas, ISR: isr, Leader: isr[0]}, true
}

// assigned is a new partition on the brokers that a client chose; factor is what the ones before it had, 0 for the first.
func (s spread) assigned(number int32, stream uint64, brokers []int32, factor int) (p image.Partition, err error) {
	if err := s.checkAssignment(brokers, factor); err != nil {
		return p, err
	}
	replicas := make([]image.BrokerID, len(brokers))
	for i, b := range brokers {
		replicas[i] = image.BrokerID(b)
	}
	p, ok := s.partition(number, stream, replicas)
	if !ok {
		return p, kerr.Detail(kerr.InvalidReplicaAssignment,
			"All brokers specified in the manual partition assignment for partition %d are fenced or in controlled shutdown.", number)
	}
	return p, nil
}

func (s spread) checkAssignment(brokers []int32, factor int) error {
	if len(brokers) == 0 {
		return kerr.Detail(kerr.InvalidReplicaAssignment, "The manual partition assignment includes an empty replica list.")
	}
	sorted := slices.Sorted(slices.Values(brokers))
	for i, b := range sorted {
		if id := image.BrokerID(b); !slices.Contains(s.active, id) && !slices.Contains(s.fenced, id) {
			return kerr.Detail(kerr.InvalidReplicaAssignment, "The manual partition assignment includes broker %d, but no such broker is registered.", b)
		}
		if i > 0 && sorted[i-1] == b {
			return kerr.Detail(kerr.InvalidReplicaAssignment, "The manual partition assignment includes the broker %d more than once.", b)
		}
	}
	if factor != 0 && len(brokers) != factor {
		return kerr.Detail(kerr.InvalidReplicaAssignment,
			"The manual partition assignment includes a partition with %d replica(s), but this is not consistent with previous partitions, which have %d replica(s).",
			len(brokers), factor)
	}
	return nil
}
