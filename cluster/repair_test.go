package cluster

import (
	"reflect"
	"strings"
	"testing"

	"chronik/metalog/image"
)

// A replica that is about to forget what it has must not be one that anybody counts on; and what nobody else has is not
// forgotten.
func TestReplicasLeaveBeforeTheyForget(t *testing.T) {
	type ids = []image.BrokerID
	for name, c := range map[string]struct {
		was  image.Partition
		want image.Partition
		ok   bool
	}{
		"a follower": {
			image.Partition{Replicas: ids{1, 2, 3}, ISR: ids{1, 2, 3}, Leader: 2, LeaderEpoch: 4},
			image.Partition{Replicas: ids{1, 2, 3}, ISR: ids{2, 3}, Leader: 2, LeaderEpoch: 5}, true},
		"the leader": {
			image.Partition{Replicas: ids{1, 2, 3}, ISR: ids{1, 3}, Leader: 1, LeaderEpoch: 4},
			image.Partition{Replicas: ids{1, 2, 3}, ISR: ids{3}, ELR: nil, Leader: image.NoBroker, LeaderEpoch: 5}, true},
		"one that is not in sync, and could be in a moment": {
			image.Partition{Replicas: ids{1, 2, 3}, ISR: ids{2}, ELR: ids{3}, Leader: 2},
			image.Partition{Replicas: ids{1, 2, 3}, ISR: ids{2}, ELR: ids{3}, Leader: 2, LeaderEpoch: 1}, true},
		"an eligible leader": {
			image.Partition{Replicas: ids{1, 2, 3}, ISR: nil, ELR: ids{1, 2}, Leader: image.NoBroker},
			image.Partition{Replicas: ids{1, 2, 3}, ISR: nil, ELR: ids{2}, Leader: image.NoBroker, LeaderEpoch: 1}, true},
		"the last in sync, when an eligible leader is left": {
			image.Partition{Replicas: ids{1, 2, 3}, ISR: ids{1}, ELR: ids{3}, Leader: 1},
			image.Partition{Replicas: ids{1, 2, 3}, ISR: nil, ELR: ids{3}, Leader: image.NoBroker, LeaderEpoch: 1}, true},
		"the last in sync":                         {was: image.Partition{Replicas: ids{1, 2, 3}, ISR: ids{1}, Leader: 1}},
		"the only eligible one":                    {was: image.Partition{Replicas: ids{1, 2, 3}, ELR: ids{1}, Leader: image.NoBroker}},
		"one of which nobody is known to have all": {was: image.Partition{Replicas: ids{1, 2, 3}, Leader: image.NoBroker}},
		"the only replica":                         {was: image.Partition{Replicas: ids{1}, ISR: ids{1}, Leader: 1}},
	} {
		minISR := 2
		if len(c.want.ELR) == 0 {
			minISR = 1
		}
		got, ok := withoutReplica(&c.was, 1, minISR)
		if ok != c.ok || ok && !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
}

// Either all that is damaged can be copied again, or nothing is given up and the partitions are named.
func TestNothingIsForgottenWhenSomethingWouldBeLost(t *testing.T) {
	topic := image.TopicID{1}
	m, _, err := image.Empty().Apply(1, []image.Record{
		image.TopicRecord{ID: topic, Name: "orders"},
		image.PartitionRecord{Topic: topic, Partition: image.Partition{Number: 0, Stream: 1, Replicas: []image.BrokerID{1, 2}, ISR: []image.BrokerID{1, 2}, Leader: 1}},
		image.PartitionRecord{Topic: topic, Partition: image.Partition{Number: 1, Stream: 2, Replicas: []image.BrokerID{1, 2}, ISR: []image.BrokerID{1}, Leader: 1}},
		image.PartitionRecord{Topic: topic, Partition: image.Partition{Number: 2, Stream: 3, Replicas: []image.BrokerID{2}, ISR: []image.BrokerID{2}, Leader: 2}},
	})
	if err != nil {
		t.Fatal(err)
	}
	hurt := map[replicaOf]error{{topic, 0}: nil, {topic, 1}: nil, {topic, 2}: nil}
	if recs, err := planForget(m, 1, hurt); len(recs) > 0 || err == nil || !strings.Contains(err.Error(), "orders-1") {
		t.Error(recs, err)
	}
	delete(hurt, replicaOf{topic, 1})
	recs, err := planForget(m, 1, hurt)
	if len(recs) != 1 || err != nil {
		t.Fatal(recs, err)
	}
	after, _, err := m.Apply(2, recs)
	if err != nil {
		t.Fatal(err)
	}
	is, _ := after.Topic(topic)
	if p := is.Partitions[0]; p.Leader != image.NoBroker || !reflect.DeepEqual(p.ISR, []image.BrokerID{2}) {
		t.Errorf("%+v", p)
	}
}
