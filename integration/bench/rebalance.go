package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	groupMembers = 100
	groupTopic   = "grouped"
	heartbeat    = 200 * time.Millisecond // with the usual 3 s it is the clients that would be measured
)

// rebalance measures how long the members of a group of the classic protocol are without some partitions: when all come at
// once, when one leaves, and when one comes.
func (b *bench) rebalance(p *pair) error {
	b.result.note("the group of %d members has heartbeats of %s", groupMembers, heartbeat)
	load := fmt.Sprintf("group of %d members, until all partitions are assigned", groupMembers)
	all, left, joined := timed{load: load, measure: "all come"}, timed{load: load, measure: "one has left"}, timed{load: load, measure: "one has come"}
	for side, f := range []*fleet{p.kafkaFleet, p.oursFleet} {
		if err := f.create(b.ctx, groupMembers, groupTopic); err != nil {
			return err
		}
		for round := range b.Rounds {
			g := &consumerGroup{fleet: f, name: fmt.Sprint("group", round)}
			err := g.rebalances(b.ctx, &all.seconds[side], &left.seconds[side], &joined.seconds[side])
			g.end()
			if err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
		}
	}
	for _, t := range []timed{all, left, joined} {
		b.timed(t)
	}
	return nil
}

// consumerGroup is a group's members, and what each of them has.
type consumerGroup struct {
	fleet   *fleet
	name    string
	clients []*kgo.Client

	mu  sync.Mutex
	has map[*kgo.Client]int
}

func (g *consumerGroup) rebalances(ctx context.Context, all, left, joined *[]float64) error {
	g.has = map[*kgo.Client]int{}
	for _, step := range []struct {
		into *[]float64
		do   func() error
	}{
		{all, func() error { return g.join(groupMembers) }},
		{left, func() error { return g.leave() }},
		{joined, func() error { return g.join(1) }},
	} {
		began := time.Now()
		if err := step.do(); err != nil {
			return err
		}
		if err := until(ctx, "all partitions assigned", func(context.Context) (bool, error) { return g.assigned() }); err != nil {
			return err
		}
		*step.into = append(*step.into, time.Since(began).Seconds())
	}
	return nil
}

func (g *consumerGroup) join(n int) error {
	count := func(by int) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, c *kgo.Client, partitions map[string][]int32) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.has[c] += by * len(partitions[groupTopic])
		}
	}
	for range n {
		c, err := kgo.NewClient(kgo.SeedBrokers(g.fleet.nodes[0].addr), kgo.ConsumerGroup(g.name), kgo.ConsumeTopics(groupTopic),
			kgo.HeartbeatInterval(heartbeat), kgo.OnPartitionsAssigned(count(1)), kgo.OnPartitionsRevoked(count(-1)), kgo.OnPartitionsLost(count(-1)))
		if err != nil {
			return err
		}
		g.clients = append(g.clients, c)
	}
	return nil
}

// leave has the first member leave in order.
func (g *consumerGroup) leave() error {
	c := g.clients[0]
	g.clients = g.clients[1:]
	c.Close()
	return nil
}

// assigned says whether all partitions are, with one at least for each member.
func (g *consumerGroup) assigned() (bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	sum := 0
	for _, c := range g.clients {
		if g.has[c] == 0 {
			return false, nil
		}
		sum += g.has[c]
	}
	return sum == groupMembers, nil
}

func (g *consumerGroup) end() {
	var all sync.WaitGroup
	for _, c := range g.clients {
		all.Go(c.Close)
	}
	all.Wait()
}
