package integration

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"chronik/integration/broker"
)

// awaitISR returns when every partition of the topic has all its replicas in sync.
func awaitISR(t *testing.T, admin *kadm.Client, topic string, replicas int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), broker.Patience)
	defer cancel()
	for {
		topics, err := admin.ListTopics(ctx, topic)
		whole := err == nil && len(topics[topic].Partitions) > 0
		for _, p := range topics[topic].Partitions {
			whole = whole && p.Leader >= 0 && len(p.ISR) == replicas
		}
		if whole {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not every partition has %d replicas in sync: %+v, %v", replicas, topics, err)
		case <-time.After(20 * time.Millisecond): // nothing tells a client of it
		}
	}
}

func admin(t *testing.T, addresses ...string) *kadm.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addresses...), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return kadm.NewClient(client)
}

// Three nodes find each other, and idempotent producers and readers go on while one of the nodes after the other is killed
// under them: whichever led, controlled or coordinated. Every acknowledged record is there in the end, once, in order.
func TestKillingNodesOfAClusterLosesNothing(t *testing.T) {
	c := broker.NewCluster(t, 3, broker.SmallLog...)
	c.Start()
	moments := rand.New(rand.NewPCG(killSeed(t), 1))
	bench := c.Bench("both", "--duration", "30s", "--rate", "5000", "--size", "100-2000", "--clients", "3", "--partitions", "8",
		"--replication", "3", "--topic-config", "min.insync.replicas=2", "--linger", "2ms", "--compression", "lz4", "--topic", "ledger")
	ask := admin(t, c.Nodes[0].Address(), c.Nodes[1].Address(), c.Nodes[2].Address())
	awaitISR(t, ask, "ledger", 3)
	kills := 0
	for end := time.After(25 * time.Second); ; kills++ {
		victim := c.Nodes[moments.IntN(3)]
		select {
		case <-time.After(time.Duration(moments.Int64N(int64(2 * time.Second)))):
			victim.Kill()
			victim.Start()
			awaitISR(t, ask, "ledger", 3)
			continue
		case <-bench.Done:
			t.Error("the bench ended early")
		case <-end:
		}
		break
	}
	bench.WaitFor(2 * broker.Patience)
	r := benchReport(t, bench)
	t.Logf("%d kills, %d records acknowledged, %.2f s the longest time without", kills, r.Produce.Acked, r.Produce.LongestGap)
	if kills == 0 || r.Produce.Acked == 0 || r.Verified.Acked != r.Produce.Acked {
		t.Errorf("%d kills, %+v", kills, r)
	}
}
