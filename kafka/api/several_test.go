package api

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// broken is broker 1 of a cluster in which broker 3 is fenced and 4 was never there: t-0 is led by 2, t-1 has no leader,
// and what leads t-2 has just been fenced.
func broken(t *testing.T) *two {
	w := &two{T: t, log: &commonLog{img: image.Empty(), leader: 3}}
	apply := func(recs ...image.Record) {
		t.Helper()
		if _, err := w.log.Propose(t.Context(), recs...); err != nil {
			t.Fatal(err)
		}
	}
	for id := image.BrokerID(1); id <= 3; id++ {
		apply(image.BrokerRecord{ID: id, Incarnation: uuid.UUID{byte(id)}, Endpoints: []image.Endpoint{
			{Name: "PLAINTEXT", Port: 9000 + int32(id)}, {Name: image.InternalListener, Host: fmt.Sprintf("node%d", id), Port: 1},
		}})
	}
	id := uuid.UUID{1}
	apply(image.TopicRecord{ID: id, Name: "t"},
		image.PartitionRecord{Topic: id, Partition: image.Partition{Stream: 1, Replicas: []image.BrokerID{2, 3, 4}, ISR: []image.BrokerID{2}, ELR: []image.BrokerID{3}, Leader: 2}},
		image.PartitionRecord{Topic: id, Partition: image.Partition{Number: 1, Stream: 2, Replicas: []image.BrokerID{3}, ELR: []image.BrokerID{3}, Leader: image.NoBroker}},
		image.PartitionRecord{Topic: id, Partition: image.Partition{Number: 2, Stream: 3, Replicas: []image.BrokerID{3, 1}, ISR: []image.BrokerID{3}, Leader: 3}},
		image.FenceRecord{ID: 3, Epoch: 3, Fenced: true})
	cfg, err := config.CompileBroker(nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.asks = &Broker{Self: 1, Meta: &view{log: w.log, img: w.log.Image()}, Config: func() *config.Broker { return cfg }, Logger: slog.New(slog.DiscardHandler)}
	return w
}

func TestMetadataOfABrokenCluster(t *testing.T) {
	w := broken(t)
	rq := kmsg.NewPtrMetadataRequest()
	rq.Version = 13
	resp := w.request(w.asks, "PLAINTEXT", rq).(*kmsg.MetadataResponse)
	var got []string
	for _, b := range resp.Brokers {
		got = append(got, fmt.Sprintf("%d at %s:%d", b.NodeID, b.Host, b.Port))
	}
	for _, p := range resp.Topics[0].Partitions {
		got = append(got, fmt.Sprintf("%v leader %d replicas %v ISR %v offline %v", kerr.Code(p.ErrorCode), p.Leader, p.Replicas, p.ISR, p.OfflineReplicas))
	}
	want := []string{
		"1 at 10.0.0.2:9001", "2 at node2:9002",
		"NONE leader 2 replicas [2 3 4] ISR [2] offline [3 4]",
		"LEADER_NOT_AVAILABLE leader -1 replicas [3] ISR [] offline [3]",
		"LEADER_NOT_AVAILABLE leader -1 replicas [3 1] ISR [3] offline [3]",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || resp.ControllerID != 1 {
		t.Errorf("controller %d\n%q, want\n%q", resp.ControllerID, got, want)
	}
}

func TestDescribedPartitionsOfABrokenCluster(t *testing.T) {
	w := broken(t)
	rq := kmsg.NewPtrDescribeTopicPartitionsRequest()
	rq.ResponsePartitionLimit = 100
	resp := w.request(w.asks, "PLAINTEXT", rq).(*kmsg.DescribeTopicPartitionsResponse)
	var got []string
	for _, p := range resp.Topics[0].Partitions {
		got = append(got, fmt.Sprintf("%v leader %d ELR %v offline %v", kerr.Code(p.ErrorCode), p.LeaderID, p.EligibleLeaderReplicas, p.OfflineReplicas))
	}
	want := []string{
		"NONE leader 2 ELR [3] offline [3 4]",
		"LEADER_NOT_AVAILABLE leader -1 ELR [3] offline [3]",
		"LEADER_NOT_AVAILABLE leader -1 ELR [] offline [3]",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q, want\n%q", got, want)
	}
}

// Every broker sends a group's clients to the same one, and none to a broker that is fenced.
func TestCoordinatorIsTheImages(t *testing.T) {
	w := broken(t)
	rq := kmsg.NewPtrFindCoordinatorRequest()
	rq.Version = 6
	for i := range 50 {
		rq.CoordinatorKeys = append(rq.CoordinatorKeys, fmt.Sprintf("g%d", i))
	}
	seen := map[int32]bool{}
	for _, c := range w.request(w.asks, "PLAINTEXT", rq).(*kmsg.FindCoordinatorResponse).Coordinators {
		if seen[c.NodeID] = true; c.NodeID != int32(w.log.Image().Coordinator(c.Key)) || c.ErrorCode != 0 || c.Port != 9000+c.NodeID {
			t.Errorf("%+v", c)
		}
	}
	if len(seen) != 2 {
		t.Errorf("groups are at %v", seen)
	}
}
