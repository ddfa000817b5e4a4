package api

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/replica"
	"chronik/kafka/batch"
	"chronik/kafka/kerr"
	"chronik/kafka/wire"
	"chronik/metalog/image"
)

// answer is one partition's part of a response.
type answer struct {
	item *fetchItem
	wire.FetchPartition
	from *replica.Partition // where Records are from
	size int                // of Records
}

// fetchCall is one Fetch request (key 1, versions 0-18) between Begin and its answer. It is a replica.Waiter: when the
// records that there are do not fill MinBytes, it sleeps until new ones come or MaxWait is over.
type fetchCall struct {
	broker  *Broker
	rq      *wire.Request
	req     *kmsg.FetchRequest
	session *fetchSession // nil without one
	failed  kerr.Code     // of the whole request
	items   []*fetchItem
	answers []answer
	bytes   int
	done    bool
	tried   bool // the records were looked up once
	wake    chan struct{}

	follower *replica.Follower // who fetches as one, nil for a consumer
	fed      *fetchSession     // that a follower is fed by: session, or one of this request alone
	round    int64             // of fed
	nodes    []wire.Node
	gathers  bool // what is durable waits for what is on its way to the disk; see gather
	hurries  bool // it does so no more
	stale    bool // a follower has a high watermark, or a log start, that has moved
}

func fetch(b *Broker, _ context.Context, rq *wire.Request) wire.Pending {
	c := &fetchCall{broker: b, rq: rq, req: rq.Body.(*kmsg.FetchRequest)}
	if err := c.open(); err != nil {
		c.failed, c.done = kerr.Of(err), true
	}
	return wire.Pending{Ready: c.ready, Finish: c.finish}
}

// ready is asked when it is this request's turn to be answered. Only then are the records looked up: a client that sends
// fetches and reads no answers holds those of one.
func (c *fetchCall) ready() bool {
	if !c.done && !c.tried {
		c.attempt()
	}
	return c.done
}

// open finds what is to be fetched: the request's partitions, or its session's.
func (c *fetchCall) open() error {
	var err error
	if c.follower, err = c.replica(); err != nil {
		return err
	}
	asked := c.asked()
	if c.req.Version < 7 || c.req.SessionEpoch == -1 && c.req.SessionID == 0 {
		c.begin(asked)
		return nil
	}
	if c.req.SessionEpoch == 0 || c.req.SessionEpoch == -1 { // a full fetch: it ends the session it names, and 0 opens a new one
		if c.req.SessionID != 0 {
			c.broker.sessions.close(c.req.SessionID)
		}
		c.begin(asked)
		return nil
	}
	session, err := c.broker.sessions.find(c.req.SessionID, c.rq.Received)
	if err != nil {
		return err
	}
	if !session.isOf(c.follower) {
		return kerr.FetchSessionIDNotFound
	}
	if c.items, err = session.update(c.req, asked); err != nil {
		return err
	}
	if session.empty() {
		c.broker.sessions.close(session.id) // the answer's session id, 0, says so
		c.done = true
		return nil
	}
	c.session = session // whose id only a success carries
	if c.follower != nil {
		c.feed(session)
	}
	return nil
}

// begin fetches the items, by a new session if the client asks for one and the cache has a place.
func (c *fetchCall) begin(items []*fetchItem) {
	opens := c.req.Version >= 7 && c.req.SessionEpoch == 0 && len(items) > 0
	if !opens && c.follower == nil {
		c.items = items
		return
	}
	s := newFetchSession(items, c.req.Version >= 13, c.broker.Parts, c.follower)
	if opens && c.broker.sessions.open(s, c.rq.Received, int(c.broker.Config().MaxFetchSessions)) {
		c.session = s
	}
	if c.follower == nil {
		c.items = s.copies()
		return
	}
	c.feed(s)
	c.done = len(items) == 0
}

func (c *fetchCall) asked() []*fetchItem {
	var items []*fetchItem
	for i := range c.req.Topics {
		t := &c.req.Topics[i]
		for _, p := range t.Partitions {
			items = append(items, &fetchItem{topic: t.TopicID, name: t.Topic, part: p})
		}
	}
	return items
}

// attempt reads what there is. The call is done when that is enough, or when there is something that the client must
// know at once.
func (c *fetchCall) attempt() {
	c.release()
	if c.fed != nil {
		c.takeChanged()
		c.gathers = c.gather()
	}
	c.answers = slices.Grow(c.answers, len(c.items))
	room, enough := c.broker.ration(c.rq, c.room(), int(c.req.MinBytes))
	for _, it := range c.items {
		a := answer{item: it, FetchPartition: unanswered(it.part.Partition)}
		n, err := c.read(&a, room)
		if err != nil {
			a.Err = kerr.Of(err)
		}
		c.done = c.done || err != nil || a.DivergingEpoch >= 0 || a.PreferredReplica >= 0
		c.bytes += n
		room -= n
		c.answers = append(c.answers, a)
	}
	if c.fed != nil && !c.tried {
		c.follower.Feed.Asked()
	}
	c.tried = true
	c.done = c.done || c.bytes >= enough || c.req.MaxWaitMillis <= 0 || len(c.items) == 0 && c.fed == nil
}

// room is how many bytes of records the response may hold, if its first batch is not larger by itself (KIP-74), and its client's
// quota leaves it no less.
func (c *fetchCall) room() int {
	if c.follower != nil {
		return int(c.req.MaxBytes)
	}
	room := int(c.broker.Config().FetchMaxBytes)
	if c.req.Version >= 3 {
		room = min(room, int(c.req.MaxBytes))
	}
	if c.req.Version < 4 {
		room = min(room, downgradedBytes)
	}
	return room
}

// read fills in one partition's answer and returns its records' length.
func (c *fetchCall) read(a *answer, room int) (int, error) {
	if c.follower != nil {
		return c.readAsFollower(a, room)
	}
	p, err := c.partition(a.item)
	if err != nil {
		return 0, err
	}
	in := &a.item.part
	m := p.Marks()
	a.HighWatermark, a.LastStable, a.LogStart = m.HighWatermark, m.LastStable, m.LogStart
	if away, err := c.diverges(a, p); away || err != nil {
		if err != nil {
			a.HighWatermark, a.LastStable, a.LogStart = -1, -1, -1
		}
		return 0, err
	}
	if a.PreferredReplica = c.nearer(p, in.FetchOffset); a.PreferredReplica >= 0 {
		return 0, nil
	}
	committed := c.req.IsolationLevel == 1
	limit := max(0, min(room, int(in.PartitionMaxBytes)))
	a.Records, err = p.Read(nil, in.FetchOffset, limit, c.bytes == 0, committed)
	if err != nil {
		a.HighWatermark, a.LastStable, a.LogStart = -1, -1, -1
		return 0, err
	}
	if m = p.Marks(); len(a.Records) > 0 { // those of now: the records may reach beyond the ones before
		a.HighWatermark, a.LastStable = m.HighWatermark, m.LastStable
	}
	if committed {
		if a.Aborted, err = aborted(p, in.FetchOffset, m.LastStable); err != nil {
			releaseAll(a.Records)
			a.Records = nil
			return 0, err
		}
	}
	if err := c.downgrade(a); err != nil {
		return 0, err
	}
	return a.sized(p), nil
}

// sized notes how many bytes of records the partition has given.
func (a *answer) sized(from *replica.Partition) int {
	a.from, a.size = from, 0
	for i := range a.Records {
		a.size += int(a.Records[i].Size())
	}
	return a.size
}

// partition is where the item may be read here: since version 11 followers serve consumers (KIP-392), if the operator has
// them do so. Else a client that is late would be told by a follower that begins anew that its offset is out of range.
func (c *fetchCall) partition(it *fetchItem) (*replica.Partition, error) {
	find := c.broker.Parts.Leader
	if c.follower == nil && c.req.Version >= 11 && c.broker.Config().RackAwareReads {
		find = c.broker.Parts.Replica
	}
	id := it.topic
	if c.req.Version < 13 {
		t, ok := c.broker.Meta.Image().TopicNamed(it.name)
		if !ok {
			return nil, kerr.UnknownTopicOrPartition
		}
		id = t.ID
	} else if id == uuid.Nil {
		return nil, kerr.UnknownTopicID
	}
	epoch := it.part.CurrentLeaderEpoch
	if c.req.Version < 9 {
		epoch = -1
	}
	return find(id, it.part.Partition, epoch)
}

// nearer is the replica that this consumer should ask instead: one in sync, in its rack, that has the offset, the one with
// the most records where there are several; -1 is this one.
func (c *fetchCall) nearer(p *replica.Partition, offset int64) int32 {
	rack := c.req.Rack
	if c.req.Version < 11 || rack == "" || !c.broker.Config().RackAwareReads || !p.Leads() {
		return -1
	}
	img := c.broker.Meta.Image()
	in := func(id image.BrokerID) bool {
		b, ok := img.Broker(id)
		return ok && b.Rack == rack && b.Active()
	}
	if in(c.broker.Self) {
		return -1
	}
	best, most := int32(-1), offset-1
	for id, has := range p.InSyncExtents() {
		if has.Start <= offset && has.End > most && in(id) {
			best, most = int32(id), has.End
		}
	}
	return best
}

// diverges tells a reader whose last epoch ended earlier here to truncate (KIP-595's part of Fetch v12).
// An epoch that is newer than all that are known here ends nowhere.
func (c *fetchCall) diverges(a *answer, p *replica.Partition) (bool, error) {
	in := &a.item.part
	if c.req.Version < 12 || in.LastFetchedEpoch < 0 {
		return false, nil
	}
	epoch, end := p.Log().EpochEnd(in.LastFetchedEpoch)
	if epoch < 0 {
		return false, kerr.OffsetOutOfRange
	}
	if epoch == in.LastFetchedEpoch && end >= in.FetchOffset {
		return false, nil
	}
	a.DivergingEpoch, a.DivergingEnd = epoch, end
	return true, nil
}

// aborted lists the transactions to skip, as an empty list rather than none for a read_committed reader.
func aborted(p *replica.Partition, from, end int64) ([]wire.AbortedTxn, error) {
	found, err := p.Log().Aborted(from, end)
	txns := make([]wire.AbortedTxn, 0, len(found))
	for _, t := range found {
		txns = append(txns, wire.AbortedTxn(t))
	}
	return txns, err
}

// downgradedBytes is as much as is rewritten for one answer: it is copied, where everything else is referred to.
const downgradedBytes = 1 << 20

// downgrade rewrites the records in the message format that a client before v4 knows. From then on records go out as they
// are, zstd's too, although clients officially know zstd from v10 on: some that fetch by v4 read it well, and a producer
// chose it for them.
func (c *fetchCall) downgrade(a *answer) error {
	if c.req.Version >= 4 || len(a.Records) == 0 {
		return nil
	}
	records, err := batch.Copy(nil, a.Records)
	releaseAll(a.Records)
	a.Records = nil
	if err != nil {
		return err
	}
	magic := int8(0)
	if c.req.Version >= 2 {
		magic = 1
	}
	records, err = batch.ConvertDown(records, magic, a.item.part.FetchOffset)
	if len(records) > 0 {
		a.Records = []batch.Extent{{Mem: records, Len: int64(len(records))}}
	}
	return err
}

// finish waits until the call is done and answers.
func (c *fetchCall) finish(ctx context.Context, r *wire.Reply) error {
	if !c.done {
		c.wait(ctx)
	}
	c.distrust()
	c.count()
	if c.fed != nil {
		c.fed.large.Store(c.bytes >= gatherUpTo)
	}
	resp := &wire.FetchResponse{Err: c.failed}
	if c.session != nil {
		resp.SessionID = c.session.id
		c.answers = c.session.news(c.answers)
	} else if c.fed != nil {
		c.fed.end()
	}
	for i := range c.answers {
		a := &c.answers[i]
		last := len(resp.Topics) - 1
		if last < 0 || resp.Topics[last].Name != a.item.name || resp.Topics[last].ID != a.item.topic {
			resp.Topics = append(resp.Topics, wire.FetchTopic{Name: a.item.name, ID: a.item.topic})
			last++
		}
		resp.Topics[last].Partitions = append(resp.Topics[last].Partitions, a.FetchPartition)
	}
	resp.Nodes = c.nodes
	r.Fetch(resp)
	return nil
}

// distrust drops what was read when this node may not be a leader any more: it may have been stopped for a while. And it
// says where the leaders are.
func (c *fetchCall) distrust() {
	serving, img := c.broker.Parts.Serving(), c.broker.Meta.Image()
	var h hints
	for i := range c.answers {
		a := &c.answers[i]
		if !serving && a.Err == kerr.None {
			releaseAll(a.Records)
			a.FetchPartition = unanswered(a.Partition)
			a.Err = kerr.NotLeaderOrFollower
		}
		if a.Err != kerr.None && c.req.Version >= 16 {
			a.LeaderID, a.LeaderEpoch = h.add(img, a.item.topic, a.Partition, a.Err)
		}
	}
	c.nodes = c.broker.endpoints(img, h.leaders, c.rq.Peer)
}

// unanswered is the answer of a partition of which nothing is known yet.
func unanswered(partition int32) wire.FetchPartition {
	return wire.FetchPartition{
		Partition: partition, HighWatermark: -1, LastStable: -1, LogStart: -1,
		PreferredReplica: -1, DivergingEpoch: -1, DivergingEnd: -1, LeaderID: -1, LeaderEpoch: -1,
	}
}

// wait sleeps until attempt finds enough, or takes what there is when MaxWait is over.
func (c *fetchCall) wait(ctx context.Context) {
	c.wake = make(chan struct{}, 1)
	if c.fed != nil {
		c.follower.Feed.Await(c)
		defer c.follower.Feed.Await(nil)
	} else {
		for _, it := range c.items {
			if p, err := c.partition(it); err == nil {
				p.Await(c)
				defer p.Forget(c)
			}
		}
	}
	over := time.NewTimer(time.Until(c.rq.Received.Add(time.Duration(c.req.MaxWaitMillis) * time.Millisecond)))
	defer over.Stop()
	var gathered <-chan time.Time
	for c.attempt(); !c.done; c.attempt() {
		var stale <-chan time.Time
		if c.stale {
			stale = time.After(staleWait)
		}
		if c.gathers && gathered == nil {
			gathered = time.After(gatherMost)
		}
		select {
		case <-c.wake:
			continue
		case <-gathered:
			c.hurries = true // if there is nothing, it is a long poll as any
			continue
		case <-stale:
		case <-over.C:
		case <-ctx.Done():
		case <-c.broker.Draining:
		}
		c.takeAll()
		return
	}
}

// takeAll ends the wait: what the last attempt found is the answer, and what it has left for later.
func (c *fetchCall) takeAll() {
	if c.gathers {
		c.hurries = true
		c.attempt()
	}
	c.done = true
}

// Wake is replica.Waiter's.
func (c *fetchCall) Wake() {
	select {
	case c.wake <- struct{}{}:
	default: // it is awake already
	}
}

func (c *fetchCall) release() {
	for i := range c.answers {
		releaseAll(c.answers[i].Records)
	}
	c.answers, c.bytes = c.answers[:0], 0
}

func releaseAll(extents []batch.Extent) {
	for i := range extents {
		extents[i].Release()
	}
}
