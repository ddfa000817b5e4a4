package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	gapsTopic      = "gaps"
	gapsPartitions = 12
	gapsRate       = 2400 // records/s over all partitions
)

// A blow is what befalls a node of a fleet, and how it is made good.
type blow struct {
	name        string
	strike      func(*server) error
	heal        func(*bench, *fleet, int) error
	times       int // of ours
	p50, target string
	pulse       func(*bench, *fleet) (heart, error)
	sudden      bool // strike does not wait for the node's end
}

// A heart is a producer that sends to every partition at a steady rate and notes for how long none was acknowledged.
type heart interface {
	forget()                                      // begins to measure
	beats(ctx context.Context, led []int32) error // waits until each of the partitions is acknowledged steadily again
	longest(led []int32) (seconds []float64)      // without an acknowledgement, of each
	end() error
}

var blows = []blow{
	{"kill -9", func(s *server) error { s.kill(); return nil }, startAgain, 10, "1 s", "2 s", patient, true},
	{"held still, so that nothing is refused (SIGSTOP), Kafka's producer with request.timeout.ms=500", hold, goOn, 10, "", "3 s", (*bench).javaPulse, true},
	{"held still (SIGSTOP), franz-go's timeouts 2 s", hold, goOn, 10, "", "", impatient, true},
	{"held still (SIGSTOP), franz-go's own timeouts of 20 s", hold, goOn, 2, "", "", patient, true},
	{"stopped in order (SIGTERM)", (*server).stop, startAgain, 10, "", "0.2 s", patient, false},
}

func hold(s *server) error { return s.cmd.Process.Signal(syscall.SIGSTOP) }

func goOn(_ *bench, f *fleet, id int) error { return f.nodes[id-1].cmd.Process.Signal(syscall.SIGCONT) }

func startAgain(b *bench, f *fleet, id int) error { return f.startNode(b.ctx, id) }

// gaps measures how long a producer gets no acknowledgement for the partitions that a node leads when something befalls
// it. Kafka's nodes take much longer each time, and are struck less often.
func (b *bench) gaps(kafka, ours *fleet) error {
	if err := b.gapsTopics(kafka, ours); err != nil {
		return err
	}
	for _, blow := range blows {
		if err := b.gapsOf(blow, kafka, ours); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) gapsTopics(fleets ...*fleet) error {
	for _, f := range fleets {
		if err := f.create(b.ctx, gapsPartitions, gapsTopic); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) gapsOf(blow blow, kafka, ours *fleet) error {
	var text [2][3]string
	for i, f := range []*fleet{kafka, ours} {
		times := blow.times
		if f == kafka {
			times = max(2, times/4)
		}
		gaps, anew, err := b.strikes(f, blow, times)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", f.name, blow.name, err)
		}
		text[i] = [3]string{spread(gaps, "s"), fmt.Sprintf("%s s of %d", digits(percentile(gaps, 99)), len(gaps)), spread(anew, "s")}
	}
	what := "leader " + blow.name + ": longest time without an acknowledgement, per partition, "
	led := ""
	if blow.sudden {
		led = "another node led its partitions after " + text[1][2]
	}
	b.result.line(what+"p50", blow.p50, text[0][0], text[1][0], "").why = led
	b.result.line(what+"p99", blow.target, text[0][1], text[1][1], "").why = led
	if blow.sudden {
		b.result.line("leader "+blow.name+": until another node leads its partitions", "", text[0][2], text[1][2], "")
	}
	return nil
}

// strikes are the gaps in seconds, the shortest first, of every partition that the struck nodes led, and how long it took each
// time until other nodes led these: a client's own timeouts are not in that.
func (b *bench) strikes(f *fleet, blow blow, times int) (all, anew []float64, err error) {
	p, err := blow.pulse(b, f)
	if p != nil {
		defer func() { err = errors.Join(err, p.end()) }()
	}
	if err != nil {
		return nil, nil, err
	}
	for i := range times {
		if err := f.recover(b.ctx, gapsTopic); err != nil {
			return nil, nil, err
		}
		id := i%fleetSize + 1
		led, err := f.leads(b.ctx, id)
		if err != nil {
			return nil, nil, err
		}
		p.forget()
		begin := time.Now()
		if err := blow.strike(f.nodes[id-1]); err != nil {
			return nil, nil, err
		}
		if err := f.ledWithout(b.ctx, id); err != nil {
			return nil, nil, err
		}
		anew = append(anew, time.Since(begin).Seconds())
		if err := p.beats(b.ctx, led); err != nil {
			return nil, nil, err
		}
		all = append(all, p.longest(led)...)
		if err := blow.heal(b, f, id); err != nil {
			return nil, nil, err
		}
		fmt.Fprintf(b.progress, "%-50s %-8s node %d: %.2f s at most, led anew after %.2f s\n",
			blow.name, f.name, id, slices.Max(p.longest(led)), anew[i])
	}
	slices.Sort(all)
	return all, anew, nil
}

// ledWithout waits until the other nodes say that none of the partitions is led by node id, or by nobody.
func (f *fleet) ledWithout(ctx context.Context, id int) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(f.nodes[id%len(f.nodes)].addr))
	if err != nil {
		return err
	}
	defer client.Close()
	rq := kmsg.NewPtrMetadataRequest()
	rq.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr(gapsTopic)}}
	return until(ctx, "other leaders", func(ctx context.Context) (bool, error) {
		answer, err := client.SeedBrokers()[0].Request(ctx, rq)
		if err != nil {
			return false, err
		}
		for _, p := range answer.(*kmsg.MetadataResponse).Topics[0].Partitions {
			if p.Leader == int32(id) || p.Leader < 0 {
				return false, nil
			}
		}
		return true, nil
	})
}

// leads are the partitions that a node leads, as soon as it leads any: who is asked may know a moment later than who was.
func (f *fleet) leads(ctx context.Context, id int) (led []int32, err error) {
	err = f.admin(func(a *kadm.Client) error {
		return until(ctx, fmt.Sprintf("%s: a partition that node %d leads", f.name, id), func(ctx context.Context) (bool, error) {
			topics, err := a.ListTopics(ctx, gapsTopic)
			led = led[:0]
			for _, p := range topics[gapsTopic].Partitions.Sorted() {
				if p.Leader == int32(id) {
					led = append(led, p.Partition)
				}
			}
			return len(led) > 0, err
		})
	})
	return led, err
}

// A pulse is the heart of franz-go. Its look at the metadata waits its turn behind the connections to a node that is held still, which
// that one's kernel takes and nobody answers: so it may learn late who leads instead.
type pulse struct {
	client *kgo.Client
	stop   context.CancelFunc
	ended  sync.WaitGroup

	silence
	last  [gapsPartitions]time.Time // of an acknowledgement
	acked [gapsPartitions]int       // since forget
	fail  error
}

// silence is the longest time without an acknowledgement, by partition.
type silence struct {
	mu   sync.Mutex // guards also what a heart has beside it
	most [gapsPartitions]time.Duration
}

func (s *silence) longest(led []int32) (seconds []float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range led {
		seconds = append(seconds, s.most[n].Seconds())
	}
	return seconds
}

// patient is a pulse that waits 20 s for the answer of a node that is held still, as its client does by default.
func patient(b *bench, f *fleet) (heart, error) { return b.pulse(f) }

func impatient(b *bench, f *fleet) (heart, error) {
	return b.pulse(f, kgo.ProduceRequestTimeout(time.Second), kgo.RequestTimeoutOverhead(time.Second))
}

func (b *bench) pulse(f *fleet, more ...kgo.Opt) (heart, error) {
	opts := []kgo.Opt{kgo.ProducerLinger(0), kgo.UnknownTopicRetries(-1), kgo.MaxBufferedRecords(1 << 20), kgo.DefaultProduceTopic(gapsTopic)}
	client, err := f.client(append(opts, more...)...)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(b.ctx)
	p := &pulse{client: client, stop: stop}
	p.forget()
	p.ended.Go(func() { p.run(ctx) })
	return p, nil
}

func (p *pulse) run(ctx context.Context) {
	value := make([]byte, 1024)
	tick := time.NewTicker(gapsPartitions * time.Second / gapsRate)
	defer tick.Stop()
	for {
		for n := range int32(gapsPartitions) {
			p.client.Produce(ctx, &kgo.Record{Partition: n, Value: value}, p.acknowledged)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (p *pulse) acknowledged(r *kgo.Record, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		if ended := errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed); !ended && p.fail == nil {
			p.fail = fmt.Errorf("a record was not acknowledged: %w", err)
		}
		return
	}
	now := time.Now()
	p.most[r.Partition] = max(p.most[r.Partition], now.Sub(p.last[r.Partition]))
	p.last[r.Partition] = now
	p.acked[r.Partition]++
}

// forget begins to measure.
func (p *pulse) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.most, p.acked = [gapsPartitions]time.Duration{}, [gapsPartitions]int{}
	for n := range p.last {
		p.last[n] = time.Now()
	}
}

// beats waits until each of the partitions has been acknowledged steadily again.
func (p *pulse) beats(ctx context.Context, led []int32) error {
	return until(ctx, "acknowledgements of every partition", func(context.Context) (bool, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, n := range led {
			if p.acked[n] < 2*gapsRate/gapsPartitions || time.Since(p.last[n]) > time.Second {
				return false, p.fail
			}
		}
		return true, p.fail
	})
}

func (p *pulse) end() error {
	p.stop()
	p.ended.Wait()
	p.client.Close()
	return p.fail
}

// create makes topics of three replicas where they are missing.
func (f *fleet) create(ctx context.Context, partitions int32, topics ...string) error {
	return f.admin(func(a *kadm.Client) error {
		most := fmt.Sprint(min(2, len(f.nodes)))
		made, err := a.CreateTopics(ctx, partitions, int16(len(f.nodes)), map[string]*string{"min.insync.replicas": &most}, topics...)
		if err != nil {
			return err
		}
		return made.Error()
	})
}
