package replica

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"chronik/cluster/partlog"
	"chronik/kafka/batch"
	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
	"chronik/wal"
	"chronik/wal/arena"
	"chronik/wal/vfs"
)

const self image.BrokerID = 1

var topicID = uuid.UUID{7}

// node is a manager with its metadata.
type node struct {
	t     testing.TB
	img   *image.Image
	store *partlog.Store
	*Manager
	config config.Topic
}

func newNode(t testing.TB, fs vfs.FS) *node {
	n := &node{t: t, img: image.Empty(), config: config.Topic{
		DeletePolicy: true, CompressionType: "producer", MaxMessageBytes: 1 << 20, MinInsyncReplicas: 1,
		TimestampBeforeMaxMs: math.MaxInt64, TimestampAfterMaxMs: math.MaxInt64,
		RetentionMs: -1, RetentionBytes: -1, SegmentBytes: 1 << 30, SegmentMs: math.MaxInt64,
	}}
	s, err := partlog.Open(partlog.Options{
		FS: fs, Pool: arena.New(256 << 20), WALFileSize: 1 << 20, Sync: wal.SyncAlways,
		Known: func(wal.StreamID) (partlog.ID, *config.Topic, error) { return partlog.ID{}, nil, partlog.ErrDeleted },
	})
	if err != nil {
		t.Fatal(err)
	}
	n.store = s
	n.Manager = New(Options{Self: self, Store: s, Config: func(*image.Image, string) *config.Topic { c := n.config; return &c }})
	t.Cleanup(func() {
		n.Close()
		if err := s.Close(); err != nil && s.Err() == nil {
			t.Error(err)
		}
	})
	return n
}

// change applies records as one entry of the metadata log.
func (n *node) change(recs ...image.Record) {
	n.t.Helper()
	img, delta, err := n.img.Apply(n.img.Index()+1, recs)
	if err != nil {
		n.t.Fatal(err)
	}
	n.img = img
	n.Apply(delta)
}

func part(number int32, leader image.BrokerID, epoch int32, replicas ...image.BrokerID) image.Partition {
	return image.Partition{
		Number: number, Stream: uint64(number) + 1, Replicas: replicas, ISR: replicas,
		Leader: leader, LeaderEpoch: epoch,
	}
}

// topic creates a topic of n partitions that this node leads alone.
func (n *node) topic(partitions int32) {
	recs := []image.Record{image.TopicRecord{ID: topicID, Name: "t"}}
	for i := range partitions {
		recs = append(recs, image.PartitionRecord{Topic: topicID, Partition: part(i, self, 0, self)})
	}
	n.change(recs...)
}

func (n *node) leader(partition int32) *Partition {
	n.t.Helper()
	p, err := n.Leader(topicID, partition, -1)
	if err != nil {
		n.t.Fatal(err)
	}
	return p
}

func records(value string) []byte {
	var w batch.Builder
	w.Add(&batch.Record{Timestamp: 1, Value: []byte(value)})
	b, err := w.Build(nil)
	if err != nil {
		panic(err)
	}
	return b
}

// produce has the value appended to every partition given and returns the request before anybody waited.
func (n *node) produce(acks int16, value string, partitions ...int32) *Produce {
	w := NewProduce(acks, len(partitions))
	for i, number := range partitions {
		p, err := n.Leader(topicID, number, -1)
		w.Begin(i, p, err, records(value), nil, 9)
	}
	return w
}

func TestProduceAndRead(t *testing.T) {
	n := newNode(t, vfs.NewMem())
	n.topic(2)
	for _, acks := range []int16{-1, 1, 0} {
		w := n.produce(acks, "v", 0, 1, 2)
		n.Commit()
		w.Wait(t.Context(), time.Minute)
		if !w.Ready() {
			t.Fatal("not ready")
		}
		rs := w.Results()
		if rs[0].Err != nil || rs[1].Err != nil || rs[0].End != rs[0].Base+1 || kerr.Of(rs[2].Err) != kerr.UnknownTopicOrPartition {
			t.Fatalf("%+v", rs)
		}
		w.Done()
	}
	p := n.leader(0)
	if m := p.Marks(); m.HighWatermark != 3 || m.LastStable != 3 || m.LogEnd != 3 {
		t.Fatalf("%+v", m)
	}
	for _, committed := range []bool{false, true} {
		xs, err := p.Read(nil, 0, 1<<20, true, committed)
		if err != nil || len(xs) != 3 {
			t.Fatal(len(xs), err)
		}
		for i := range xs {
			xs[i].Release()
		}
	}
}

func TestWhoLeads(t *testing.T) {
	n := newNode(t, vfs.NewMem())
	n.change(image.TopicRecord{ID: topicID, Name: "t"},
		image.PartitionRecord{Topic: topicID, Partition: part(0, self, 4, self)},
		image.PartitionRecord{Topic: topicID, Partition: part(1, 2, 0, self, 2)},
		image.PartitionRecord{Topic: topicID, Partition: part(2, 2, 0, 2)})
	for _, c := range []struct {
		topic     uuid.UUID
		partition int32
		epoch     int32
		err       kerr.Code
	}{
		{topicID, 0, -1, 0},
		{topicID, 0, 4, 0},
		{topicID, 0, 3, kerr.FencedLeaderEpoch},
		{topicID, 0, 5, kerr.UnknownLeaderEpoch},
		{topicID, 1, -1, kerr.NotLeaderOrFollower},
		{topicID, 2, -1, kerr.NotLeaderOrFollower},
		{topicID, 3, -1, kerr.UnknownTopicOrPartition},
		{topicID, -1, -1, kerr.UnknownTopicOrPartition},
		{uuid.UUID{9}, 0, -1, kerr.UnknownTopicID},
	} {
		if _, err := n.Leader(c.topic, c.partition, c.epoch); kerr.Of(err) != c.err {
			t.Errorf("%v: %v", c, err)
		}
	}
}

// No more replicas are asked for than there are, as Kafka does it: else nothing could be produced with acks=all ever.
func TestMinISRAboveTheReplicationFactorRefusesNothing(t *testing.T) {
	n := newNode(t, vfs.NewMem())
	n.config.MinInsyncReplicas = 2
	n.topic(1)
	w := n.produce(-1, "a", 0)
	n.Commit()
	w.Wait(t.Context(), time.Minute)
	if err := w.Results()[0].Err; err != nil {
		t.Fatal(err)
	}
}

// One entry of the metadata raises min.insync.replicas and takes a follower that has died out of the ISR, which is too small
// from then on: the follower may lead again (KIP-966), and lacks what only this node has.
func TestNothingIsAcknowledgedThatAnEligibleLeaderLacks(t *testing.T) {
	n := newNode(t, vfs.NewMem())
	both := part(0, self, 0, self, 2)
	n.change(image.TopicRecord{ID: topicID, Name: "t"}, image.PartitionRecord{Topic: topicID, Partition: both})
	w := n.produce(-1, "a", 0)
	n.Commit()
	if end := n.leader(0).Log().Offsets().Durable; end != 1 || w.Ready() {
		t.Fatalf("durable up to %d, acknowledged: %v", end, w.Ready())
	}
	n.config.MinInsyncReplicas = 2
	alone, raised := both, "2"
	alone.ISR, alone.ELR = []image.BrokerID{self}, []image.BrokerID{2}
	n.change(
		image.ConfigRecord{Resource: image.Resource{Type: image.TopicResource, Name: "t"}, Name: "min.insync.replicas", Value: &raised},
		image.PartitionChange{Topic: topicID, Partition: alone},
	)
	if w.Ready() {
		t.Errorf("acknowledged: %+v", w.Results())
	}
	if w := n.produce(-1, "b", 0); !w.Ready() || kerr.Of(w.Results()[0].Err) != kerr.NotEnoughReplicas {
		t.Errorf("taken: %+v", w.Results())
	}
	if hw := n.leader(0).Marks().HighWatermark; hw != 0 {
		t.Errorf("the high watermark is %d", hw)
	}
}

// A produce that times out is not answered twice, and is not used again while the partition knows it.
func TestProduceTimesOut(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, w := range []struct {
		ctx    context.Context
		atMost time.Duration
	}{{gone, time.Hour}, {t.Context(), 0}} {
		timesOut(t, w.ctx, w.atMost)
	}
}

func timesOut(t *testing.T, ctx context.Context, atMost time.Duration) {
	n := newNode(t, vfs.NewMem())
	n.topic(1)
	w := n.produce(-1, "a", 0)
	w.Wait(ctx, atMost)
	if kerr.Of(w.Results()[0].Err) != kerr.RequestTimedOut {
		t.Fatalf("%+v", w.Results())
	}
	w.Done()
	n.Commit()
	if hw := n.leader(0).Marks().HighWatermark; hw != 1 {
		t.Fatal(hw)
	}
}

func TestLostLeadershipAnswersProducers(t *testing.T) {
	n := newNode(t, vfs.NewMem())
	n.topic(1)
	p := n.leader(0)
	woken := make(waker, 8)
	p.Await(woken)
	w := n.produce(-1, "a", 0)
	n.change(image.PartitionChange{Topic: topicID, From: 0, Partition: part(0, 2, 1, self, 2)})
	if !w.Ready() || kerr.Of(w.Results()[0].Err) != kerr.NotLeaderOrFollower {
		t.Fatalf("%+v", w.Results())
	}
	<-woken
	p.Forget(woken)
	n.change(image.PartitionChange{Topic: topicID, From: 1, Partition: part(0, self, 2, self)})
	w = n.produce(-1, "b", 0)
	n.Commit()
	w.Wait(t.Context(), time.Minute)
	if r := w.Results()[0]; r.Err != nil || r.LeaderEpoch != 2 || r.Base != 1 {
		t.Fatalf("%+v", r)
	}
}

func TestDeletedTopic(t *testing.T) {
	n := newNode(t, vfs.NewMem())
	n.topic(2)
	p := n.leader(0)
	w := n.produce(-1, "a", 0, 1)
	n.change(image.RemoveTopicRecord{ID: topicID})
	if !w.Ready() || kerr.Of(w.Results()[0].Err) != kerr.UnknownTopicOrPartition {
		t.Fatalf("%+v", w.Results())
	}
	if _, err := n.Leader(topicID, 0, -1); kerr.Of(err) != kerr.UnknownTopicID {
		t.Fatal(err)
	}
	w = NewProduce(-1, 1)
	w.Begin(0, p, nil, records("late"), nil, 9)
	if !w.Ready() || w.Results()[0].Err == nil {
		t.Fatalf("%+v", w.Results())
	}
	n.Commit()
}

func TestDeleteRecords(t *testing.T) {
	n := newNode(t, vfs.NewMem())
	n.topic(1)
	for range 4 {
		w := n.produce(-1, "a", 0)
		n.Commit()
		w.Wait(t.Context(), time.Minute)
		w.Done()
	}
	p := n.leader(0)
	for _, c := range []struct {
		before, want int64
		err          kerr.Code
	}{{2, 2, 0}, {1, 2, 0}, {5, -1, kerr.OffsetOutOfRange}, {-2, -1, kerr.OffsetOutOfRange}, {-1, 4, 0}} {
		if got, err := p.DeleteRecords(c.before); got != c.want || kerr.Of(err) != c.err {
			t.Errorf("before %d: %d %v", c.before, got, err)
		}
	}
	n.config.DeletePolicy, n.config.CompactPolicy = false, true
	value := "compact"
	n.change(image.ConfigRecord{Resource: image.Resource{Type: image.TopicResource, Name: "t"}, Name: "cleanup.policy", Value: &value})
	if _, err := p.DeleteRecords(-1); kerr.Of(err) != kerr.PolicyViolation {
		t.Error(err)
	}
}

// waker counts its wakings.
type waker chan struct{}

func (w waker) Wake() {
	select {
	case w <- struct{}{}:
	default:
	}
}

func TestWaitersWake(t *testing.T) {
	n := newNode(t, vfs.NewMem())
	n.topic(2)
	a, b := n.leader(0), n.leader(1)
	one, both := make(waker, 8), make(waker, 8)
	a.Await(one)
	a.Await(both)
	b.Await(both)
	n.produce(1, "x", 0)
	if len(one) > 0 {
		t.Fatal("woken before the records can be read")
	}
	n.Commit()
	<-one
	<-both
	a.Forget(one)
	n.produce(1, "x", 1)
	n.produce(1, "x", 0)
	n.Commit()
	<-both
	if len(one) > 0 {
		t.Fatal("woken after Forget")
	}
	a.Forget(both)
	b.Forget(both)
}

// Nothing is acknowledged after a sync that failed, and nobody waits for it.
func TestStorageFails(t *testing.T) {
	faults := vfs.NewFault(vfs.NewMem())
	n := newNode(t, faults)
	n.topic(1)
	eio := errors.New("input/output error")
	faults.Script(func(op vfs.Op) vfs.Outcome {
		if op.Kind == vfs.OpWriteSync {
			return vfs.Outcome{Err: eio}
		}
		return vfs.Outcome{}
	})
	w := n.produce(-1, "a", 0)
	n.Commit()
	w.Wait(t.Context(), time.Minute)
	if err := w.Results()[0].Err; kerr.Of(err) != kerr.KafkaStorageError {
		t.Fatal(err)
	}
	<-n.store.Failed()
	if err := n.store.Err(); !errors.Is(err, eio) {
		t.Fatal(err)
	}
	w = n.produce(-1, "b", 0)
	n.Commit()
	w.Wait(t.Context(), time.Minute)
	if err := w.Results()[0].Err; kerr.Of(err) != kerr.KafkaStorageError {
		t.Fatal(err)
	}
	if m := n.leader(0).Marks(); m.HighWatermark != 0 {
		t.Fatalf("%+v", m)
	}
}

// Produces and fetches at once: each acknowledged record is there, the high watermark never goes back.
func TestConcurrentProduceAndFetch(t *testing.T) {
	n := newNode(t, vfs.NewMem())
	n.topic(3)
	const producers, each = 8, 200
	var work sync.WaitGroup
	for id := range producers {
		work.Go(func() {
			for i := range each {
				w := n.produce(-1, fmt.Sprint(id, i), int32(i%3), int32((i+1)%3))
				n.Commit()
				w.Wait(context.Background(), time.Minute)
				for _, r := range w.Results() {
					if r.Err != nil {
						t.Error(r.Err)
					}
				}
				w.Done()
			}
		})
	}
	for number := range int32(3) {
		work.Go(func() { follow(t, n.leader(number), producers*each*2/3) })
	}
	work.Wait()
	total := int64(0)
	for number := range int32(3) {
		total += n.leader(number).Marks().HighWatermark
	}
	if total != producers*each*2 {
		t.Fatal(total)
	}
}

// follow reads a partition as a consumer does until it has about that many records.
func follow(t *testing.T, p *Partition, records int64) {
	wake := make(waker, 1)
	p.Await(wake)
	defer p.Forget(wake)
	for at, hw := int64(0), int64(0); at < records-int64(10); {
		now := p.Marks().HighWatermark
		if now < hw {
			t.Errorf("the high watermark went from %d to %d", hw, now)
		}
		hw = now
		xs, err := p.Read(nil, at, 4096, true, false)
		if err != nil {
			t.Error(err)
			return
		}
		if len(xs) == 0 {
			<-wake
			continue
		}
		for i := range xs {
			b, _, err := batch.Next(xs[i].Mem)
			if err != nil || b.BaseOffset() != at || b.CheckCRC() != nil {
				t.Errorf("offset %d: %v", at, err)
				return
			}
			at = b.NextOffset()
			xs[i].Release()
		}
	}
}
