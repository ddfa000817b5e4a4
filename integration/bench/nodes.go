package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

var threeNodes = table{"Three nodes beside Apache Kafka's three",
	"Written by `make bench-cluster`. Both clusters are three processes on one machine, with three replicas of every partition\n" +
		"and acks=all; the loads take turns on them, warm, and only one is loaded at a time. Chronik writes to disk and syncs on\n" +
		"each of the nodes before it acknowledges, Apache Kafka 4.3.0, set up as its documentation has it, does not. Medians\n" +
		"with the least and the greatest of the rounds; a ratio is the median of the ratios of each round. CPU and memory are those\n" +
		"of all three. `KAFKA.md` says what the null sink is and what bounds a row.\n",
	besideKafka.head}

// replicated is a topic of three replicas that keeps 256 MiB.
func replicated(partitions int) []string {
	return append(expiring(partitions), "--replication", "3", "--topic-config", "min.insync.replicas=2")
}

var nodeLoads = []load{
	{name: "franz-go, 12 partitions, 1 KiB, linger 5 ms", args: "produce --size 1024 --linger 5ms", topic: replicated(12),
		rows: []row{mbps("200 % of Kafka"), cpuPerGB("3")}},
	{name: "raw, 12 x 5 x 64 KiB", args: "raw --connections 12 --in-flight 5 --batch 65536", topic: replicated(12),
		rows: []row{mbps(""), cpuPerGB("")}},
	{name: "raw, 12 x 5 x 1 KiB", args: "raw --connections 12 --in-flight 5 --batch 1024", topic: replicated(12),
		rows: []row{mbps("2,000 % of Kafka"), cpuPerGB("")}},
	{name: "open loop, 10,000 records/s, linger 0", args: "produce --size 1024 --linger 0 --rate 10000", topic: replicated(12),
		rows: []row{p50("3"), p99("12"), cpuPerGB("")}},
}

// nodes measures three nodes beside three of Apache Kafka's.
func (b *bench) nodes(dir string) (err error) {
	b.result.promised = notSynced
	all := plan{nodes: fleetSize}
	for _, l := range nodeLoads {
		if b.Loads.MatchString(l.name) {
			l.promised = notSynced
			all.loads = append(all.loads, contest{load: l, nodes: fleetSize})
		}
	}
	b.course = b.newCourse([]plan{all})
	p, err := b.sides(dir, all)
	defer p.kill()
	if err != nil {
		return err
	}
	if err := b.idlePair(p); err != nil {
		return err
	}
	if err := b.allLoads(p, all.loads); err != nil {
		return err
	}
	for _, m := range fleetMeasures {
		if b.ctx.Err() == nil && b.Loads.MatchString(m.load) {
			if err := m.run(b, p.kafkaFleet, p.oursFleet); err != nil {
				return fmt.Errorf("%s: %w", m.load, err)
			}
		}
	}
	return b.ctx.Err()
}

// client is one of the fleet's, quick to see that something has changed.
func (f *fleet) client(more ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(strings.Split(f.brokers(), ",")...), kgo.MetadataMinAge(10 * time.Millisecond),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RetryBackoffFn(func(int) time.Duration { return 10 * time.Millisecond }),
	}, more...)...)
}

// settle is how long a fleet may take to come to where it should.
const settle = 2 * time.Minute

// until asks again and again until yes, or err of the last time when it took too long.
func until(ctx context.Context, what string, yes func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	for {
		ok, err := yes(ctx)
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: not within %s: %w", what, settle, errors.Join(err, ctx.Err()))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// ready waits until all nodes are there.
func (f *fleet) ready(ctx context.Context) error {
	return f.admin(func(a *kadm.Client) error {
		return until(ctx, f.name+": all brokers", func(ctx context.Context) (bool, error) {
			brokers, err := a.ListBrokers(ctx)
			return len(brokers) == len(f.nodes), err
		})
	})
}

// isWhole says whether all replicas are in sync, and the preferred one leads.
func isWhole(p kadm.PartitionDetail) bool {
	return len(p.ISR) == fleetSize && p.Leader == p.Replicas[0]
}

// recover waits until all partitions are whole, but not for the controller to balance the leaders, which Kafka's does every
// five minutes. A node may tell of a time when all was whole before, so leaders are elected again and again.
func (f *fleet) recover(ctx context.Context, topics ...string) error {
	return f.admin(func(a *kadm.Client) error {
		return until(ctx, f.name+": preferred leaders", func(ctx context.Context) (bool, error) {
			if _, err := a.ElectLeaders(ctx, kadm.ElectPreferredReplica, nil); err != nil {
				return false, err
			}
			return all(ctx, a, topics, isWhole)
		})
	})
}

// inSync waits until every partition of the topics has all its replicas in sync.
func (f *fleet) inSync(ctx context.Context, topics ...string) error {
	return f.partitions(ctx, "all replicas in sync", topics, func(p kadm.PartitionDetail) bool { return len(p.ISR) == fleetSize })
}

// led waits until every partition of the topics has a leader that is not the first node, which is down.
func (f *fleet) led(ctx context.Context, topics ...string) error {
	return f.partitions(ctx, "leaders of all partitions", topics, func(p kadm.PartitionDetail) bool { return p.Leader > 1 })
}

func (f *fleet) partitions(ctx context.Context, what string, topics []string, good func(kadm.PartitionDetail) bool) error {
	return f.admin(func(a *kadm.Client) error {
		return until(ctx, f.name+": "+what, func(ctx context.Context) (bool, error) { return all(ctx, a, topics, good) })
	})
}

// all says whether every partition of the topics is there, and good.
func all(ctx context.Context, a *kadm.Client, topics []string, good func(kadm.PartitionDetail) bool) (bool, error) {
	got, err := a.ListTopics(ctx, topics...)
	ok := err == nil
	for _, name := range topics {
		ok = ok && got[name].Err == nil && len(got[name].Partitions) > 0
		for _, p := range got[name].Partitions {
			ok = ok && p.Err == nil && good(p)
		}
	}
	return ok, err
}

func (f *fleet) admin(do func(*kadm.Client) error) error {
	client, err := f.client()
	if err != nil {
		return err
	}
	defer client.Close()
	return do(kadm.NewClient(client))
}
