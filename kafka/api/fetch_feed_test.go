package api

import (
	"maps"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/replica"
	"chronik/kafka/kerr"
	"chronik/kafka/wire"
	"chronik/metalog/image"
)

// followed is a topic that broker 2 follows by a session.
type followed struct {
	*node
	topic     uuid.UUID
	id, epoch int32 // of the session
}

const followedPartitions = 20

func startFollowed(t *testing.T) *followed { return startFollowedWith(t, nil) }

func startFollowedWith(t *testing.T, static map[string]string) *followed {
	silent := map[string]string{"broker.session.timeout.ms": "3600000"} // nobody hears broker 2
	maps.Copy(silent, static)
	f := &followed{node: start(t, silent), topic: uuid.UUID{9}}
	f.register()
	f.awaitMinISR()
	recs := []image.Record{image.TopicRecord{ID: f.topic, Name: "t"}}
	for i := range int32(followedPartitions) {
		recs = append(recs, image.PartitionRecord{Topic: f.topic, Partition: image.Partition{
			Number: i, Stream: f.Meta.Image().NextStream() + uint64(i), Replicas: []image.BrokerID{self, 2}, ISR: []image.BrokerID{self, 2}, Leader: self,
		}})
	}
	f.propose(recs...)
	return f
}

func (f *followed) propose(recs ...image.Record) {
	f.t.Helper()
	if _, err := f.Meta.Propose(f.t.Context(), recs...); err != nil {
		f.t.Fatal(err)
	}
}

func (f *followed) register() {
	f.propose(image.BrokerRecord{ID: 2, Incarnation: uuid.UUID{2}, Endpoints: []image.Endpoint{{Name: "PLAINTEXT", Host: "two", Port: 9}}})
}

// awaitMinISR waits for what the controller says when there are several brokers: it changes every partition.
func (f *followed) awaitMinISR() {
	f.t.Helper()
	for img := f.Meta.Image(); len(img.Configs(image.Resource{Type: image.BrokerResource})) == 0; img = f.Meta.Image() {
		if err := f.Meta.Wait(f.t.Context(), img.Index()+1); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *followed) change(partition int32, edit func(*image.Partition)) {
	topic, _ := f.Meta.Image().Topic(f.topic)
	p := *topic.Partitions[partition]
	edit(&p)
	f.propose(image.PartitionChange{Topic: f.topic, From: p.Epoch, Partition: p})
}

func (f *followed) produce(partition int32) {
	f.t.Helper()
	rq := produceRequest(9, "t", [16]byte{}, partition, stamped(f.t, time.Now().UnixMilli()))
	rq.Acks = 1
	f.code(ask[*kmsg.ProduceResponse](f.node, rq).Topics[0].Partitions[0].ErrorCode, kerr.None)
}

// at is where the follower fetches a partition.
type at struct {
	partition int32
	offset    int64
}

func (f *followed) request(places ...at) *kmsg.FetchRequest {
	b, _ := f.Meta.Image().Broker(2)
	rq := kmsg.NewPtrFetchRequest()
	rq.Version, rq.MinBytes, rq.MaxBytes = 17, 1, 1<<20
	rq.ReplicaState.ID, rq.ReplicaState.Epoch = 2, b.Epoch
	rq.SessionID, rq.SessionEpoch = f.id, f.epoch
	t := kmsg.NewFetchRequestTopic()
	t.TopicID = f.topic
	for _, a := range places {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = a.partition, a.offset, 1<<20, 0
		t.Partitions = append(t.Partitions, p)
	}
	if rq.Topics = nil; len(places) > 0 {
		rq.Topics = []kmsg.FetchRequestTopic{t}
	}
	return rq
}

// ask fetches, and returns how many partitions were looked at and what was said of those of which anything was.
func (f *followed) ask(rq *kmsg.FetchRequest) (looked int, said map[int32]wire.FetchPartition, failed kerr.Code) {
	f.t.Helper()
	c := &fetchCall{broker: f.broker, rq: f.internal(rq), req: rq}
	if err := c.open(); err != nil {
		return 0, nil, kerr.Of(err)
	}
	c.ready()
	r := wire.NewReply(c.rq)
	defer r.Release()
	if err := c.finish(f.t.Context(), r); err != nil {
		f.t.Fatal(err)
	}
	if f.id, f.epoch = 0, 0; c.session != nil {
		f.id, f.epoch = c.session.id, c.session.epoch
	}
	said = map[int32]wire.FetchPartition{}
	for _, a := range c.answers {
		said[a.Partition] = a.FetchPartition
	}
	return len(c.items), said, c.failed
}

// internal is the request as it comes by the internal listener.
func (f *followed) internal(rq *kmsg.FetchRequest) *wire.Request {
	return &wire.Request{Key: 1, Version: rq.Version, Peer: &wire.Peer{Listener: image.InternalListener}, Received: time.Now(), Body: rq}
}

// open opens a session for all partitions.
func (f *followed) open() {
	f.t.Helper()
	f.id, f.epoch = 0, 0
	var all []at
	for i := range int32(followedPartitions) {
		all = append(all, at{i, 0})
	}
	if looked, said, err := f.ask(f.request(all...)); looked != len(all) || len(said) != len(all) || err != kerr.None {
		f.t.Fatalf("%d looked at, %d answered, %v", looked, len(said), err)
	}
}

func TestAFetchLooksOnlyAtWhatHasChanged(t *testing.T) {
	f := startFollowed(t)
	f.open()
	for _, s := range []struct {
		what         string
		do           func()
		at           []at
		looked, said int
	}{
		{what: "idle"},
		{"a record", func() { f.produce(3) }, nil, 1, 1},
		{"it could not be taken", nil, nil, 1, 1},
		{"it is taken", nil, []at{{3, 1}}, 1, 1},
		{what: "that has moved the high watermark, which was told", looked: 1},
		{what: "idle"},
		{"two records", func() { f.produce(3); f.produce(4) }, nil, 2, 2},
		{"they are taken", nil, []at{{3, 2}, {4, 1}}, 2, 2},
		{what: "the same", looked: 2},
		{"the log start", func() {
			p, _ := f.Replicas.Held(f.topic, 3)
			if _, err := p.DeleteRecords(1); err != nil {
				t.Fatal(err)
			}
		}, nil, 1, 1},
		{what: "idle"},
		{"out of the ISR", func() { f.change(5, func(p *image.Partition) { p.ISR = []image.BrokerID{self} }) }, nil, 1, 0},
		{what: "the leader must know when it may come back", looked: 1},
		{"in it again", func() { f.change(5, func(p *image.Partition) { p.ISR = []image.BrokerID{self, 2} }) }, nil, 1, 0},
		{what: "idle"},
		{"another leader epoch", func() { f.change(6, func(p *image.Partition) { p.LeaderEpoch++ }) }, nil, 1, 1},
		{"still in the old one", nil, nil, 1, 1},
		{"registered anew", f.register, nil, followedPartitions, 1},
		{what: "still", looked: 1, said: 1},
	} {
		if s.do != nil {
			s.do()
		}
		looked, said, err := f.ask(f.request(s.at...))
		if looked != s.looked || len(said) != s.said || err != kerr.None {
			t.Fatalf("%s: %d partitions looked at and %d answered, want %d and %d; %v", s.what, looked, len(said), s.looked, s.said, err)
		}
	}
}

func TestAPartitionThatWasForgottenIsFetchedAgain(t *testing.T) {
	f := startFollowed(t)
	f.open()
	rq := f.request()
	rq.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{TopicID: f.topic, Partitions: []int32{3}}}
	f.produce(3)
	if looked, said, _ := f.ask(rq); looked != 0 || len(said) != 0 {
		t.Errorf("forgotten: %d looked at, %v", looked, said)
	}
	f.produce(3)
	if looked, said, _ := f.ask(f.request()); looked != 0 || len(said) != 0 {
		t.Errorf("still forgotten: %d looked at, %v", looked, said)
	}
	if looked, said, _ := f.ask(f.request(at{3, 0})); looked != 1 || len(said[3].Records) == 0 {
		t.Errorf("again: %d looked at, %v", looked, said)
	}
	f.produce(3)
	if _, said, _ := f.ask(f.request(at{3, 2})); len(said[3].Records) == 0 {
		t.Errorf("a record between two fetches: %v", said)
	}
}

// Records that come while a fetch waits, in a partition that it has not looked at, answer it.
func TestAFetchThatWaitsIsAnsweredByAnyPartition(t *testing.T) {
	f := startFollowed(t)
	f.open()
	rq := f.request()
	rq.MaxWaitMillis = 60_000
	got := make(chan map[int32]wire.FetchPartition)
	go func() {
		_, said, _ := f.ask(rq)
		got <- said
	}()
	f.produce(7)
	if said := <-got; len(said) != 1 || len(said[7].Records) == 0 {
		t.Error(said)
	}
}

// A follower gives a fetch up when there is something new to ask, and its connection answers one request after the other.
func TestAFetchThatWasGivenUpDoesNotHoldUpTheNext(t *testing.T) {
	f := startFollowed(t)
	f.open()
	c := &fetchCall{broker: f.broker, rq: f.internal(f.request()), req: f.request()}
	c.req.MaxWaitMillis = 600_000
	if err := c.open(); err != nil || c.ready() {
		t.Fatal("it does not wait:", err)
	}
	ended := make(chan error)
	go func() {
		r := wire.NewReply(c.rq)
		defer r.Release()
		ended <- c.finish(t.Context(), r)
	}()
	f.open()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestATopicThatIsGoneIsSaidToBe(t *testing.T) {
	f := startFollowed(t)
	f.open()
	f.propose(image.RemoveTopicRecord{ID: f.topic})
	_, said, _ := f.ask(f.request())
	if len(said) != followedPartitions || said[0].Err != kerr.UnknownTopicID {
		t.Error(said)
	}
}

func TestAFollowerHasOneSession(t *testing.T) {
	f := startFollowed(t)
	f.open()
	id, epoch := f.id, f.epoch
	consumer := fetchRequest(17, "t", f.topic, 0)
	consumer.SessionID, consumer.SessionEpoch, consumer.Topics = id, epoch, nil
	if _, _, err := f.ask(consumer); err != kerr.FetchSessionIDNotFound {
		t.Errorf("a consumer in a follower's session: %v", err)
	}
	f.open()
	rq := f.request()
	rq.SessionID, rq.SessionEpoch = id, epoch
	if _, _, err := f.ask(rq); err != kerr.FetchSessionIDNotFound {
		t.Errorf("the one before: %v", err)
	}
	if _, _, err := f.ask(f.request()); err != kerr.None {
		t.Errorf("the new one: %v", err)
	}
}

// append appends a record that nobody has written to disk yet.
func (f *followed) append(partition int32) {
	f.t.Helper()
	p, err := f.broker.Parts.Leader(f.topic, partition, -1)
	w := replica.NewProduce(1, 1)
	w.Begin(0, p, err, stamped(f.t, time.Now().UnixMilli()), nil, 9)
	if w.Ready() {
		f.t.Fatal(w.Results()[0].Err)
	}
}

// gathering is a fetch that has found a record of partition 3 while another one of it was on its way to the disk, and waits.
func (f *followed) gathering() *fetchCall {
	f.t.Helper()
	f.open()
	f.produce(3)
	f.append(3)
	return f.waiting(f.request())
}

// waiting is a fetch that has found nothing yet to be answered with.
func (f *followed) waiting(rq *kmsg.FetchRequest) *fetchCall {
	f.t.Helper()
	rq.MaxWaitMillis = 600_000
	c := &fetchCall{broker: f.broker, rq: f.internal(rq), req: rq}
	if err := c.open(); err != nil || c.ready() {
		f.t.Fatal("it does not wait:", err)
	}
	return c
}

// records is the length of the records that the fetch is answered with, of the one partition that it is about.
func (f *followed) records(c *fetchCall) (n int) {
	f.t.Helper()
	r := wire.NewReply(c.rq)
	defer r.Release()
	if err := c.finish(f.t.Context(), r); err != nil {
		f.t.Fatal(err)
	}
	if len(c.answers) != 1 || c.answers[0].Partition != 3 {
		f.t.Fatalf("%d partitions", len(c.answers))
	}
	return c.answers[0].size
}

func TestAFollowerGetsWhatIsOnItsWayToTheDiskToo(t *testing.T) {
	f := startFollowed(t)
	c := f.gathering()
	f.append(3) // came later, and is there by chance
	f.broker.Parts.Commit()
	if one := len(stamped(t, 0)); f.records(c) != 3*one {
		t.Errorf("%d bytes, want three batches of %d", c.answers[0].size, one)
	}
}

// A disk that does not answer must not keep from a follower what it could acknowledge.
func TestAFollowerDoesNotWaitForADiskThatHangs(t *testing.T) {
	f := startFollowed(t)
	if one := len(stamped(t, 0)); f.records(f.gathering()) != one {
		t.Errorf("not one batch of %d bytes", one)
	}
	f.broker.Parts.Commit()
}

// Nothing is gathered for a replica that would not be sent it: others in the same fetch must not wait for that.
func TestForAReplicaThatIsHeldBackNothingIsGathered(t *testing.T) {
	f := startFollowedWith(t, map[string]string{"leader.replication.throttled.rate": "0"})
	every := "*"
	f.propose(image.ConfigRecord{Resource: image.Resource{Type: image.TopicResource, Name: "t"}, Name: "leader.replication.throttled.replicas", Value: &every})
	f.change(3, func(p *image.Partition) { p.ISR = []image.BrokerID{self} })
	if c := f.gathering(); c.bytes > 0 || c.gathers {
		t.Errorf("%d bytes, waits for the disk: %v", c.bytes, c.gathers)
	}
	f.broker.Parts.Commit()
}

// Who asks for no bytes at least is answered at once, and must get what there is.
func TestNothingIsGatheredForWhoIsAnsweredAtOnce(t *testing.T) {
	f := startFollowed(t)
	f.open()
	f.produce(3)
	f.append(3)
	rq := f.request()
	rq.MaxWaitMillis, rq.MinBytes = 600_000, 0
	if _, said, _ := f.ask(rq); len(said[3].Records) != 1 {
		t.Error(said)
	}
	f.broker.Parts.Commit()
}

// What is committed must not wait for what is not.
func TestAFollowerHasFetchedThoughItsAnswerWaits(t *testing.T) {
	f := startFollowed(t)
	f.open()
	f.produce(3)
	f.ask(f.request()) // the record
	f.produce(5)
	f.append(5)
	c := f.waiting(f.request(at{3, 1}))
	if p, err := f.broker.Parts.Leader(f.topic, 3, -1); err != nil || p.Marks().HighWatermark != 1 {
		t.Error("the high watermark waits too:", err)
	}
	f.broker.Parts.Commit()
	if err := c.finish(t.Context(), wire.NewReply(c.rq)); err != nil {
		t.Error(err)
	}
}

// Large answers are worth a fetch each: the disks of leader and follower are to be busy at the same time.
func TestBehindALargeAnswerNothingIsGathered(t *testing.T) {
	f := startFollowed(t)
	f.open()
	f.broker.sessions.byID[f.id].large.Store(true)
	f.produce(3)
	f.append(3)
	if _, said, _ := f.ask(f.request()); len(said[3].Records) != 1 {
		t.Error(said)
	}
	f.broker.Parts.Commit()
}
