package faults

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/integration/broker"
	"chronik/wal/campaign"
)

// Disks of a cluster of three are not what they were when their node starts again: empty, an older copy, or with a file that
// has rotted. Clients with acks=all go on meanwhile. The node starts, or says what it refuses; whatever was acknowledged is
// there in the end, at its offset, once, and every replica has the same bytes.
func TestFaultsDisksOfNodes(t *testing.T) {
	plan := campaign.Plan{Name: "disks of three nodes: rotten, wiped, older", Unit: "disks", Share: 12, Soak: 100}
	campaign.Run(t, plan, func(t *testing.T, seed uint64) campaign.Counts {
		r := &rot{siege: newSiege(t, seed, broker.NewCluster(t, 3, siegeFlags...), new(net.Dialer).DialContext)}
		const disks = 12
		r.begin()
		r.through(func() {
			for range disks {
				<-time.After(time.Duration(r.dice.Int64N(int64(2 * time.Second))))
				r.exchange(1 + r.dice.IntN(3))
				r.awaitWhole()
				r.awaitVoters()
			}
		})
		r.end()
		r.counts[plan.Unit] = disks
		return r.counts
	})
}

type rot struct {
	*siege
	copies [4]string // by node id: an older copy of its directory
}

// exchange stops a node, does something to its disk, and starts it.
func (r *rot) exchange(id int) {
	r.t.Helper()
	b, scrub := r.cluster.Nodes[id-1], false
	if r.dice.IntN(2) == 0 {
		b.Signal(syscall.SIGTERM)
		if code := b.Wait(); code != 0 {
			r.t.Errorf("SIGTERM: exit code %d", code)
		}
	} else {
		b.Kill()
	}
	switch older := r.copies[id]; {
	case r.dice.IntN(2) == 0:
		what := r.spoil(b.Dir)
		scrub = strings.Contains(what, ".seg")
		r.tell("node %d: %s", id, what)
		r.count("rotten", 1)
	case older == "" || r.dice.IntN(6) == 0:
		r.copies[id] = filepath.Join(broker.DataDir(r.t), "copy")
		ok(r.t, os.CopyFS(r.copies[id], os.DirFS(b.Dir)))
		r.count("copied", 1)
	case r.dice.IntN(2) == 0:
		ok(r.t, os.RemoveAll(b.Dir))
		ok(r.t, os.CopyFS(b.Dir, os.DirFS(older)))
		r.count("older", 1)
	default:
		ok(r.t, os.RemoveAll(b.Dir))
		r.count("wiped", 1)
	}
	b.Start()
	if scrub {
		r.awaitScrub(b)
	}
}

// awaitScrub waits until the node has read all its segments: until then it need not know that one has rotted.
func (r *rot) awaitScrub(b *broker.Broker) {
	r.t.Helper()
	segments, err := filepath.Glob(filepath.Join(b.Dir, "partitions", "*", "*.seg"))
	ok(r.t, err)
	size := int64(0)
	for _, name := range segments {
		if info, err := os.Stat(name); err == nil { // else it has been given up already
			size += info.Size()
		}
	}
	<-time.After(time.Duration(size)*time.Second/(16<<20) + 3*time.Second)
	if strings.Contains(b.Said(), "a partition's records are damaged") {
		r.count("found in segments", 1)
	}
}

// awaitVoters returns when all three nodes vote on the metadata again: a disk that is replaced before is one too many.
func (r *rot) awaitVoters() {
	r.t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(r.cluster.Addresses(), ",")...))
	ok(r.t, err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(r.t.Context(), broker.Patience)
	defer cancel()
	rq := kmsg.NewPtrDescribeQuorumRequest()
	rp := kmsg.NewDescribeQuorumRequestTopicPartition()
	rq.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{rp}}}
	for {
		answer, err := rq.RequestWith(ctx, c)
		if err == nil && len(answer.Topics) == 1 && len(answer.Topics[0].Partitions[0].CurrentVoters) == 3 {
			return
		}
		select {
		case <-ctx.Done():
			r.t.Fatalf("the metadata has not three voters: %+v, %v", answer, err)
		case <-time.After(50 * time.Millisecond): // nothing tells a client of it
		}
	}
}
