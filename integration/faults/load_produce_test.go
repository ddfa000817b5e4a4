package faults

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A producerKind is how a producer gets its records through.
type producerKind struct {
	idempotent bool
	acks       kgo.Acks
	// lasting: it lives through the broker's crashes and sends again what was not answered, so that idempotence is put
	// to the test by retries that cross a crash. Others try once, and what they do not know stays unknown.
	lasting bool
}

var producerKinds = []producerKind{
	{idempotent: true, acks: kgo.AllISRAcks()},
	{acks: kgo.AllISRAcks()},
	{acks: kgo.LeaderAck()},
}

var lastingKinds = []producerKind{
	{idempotent: true, acks: kgo.AllISRAcks(), lasting: true},
	{idempotent: true, acks: kgo.AllISRAcks(), lasting: true},
	{acks: kgo.LeaderAck(), lasting: true},
}

var codecs = []func() kgo.CompressionCodec{
	kgo.NoCompression, kgo.GzipCompression, kgo.SnappyCompression, kgo.Lz4Compression, kgo.ZstdCompression,
}

// clientOptions make a client notice at once that the broker is back.
func clientOptions(addresses ...string) []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(addresses...), kgo.MetadataMinAge(10 * time.Millisecond), kgo.AlwaysRetryEOF(),
		kgo.RetryBackoffFn(func(int) time.Duration { return 5 * time.Millisecond }),
	}
}

// clientOptions are those of all clients.
func (l *clients) clientOptions() []kgo.Opt {
	return slices.Concat(clientOptions(l.addresses()...), []kgo.Opt{kgo.Dialer(l.dial)}, l.options)
}

// maxBatch is more than a small log's file holds.
const maxBatch = 3 << 20

func (k producerKind) options(opts []kgo.Opt, codec kgo.CompressionCodec, linger time.Duration) []kgo.Opt {
	opts = append(opts, kgo.RequiredAcks(k.acks), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codec), kgo.ProducerLinger(linger), kgo.ProducerBatchMaxBytes(maxBatch))
	switch {
	case k.idempotent:
		opts = append(opts, kgo.StopProducerOnDataLossDetected())
	case k.lasting:
		opts = append(opts, kgo.DisableIdempotentWrite())
	default:
		opts = append(opts, kgo.DisableIdempotentWrite(), kgo.RecordRetries(0), kgo.MaxProduceRequestsInflightPerBroker(4))
	}
	return opts
}

// A producer sends records, in bursts, and notes what becomes of them. One goroutine runs it at a time.
type producer struct {
	producerKind
	clients  *clients
	number   uint32
	dice     *rand.Rand
	client   *kgo.Client
	window   chan struct{} // a place for each record that is not answered yet
	heavy    bool          // large records, without pauses
	sequence uint64
	sizes    map[uint32]int32 // of topics
}

func (l *clients) newProducer(kind producerKind) *producer {
	l.t.Helper()
	l.producers++
	p := &producer{
		producerKind: kind, clients: l, number: l.producers, dice: l.newDice(uint64(l.producers)),
		sizes: map[uint32]int32{}, window: make(chan struct{}, []int{1, 10, 100}[l.dice.IntN(3)]),
	}
	linger := time.Duration(l.dice.IntN(2)) * time.Millisecond
	client, err := kgo.NewClient(kind.options(l.clientOptions(), codecs[p.number%5](), linger)...)
	if err != nil {
		l.t.Fatal(err)
	}
	p.client = client
	return p
}

func (p *producer) run(ctx context.Context) {
	for ctx.Err() == nil {
		topic := p.clients.ledger.pick(p.dice, p.lasting)
		partition := p.dice.Int32N(p.size(topic))
		burst := 1 + p.dice.IntN(20)
		for range burst {
			if !p.send(ctx, topic, partition) {
				return
			}
		}
		if !p.heavy {
			pause(ctx, time.Duration(p.dice.Int64N(int64(8*time.Millisecond))))
		}
	}
}

// size is how many partitions the topic had when p first used it: of those that came later its client need not know.
func (p *producer) size(t *topicLedger) int32 {
	if p.sizes[t.serial] == 0 {
		p.sizes[t.serial] = p.clients.ledger.sizeOf(t)
	}
	return p.sizes[t.serial]
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// send says whether there was a place for the record.
func (p *producer) send(ctx context.Context, topic *topicLedger, partition int32) bool {
	select {
	case p.window <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	p.sequence++
	id := recordID{topic.serial, uint32(partition), p.number, p.sequence}
	r := &kgo.Record{Topic: topic.name, Partition: partition, Key: id.key(), Value: p.value(), Timestamp: time.Now()}
	if p.dice.IntN(4) == 0 {
		r.Headers = []kgo.RecordHeader{{Key: "h", Value: r.Value[:len(r.Value)/8]}}
	}
	if p.refusable() && p.dice.IntN(300) == 0 {
		r.Timestamp = r.Timestamp.Add(ahead)
	}
	p.clients.ledger.send(topic, partition, id, r, p.lasting && !p.idempotent)
	// Not with ctx: what the client would do to give a record up hides what the broker does with it.
	p.client.Produce(context.Background(), r, func(r *kgo.Record, err error) {
		p.answered(topic, id, r, err)
		<-p.window
	})
	return true
}

// ahead is more than message.timestamp.after.max.ms: such a record is refused.
const ahead = 10 * 24 * time.Hour

// refusable: an idempotent producer of franz-go's takes a new epoch after that, and a lasting one would mix it up
// with what it sends again.
func (p *producer) refusable() bool { return !p.idempotent && !p.lasting }

func (p *producer) answered(topic *topicLedger, id recordID, r *kgo.Record, err error) {
	l := p.clients.ledger
	switch {
	case err == nil:
		l.acknowledge(topic, id, r)
	case errors.Is(err, kerr.InvalidTimestamp) && p.refusable():
		if time.Until(r.Timestamp) > ahead/2 { // franz-go also fails those that were sent behind it, which may have been taken
			l.with(func() { topic.partition(int32(id.partition)).sent[id].outcome = refused })
		}
	case p.lasting && p.idempotent, !p.clients.crashing.Load():
		l.with(func() {
			if topic.usable() { // it may have been deleted
				l.complain("%v failed: %v", id, err)
			}
		})
	}
}

// value is some bytes, of which a half can be compressed.
func (p *producer) value() []byte {
	b := make([]byte, p.length())
	for at := 0; at < len(b)/2; at += 8 {
		n := p.dice.Uint64()
		for i := range min(8, len(b)/2-at) {
			b[at+i] = byte(n >> (8 * i))
		}
	}
	return b
}

func (p *producer) length() int {
	most := 1000
	switch n := p.dice.IntN(1000); {
	case p.clients.most > 0:
		most = p.clients.most
	case p.heavy:
		most = 200_000
	case n == 0:
		most = maxBatch / 2
	case n < 10:
		most = 150_000
	case n < 100:
		most = 10_000
	}
	return p.dice.IntN(most)
}
