package faults

import (
	"context"
	"encoding/binary"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// goodClient produces records, small and large, and reads them back, while others do harm.
type goodClient struct {
	t        *testing.T
	produce  *kgo.Client
	consume  *kgo.Client
	lost     atomic.Int64 // connections
	stop     context.CancelFunc
	stopped  context.Context
	work     sync.WaitGroup
	arriving chan uint64

	mu        sync.Mutex
	acked     map[uint64]bool
	latencies []time.Duration
}

const goodTopic = "good"

// OnBrokerDisconnect is a hook of kgo's.
func (g *goodClient) OnBrokerDisconnect(kgo.BrokerMetadata, net.Conn) {
	if g.stopped.Err() == nil {
		g.lost.Add(1)
	}
}

func startGoodClient(t *testing.T, address string) *goodClient {
	t.Helper()
	g := &goodClient{t: t, acked: map[uint64]bool{}, arriving: make(chan uint64, 1<<20)}
	g.stopped, g.stop = context.WithCancel(context.Background())
	common := []kgo.Opt{kgo.SeedBrokers(address), kgo.ConnIdleTimeout(15 * time.Minute), kgo.WithHooks(g)}
	open := func(opts ...kgo.Opt) *kgo.Client {
		c, err := kgo.NewClient(append(opts, common...)...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	g.produce = open(kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RecordDeliveryTimeout(2*time.Minute))
	g.consume = open(kgo.ConsumeTopics(goodTopic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	g.work.Go(g.writeAll)
	g.work.Go(g.readAll)
	return g
}

// writeAll goes by the clock, not by the answers: a stall counts for every record that falls into it.
func (g *goodClient) writeAll() {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for n := uint64(0); ; n++ {
		select {
		case <-g.stopped.Done():
			if err := g.produce.Flush(context.Background()); err != nil {
				g.t.Errorf("flush: %v", err)
			}
			return
		case due := <-tick.C:
			value := make([]byte, 100)
			if n%20 == 0 { // a large one, which the broker reads into another kind of memory
				value = make([]byte, 100<<10)
			}
			binary.BigEndian.PutUint64(value, n)
			g.produce.Produce(context.Background(), &kgo.Record{Topic: goodTopic, Value: value}, func(_ *kgo.Record, err error) { g.ack(n, due, err) })
		}
	}
}

func (g *goodClient) ack(n uint64, due time.Time, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.t.Errorf("record %d was not acknowledged: %v", n, err)
		return
	}
	g.acked[n] = true
	g.latencies = append(g.latencies, time.Since(due))
}

func (g *goodClient) readAll() {
	for {
		got := g.consume.PollFetches(context.Background())
		if got.IsClientClosed() {
			return
		}
		got.EachError(func(_ string, _ int32, err error) { g.t.Errorf("read: %v", err) })
		got.EachRecord(func(r *kgo.Record) { g.arriving <- binary.BigEndian.Uint64(r.Value) })
	}
}

// window returns the latencies since the last call, sorted.
func (g *goodClient) window() []time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.latencies
	g.latencies = nil
	slices.Sort(l)
	return l
}

func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, len(sorted)*p/100)].Round(10 * time.Microsecond)
}

// finish checks that every record was acknowledged and read once, and returns how many there are.
func (g *goodClient) finish() int {
	g.t.Helper()
	lost := g.lost.Load()
	g.stop()
	acked := make(chan struct{})
	go func() {
		_ = g.produce.Flush(context.Background())
		close(acked)
	}()
	select {
	case <-acked:
	case <-time.After(time.Minute):
		g.t.Error("records are not acknowledged")
	}
	seen := map[uint64]int{}
	for timeout := time.After(time.Minute); len(seen) < g.acknowledged(); {
		select {
		case n := <-g.arriving:
			seen[n]++
			continue
		case <-timeout:
			g.t.Errorf("%d records were acknowledged and %d were read", g.acknowledged(), len(seen))
		}
		break
	}
	g.produce.Close()
	g.consume.Close()
	g.work.Wait()
	close(g.arriving)
	for n := range g.arriving {
		seen[n]++
	}
	for n, times := range seen {
		if times != 1 || !g.acked[n] {
			g.t.Errorf("record %d was read %d times, acknowledged: %v", n, times, g.acked[n])
		}
	}
	if lost != 0 {
		g.t.Errorf("%d connections of the good clients were lost", lost)
	}
	return len(seen)
}

func (g *goodClient) acknowledged() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.acked)
}
