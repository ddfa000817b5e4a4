package integration

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"chronik/integration/broker"
)

// origins counts the records that a consumer gets from each broker.
type origins struct {
	mu   sync.Mutex
	from map[int32]int
}

func (s *origins) OnFetchBatchRead(meta kgo.BrokerMetadata, _ string, _ int32, m kgo.FetchBatchMetrics) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.from[meta.NodeID] += m.NumRecords
}

// Consumers that say in which rack they are read from the broker there (KIP-392), and go on when it has been away.
func TestConsumersReadFromTheirRack(t *testing.T) {
	c := broker.NewCluster(t, 3, append(broker.SmallLog, "--set", "replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector")...)
	for i, n := range c.Nodes {
		n.Flags = append(n.Flags, "--set", fmt.Sprint("broker.rack=rack", i+1))
	}
	c.Start()
	ctx, cancel := context.WithTimeout(t.Context(), broker.Patience)
	defer cancel()
	client := func(opts ...kgo.Opt) *kgo.Client {
		cl, err := kgo.NewClient(append(opts, kgo.MetadataMinAge(10*time.Millisecond), kgo.SeedBrokers(strings.Split(c.Addresses(), ",")...), kgo.DefaultProduceTopic("t"))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cl.Close)
		return cl
	}
	producer := client()
	if _, err := kadm.NewClient(producer).CreateTopic(ctx, 3, 3, nil, "t"); err != nil {
		t.Fatal(err)
	}
	c.AwaitISR("t", 3)
	const records = 3000
	produce := func() {
		t.Helper()
		var all []*kgo.Record
		for i := range records {
			all = append(all, kgo.KeyStringRecord(fmt.Sprint(i), "value"))
		}
		if err := producer.ProduceSync(ctx, all...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	seen := &origins{from: map[int32]int{}}
	consumer := client(kgo.ConsumeTopics("t"), kgo.Rack("rack2"), kgo.WithHooks(seen))
	consume := func() {
		t.Helper()
		for got := 0; got < records; {
			fetches := consumer.PollFetches(ctx)
			if err := fetches.Err0(); err != nil {
				t.Fatalf("%d records, then %v", got, err)
			}
			got += fetches.NumRecords()
		}
	}
	produce()
	consume()
	if seen.from[2] < records {
		t.Errorf("records came from %v", seen.from)
	}
	c.Nodes[1].Kill()
	produce()
	c.Nodes[1].Start()
	consume()
	t.Logf("records came from %v", seen.from)
}
