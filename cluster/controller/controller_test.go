package controller

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// fakeLog applies what is proposed at once. It refuses what would not fit one entry of the real log.
type fakeLog struct {
	mu      sync.Mutex
	img     *image.Image
	entries int
	largest int
	before  func(*fakeLog) // something that happens between a plan and its proposal; runs once
	gate    chan struct{}  // when set, each proposal takes one
	err     error

	failAfter int // so many entries, 0: never
	watch     image.Watcher
}

const entryCap = 1<<20 - 64

func (l *fakeLog) Image() *image.Image {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.img
}

func (l *fakeLog) Propose(_ context.Context, recs ...image.Record) (image.Index, error) {
	if l.gate != nil {
		<-l.gate
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return 0, l.err
	}
	if l.failAfter > 0 && l.entries >= l.failAfter {
		return 0, errors.New("the disk is on fire")
	}
	if f := l.before; f != nil {
		l.before = nil
		f(l)
	}
	return l.apply(recs...)
}

func (l *fakeLog) apply(recs ...image.Record) (image.Index, error) {
	size := 0
	for _, r := range recs {
		b, err := image.Append(nil, r)
		if err != nil {
			return 0, err
		}
		size += len(b)
	}
	if size > entryCap {
		return 0, kerr.RecordListTooLarge
	}
	next, delta, err := l.img.Apply(l.img.Index()+1, recs)
	if err != nil {
		return 0, err
	}
	l.img, l.entries, l.largest = next, l.entries+1, max(l.largest, size)
	if l.watch != nil {
		l.watch.Apply(delta)
	}
	return next.Index(), nil
}

// cluster is a controller of n brokers, numbered from 1; those in fenced are.
func cluster(t testing.TB, n int, fenced ...int) (*Controller, *fakeLog) {
	t.Helper()
	l := &fakeLog{img: image.Empty()}
	for id := 1; id <= n; id++ {
		r := image.BrokerRecord{ID: image.BrokerID(id), Incarnation: uuid.UUID{15: byte(id)}, Endpoints: []image.Endpoint{{Name: "PLAINTEXT", Port: 9092}}}
		for _, f := range fenced {
			r.Fenced = r.Fenced || f == id
		}
		if _, err := l.apply(r); err != nil {
			t.Fatal(err)
		}
	}
	l.entries = 0
	b, err := config.CompileBroker(nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var next uint64
	return New(Options{Self: 1, Log: l, Config: func() *config.Broker { return b }, NewID: func() (id uuid.UUID) {
		next++
		binary.BigEndian.PutUint64(id[8:], next)
		return id
	}}), l
}

func topic(name string, partitions int32, factor int16, configs ...string) kmsg.CreateTopicsRequestTopic {
	rq := kmsg.NewCreateTopicsRequestTopic()
	rq.Topic, rq.NumPartitions, rq.ReplicationFactor = name, partitions, factor
	for i := 0; i < len(configs); i += 2 {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		if c.Name = configs[i]; configs[i+1] != "NULL" {
			c.Value = &configs[i+1]
		}
		rq.Configs = append(rq.Configs, c)
	}
	return rq
}

// assigned is a topic with a manual assignment.
func assigned(name string, partitions int32, factor int16, replicas ...[]int32) kmsg.CreateTopicsRequestTopic {
	rq := topic(name, partitions, factor)
	for i, r := range replicas {
		a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		a.Partition, a.Replicas = int32(i), r
		rq.ReplicaAssignment = append(rq.ReplicaAssignment, a)
	}
	return rq
}

func create(c *Controller, topics ...kmsg.CreateTopicsRequestTopic) (results []string) {
	rq := kmsg.NewPtrCreateTopicsRequest()
	rq.Topics = topics
	for _, r := range c.CreateTopics(context.Background(), rq, nil) {
		results = append(results, r.Topic+": "+outcome(r.ErrorCode, r.ErrorMessage))
	}
	return results
}

func outcome(code int16, message *string) string {
	if code == 0 && message == nil {
		return "ok"
	}
	text := ""
	if message != nil {
		text = " " + *message
	}
	return kerr.Code(code).String() + text
}

func expect(t *testing.T, got, want []string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestRegisterBroker(t *testing.T) {
	c, _ := cluster(t, 1)
	ctx := context.Background()
	endpoint := []image.Endpoint{{Name: "PLAINTEXT", Port: 9092}}
	epoch, err := c.RegisterBroker(ctx, image.BrokerRecord{ID: 2, Incarnation: uuid.UUID{1}, Endpoints: endpoint})
	if err != nil || epoch != 2 {
		t.Errorf("epoch %d, %v", epoch, err)
	}
	if _, err = c.RegisterBroker(ctx, image.BrokerRecord{ID: 2, Incarnation: uuid.UUID{2}, Endpoints: endpoint}); kerr.Of(err) != kerr.DuplicateBrokerRegistration {
		t.Errorf("another directory: %v", err)
	}
	if epoch, err = c.RegisterBroker(ctx, image.BrokerRecord{ID: 2, Incarnation: uuid.UUID{1}, Endpoints: endpoint}); err != nil || epoch != 3 {
		t.Errorf("again: epoch %d, %v", epoch, err)
	}
	if _, err = c.RegisterBroker(ctx, image.BrokerRecord{ID: 3, Endpoints: endpoint}); kerr.Of(err) != kerr.InvalidRegistration {
		t.Errorf("without a directory: %v", err)
	}
}

func TestProducerIDs(t *testing.T) {
	c, l := cluster(t, 1)
	ctx := context.Background()
	for want := range int64(2500) {
		if id, err := c.ProducerID(ctx); err != nil || id != want {
			t.Fatalf("id %d, want %d: %v", id, want, err)
		}
	}
	if l.entries != 3 {
		t.Errorf("%d blocks for 2500 ids, want 3", l.entries)
	}
	again := New(c.o)
	if id, err := again.ProducerID(ctx); err != nil || id != 3000 {
		t.Errorf("after a restart: %d, want 3000: %v", id, err)
	}
}

// Two brokers that allocate at the same time must not get the same block.
func TestABlockThatAnotherBrokerTookIsNotGivenAgain(t *testing.T) {
	c, l := cluster(t, 2)
	l.before = func(l *fakeLog) { _, _ = l.apply(planProducerIDs(l.img, 2)) }
	if block, err := c.AllocateProducerIDs(context.Background(), 1); err != nil || block.Start != producerIDBlock {
		t.Errorf("%+v %v", block, err)
	}
}

// A plan that came too late is made again; one that always does is given up, and nothing happened.
func TestPlanAgainstAnOldImage(t *testing.T) {
	c, l := cluster(t, 1)
	l.before = func(l *fakeLog) {
		p := newTopicPlan(l.img, c.o.Config())
		other := topic("other", 3, 1)
		recs, _ := p.create(&other, uuid.UUID{9})
		_, _ = l.apply(recs...)
	}
	expect(t, create(c, topic("a", 2, 1)), []string{"a: ok"})
	if t2, _ := l.img.TopicNamed("a"); t2.Partitions[0].Stream != 4 {
		t.Errorf("stream %d was given out twice", t2.Partitions[0].Stream)
	}
	var again func(*fakeLog)
	again = func(l *fakeLog) {
		_, _ = l.apply(planProducerIDs(l.img, 2))
		l.before = again
	}
	l.before = again
	if _, err := c.ProducerID(context.Background()); kerr.Of(err) != kerr.InvalidUpdateVersion {
		t.Errorf("endless race: %v", err)
	}
}

func TestWhoDoesNotLeadSaysSo(t *testing.T) {
	c, l := cluster(t, 1)
	l.err = kerr.NotController
	expect(t, create(c, topic("a", 1, 1), topic("b", 0, 1)), []string{"a: NOT_CONTROLLER", "b: NOT_CONTROLLER"})
	if err := c.AutoCreate(context.Background(), []string{"a"}, nil); kerr.Of(err) != kerr.NotController {
		t.Errorf("auto-create: %v", err)
	}
}

func TestAWaitForTheTurnEndsWithItsContext(t *testing.T) {
	c, _ := cluster(t, 1)
	ctx, cancel := context.WithCancel(context.Background())
	c.turn <- struct{}{}
	cancel()
	if _, err := c.ProducerID(ctx); err == nil {
		t.Error("decided out of turn")
	}
}

// T33: clients that all want topics at once must not wait for an entry of the log each.
func TestAutoCreateGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l := cluster(t, 1)
		const clients = 100
		l.gate = make(chan struct{}, clients)
		errs := make(chan error, clients)
		ask := func(i int) { errs <- c.AutoCreate(context.Background(), []string{"shared", fmt.Sprint("t", i)}, nil) }
		go ask(0)
		synctest.Wait() // the first batch is on its way; the others gather behind it
		for i := 1; i < clients; i++ {
			go ask(i)
		}
		synctest.Wait()
		l.gate <- struct{}{}
		l.gate <- struct{}{}
		for range clients {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if l.entries != 2 || l.img.TopicCount() != clients+1 {
			t.Errorf("%d entries, %d topics", l.entries, l.img.TopicCount())
		}
	})
}

// Who began a batch may give up; those who joined it must still be answered.
func TestAutoCreateGoesOnWithoutWhoBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l := cluster(t, 1)
		l.gate = make(chan struct{}, 2)
		ctx, cancel := context.WithCancel(context.Background())
		errs := make(chan error, 1)
		go func() { _ = c.AutoCreate(ctx, []string{"first"}, nil) }()
		synctest.Wait()
		go func() { _ = c.AutoCreate(ctx, []string{"second"}, nil) }()
		synctest.Wait()
		go func() { errs <- c.AutoCreate(context.Background(), []string{"third"}, nil) }()
		synctest.Wait()
		cancel()
		l.gate <- struct{}{}
		l.gate <- struct{}{}
		if err := <-errs; err != nil || l.img.TopicCount() != 3 {
			t.Errorf("%d topics, %v", l.img.TopicCount(), err)
		}
	})
}

func TestAutoCreate(t *testing.T) {
	c, l := cluster(t, 1)
	ctx := context.Background()
	expect(t, create(c, topic("there", 7, 1)), []string{"there: ok"})
	if err := c.AutoCreate(ctx, []string{"there", "a", "a"}, nil); err != nil {
		t.Error(err)
	}
	if a, ok := l.img.TopicNamed("a"); !ok || len(a.Partitions) != 1 {
		t.Errorf("%+v", a)
	}
	err := c.AutoCreate(ctx, []string{"b", "x/y"}, nil)
	if _, ok := l.img.TopicNamed("b"); !ok || kerr.Of(err) != kerr.InvalidTopicException {
		t.Errorf("one bad name: %v, b=%v", err, ok)
	}
	if err := c.AutoCreate(ctx, make([]string, maxNewPartitions+1), nil); kerr.Of(err) != kerr.PolicyViolation {
		t.Errorf("too many: %v", err)
	}
}
