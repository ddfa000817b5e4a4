package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fleetMeasures are what is no load of chronik-bench.
var fleetMeasures = []struct {
	load string
	run  func(b *bench, kafka, ours *fleet) error
}{
	{"gaps", (*bench).gaps},
	{"metadata failover", (*bench).metadataFailover},
	{commitsLoad, (*bench).commits},
	{"coordinator gaps", (*bench).coordinatorGaps},
	{"10,000 partitions", (*bench).manyPartitions},
}

// metadataFailover measures how long metadata cannot be changed after the controller was killed: a topic is asked for, by a
// node that is there, until it is made.
func (b *bench) metadataFailover(_, ours *fleet) error {
	const times = 10
	var took []float64
	for i := range times {
		if err := ours.ready(b.ctx); err != nil {
			return err
		}
		s, err := b.controllerKilled(ours, fmt.Sprint("failover", i))
		if err != nil {
			return err
		}
		took = append(took, s)
	}
	b.result.line("controller kill -9: time until another node makes a topic", "0.6 s", "", spread(took, "s"), "")
	return nil
}

func (b *bench) controllerKilled(f *fleet, name string) (seconds float64, err error) {
	client, err := f.client()
	if err != nil {
		return 0, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	meta, err := admin.BrokerMetadata(b.ctx)
	if err != nil {
		return 0, err
	}
	id := int(meta.Controller)
	other := client.Broker(id%fleetSize + 1)
	rq := kmsg.NewPtrCreateTopicsRequest()
	rq.TimeoutMillis = 1000
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = name, 1, 2
	rq.Topics = append(rq.Topics, rt)
	f.nodes[id-1].kill()
	began := time.Now()
	err = until(b.ctx, "a topic is made", func(ctx context.Context) (bool, error) {
		resp, err := rq.RequestWith(ctx, other)
		if err != nil {
			return false, err
		}
		code := resp.Topics[0].ErrorCode
		return code == 0 || code == 36, fmt.Errorf("error code %d", code) // made, or made by the attempt before
	})
	seconds = time.Since(began).Seconds()
	return seconds, errors.Join(err, f.startNode(b.ctx, id))
}

// manyPartitions measures what 10,000 partitions of three replicas cost: to make them, to have them, to lose a node, to
// start it again.
func (b *bench) manyPartitions(_, ours *fleet) error {
	const topics, each = 10, 1000
	var names []string
	for i := range topics {
		names = append(names, fmt.Sprint("many", i))
	}
	began := time.Now()
	if err := ours.create(b.ctx, each, names...); err != nil {
		return err
	}
	if err := ours.oneEach(b.ctx, each, names...); err != nil {
		return err
	}
	line := func(what, target, value string) {
		b.result.line("10,000 partitions: "+what, target, "", value, "")
		fmt.Fprintf(b.progress, "10,000 partitions: %s: %s\n", what, value)
	}
	line("made, and a record acknowledged in each", "30 s", fmt.Sprintf("%.1f s", time.Since(began).Seconds()))
	idle, err := b.idleCPU(ours)
	if err != nil {
		return err
	}
	line("CPU of an idle node, of one core", "5 %", fmt.Sprintf("%.1f %%", idle))
	rss, err := ours.memory("VmRSS")
	if err != nil {
		return err
	}
	line("resident memory of three nodes", "", fmt.Sprintf("%.0f MiB", rss))
	ours.nodes[0].kill()
	began = time.Now()
	if err := ours.led(b.ctx, names...); err != nil {
		return err
	}
	line("a third loses its leader by kill -9: time until all have another", "5 s", fmt.Sprintf("%.2f s", time.Since(began).Seconds()))
	began = time.Now()
	if err := ours.startNode(b.ctx, 1); err != nil {
		return err
	}
	if err := ours.nodes[0].serves(b.ctx); err != nil {
		return err
	}
	line("the node's restart, until it answers", "10 s", fmt.Sprintf("%.2f s", time.Since(began).Seconds()))
	if err := ours.inSync(b.ctx, names...); err != nil {
		return err
	}
	line("until all its replicas are in sync", "", fmt.Sprintf("%.2f s", time.Since(began).Seconds()))
	return nil
}

// oneEach waits until a record is acknowledged in every partition. Brokers may hear of a new topic later than who made it.
func (f *fleet) oneEach(ctx context.Context, partitions int32, topics ...string) error {
	client, err := f.client(kgo.UnknownTopicRetries(-1))
	if err != nil {
		return err
	}
	defer client.Close()
	var records []*kgo.Record
	for _, name := range topics {
		for p := range partitions {
			records = append(records, &kgo.Record{Topic: name, Partition: p, Value: []byte("one")})
		}
	}
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	return client.ProduceSync(ctx, records...).FirstErr()
}

// idleCPU is in percent of a core, of the node that uses most.
func (b *bench) idleCPU(f *fleet) (most float64, err error) {
	if err := b.pause(5 * time.Second); err != nil {
		return 0, err
	}
	var before [fleetSize]float64
	for i, n := range f.nodes {
		if before[i], err = n.cpu(); err != nil {
			return 0, err
		}
	}
	const window = 10 * time.Second
	if err := b.pause(window); err != nil {
		return 0, err
	}
	for i, n := range f.nodes {
		now, err := n.cpu()
		if err != nil {
			return 0, err
		}
		most = max(most, 100*(now-before[i])/window.Seconds())
	}
	return most, nil
}
