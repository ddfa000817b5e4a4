package api

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// shared makes a topic "t" of one partition that broker 2 follows, and returns its id and that broker's epoch.
func (n *node) shared() (id uuid.UUID, epoch int64) {
	n.t.Helper()
	id = uuid.UUID{9}
	img := n.Meta.Image()
	_, err := n.Meta.Propose(n.t.Context(),
		image.BrokerRecord{ID: 2, Incarnation: uuid.UUID{2}, Rack: "b", Endpoints: []image.Endpoint{{Name: "PLAINTEXT", Host: "two", Port: 9}}},
		image.TopicRecord{ID: id, Name: "t"},
		image.PartitionRecord{Topic: id, Partition: image.Partition{
			Stream: img.NextStream(), Replicas: []image.BrokerID{self, 2}, ISR: []image.BrokerID{self, 2}, Leader: self,
		}})
	if err != nil {
		n.t.Fatal(err)
	}
	b, _ := n.Meta.Image().Broker(2)
	return id, b.Epoch
}

func (n *node) asFollower(id uuid.UUID, epoch, offset int64, lastEpoch int32) string {
	n.t.Helper()
	client := n.peer.Listener
	defer func() { n.peer.Listener = client }()
	n.peer.Listener = image.InternalListener
	return n.fetch(followerFetch(id, epoch, offset, lastEpoch))
}

func followerFetch(id uuid.UUID, epoch, offset int64, lastEpoch int32) *kmsg.FetchRequest {
	rq := fetchRequest(17, "", id, offset)
	rq.ReplicaState.ID, rq.ReplicaState.Epoch = 2, epoch
	p := &rq.Topics[0].Partitions[0]
	p.CurrentLeaderEpoch, p.LastFetchedEpoch = 0, lastEpoch
	return rq
}

func TestFetchAsFollower(t *testing.T) {
	n := start(t, nil)
	id, epoch := n.shared()
	steps := []struct{ got, want string }{
		{n.fetch(followerFetch(id, epoch, 0, -1)), "CLUSTER_AUTHORIZATION_FAILED"},
		{n.asFollower(id, epoch-1, 0, -1), "STALE_BROKER_EPOCH"},
		{n.asFollower(id, epoch, 0, -1), "/0 <0"},
	}
	for _, s := range steps {
		if s.got != s.want {
			t.Fatalf("%q, want %q", s.got, s.want)
		}
	}
	rq := produceRequest(9, "t", [16]byte{}, 0, stamped(t, 1))
	rq.Acks = 1
	n.code(ask[*kmsg.ProduceResponse](n, rq).Topics[0].Partitions[0].ErrorCode, kerr.None)
	consumer := func() string { return n.fetch(fetchRequest(17, "", id, 0)) }
	for _, s := range []struct {
		name string
		do   func() string
		want string
	}{
		{"what is not replicated", consumer, "/0 <0"},
		{"a follower gets it", func() string { return n.asFollower(id, epoch, 0, -1) }, "/0 0-0 <0"},
		{"not yet durable there", consumer, "/0 <0"},
		{"a follower has it", func() string { return n.asFollower(id, epoch, 1, 0) }, "/0 <1"},
		{"what is replicated", consumer, "/0 0-0 <1"},
		{"beyond the end", func() string { return n.asFollower(id, epoch, 2, -1) }, "/0 OFFSET_OUT_OF_RANGE"},
	} {
		if got := s.do(); got != s.want {
			t.Fatalf("%s: %q, want %q", s.name, got, s.want)
		}
	}
}

// deposing is a Waiter that has another broker lead as soon as the high watermark moves.
type deposing struct {
	once sync.Once
	do   func()
}

func (d *deposing) Wake() { d.once.Do(d.do) }

// A leader that is deposed while it answers a follower says nothing of its log, which from then on is one that follows another.
func TestALeaderDeposedWhileItAnswersTellsItsFollowerNothing(t *testing.T) {
	n := start(t, nil)
	id, epoch := n.shared()
	rq := produceRequest(9, "t", [16]byte{}, 0, stamped(t, 1))
	rq.Acks = 1
	n.code(ask[*kmsg.ProduceResponse](n, rq).Topics[0].Partitions[0].ErrorCode, kerr.None)
	led, err := n.Replicas.Leader(id, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	topic, _ := n.Meta.Image().Topic(id)
	p := *topic.Partitions[0]
	p.Leader, p.LeaderEpoch = 2, 1
	proposed := make(chan error, 1)
	w := &deposing{do: func() {
		go func() {
			_, err := n.Meta.Propose(t.Context(), image.PartitionChange{Topic: id, From: p.Epoch, Partition: p})
			proposed <- err
		}()
		for led.Leads() {
			runtime.Gosched()
		}
	}}
	led.Await(w)
	defer led.Forget(w)
	if got := n.asFollower(id, epoch, 1, 0); got != "/0 NOT_LEADER_OR_FOLLOWER" {
		t.Error(got)
	}
	if err := <-proposed; err != nil {
		t.Error(err)
	}
}

// A client that asks the wrong broker hears which is right.
func TestLeaderHints(t *testing.T) {
	n := start(t, nil)
	id, _ := n.shared()
	topic, _ := n.Meta.Image().Topic(id)
	p := *topic.Partitions[0]
	p.Leader, p.LeaderEpoch = 2, 7
	if _, err := n.Meta.Propose(t.Context(), image.PartitionChange{Topic: id, From: p.Epoch, Partition: p}); err != nil {
		t.Fatal(err)
	}
	rq := fetchRequest(17, "", id, 0)
	rq.Topics[0].Partitions[0].CurrentLeaderEpoch = 0
	resp := ask[*kmsg.FetchResponse](n, rq)
	out := &resp.Topics[0].Partitions[0]
	if kerr.Code(out.ErrorCode) != kerr.FencedLeaderEpoch || out.CurrentLeader.LeaderID != 2 || out.CurrentLeader.LeaderEpoch != 7 {
		t.Fatalf("%+v", out)
	}
	if len(resp.Brokers) != 1 || resp.Brokers[0].NodeID != 2 || resp.Brokers[0].Host != "two" {
		t.Fatalf("%+v", resp.Brokers)
	}
}

// A consumer that says where it is reads from a replica there, once the operator allows that (KIP-392).
func TestFetchFromTheNearestReplica(t *testing.T) {
	for _, c := range []struct {
		selector, rack string
		version        int16
		offset         int64 // of the consumer, where the follower ends at 1
		want           int32
	}{
		{config.RackAwareSelector, "b", 17, 0, 2},
		{config.RackAwareSelector, "b", 11, 1, 2},
		{config.RackAwareSelector, "b", 10, 0, -1},
		{config.RackAwareSelector, "a", 17, 0, -1},
		{config.RackAwareSelector, "c", 17, 0, -1},
		{config.RackAwareSelector, "", 17, 0, -1},
		{config.RackAwareSelector, "b", 17, 2, -1},
		{config.LeaderSelector, "b", 17, 0, -1},
	} {
		n := start(t, map[string]string{"replica.selector.class": c.selector, "broker.rack": "a"})
		id, epoch := n.shared()
		n.code(ask[*kmsg.ProduceResponse](n, func() kmsg.Request {
			rq := produceRequest(9, "t", [16]byte{}, 0, stamped(t, 1))
			rq.Acks = 1
			return rq
		}()).Topics[0].Partitions[0].ErrorCode, kerr.None)
		for offset := range int64(2) {
			n.asFollower(id, epoch, offset, int32(offset-1))
		}
		rq := fetchRequest(c.version, "t", id, c.offset)
		rq.Rack, rq.MaxWaitMillis = c.rack, 0
		got := ask[*kmsg.FetchResponse](n, rq).Topics[0].Partitions[0].PreferredReadReplica
		if got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

// Records expire on each node by itself. A consumer that is sent to a replica where they have is told that its offset is out of
// range, comes back, and was sent there again, until they had expired here too.
func TestAConsumerMustNotBeSentForWhatHasExpiredThere(t *testing.T) {
	n := start(t, map[string]string{"replica.selector.class": config.RackAwareSelector, "broker.rack": "a"})
	id, epoch := n.shared()
	now := time.Now().UnixMilli() // nothing expires by itself
	rq := produceRequest(9, "t", [16]byte{}, 0, stamped(t, now, now, now))
	rq.Acks = 1
	n.code(ask[*kmsg.ProduceResponse](n, rq).Topics[0].Partitions[0].ErrorCode, kerr.None)
	follower := followerFetch(id, epoch, 3, 0)
	follower.Topics[0].Partitions[0].LogStartOffset = 2
	client := n.peer.Listener
	n.peer.Listener = image.InternalListener
	n.fetch(follower)
	n.peer.Listener = client
	for offset, want := range []int32{-1, -1, 2, 2} {
		rq := fetchRequest(17, "t", id, int64(offset))
		rq.Rack, rq.MaxWaitMillis = "b", 0
		if got := ask[*kmsg.FetchResponse](n, rq).Topics[0].Partitions[0].PreferredReadReplica; got != want {
			t.Errorf("at %d: %d, want %d", offset, got, want)
		}
	}
}

// Right after an election a leader does not know all that is committed. It must not say that there is no record of a time, or
// which the newest is: who looks for it would go on at the end, and never read those that there are (KIP-207).
func TestALookUpByTimeMustNotMissWhatIsCommitted(t *testing.T) {
	n := start(t, nil)
	id, broker := n.shared()
	rq := produceRequest(9, "t", [16]byte{}, 0, stamped(t, 1000))
	rq.Acks = 1
	n.code(ask[*kmsg.ProduceResponse](n, rq).Topics[0].Partitions[0].ErrorCode, kerr.None)
	topic, _ := n.Meta.Image().Topic(id)
	p := *topic.Partitions[0]
	p.LeaderEpoch++
	if _, err := n.Meta.Propose(t.Context(), image.PartitionChange{Topic: id, From: p.Epoch, Partition: p}); err != nil {
		t.Fatal(err)
	}
	for _, ts := range []int64{500, maxTimestamp, latestTimestamp} {
		if got := n.listOffset(11, "t", 0, ts); got != "OFFSET_NOT_AVAILABLE" {
			t.Errorf("%d: %s", ts, got)
		}
	}
	for version, ts := range map[int16]int64{4: 500, 1: latestTimestamp, 0: latestTimestamp} {
		if got := n.listOffset(version, "t", 0, ts); got != "LEADER_NOT_AVAILABLE" {
			t.Errorf("version %d: %s", version, got)
		}
	}
	if got := n.listOffset(0, "t", 0, earliestTimestamp); got != "[0]" {
		t.Error(got)
	}
	if got := n.listOffset(11, "t", 0, earliestTimestamp); got != "-1@0/0" {
		t.Error(got)
	}
	fetch := followerFetch(id, broker, 1, 0)
	fetch.Topics[0].Partitions[0].CurrentLeaderEpoch = p.LeaderEpoch
	client := n.peer.Listener
	n.peer.Listener = image.InternalListener
	n.fetch(fetch)
	n.peer.Listener = client
	for ts, want := range map[int64]string{500: "1000@0/0", 1001: "-1@-1/-1", maxTimestamp: "1000@0/0", latestTimestamp: "-1@1/1"} {
		if got := n.listOffset(11, "t", 0, ts); got != want {
			t.Errorf("%d: %s, want %s", ts, got, want)
		}
	}
}

// Deleted records must not come back with another leader: the answer waits until no replica in sync has them (Kafka's
// DelayedDeleteRecords).
func TestDeletedRecordsMustNotComeBackWithAnotherLeader(t *testing.T) {
	n := start(t, nil)
	id, broker := n.shared()
	now := time.Now().UnixMilli() // nothing expires by itself
	rq := produceRequest(9, "t", [16]byte{}, 0, stamped(t, now, now, now))
	rq.Acks = 1
	n.code(ask[*kmsg.ProduceResponse](n, rq).Topics[0].Partitions[0].ErrorCode, kerr.None)
	tell := func(logStart int64) {
		fetch := followerFetch(id, broker, 3, 0)
		fetch.Topics[0].Partitions[0].LogStartOffset = logStart
		client := n.peer.Listener
		n.peer.Listener = image.InternalListener
		n.fetch(fetch)
		n.peer.Listener = client
	}
	del := kmsg.NewPtrDeleteRecordsRequest()
	del.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "t", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: 2}}}}
	impatient, end := context.WithCancel(t.Context())
	end()
	for _, s := range []struct {
		start int64 // of the follower
		want  kerr.Code
		low   int64
	}{{0, kerr.RequestTimedOut, -1}, {1, kerr.RequestTimedOut, -1}, {2, kerr.None, 2}, {3, kerr.None, 2}} {
		tell(s.start)
		resp, err := deleteRecords(n.broker, impatient, nil, del)
		if err != nil {
			t.Fatal(err)
		}
		got := resp.(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0]
		if kerr.Code(got.ErrorCode) != s.want || got.LowWatermark != s.low {
			t.Errorf("the follower begins at %d: %v, low watermark %d", s.start, kerr.Code(got.ErrorCode), got.LowWatermark)
		}
	}
}
