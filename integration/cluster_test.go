package integration

import (
	"math/rand/v2"
	"testing"
	"time"

	"chronik/integration/broker"
)

// Three nodes find each other, and idempotent producers and readers go on while one of the nodes after the other is killed
// under them: whichever led, controlled or coordinated. Every acknowledged record is there in the end, once, in order.
func TestKillingNodesOfAClusterLosesNothing(t *testing.T) {
	c := broker.NewCluster(t, 3, broker.SmallLog...)
	c.Start()
	moments := rand.New(rand.NewPCG(killSeed(t), 1))
	bench := c.Bench("both", "--duration", "30s", "--rate", "5000", "--size", "100-2000", "--clients", "3", "--partitions", "8",
		"--replication", "3", "--topic-config", "min.insync.replicas=2", "--linger", "2ms", "--compression", "lz4", "--topic", "ledger")
	c.AwaitISR("ledger", 3)
	kills := 0
	for end := time.After(25 * time.Second); ; kills++ {
		victim := c.Nodes[moments.IntN(3)]
		select {
		case <-time.After(time.Duration(moments.Int64N(int64(2 * time.Second)))):
			victim.Kill()
			victim.Start()
			c.AwaitISR("ledger", 3)
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
