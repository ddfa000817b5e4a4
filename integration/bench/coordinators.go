package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

const (
	coordinatedTopic  = "coordinated"
	coordinatedGroups = 48
	commitEvery       = 20 * time.Millisecond
	steady            = 50 // commits, after which a group goes on
)

// coordinatorGaps measures for how long a group cannot commit when its coordinator is killed, and sees that no commit that was
// acknowledged is lost by it.
func (b *bench) coordinatorGaps(kafka, ours *fleet) error {
	var text [2][2]string
	for i, f := range []*fleet{kafka, ours} {
		times := 9
		if f == kafka {
			times = 2
		}
		gaps, err := b.coordinatorsKilled(f, times)
		if err != nil {
			return fmt.Errorf("%s: a coordinator is killed: %w", f.name, err)
		}
		text[i] = [2]string{
			fmt.Sprintf("%s s (%s to %s)", digits(median(gaps)), digits(gaps[0]), digits(gaps[len(gaps)-1])),
			fmt.Sprintf("%s s of %d", digits(percentile(gaps, 99)), len(gaps)),
		}
	}
	what := "coordinator kill -9: longest time without an acknowledged commit, per group, "
	b.result.line(what+"p50", "", text[0][0], text[1][0], "")
	b.result.line(what+"p99", "2 s", text[0][1], text[1][1], "")
	return nil
}

func (b *bench) coordinatorsKilled(f *fleet, times int) (all []float64, err error) {
	if err := f.create(b.ctx, 1, coordinatedTopic); err != nil {
		return nil, err
	}
	c := &committing{fleet: f, groups: make([]committed, coordinatedGroups)}
	c.forget()
	ctx, stop := context.WithCancel(b.ctx)
	for i := range c.groups {
		c.all.Go(func() { c.run(ctx, i) })
	}
	defer func() { stop(); c.all.Wait() }()
	for i := range times {
		if err := f.inSync(b.ctx, coordinatedTopic); err != nil {
			return nil, err
		}
		if err := c.goOn(b.ctx); err != nil {
			return nil, err
		}
		id := i%fleetSize + 1
		its, err := c.coordinatedBy(b.ctx, int32(id))
		if err != nil {
			return nil, err
		}
		c.forget()
		f.nodes[id-1].kill()
		if err := c.goOn(b.ctx); err != nil {
			return nil, err
		}
		gaps := c.longest(its)
		all = append(all, gaps...)
		fmt.Fprintf(b.progress, "%-50s %-8s node %d: %.2f s at most\n", "coordinator kill -9", f.name, id, slices.Max(gaps))
		if err := f.startNode(b.ctx, id); err != nil {
			return nil, err
		}
	}
	slices.Sort(all)
	return all, nil
}

// committing is groups that commit their next offset again and again.
type committing struct {
	fleet *fleet
	all   sync.WaitGroup

	mu     sync.Mutex
	groups []committed
	why    error // the last one
}

// committed is how far a group has come.
type committed struct {
	last time.Time
	most time.Duration // between two acknowledgements
	done int           // since forget
	next int64
}

func groupName(i int) string { return fmt.Sprint("coordinated", i) }

func (c *committing) run(ctx context.Context, i int) {
	client, err := c.fleet.client(kgo.MaxVersions(kversion.V3_0_0())) // in which topics go by their names
	if err != nil {
		c.failed(err)
		return
	}
	defer client.Close()
	tick := time.NewTicker(commitEvery)
	defer tick.Stop()
	for n := int64(1); ctx.Err() == nil; {
		if err := commit(ctx, client, groupName(i), n); err == nil {
			c.acknowledged(i, n)
			n++
		} else {
			c.failed(err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func commit(ctx context.Context, client *kgo.Client, group string, offset int64) error {
	rq := kmsg.NewPtrOffsetCommitRequest()
	rq.Group, rq.Generation = group, -1
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = coordinatedTopic
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset = offset
	t.Partitions = append(t.Partitions, p)
	rq.Topics = append(rq.Topics, t)
	resp, err := rq.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
}

// failed notes why a commit was not acknowledged: the coordinator is gone, moves, or loads. It is tried again.
func (c *committing) failed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.why = err
}

func (c *committing) acknowledged(i int, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g, now := &c.groups[i], time.Now()
	g.most = max(g.most, now.Sub(g.last))
	g.last, g.next, g.done = now, n, g.done+1
}

func (c *committing) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.groups {
		g := &c.groups[i]
		g.last, g.most, g.done = time.Now(), 0, 0
	}
}

// goOn waits until every group commits steadily, and finds what it has committed.
func (c *committing) goOn(ctx context.Context) error {
	err := until(ctx, "every group commits", func(context.Context) (bool, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, g := range c.groups {
			if g.done < steady {
				return false, c.why
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	was := slices.Clone(c.groups)
	c.mu.Unlock()
	return c.fleet.admin(func(a *kadm.Client) error {
		for i, g := range was {
			var at int64
			if err := until(ctx, "the offsets of a group", func(ctx context.Context) (bool, error) {
				offsets, err := a.FetchOffsets(ctx, groupName(i))
				is, _ := offsets.Lookup(coordinatedTopic, 0)
				at = is.At
				return err == nil, err
			}); err != nil {
				return err
			}
			if at < g.next {
				return fmt.Errorf("%s has committed %d, and %d was acknowledged", groupName(i), at, g.next)
			}
		}
		return nil
	})
}

// coordinatedBy are the groups that a node coordinates.
func (c *committing) coordinatedBy(ctx context.Context, id int32) (its []int, err error) {
	err = c.fleet.admin(func(a *kadm.Client) error {
		for i := range c.groups {
			found := a.FindGroupCoordinators(ctx, groupName(i))[groupName(i)]
			if found.Err != nil {
				return found.Err
			}
			if found.NodeID == id {
				its = append(its, i)
			}
		}
		if len(its) == 0 {
			return fmt.Errorf("node %d coordinates none of %d groups", id, len(c.groups))
		}
		return nil
	})
	return its, err
}

func (c *committing) longest(its []int) (seconds []float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range its {
		seconds = append(seconds, c.groups[i].most.Seconds())
	}
	return seconds
}
