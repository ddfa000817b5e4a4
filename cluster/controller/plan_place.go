package controller

import (
	"slices"
	"strconv"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// spread places new partitions: their leaders in turn on all brokers that are neither fenced nor shutting down, and the
// other replicas so that a partition is in as many racks as can be, and a broker's partitions do not all have the same
// followers.
type spread struct {
	active []image.BrokerID   // not cordoned, unless all are
	spare  [][]image.BrokerID // each of use only when those before it do not suffice
	alive  map[image.BrokerID]bool
	racks  map[image.BrokerID]string // of all
}

func newSpread(img *image.Image) spread {
	s := spread{alive: map[image.BrokerID]bool{}, racks: map[image.BrokerID]string{}}
	var fenced, cordoned, both []image.BrokerID // fenced, with those that are shutting down
	for _, b := range img.Brokers() {
		s.racks[b.ID], s.alive[b.ID] = b.Rack, b.Active()
		list := &s.active
		switch kept := Cordoned(img, b.ID); {
		case kept && !b.Active():
			list = &both
		case kept:
			list = &cordoned
		case !b.Active():
			list = &fenced
		}
		*list = append(*list, b.ID)
	}
	if len(s.active) == 0 {
		s.active, cordoned = cordoned, nil
	}
	s.spare = [][]image.BrokerID{fenced, cordoned, both}
	return s
}

// cordonConfig keeps new partitions away from a broker (KIP-1066).
const cordonConfig = "cordoned.log.dirs"

// Cordoned says whether an operator keeps new partitions away from the broker; those that it has it serves.
func Cordoned(img *image.Image, id image.BrokerID) bool {
	own := img.Configs(image.Resource{Type: image.BrokerResource, Name: strconv.Itoa(int(id))})
	value, set := own[cordonConfig]
	if !set {
		value = img.Configs(image.Resource{Type: image.BrokerResource})[cordonConfig]
	}
	return value != ""
}

// check refuses a replication factor that can't be had.
func (s spread) check(factor int) error {
	switch {
	case len(s.active) == 0:
		return kerr.Detail(kerr.InvalidReplicationFactor, "Unable to replicate the partition %d time(s): All brokers are currently fenced.", factor)
	case factor > len(s.racks):
		return kerr.Detail(kerr.InvalidReplicationFactor,
			"Unable to replicate the partition %d time(s): The target replication factor of %d cannot be reached because only %d broker(s) are registered.",
			factor, factor, len(s.racks))
	}
	return nil
}

// place is the replicas of the partition with that stream, which numbers partitions through all topics; the first leads.
// Fenced brokers are used only when the others do not suffice, and cordoned ones after them.
func (s spread) place(stream uint64, factor int) []image.BrokerID {
	n := uint64(len(s.active))
	first, shift := stream%n, stream/n
	replicas := []image.BrokerID{s.active[first]}
	others := make([]image.BrokerID, 0, n-1)
	for j := uint64(0); j+1 < n; j++ {
		others = append(others, s.active[(first+1+(shift+j)%(n-1))%n])
	}
	replicas = s.follow(replicas, others, factor)
	for _, spare := range s.spare {
		turned := make([]image.BrokerID, 0, len(spare))
		for j := range spare {
			turned = append(turned, spare[(int(shift%uint64(len(spare)))+j)%len(spare)])
		}
		replicas = s.follow(replicas, turned, factor)
	}
	return replicas
}

// follow adds replicas up to factor, in the order of others, those first whose racks have fewest.
func (s spread) follow(replicas, others []image.BrokerID, factor int) []image.BrokerID {
	used := map[string]int{}
	for _, id := range replicas {
		used[s.racks[id]]++
	}
	for len(replicas) < factor && len(others) > 0 {
		best := 0
		for i, id := range others {
			if used[s.racks[id]] < used[s.racks[others[best]]] {
				best = i
			}
		}
		used[s.racks[others[best]]]++
		replicas = append(replicas, others[best])
		others = slices.Delete(others, best, best+1)
	}
	return replicas
}

// partition is a new partition with these replicas; ok is false when none of them could lead.
func (s spread) partition(number int32, stream uint64, replicas []image.BrokerID) (p image.Partition, ok bool) {
	isr := slices.DeleteFunc(slices.Clone(replicas), func(b image.BrokerID) bool { return !s.alive[b] })
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
		if _, registered := s.racks[image.BrokerID(b)]; !registered {
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
