package faults

import (
	"encoding/json"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"chronik/integration/broker"
	"chronik/integration/faults/baddisk"
	"chronik/wal/campaign"
)

// The disk of one of three nodes does not answer any more, under idempotent producers and readers with acks=all: the node
// says so, gives up what it leads, and ends; the others go on meanwhile. When the disk is back, so is the node, and nothing
// that was acknowledged is lost.
func TestFaultsNodesDiskHangs(t *testing.T) {
	plan := campaign.Plan{Name: "nodes of three: hung disk", Unit: "hangs", Share: 3, Soak: 30}
	campaign.Run(t, plan, func(t *testing.T, seed uint64) campaign.Counts {
		h := &hungNode{t: t, dice: rand.New(rand.NewPCG(seed, 29)), counts: campaign.Counts{plan.Unit: 1}}
		h.cluster = broker.NewCluster(t, 3, broker.SmallLog...)
		h.number = h.dice.IntN(3)
		disk := mountBad(t, diskClasses, false)
		victim := h.cluster.Nodes[h.number]
		victim.Dir = filepath.Join(disk.Dir, "data")
		h.cluster.Start()
		bench := h.cluster.Bench("both", "--duration", "30s", "--rate", "4000", "--size", "100-2000", "--clients", "3",
			"--partitions", "8", "--replication", "3", "--topic-config", "min.insync.replicas=2", "--linger", "2ms",
			"--compression", "lz4", "--topic", "ledger")
		h.cluster.AwaitISR("ledger", 3)
		<-time.After(time.Duration(h.dice.Int64N(int64(3 * time.Second))))
		h.hang(victim, disk)
		ok(t, disk.Clear())
		ok(t, disk.Forget())
		victim.Start()
		h.cluster.AwaitISR("ledger", 3)
		bench.WaitFor(2 * broker.Patience)
		h.judge(bench)
		return h.counts
	})
}

type hungNode struct {
	t       *testing.T
	dice    *rand.Rand
	cluster *broker.Cluster
	number  int // of the node whose disk hangs, from 0 on
	counts  campaign.Counts
}

// hang has the node's disk answer nothing, until the node has given up.
func (h *hungNode) hang(b *broker.Broker, disk *baddisk.Disk) {
	h.t.Helper()
	began := time.Now()
	hang := baddisk.Rule{Fault: baddisk.Hang, Every: true}
	if h.dice.IntN(2) == 0 {
		hang.Op = baddisk.Sync
	}
	ok(h.t, disk.Set(hang))
	line := b.AwaitMessage("the disk does not answer: this node gives up what it leads, and ends")
	h.t.Logf("after %s: %v of %v", time.Since(began).Round(time.Millisecond), line["operation"], line["path"])
	h.cluster.AwaitLeaders("ledger", func(leader int32) bool { return leader != int32(h.number+1) })
	h.counts["ms until others led, summed"] += time.Since(began).Milliseconds()
	ok(h.t, disk.Release(true)) // a thread that waits for its disk keeps the process from ending
	if code := b.Wait(); code != 3 {
		h.t.Errorf("the node ended with %d", code)
	}
}

// judge reads the client's verdict.
func (h *hungNode) judge(bench *broker.Process) {
	h.t.Helper()
	var r struct {
		Failure string
		Produce struct {
			Acked      int64
			LongestGap float64 `json:"longest_gap_seconds"`
		}
		Verified struct{ Acked int64 }
	}
	ok(h.t, json.Unmarshal(bench.Out.Bytes(), &r))
	if code := bench.Cmd.ProcessState.ExitCode(); code != 0 || r.Failure != "" || r.Produce.Acked == 0 || r.Verified.Acked != r.Produce.Acked {
		h.t.Errorf("the bench ended with %d: %s", code, bench.Out.String())
	}
	h.t.Logf("%v; the longest time without an acknowledgement: %.2f s", h.counts, r.Produce.LongestGap)
	h.counts["records acknowledged"] += r.Produce.Acked
	h.counts["ms without an acknowledgement at most, summed"] += int64(r.Produce.LongestGap * 1000)
}
