package faults

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"chronik/integration/broker"
)

const (
	diskTopic      = "records"
	diskPartitions = 4
	diskGroup      = "readers"
)

// diskLoad is clients of one broker and what it promised them: records, topics and committed offsets.
type diskLoad struct {
	t    *testing.T
	seed uint64

	serial atomic.Int64 // of the records

	mu      sync.Mutex // guards what follows
	acked   map[place]int64
	topics  map[string]bool // acknowledged: is there, or is deleted; what is not known has no entry
	commits int64           // acknowledged
	tried   int64           // commits up to this may be there too
	refused error           // the last answer that was none, or an error
}

// place is where a record was acknowledged.
type place struct {
	partition int32
	offset    int64
}

func newDiskLoad(t *testing.T, seed uint64) *diskLoad {
	return &diskLoad{t: t, seed: seed, acked: map[place]int64{}, topics: map[string]bool{}}
}

// value is what the record of that serial number holds: its number, and noise of a length of its own.
func (l *diskLoad) value(serial int64) []byte {
	head := fmt.Appendf(nil, "%d of %d\n", serial, l.seed)
	noise := rand.NewChaCha8(sha256.Sum256(head))
	b := make([]byte, len(head)+8<<10+int(noise.Uint64()%(48<<10)))
	_, _ = noise.Read(b[copy(b, head):])
	return b
}

// client never tries twice: an answer that did not come is unknown.
func (l *diskLoad) client(addr string, more ...kgo.Opt) *kgo.Client {
	l.t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(addr), kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(4), kgo.RecordRetries(0),
		kgo.ProducerLinger(0), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(10 * time.Millisecond),
		kgo.ProducerBatchMaxBytes(1 << 20), kgo.RetryBackoffFn(func(int) time.Duration { return 5 * time.Millisecond }),
	}, more...)...)
	ok(l.t, err)
	return c
}

// run uses the broker until records are acknowledged and the topics had their turn, or ctx ends.
func (l *diskLoad) run(ctx context.Context, addr string, records int) {
	c := l.client(addr)
	defer c.Close()
	admin := kadm.NewClient(c)
	if _, there := l.topics[diskTopic]; !there {
		l.create(ctx, admin, diskTopic, diskPartitions)
	}
	var left atomic.Int64
	left.Store(int64(records))
	var clients sync.WaitGroup
	for p := range int32(diskPartitions - 1) {
		clients.Go(func() {
			for ctx.Err() == nil && left.Add(-1) >= 0 {
				l.produce(ctx, c, p)
			}
		})
	}
	clients.Go(func() {
		for i := 0; ctx.Err() == nil && i < records/16; i++ {
			l.turn(ctx, c, admin, i)
		}
	})
	clients.Wait()
}

func (l *diskLoad) produce(ctx context.Context, c *kgo.Client, partition int32) {
	serial := l.serial.Add(1)
	r, err := c.ProduceSync(ctx, &kgo.Record{Topic: diskTopic, Partition: partition, Value: l.value(serial)}).First()
	l.answered(err, func() { l.acked[place{partition, r.Offset}] = serial })
}

// turn is what an administrator and a reader do now and then: the metadata log has to write.
func (l *diskLoad) turn(ctx context.Context, c *kgo.Client, admin *kadm.Client, i int) {
	l.produce(ctx, c, diskPartitions-1)
	l.mu.Lock()
	l.tried++
	next := l.tried
	l.mu.Unlock()
	var to kadm.Offsets
	to.AddOffset(diskTopic, 0, next, -1)
	l.answered(admin.CommitAllOffsets(ctx, diskGroup, to), func() { l.commits = next })
	name := fmt.Sprintf("passing-%d", l.serial.Add(1))
	l.create(ctx, admin, name, 1)
	if i%2 == 0 {
		l.mu.Lock()
		delete(l.topics, name) // until it is answered, it may be there or not
		l.mu.Unlock()
		answer, err := admin.DeleteTopic(ctx, name)
		if err == nil {
			err = answer.Err
		}
		l.answered(err, func() { l.topics[name] = false })
	}
}

func (l *diskLoad) create(ctx context.Context, admin *kadm.Client, name string, partitions int32) {
	_, err := admin.CreateTopic(ctx, partitions, 1, nil, name)
	l.answered(err, func() { l.topics[name] = true })
}

// answered keeps what was promised, or why nothing was.
func (l *diskLoad) answered(err error, promised func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.refused = err
		return
	}
	promised()
}

// check reads everything back: what was promised must be there, and nothing that was never sent.
func (l *diskLoad) check(addr string) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), broker.Patience)
	defer cancel()
	c := l.client(addr)
	defer c.Close()
	admin := kadm.NewClient(c)
	l.checkTopics(ctx, admin)
	if !l.topics[diskTopic] {
		return // then nothing was produced
	}
	l.checkRecords(ctx, addr, admin)
	if l.tried > 0 {
		l.checkCommits(ctx, admin)
	}
}

func (l *diskLoad) checkTopics(ctx context.Context, admin *kadm.Client) {
	l.t.Helper()
	there, err := admin.ListTopics(ctx)
	ok(l.t, err)
	for name, want := range l.topics {
		if there.Has(name) != want {
			l.t.Errorf("topic %s: acknowledged that it is there: %v; it is: %v", name, want, !want)
		}
	}
}

func (l *diskLoad) checkCommits(ctx context.Context, admin *kadm.Client) {
	l.t.Helper()
	found, err := admin.FetchOffsets(ctx, diskGroup)
	if errors.Is(err, kerr.GroupIDNotFound) && l.commits == 0 {
		return
	}
	ok(l.t, err)
	at, _ := found.Lookup(diskTopic, 0)
	if at.At < l.commits || at.At > l.tried {
		l.t.Errorf("committed offset %d: %d was acknowledged, up to %d was tried", at.At, l.commits, l.tried)
	}
}

// checkRecords reads every partition from its first record to its end.
func (l *diskLoad) checkRecords(ctx context.Context, addr string, admin *kadm.Client) {
	l.t.Helper()
	ends, err := admin.ListEndOffsets(ctx, diskTopic)
	ok(l.t, err)
	ok(l.t, ends.Error())
	from, left := map[int32]kgo.Offset{}, int64(0)
	ends.Each(func(o kadm.ListedOffset) {
		from[o.Partition] = kgo.NewOffset().At(0)
		left += o.Offset
	})
	if left < int64(len(l.acked)) {
		l.t.Errorf("%d records are there, %d were acknowledged", left, len(l.acked))
	}
	c := l.client(addr, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{diskTopic: from}))
	defer c.Close()
	found := map[place]int64{}
	for left > 0 {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			l.t.Fatalf("%d records before the end: %v", left, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			left--
			found[place{r.Partition, r.Offset}] = l.recognize(r)
		})
	}
	for at, serial := range l.acked {
		if found[at] != serial {
			l.t.Errorf("record %d, acknowledged at offset %d of partition %d, is not there but record %d (0: none)", serial, at.offset, at.partition, found[at])
		}
	}
}

// recognize returns the number of a record that was sent.
func (l *diskLoad) recognize(r *kgo.Record) int64 {
	var serial int64
	var seed uint64
	if _, err := fmt.Sscanf(string(r.Value[:min(len(r.Value), 64)]), "%d of %d\n", &serial, &seed); err != nil || !bytes.Equal(r.Value, l.value(serial)) {
		l.t.Errorf("a record that nobody sent at offset %d of partition %d: %d bytes, %.40q", r.Offset, r.Partition, len(r.Value), r.Value)
	}
	return serial
}
