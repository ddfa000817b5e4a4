package api

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/replica"
	"chronik/cluster/share"
	"chronik/kafka/kerr"
	"chronik/kafka/wire"
	"chronik/metalog/image"
)

// shareFetchBytes is as much as one ShareFetch answers with: its records are copied, as only those batches go out that the
// member has acquired something of, where Fetch refers to them. So they count as the answer's memory.
const shareFetchBytes = 8 << 20

// shareFetchCall is one ShareFetch. It is a replica.Waiter: it waits for new records, and for those that somebody gives back.
type shareFetchCall struct {
	broker  *Broker
	rq      *wire.Request
	req     *kmsg.ShareFetchRequest
	group   string
	member  string
	parts   []image.TopicPartition
	answers shareAnswers
	wake    chan struct{}
	patient context.Context // until MaxWait is over
}

// shareFetch serves key 78, versions 1-2 (KIP-932, KIP-1206, KIP-1222): what the member says of the records that it has
// comes first, then it is given others.
func shareFetch(b *Broker, ctx context.Context, rq *wire.Request, req *kmsg.ShareFetchRequest) (kmsg.Response, error) {
	resp := req.ResponseKind().(*kmsg.ShareFetchResponse)
	c := &shareFetchCall{broker: b, rq: rq, req: req, group: orEmpty(req.GroupID), member: orEmpty(req.MemberID), wake: make(chan struct{}, 1)}
	err := b.finalised("share.version")
	if err == nil {
		err = c.run(ctx)
	}
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = int16(kerr.Of(err)), orNil(kerr.Message(err))
		return resp, nil
	}
	c.answers.distrust(b)
	resp.AcquisitionLockTimeoutMillis = b.Shares.Config(c.group).RecordLockDurationMs
	var nodes []wire.Node
	resp.Topics, nodes = c.answers.fetched(b, rq.Peer)
	for _, n := range nodes {
		resp.NodeEndpoints = append(resp.NodeEndpoints, kmsg.ShareFetchResponseNodeEndpoint{NodeID: n.ID, Host: n.Host, Port: n.Port, Rack: orNil(n.Rack)})
	}
	return resp, nil
}

func (c *shareFetchCall) run(ctx context.Context) error {
	if c.group == "" || c.member == "" {
		return kerr.Detail(kerr.InvalidRequest, "a share fetch needs a group and a member")
	}
	if r := c.req; r.IsRenewAck && (r.MaxBytes != 0 || r.MinBytes != 0 || r.MaxRecords != 0 || r.MaxWaitMillis != 0) {
		return kerr.Detail(kerr.InvalidRequest, "a request that renews locks fetches nothing: its limits are 0")
	}
	var named, forgotten []image.TopicPartition
	var acks acknowledgements
	for _, t := range c.req.Topics {
		for _, p := range t.Partitions {
			at := image.TopicPartition{Topic: t.TopicID, Partition: p.Partition}
			named = append(named, at)
			var batches []share.Batch
			for _, a := range p.AcknowledgementBatches {
				batches = append(batches, share.Batch{First: a.FirstOffset, Last: a.LastOffset, Types: a.AcknowledgeTypes})
			}
			acks.add(at, batches, c.req.IsRenewAck)
		}
	}
	for _, t := range c.req.ForgottenTopicsData {
		for _, p := range t.Partitions {
			forgotten = append(forgotten, image.TopicPartition{Topic: t.TopicID, Partition: p})
		}
	}
	session := share.Session{Group: c.group, Member: c.member, Epoch: c.req.ShareSessionEpoch}
	parts, err := c.broker.Shares.Fetch(ctx, session, named, forgotten, len(acks) > 0)
	if err != nil {
		return err
	}
	c.parts = parts
	acks.send(c.broker.Shares, session)
	acks.await(ctx, &c.answers)
	if session.Epoch == share.CloseEpoch {
		endSession(ctx, c.broker.Shares, session, &c.answers)
		return nil
	}
	if session.Epoch == share.OpenEpoch {
		for _, p := range parts {
			c.answers.of(p) // the first answer of a session names all of its partitions
		}
	}
	if c.req.MaxRecords > 0 && c.req.MaxBytes > 0 && len(c.parts) > 0 {
		c.fetch(ctx)
		c.broker.Shares.Keep(session, c.parts)
	}
	return nil
}

// fetch waits until there is enough, or something that the member must know at once, or MaxWait is over.
func (c *shareFetchCall) fetch(ctx context.Context) {
	end := c.rq.Received.Add(time.Duration(c.req.MaxWaitMillis) * time.Millisecond)
	patient, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	c.patient = patient
	over := time.NewTimer(time.Until(end))
	defer over.Stop()
	for _, p := range c.parts {
		k := share.Key{Group: c.group, Partition: p}
		c.broker.Shares.Await(k, c)
		defer c.broker.Shares.Forget(k, c)
		if log, err := c.broker.Parts.Leader(p.Topic, p.Partition, -1); err == nil {
			log.Await(c)
			defer log.Forget(c)
		}
	}
	for last := c.req.MaxWaitMillis <= 0; !c.attempt(ctx, last) && !last; {
		select {
		case <-c.wake:
		case <-over.C:
			last = true
		case <-ctx.Done():
			return
		case <-c.broker.Draining:
			return
		}
	}
}

// attempt acquires what there is, and says whether that is an answer; the last one is in any case.
func (c *shareFetchCall) attempt(ctx context.Context, last bool) bool {
	for range mostRaces {
		c.rq.Repay()
		room, enough := c.room()
		read, bytes, failed := c.read(ctx, room)
		if failed { // the member must know, and no other partition waits for that one
			c.acquire(read)
			return true
		}
		if bytes == 0 || bytes < enough && !last {
			c.rq.Repay() // nothing is kept of it
			return false
		}
		if c.acquire(read) {
			return true
		}
	}
	c.rq.Repay()
	c.Wake()
	return false
}

// mostRaces is how often records are looked for again at once that somebody else was quicker to acquire, or that nobody is
// given.
const mostRaces = 16

// room is how many bytes the answer may have, and how many are enough. A client with a quota gets no more than that leaves it: held back
// for longer than it may lock records, it would find them with others.
func (c *shareFetchCall) room() (most, enough int) {
	most = min(int(c.req.MaxBytes), int(c.broker.Config().FetchMaxBytes), shareFetchBytes)
	return c.broker.ration(c.rq, most, int(c.req.MinBytes))
}

func (c *shareFetchCall) read(ctx context.Context, room int) (read []*share.Reading, bytes int, failed bool) {
	full := false
	borrow := func(n int) bool {
		// Twice: the answer is a copy of these copies. Who has some waits for no more: others could do so for it.
		full = !c.rq.Borrow(c.patient, 2*n, bytes == 0)
		return !full
	}
	for _, p := range c.parts {
		r, err := c.broker.Shares.Read(ctx, share.Key{Group: c.group, Partition: p}, room-bytes, bytes == 0, borrow)
		if err != nil {
			c.answers.of(p).err, failed = err, true
			continue
		}
		read = append(read, r)
		if bytes += r.Size(); bytes >= room || full {
			break
		}
	}
	return read, bytes, failed
}

func (c *shareFetchCall) acquire(read []*share.Reading) (some bool) {
	want := share.Want{
		Member: c.member, Most: int(c.req.MaxRecords), Batch: int(c.req.BatchSize), Exact: c.req.ShareAcquireMode == recordLimit,
	}
	for _, r := range read {
		if want.Most <= 0 {
			break
		}
		records, got := r.Acquire(want)
		if len(got) == 0 {
			continue
		}
		a := c.answers.of(r.Partition())
		a.records = records
		for _, g := range got {
			want.Most -= int(g.Last - g.First + 1)
			a.acquired = append(a.acquired, kmsg.ShareFetchResponseTopicPartitionAcquiredRecord{FirstOffset: g.First, LastOffset: g.Last, DeliveryCount: g.Count})
		}
		some = true
	}
	return some
}

// recordLimit is the ShareAcquireMode of those that never want more records than they have said.
const recordLimit = 1

// Wake is replica.Waiter's.
func (c *shareFetchCall) Wake() {
	select {
	case c.wake <- struct{}{}:
	default: // it is awake already
	}
}

var _ replica.Waiter = (*shareFetchCall)(nil)
