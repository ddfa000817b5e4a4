package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A load is all producers of a run.
type load struct {
	config *Config
	run    uint64
	clock  clock
	from   int64 // when the warm-up ends
	gaps   *gapMeter
	errors *errorCounts

	producers []*producer
	sent      atomic.Int64
	ended     atomic.Int64 // promises, kept or broken
	acked     atomic.Int64
	last      atomic.Int64 // when a promise was last kept, or made while there was no other
	gaveUp    atomic.Bool
}

// producer is one client. Its promises are called by one goroutine of the client.
type producer struct {
	load       *load
	id         uint32
	client     *kgo.Client
	partitions []int32
	sequences  []int64   // by index in partitions
	pool       sync.Pool // of *kgo.Record; its Value is kept

	mu    sync.Mutex // of what follows: the verify file takes from acks, and what is given up on may still come
	acks  *ledger
	meter *meter
}

func newLoad(c *Config, t *target, run uint64, clk clock, kept *verifyFile) (*load, error) {
	now := clk.now()
	l := &load{config: c, run: run, clock: clk, from: now + int64(c.Warmup), gaps: newGapMeter(now), errors: new(errorCounts)}
	var closed func(int32, span)
	if kept != nil {
		closed = kept.span
	}
	for id := range c.Clients {
		client, err := kgo.NewClient(c.produceOptions()...)
		if err != nil {
			l.close()
			return nil, err
		}
		l.producers = append(l.producers, newProducer(l, uint32(id), client, t, closed))
	}
	kept.flushFirst(l.settle)
	return l, nil
}

func newProducer(l *load, id uint32, client *kgo.Client, t *target, closed func(int32, span)) *producer {
	p := &producer{load: l, id: id, client: client, acks: newLedger(closed), meter: newMeter(l.from)}
	for partition := range t.ends {
		p.partitions = append(p.partitions, partition)
	}
	slices.Sort(p.partitions)
	p.sequences = make([]int64, len(p.partitions))
	p.pool.New = func() any { return &kgo.Record{Value: make([]byte, 0, l.config.Size.most)} }
	return p
}

func (c *Config) produceOptions() []kgo.Opt {
	options := append(c.baseOptions(),
		kgo.DefaultProduceTopic(c.Topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(c.Batch),
		kgo.ProducerLinger(c.Linger),
		kgo.ProducerBatchCompression(codecs[c.Compression]),
		kgo.RequiredAcks(ackModes[c.Acks]),
		kgo.MaxBufferedRecords(c.Buffer/c.Size.least+1),
		kgo.MaxBufferedBytes(c.Buffer),
		kgo.UnknownTopicRetries(-1), // a broker that starts may not know the topic yet
	)
	if c.Idempotent {
		return append(options, kgo.StopProducerOnDataLossDetected())
	}
	return append(options, kgo.DisableIdempotentWrite())
}

// produce sends until the records or the time are up or a signal ends ctx, then waits for the last acknowledgements.
func (l *load) produce(signalled context.Context) {
	hard, giveUp := context.WithCancel(context.WithoutCancel(signalled))
	defer giveUp()
	ctx, end := context.WithCancel(signalled)
	defer end()
	if l.config.Duration > 0 {
		timer := time.AfterFunc(l.config.Duration, end)
		defer timer.Stop()
	}
	go func() {
		defer end()
		l.watch(signalled, ctx, hard, giveUp)
	}()
	l.each(func(p *producer) { p.send(ctx, hard) })
	end()
	l.each(func(p *producer) { p.drain(hard) })
	l.gaps.acked(l.clock.now()) // what came last may be long ago
}

func (l *load) each(do func(*producer)) {
	var all sync.WaitGroup
	for _, p := range l.producers {
		all.Go(func() { do(p) })
	}
	all.Wait()
}

// watch gives up on a broker that answers nothing for a whole grace after ctx has ended, or for a delivery timeout before.
func (l *load) watch(signalled, ctx, hard context.Context, giveUp func()) {
	if !l.answered(ctx) {
		l.gaveUp.Store(true)
		giveUp()
		return
	}
	l.last.Store(l.clock.now())
	for hard.Err() == nil {
		grace, signal := l.config.graceAfter(signalled), signalled.Done()
		if signalled.Err() != nil {
			signal = nil // it has been seen
		}
		idle := time.Duration(l.clock.now() - l.last.Load())
		if idle >= grace {
			l.gaveUp.Store(true)
			giveUp()
			return
		}
		select {
		case <-hard.Done():
		case <-signal:
		case <-time.After(grace - idle):
		}
	}
}

// answered returns when ctx has ended. It is false where nothing else ends the run, and nothing is acknowledged any more.
func (l *load) answered(ctx context.Context) bool {
	if l.config.Duration > 0 {
		<-ctx.Done()
		return true
	}
	for timeout := l.config.DeliveryTimeout; ; {
		rest := timeout
		if l.sent.Load() > l.ended.Load() {
			rest -= time.Duration(l.clock.now() - l.last.Load())
		}
		if rest <= 0 {
			return false
		}
		select {
		case <-ctx.Done():
			return true
		case <-time.After(rest):
		}
	}
}

// send ends with ctx; hard ends its waiting for room.
func (p *producer) send(ctx, hard context.Context) {
	c := p.load.config
	pace := newPace(p.load.clock, c.Rate, int(p.id), c.Clients)
	share := c.Records / int64(c.Clients)
	if int64(p.id) < c.Records%int64(c.Clients) {
		share++
	}
	for n := int64(0); c.Records == 0 || n < share; n++ {
		at := pace.wait(ctx, n)
		if ctx.Err() != nil {
			return
		}
		p.load.sends()
		p.client.Produce(hard, p.record(p.index(n), at), p.promise)
	}
}

// sends counts a record that is about to be sent; where no other is waited for, the wait begins with it.
func (l *load) sends() {
	if l.sent.Load() == l.ended.Load() {
		l.last.Store(l.clock.now())
	}
	l.sent.Add(1)
}

// drain waits for the acknowledgements of what was sent.
func (p *producer) drain(hard context.Context) {
	if err := p.client.Flush(hard); err != nil {
		p.load.errors.add(errors.New("given up on the records that were not acknowledged"))
		p.abandon()
	}
	p.settle()
}

// abandonTime is more than the client needs to break the promises of what it holds.
const abandonTime = time.Second

// abandon closes the client: it breaks no promise of a batch that may have been written while it can still ask for it,
// so aborting would wait for a broker that is gone.
func (p *producer) abandon() {
	p.client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), abandonTime)
	defer cancel()
	_ = p.client.Flush(ctx) // what it has not broken by then counts as unacknowledged all the same
}

// settle gives what was acknowledged so far to the verify file.
func (l *load) settle() {
	for _, p := range l.producers {
		p.settle()
	}
}

func (p *producer) settle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.acks.settle()
}

// stickyBytes go to a partition before the next one has its turn, as clients do that have no keys: it fills batches.
const stickyBytes = 64 << 10

func (p *producer) index(n int64) int {
	c := p.load.config
	run := max(1, min(stickyBytes, int64(c.Batch))/int64(c.Size.most))
	return int((n/run + int64(p.id)) % int64(len(p.partitions)))
}

func (p *producer) record(index int, at int64) *kgo.Record {
	r := p.pool.Get().(*kgo.Record)
	h := header{run: p.load.run, producer: p.id, partition: p.partitions[index], sequence: p.sequences[index], time: at}
	p.sequences[index]++
	*r = kgo.Record{Partition: h.partition, Value: r.Value[:p.load.config.Size.of(h.sequence)]}
	h.encode(r.Value)
	return r
}

func (p *producer) promise(r *kgo.Record, err error) {
	l, now := p.load, p.load.clock.now()
	defer l.ended.Add(1)
	if err != nil {
		l.errors.add(err)
		return // the client may hold on to it
	}
	l.last.Store(now)
	l.gaps.acked(now)
	l.acked.Add(1)
	p.keep(r, now)
	p.pool.Put(r)
}

func (p *producer) keep(r *kgo.Record, now int64) {
	h := readHeader(r.Value)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.load.config.Acks != "0" {
		p.acks.add(h.partition, h.producer, h.sequence, r.Offset)
	}
	p.meter.record(h.time, now, len(r.Value))
}

func (l *load) close() {
	for _, p := range l.producers {
		p.client.Close()
	}
}

// ledger and meter are those of all producers, after produce.
func (l *load) ledger() *ledger {
	all := newLedger(nil)
	for _, p := range l.producers {
		p.mu.Lock()
		all.merge(p.acks)
		p.mu.Unlock()
	}
	return all
}

func (l *load) meter() *meter {
	all := newMeter(l.from)
	for _, p := range l.producers {
		p.mu.Lock()
		all.merge(p.meter)
		p.mu.Unlock()
	}
	return all
}

var errUnacknowledged = errors.New("records were not acknowledged")
