package faults

import (
	"encoding/json"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"chronik/integration/broker"
	"chronik/wal/campaign"
)

// Nodes of a cluster of three are killed, stopped in order, and held still, one at a time, under idempotent producers and
// readers with acks=all. Every acknowledged record is there in the end, at its offset, once, in its producer's order.
func TestFaultsNodes(t *testing.T) {
	plan := campaign.Plan{Name: "nodes of three: kill -9, SIGTERM, SIGSTOP", Unit: "kills", Share: 12, Soak: 200}
	campaign.Run(t, plan, func(t *testing.T, seed uint64) campaign.Counts {
		n := &nodes{t: t, dice: rand.New(rand.NewPCG(seed, 5)), counts: campaign.Counts{plan.Unit: 0}}
		n.cluster = broker.NewCluster(t, 3, broker.SmallLog...)
		n.cluster.Start()
		n.live(40 * time.Second)
		for _, b := range n.cluster.Nodes {
			b.Kill()
			b.VerifyDump()
		}
		return n.counts
	})
}

type nodes struct {
	t       *testing.T
	dice    *rand.Rand
	cluster *broker.Cluster
	counts  campaign.Counts
}

// live has clients work for d while one node after the other is hurt.
func (n *nodes) live(d time.Duration) {
	n.t.Helper()
	bench := n.cluster.Bench("both", "--duration", d.String(), "--rate", "4000", "--size", "100-2000", "--clients", "3",
		"--partitions", "8", "--replication", "3", "--topic-config", "min.insync.replicas=2", "--linger", "2ms",
		"--compression", "lz4", "--topic", "ledger")
	n.cluster.AwaitISR("ledger", 3)
	for end := time.After(d - 5*time.Second); ; {
		select {
		case <-time.After(time.Duration(n.dice.Int64N(int64(2 * time.Second)))):
			n.hurt(n.cluster.Nodes[n.dice.IntN(3)])
			n.cluster.AwaitISR("ledger", 3)
			continue
		case <-bench.Done:
			n.t.Error("the bench ended early")
		case <-end:
		}
		break
	}
	bench.WaitFor(2 * broker.Patience)
	n.judge(bench)
}

func (n *nodes) hurt(b *broker.Broker) {
	n.t.Helper()
	switch n.dice.IntN(5) {
	case 0:
		b.Signal(syscall.SIGTERM)
		if code := b.Wait(); code != 0 {
			n.t.Errorf("SIGTERM: exit code %d", code)
		}
		b.Start()
		n.counts["stopped in order"]++
	case 1:
		b.Signal(syscall.SIGSTOP)
		<-time.After(time.Duration(n.dice.Int64N(int64(5 * time.Second))))
		b.Signal(syscall.SIGCONT)
		n.counts["held still"]++
	default:
		b.Kill()
		b.Start()
		n.counts["kills"]++
	}
}

// judge reads the client's verdict.
func (n *nodes) judge(bench *broker.Process) {
	n.t.Helper()
	var r struct {
		Failure string
		Produce struct {
			Acked      int64
			LongestGap float64 `json:"longest_gap_seconds"`
		}
		Verified struct{ Acked, Lost, Moved, Duplicates, Reordered, Missing int64 }
	}
	if err := json.Unmarshal(bench.Out.Bytes(), &r); err != nil {
		n.t.Fatalf("%v in what the bench printed: %s", err, bench.Out.String())
	}
	if code := bench.Cmd.ProcessState.ExitCode(); code != 0 || r.Failure != "" || r.Produce.Acked == 0 || r.Verified.Acked != r.Produce.Acked {
		n.t.Errorf("the bench ended with %d: %s", code, bench.Out.String())
	}
	n.t.Logf("%v; the longest time without an acknowledgement: %.2f s", n.counts, r.Produce.LongestGap)
	n.counts["records acknowledged"] += r.Produce.Acked
	n.counts["ms without an acknowledgement at most, summed"] += int64(r.Produce.LongestGap * 1000)
}
