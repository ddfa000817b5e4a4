package image

import (
	"testing"

	"github.com/google/uuid"
)

// A change of a partition may have been planned before min.insync.replicas was lowered, and come behind that. The ISR commits
// alone then: whom the plan calls eligible lacks what is acknowledged from then on, and must not lead.
func TestAPlanThatCameLateLeavesNobodyEligibleBesideAnISRThatSuffices(t *testing.T) {
	topic, two, one := uuid.UUID{1}, "2", "1"
	least := Resource{TopicResource, "t"}
	both := Partition{Stream: 1, Replicas: []BrokerID{1, 2}, ISR: []BrokerID{1, 2}, Leader: 1}
	m := Empty()
	apply := func(recs ...Record) {
		t.Helper()
		next, _, err := m.Apply(m.Index()+1, recs)
		if err != nil {
			t.Fatal(err)
		}
		m = next
	}
	apply(TopicRecord{ID: topic, Name: "t"}, PartitionRecord{topic, both}, ConfigRecord{least, minISRConfig, &two})
	planned := both
	planned.ISR = []BrokerID{1}
	planned.ELR = EligibleLeaders(&both, planned.ISR, 2)
	apply(ConfigRecord{least, minISRConfig, &one})
	apply(PartitionChange{Topic: topic, From: both.Epoch, Partition: planned})
	is, _ := m.Topic(topic)
	if elr := is.Partitions[0].ELR; len(elr) > 0 {
		t.Errorf("%v may lead beside an ISR that commits without it", elr)
	}
	apply(ConfigRecord{least, minISRConfig, &two})
	planned.LeaderEpoch++
	apply(PartitionChange{Topic: topic, From: is.Partitions[0].Epoch, Partition: planned})
	if is, _ = m.Topic(topic); len(is.Partitions[0].ELR) != 1 {
		t.Errorf("%v may lead beside an ISR that commits nothing", is.Partitions[0].ELR)
	}
}
