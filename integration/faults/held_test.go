package faults

import (
	"context"
	"io"
	"math"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/integration/broker"
	"chronik/wal/campaign"
)

// A leader is held still for one to thirty seconds, then goes on as if nothing had been. Meanwhile the cluster has other
// leaders, and clients that know of none still ask the old one: what they ask lies there when it wakes up. It acknowledges
// nothing of that, and shows neither records nor commits of a time that is over.
func TestFaultsHeldStill(t *testing.T) {
	plan := campaign.Plan{Name: "leaders held still for 1 to 30 s", Unit: "times", Share: 4, Soak: 30}
	campaign.Run(t, plan, func(t *testing.T, seed uint64) campaign.Counts {
		r := newSiege(t, seed, broker.NewCluster(t, 3, siegeFlags...), new(net.Dialer).DialContext)
		const times = 4
		r.begin()
		r.patient()
		r.through(func() {
			for range times {
				<-time.After(time.Duration(r.dice.Int64N(int64(time.Second))))
				r.hold(r.dice.IntN(3))
				r.awaitWhole()
			}
		})
		r.end()
		r.counts[plan.Unit] = times
		return r.counts
	})
}

// patient adds a producer that waits for an answer as long as it takes.
func (r *siege) patient() {
	r.t.Helper()
	hasty := r.options
	r.options = append(r.options[:len(r.options):len(r.options)], kgo.RequestTimeoutOverhead(time.Minute), kgo.ProduceRequestTimeout(time.Minute))
	r.lasting = append(r.lasting, r.newProducer(siegeKinds[0]))
	r.options = hasty
}

// hold holds a node still, and has it asked all the time for what it led.
func (r *siege) hold(node int) {
	r.t.Helper()
	b := r.cluster.Nodes[node]
	led := r.ledBy(int32(node + 1))
	d := time.Duration(float64(time.Second) * math.Pow(30, r.dice.Float64()))
	r.tell("node %d, which leads %d partitions, is held still for %s", node+1, len(led), d.Round(time.Millisecond))
	b.Signal(syscall.SIGSTOP)
	ctx, cancel := context.WithTimeout(r.t.Context(), d+5*time.Second)
	defer cancel()
	var asking sync.WaitGroup
	ask := time.NewTicker(100 * time.Millisecond)
	defer ask.Stop()
	for over := time.After(d); ; {
		select {
		case <-ask.C:
			asking.Go(func() { r.probe(ctx, b.Address(), led) })
			continue
		case <-over:
		}
		break
	}
	b.Signal(syscall.SIGCONT)
	asking.Wait()
	r.count("seconds held still", int64(d.Seconds()))
}

// ledBy lists the partitions that a broker leads, with the epoch.
func (r *siege) ledBy(id int32) map[partitionKey]int32 {
	led := map[partitionKey]int32{}
	for _, t := range r.metadata().Topics {
		for _, p := range t.Partitions {
			if p.Leader == id {
				led[partitionKey{*t.Topic, p.Partition}] = p.LeaderEpoch
			}
		}
	}
	return led
}

// probe asks a broker on a connection of its own for records, by the epoch in which it led, and for commits, and waits for
// its answers; they are in the history.
func (r *siege) probe(ctx context.Context, address string, led map[partitionKey]int32) {
	c, err := r.dial(ctx, "tcp", address)
	if err != nil {
		return // it ends like that too
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return
	}
	format := kmsg.NewRequestFormatter()
	ask := func(correlation int32, rq kmsg.Request) { _, _ = c.Write(format.AppendRequest(nil, rq, correlation)) } // no answer is one
	ask(1, probeOfRecords(led))
	ask(2, probeOfCommits())
	answered, _ := io.Copy(io.Discard, &firstFrames{Reader: c, left: 2})
	if answered > 0 {
		r.count("asked while held still, and answered later", 1)
	}
}

func probeOfRecords(led map[partitionKey]int32) kmsg.Request {
	rq := kmsg.NewPtrFetchRequest()
	rq.Version, rq.SessionEpoch, rq.MaxBytes = 12, -1, 1<<20 // 12: the last one that names topics
	for k, epoch := range led {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.CurrentLeaderEpoch, p.PartitionMaxBytes = k.number, epoch, 1
		t := kmsg.NewFetchRequestTopic()
		t.Topic, t.Partitions = k.topic, []kmsg.FetchRequestTopicPartition{p}
		rq.Topics = append(rq.Topics, t)
	}
	return rq
}

func probeOfCommits() kmsg.Request {
	rq := kmsg.NewPtrOffsetFetchRequest()
	rq.Version = 8
	for _, group := range groups {
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = group
		rq.Groups = append(rq.Groups, g)
	}
	return rq
}

// firstFrames ends after so many of Kafka's frames.
type firstFrames struct {
	io.Reader
	left   int
	frames frames
}

func (f *firstFrames) Read(b []byte) (int, error) {
	if f.left <= 0 {
		return 0, io.EOF
	}
	n, err := f.Reader.Read(b)
	f.frames.add(b[:n], func([]byte) { f.left-- })
	return n, err
}
