package replica

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/partlog"
	"chronik/kafka/batch"
	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
	"chronik/wal"
	"chronik/wal/arena"
	"chronik/wal/vfs"
)

// nodes is a cluster in one process: real stores and managers, fetches through memory, and a metadata log that is a list.
type nodes struct {
	t      testing.TB
	all    []*member
	minISR int32
	lag    time.Duration
	noise  bool
	rates  Rates // 0: no quota
	topic  config.Topic
	fetch  int32        // bytes of a partition at once; 0: the default
	stood  atomic.Int64 // how long all nodes have stood still, ns

	mu    sync.Mutex                         // guards what follows
	apart func(from, to image.BrokerID) bool // nothing passes
	img   *image.Image
	log   []*image.Delta
}

// member is one node of it.
type member struct {
	c   *nodes
	id  image.BrokerID
	mem *vfs.Mem

	frozen atomic.Bool // the power was cut: nothing that it does counts any more
	left   *vfs.Mem    // what its disk had then
	armed  bool        // it may be cut
	arming sync.Mutex  // guards armed

	mu      sync.Mutex // guards what follows
	m       *Manager   // nil while it is down
	store   *partlog.Store
	applied int  // deltas of the log
	behind  bool // it does not get new ones
	dead    chan struct{}
}

func newNodes(t testing.TB, n int, minISR int32) *nodes { return newNodesOf(t, n, n, minISR) }

// newNodesOf has the partition on the first nodes only.
func newNodesOf(t testing.TB, n, replicated int, minISR int32, edit ...func(*nodes)) *nodes {
	c := &nodes{t: t, minISR: minISR, img: image.Empty(), lag: 10 * time.Second}
	for _, e := range edit {
		e(c)
	}
	for i := range n {
		c.all = append(c.all, &member{c: c, id: image.BrokerID(i + 1), mem: vfs.NewMem()})
	}
	var replicas []image.BrokerID
	for _, m := range c.all {
		replicas = append(replicas, m.id)
		c.must(image.BrokerRecord{ID: m.id, Incarnation: uuid.UUID{byte(m.id)}})
	}
	c.must(image.TopicRecord{ID: topicID, Name: "t"}, image.PartitionRecord{Topic: topicID, Partition: part(0, 1, 0, replicas[:replicated]...)})
	for _, m := range c.all {
		m.start()
	}
	return c
}

func (c *nodes) config(*image.Image, string) *config.Topic {
	return &config.Topic{
		FollowersThrottled: c.topic.FollowersThrottled, LeadersThrottled: c.topic.LeadersThrottled,
		DeletePolicy: true, CompressionType: "producer", MaxMessageBytes: 1 << 20, MinInsyncReplicas: c.minISR,
		TimestampBeforeMaxMs: math.MaxInt64, TimestampAfterMaxMs: math.MaxInt64,
		RetentionMs: -1, RetentionBytes: -1, SegmentBytes: 1 << 30, SegmentMs: math.MaxInt64,
	}
}

// propose is the metadata log's: it is applied where nodes hear of it.
func (c *nodes) propose(recs ...image.Record) (image.Index, error) {
	c.mu.Lock()
	img, d, err := c.img.Apply(c.img.Index()+1, recs)
	if err != nil {
		c.mu.Unlock()
		return 0, err
	}
	c.img = img
	c.log = append(c.log, d)
	c.mu.Unlock()
	for _, m := range c.all {
		m.catchUp()
	}
	return img.Index(), nil
}

func (c *nodes) must(recs ...image.Record) {
	c.t.Helper()
	if _, err := c.propose(recs...); err != nil {
		c.t.Fatal(err)
	}
}

func (c *nodes) image() *image.Image {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.img
}

func (c *nodes) partition() *image.Partition {
	t, _ := c.image().Topic(topicID)
	return t.Partitions[0]
}

func (c *nodes) node(id image.BrokerID) *member { return c.all[id-1] }

// catchUp has the node apply what it has not, unless it is down or behind.
func (m *member) catchUp() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.m != nil && !m.behind {
		m.c.mu.Lock()
		var d *image.Delta
		switch at := m.applied; {
		case at == 0: // it begins with all that was agreed on before it came
			d, m.applied = image.Between(image.Empty(), m.c.img), len(m.c.log)
		case at < len(m.c.log):
			d, m.applied = m.c.log[at], at+1
		}
		m.c.mu.Unlock()
		if d == nil {
			return
		}
		m.m.Apply(d)
	}
}

func (m *member) lagBehind(behind bool) {
	m.mu.Lock()
	m.behind = behind
	m.mu.Unlock()
	m.catchUp()
}

func (m *member) manager() *Manager {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.m
}

// start opens what the disk has; the metadata comes back at once.
func (m *member) start() {
	c := m.c
	c.t.Helper()
	level := slog.LevelError + 4
	if c.noise {
		level = slog.LevelDebug
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("node", m.id)
	s, err := partlog.Open(partlog.Options{
		FS: m.mem, Pool: arena.New(16 << 20), WALFileSize: 64 << 10, WALBudget: 1 << 20, Sync: wal.SyncAlways, Logger: logger,
		Known: func(id wal.StreamID) (partlog.ID, *config.Topic, error) {
			return partlog.ID{Stream: id, Topic: topicID, Partition: int32(id) - 1}, c.config(nil, ""), nil
		},
	})
	if err != nil {
		c.t.Fatalf("node %d: %v", m.id, err)
	}
	m.mu.Lock()
	m.store, m.applied, m.dead = s, 0, make(chan struct{})
	m.m = New(Options{
		Self: m.id, Store: s, Config: c.config, Link: m, LagTimeMax: c.lag, Logger: logger, FetchMaxBytes: c.fetch,
		Now: func() time.Time { return time.Now().Add(time.Duration(c.stood.Load())) },
		Rates: func() Rates {
			c.mu.Lock()
			defer c.mu.Unlock()
			return Rates{cmp.Or(c.rates.Leader, math.MaxInt64), cmp.Or(c.rates.Follower, math.MaxInt64)}
		},
		Propose: func(_ context.Context, recs ...image.Record) (image.Index, error) {
			if !c.passes(m.id, 0) {
				return 0, kerr.NotController
			}
			return c.propose(recs...)
		},
	})
	m.mu.Unlock()
	m.catchUp()
}

// arm has the power cut in the n-th operation of the disk from now on. Whatever the node does after it, nobody hears.
func (m *member) arm(n int, pick vfs.Pick) {
	m.arming.Lock()
	m.armed = true
	m.arming.Unlock()
	m.mem.Watch(func(vfs.Op) {
		m.arming.Lock()
		defer m.arming.Unlock()
		if n--; n == 0 && m.armed {
			m.left = m.mem.Crash(pick)
			m.frozen.Store(true)
		}
	})
}

// disarm says whether it was. An operation that is on its way cuts nothing after that: nobody would have it start again.
func (m *member) disarm() bool {
	m.mem.Watch(nil)
	m.arming.Lock()
	defer m.arming.Unlock()
	m.armed = false
	return m.frozen.Load()
}

// crash is a power cut, unless that has been.
func (m *member) crash(pick vfs.Pick) {
	if !m.frozen.Load() {
		m.left = m.mem.Crash(pick)
		m.frozen.Store(true)
	}
	m.halt()
	m.mem, m.left = m.left, nil
	m.frozen.Store(false)
}

// halt ends the process; what it writes on its way goes nowhere when it was a crash.
func (m *member) halt() {
	m.mu.Lock()
	mgr, s := m.m, m.store
	m.m, m.store = nil, nil
	if mgr == nil {
		m.mu.Unlock()
		return
	}
	close(m.dead)
	m.mu.Unlock()
	mgr.Close()
	if err := s.Close(); err != nil {
		m.c.t.Errorf("node %d: %v", m.id, err)
	}
}

var errCut = errors.New("nothing passes")

// Fetch is Link's: the leader serves it as kafka/api does, but for sessions.
func (m *member) Fetch(ctx context.Context, to image.BrokerID, rq *kmsg.FetchRequest) (*kmsg.FetchResponse, *arena.Buf, error) {
	if !m.c.passes(m.id, to) {
		return nil, nil, errCut
	}
	leader := m.c.node(to)
	leader.mu.Lock()
	mgr, dead := leader.m, leader.dead
	leader.mu.Unlock()
	if mgr == nil {
		return nil, nil, errCut
	}
	w := make(fetchWaker, 1)
	over := time.After(time.Duration(rq.MaxWaitMillis) * time.Millisecond)
	feed := mgr.NewFeed()
	feed.Await(w)
	var feds []*Fed
	defer func() {
		for _, v := range feds {
			v.Watch(nil)
		}
	}()
	for _, t := range rq.Topics {
		for _, in := range t.Partitions {
			if p, err := mgr.Leader(t.TopicID, in.Partition, in.CurrentLeaderEpoch); err == nil {
				v := feed.Add(nil)
				v.Watch(p)
				feds = append(feds, v)
			}
		}
	}
	for ended := false; ; {
		resp, some := serve(mgr, rq, feed)
		feed.Asked()
		if some || ended {
			if !m.c.passes(to, m.id) {
				return nil, nil, errCut
			}
			return resp, nil, nil
		}
		select {
		case <-w:
		case <-over:
			ended = true
		case <-dead:
			return nil, nil, errCut
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

type fetchWaker chan struct{}

func (w fetchWaker) Wake() {
	select {
	case w <- struct{}{}:
	default:
	}
}

// serve answers what there is, and says whether it is anything.
func serve(m *Manager, rq *kmsg.FetchRequest, feed *Feed) (*kmsg.FetchResponse, bool) {
	resp, some := kmsg.NewPtrFetchResponse(), false
	for _, t := range rq.Topics {
		topic := kmsg.NewFetchResponseTopic()
		topic.TopicID = t.TopicID
		for _, in := range t.Partitions {
			out := kmsg.NewFetchResponseTopicPartition()
			out.Partition = in.Partition
			err := serveOne(m, t.TopicID, &in, &out, Follower{image.BrokerID(rq.ReplicaState.ID), rq.ReplicaState.Epoch, feed})
			out.ErrorCode = int16(kerr.Of(err))
			some = some || err != nil || len(out.RecordBatches) > 0 || out.DivergingEpoch.EndOffset >= 0
			topic.Partitions = append(topic.Partitions, out)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp, some
}

func serveOne(m *Manager, id uuid.UUID, in *kmsg.FetchRequestTopicPartition, out *kmsg.FetchResponseTopicPartition, who Follower) error {
	p, err := m.Leader(id, in.Partition, in.CurrentLeaderEpoch)
	if err != nil {
		return err
	}
	d, diverges, err := p.Followed(who, Place{in.FetchOffset, in.LastFetchedEpoch, in.CurrentLeaderEpoch, in.LogStartOffset})
	marks := p.Marks()
	out.HighWatermark, out.LogStartOffset = marks.HighWatermark, marks.LogStart
	if diverges {
		out.DivergingEpoch.Epoch, out.DivergingEpoch.EndOffset = d.Epoch, d.End
	}
	if err != nil || diverges || p.HoldsBack(who.ID) {
		return err
	}
	xs, err := p.ReadAsFollower(nil, in.FetchOffset, int(in.PartitionMaxBytes), true)
	if err != nil {
		return err
	}
	out.RecordBatches, err = batch.Copy(nil, xs)
	p.Sent(len(out.RecordBatches))
	for i := range xs {
		xs[i].Release()
	}
	return err
}

// elect has a node of the ISR lead, and fences the others that do not live; unclean takes any.
func (c *nodes) elect(leader image.BrokerID, isr ...image.BrokerID) {
	c.t.Helper()
	p := *c.partition()
	p.LeaderEpoch++
	p.Leader, p.ISR = leader, isr
	p.ELR = nil
	c.must(image.PartitionChange{Topic: topicID, From: p.Epoch, Partition: p})
}

// produce has the node append the value; nil when it was acknowledged.
func (m *member) produce(acks int16, value string, atMost time.Duration) (int64, error) {
	base, _, err := m.produced(acks, value, atMost)
	return base, err
}

func (m *member) produced(acks int16, value string, atMost time.Duration) (base int64, epoch int32, err error) {
	mgr := m.manager()
	if mgr == nil {
		return -1, -1, errCut
	}
	w := NewProduce(acks, 1)
	p, err := mgr.Leader(topicID, 0, -1)
	w.Begin(0, p, err, records(value), nil, 9)
	mgr.Commit()
	w.Wait(m.c.t.Context(), atMost)
	res := w.Results()[0]
	w.Done()
	return res.Base, res.LeaderEpoch, res.Err
}

// content is what the node's log holds up to its end, as "offset/epoch:value".
func (m *member) content() []string {
	m.c.t.Helper()
	return contentOf(m.c.t, m.part(), everythingDurable)
}

const everythingDurable = int64(math.MaxInt64)

func (m *member) part() *Partition {
	mgr := m.manager()
	p, err := mgr.find(topicID, 0)
	if err != nil {
		m.c.t.Fatal(err)
	}
	return p
}

func contentOf(t testing.TB, p *Partition, limit int64) (all []string) {
	t.Helper()
	o := p.log.Offsets()
	for from := o.LogStart; from < min(limit, o.Durable); {
		xs, err := p.log.Read(nil, from, limit, 1<<20, true)
		if err != nil {
			t.Fatal(err)
		}
		data, err := batch.Copy(nil, xs)
		for i := range xs {
			xs[i].Release()
		}
		if err != nil || len(data) == 0 {
			t.Fatalf("read at %d of %+v: %d bytes, %v", from, o, len(data), err)
		}
		for len(data) > 0 {
			b, rest, err := batch.Next(data)
			if err != nil {
				t.Fatal(err)
			}
			it, err := b.Records(0)
			if err != nil {
				t.Fatal(err)
			}
			for it.Next() {
				all = append(all, fmt.Sprintf("%d/%d:%s", it.Record.Offset, b.LeaderEpoch(), it.Record.Value))
			}
			it.Close()
			from, data = b.NextOffset(), rest
		}
	}
	return all
}

// await waits, in the bubble's time, until cond.
func (c *nodes) await(what string, cond func() bool) {
	c.t.Helper()
	for range 6000 {
		if cond() {
			return
		}
		pass(10 * time.Millisecond)
	}
	c.t.Fatalf("never: %s; %+v", what, *c.partition())
}

// whole waits until all replicas are in sync and have the same, and the other nodes nothing, and returns it.
func (c *nodes) whole() []string {
	c.t.Helper()
	c.await("all in sync", func() bool { return len(c.partition().ISR) == len(c.partition().Replicas) })
	var replicas []*member
	for _, m := range c.all {
		if slices.Contains(c.partition().Replicas, m.id) {
			replicas = append(replicas, m)
		} else {
			c.await("what has moved away is gone", func() bool { return !m.store.Holds(1) })
		}
	}
	leader := c.node(c.partition().Leader)
	c.await("the same everywhere", func() bool {
		end := leader.part().log.Offsets().LogEnd
		return !slices.ContainsFunc(replicas, func(m *member) bool {
			return m.part().highWatermarkNow() != end || m.part().log.Offsets().LogEnd != end
		})
	})
	want := leader.content()
	for _, m := range replicas {
		if got := m.content(); !slices.Equal(got, want) {
			c.t.Fatalf("node %d has %v, the leader %d has %v", m.id, got, leader.id, want)
		}
	}
	return want
}

func (c *nodes) close() {
	for _, m := range c.all {
		m.halt()
	}
}

// passes says whether from reaches to; 0 is the metadata log.
func (c *nodes) passes(from, to image.BrokerID) bool {
	c.mu.Lock()
	apart := c.apart
	c.mu.Unlock()
	return apart == nil || !apart(from, to)
}

func (c *nodes) part(apart func(from, to image.BrokerID) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.apart = apart
}

// pass lets the bubble's time pass, which takes none.
func pass(d time.Duration) { <-time.After(d) }
