package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/batch"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// retryPause is between two tries of a client, about.
const retryPause = 100 * time.Millisecond

// insist calls try until it is done. Once the cluster has nothing wrong with it any more, that may not take long.
func (c *client) insist(what string, try func(ctx context.Context) (done bool)) {
	for !try(c.w.ctx) {
		if !c.pause(c.w.ctx, retryPause) || c.w.failed() {
			return
		}
		if c.w.overdue() {
			c.w.complain("%s has not come through, %s after everything was mended; %s", what, patience, c.w.whole())
			return
		}
	}
}

// producer writes to the topics that last: idempotent, acks=all. What it was not answered it sends again.
type producer struct {
	*client
	number   int
	id       int64
	sequence map[spot]int32
	count    int
}

// run ends with load, and with nothing left unanswered.
func (p *producer) run(load context.Context, every time.Duration) {
	p.sequence = map[spot]int32{}
	p.insist("InitProducerId", p.begin)
	for p.pause(load, every) {
		p.produce(p.w.lasting[p.r.IntN(len(p.w.lasting))])
	}
}

func (p *producer) begin(ctx context.Context) bool {
	rq := kmsg.NewPtrInitProducerIDRequest()
	rq.Version, rq.ProducerID, rq.ProducerEpoch = 4, -1, -1
	got, err := p.ask(ctx, p.anyone(), rq)
	if err != nil || got.(*kmsg.InitProducerIDResponse).ErrorCode != 0 {
		return false
	}
	p.id = got.(*kmsg.InitProducerIDResponse).ProducerID
	if !p.w.newProducer(p.id) {
		p.w.complain("the producer id %d was given out twice", p.id)
	}
	return true
}

// produce sends a few records, and waits for as long as it takes.
func (p *producer) produce(s spot) {
	values := make([]string, 1+p.r.IntN(3))
	for i := range values {
		values[i] = fmt.Sprintf("p%d-%d", p.number, p.count+i)
	}
	p.w.ledger.send(s, values, origin{p.number, p.count})
	p.count += len(values)
	sentBefore := false
	p.insist(fmt.Sprintf("%s for %v", values[0], s), func(ctx context.Context) bool {
		base, by, err := p.try(ctx, s, values)
		if err != nil {
			sentBefore = sentBefore || by != image.NoBroker
			return false
		}
		if sentBefore {
			by = image.NoBroker
		}
		if wrong := p.w.ledger.acknowledge(s, base, values, by); wrong != "" {
			p.w.complain("%s", wrong)
		}
		p.sequence[s] += int32(len(values))
		return true
	})
}

// try sends to the leader once; by is whom, and nobody when it was not sent.
func (p *producer) try(ctx context.Context, s spot, values []string) (base int64, by image.BrokerID, err error) {
	leader, _, known := p.leader(s)
	if !known {
		if err := p.refresh(ctx); err != nil {
			return -1, image.NoBroker, err
		}
		if leader, _, known = p.leader(s); !known {
			return -1, image.NoBroker, kerr.LeaderNotAvailable
		}
	}
	rq := kmsg.NewPtrProduceRequest()
	rq.Version, rq.Acks, rq.TimeoutMillis = 9, -1, 1500
	t, k := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
	k.Partition, k.Records = s.partition, p.batch(s, values)
	t.Topic, t.Partitions = s.topic, append(t.Partitions, k)
	rq.Topics = append(rq.Topics, t)
	got, err := p.ask(ctx, clientAddr(leader), rq)
	if err != nil {
		p.forget(s)
		return -1, leader, err
	}
	a := got.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	if a.ErrorCode == 0 {
		return a.BaseOffset, leader, nil
	}
	if !passing(a.ErrorCode) {
		p.w.complain("%s for %v was refused: %v", values[0], s, kerr.Code(a.ErrorCode))
	}
	p.forget(s)
	return -1, leader, kerr.Code(a.ErrorCode)
}

func (p *producer) batch(s spot, values []string) []byte {
	b := batch.Builder{Producer: &batch.Producer{ID: p.id, Sequence: p.sequence[s]}}
	for _, v := range values {
		b.Add(&batch.Record{Value: []byte(v), Timestamp: time.Now().UnixMilli()})
	}
	data, err := b.Build(nil)
	if err != nil {
		p.w.complain("%v", err)
	}
	return data
}

// consumer reads a partition from its beginning again and again, and commits how far it has come.
type consumer struct {
	*client
	group string
	spot
	committed int64    // the last one that was acknowledged
	may       []int64  // those since then, whose outcome is not known
	tried     []string // the last commits, for people
}

func (c *consumer) run(load context.Context, every time.Duration) {
	c.committed = -1
	for at := int64(0); c.pause(load, every); {
		if c.r.IntN(20) == 0 {
			at = 0
		}
		next := c.fetch(at)
		if next > at && next > c.committed && c.r.IntN(3) == 0 {
			c.commit(next)
		}
		at = next
		if c.r.IntN(5) == 0 {
			c.look()
		}
	}
	c.insist("OffsetFetch of "+c.group, func(context.Context) bool { return c.look() })
}

// fetch reads once, and returns where to go on.
func (c *consumer) fetch(at int64) int64 {
	leader, epoch, known := c.leader(c.spot)
	if !known {
		_ = c.refresh(c.w.ctx) // it is tried again
		return at
	}
	rq := kmsg.NewPtrFetchRequest()
	rq.Version, rq.MaxWaitMillis, rq.MinBytes, rq.MaxBytes, rq.SessionEpoch = 12, 100, 1, 1<<20, -1
	t, p := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.CurrentLeaderEpoch, p.PartitionMaxBytes = c.partition, at, epoch, 16<<10
	t.Topic, t.Partitions = c.topic, append(t.Partitions, p)
	rq.Topics = append(rq.Topics, t)
	got, err := c.ask(c.w.ctx, clientAddr(leader), rq)
	if err != nil {
		c.forget(c.spot)
		return at
	}
	resp := got.(*kmsg.FetchResponse)
	if resp.ErrorCode != 0 || len(resp.Topics) == 0 {
		c.forget(c.spot)
		return at
	}
	a := resp.Topics[0].Partitions[0]
	if a.ErrorCode != 0 {
		if kerr.Code(a.ErrorCode) == kerr.OffsetOutOfRange {
			return c.outOfRange(at, a.HighWatermark)
		}
		if !passing(a.ErrorCode) {
			c.w.complain("fetch of %v at %d: %v", c.spot, at, kerr.Code(a.ErrorCode))
		}
		c.forget(c.spot)
		return at
	}
	return c.shown(at, a.HighWatermark, a.RecordBatches)
}

// outOfRange is right for a moment only: a new leader may not know how far all have come, but never has less.
func (c *consumer) outOfRange(at, highWatermark int64) int64 {
	c.w.complain("node says that %v ends at %d, before offset %d which was read", c.spot, highWatermark, at)
	return 0
}

func (c *consumer) shown(at, highWatermark int64, data []byte) int64 {
	err := eachRecord(data, func(offset int64, r written) {
		switch {
		case offset < at:
			return
		case offset > at:
			c.w.complain("%v: offset %d follows on %d", c.spot, offset, at-1)
		case offset >= highWatermark:
			c.w.complain("%v: offset %d was shown, the high watermark is %d", c.spot, offset, highWatermark)
		}
		if wrong := c.w.ledger.show(c.spot, offset, r); wrong != "" {
			c.w.complain("%s", wrong)
		}
		at = offset + 1
	})
	if err != nil {
		c.w.complain("%v at %d: %v", c.spot, at, err)
	}
	return at
}

// eachRecord goes through batches as a response has them.
func eachRecord(data []byte, fn func(offset int64, r written)) error {
	for len(data) > 0 {
		b, rest, err := batch.Next(data)
		if err != nil {
			return err
		}
		if err := b.CheckCRC(); err != nil {
			return err
		}
		it, err := b.Records(0)
		if err != nil {
			return err
		}
		for it.Next() {
			fn(it.Record.Offset, written{string(it.Record.Value), b.LeaderEpoch()})
		}
		err = it.Err()
		it.Close()
		if err != nil {
			return err
		}
		data = rest
	}
	return nil
}

// coordinator asks any node who has the group.
func (c *consumer) coordinator() (addr string, ok bool) {
	rq := kmsg.NewPtrFindCoordinatorRequest()
	rq.Version, rq.CoordinatorKey = 3, c.group
	got, err := c.ask(c.w.ctx, c.anyone(), rq)
	if err != nil || got.(*kmsg.FindCoordinatorResponse).ErrorCode != 0 {
		return "", false
	}
	resp := got.(*kmsg.FindCoordinatorResponse)
	return fmt.Sprintf("%s:%d", resp.Host, resp.Port), true
}

func (c *consumer) commit(offset int64) {
	addr, ok := c.coordinator()
	if !ok {
		return
	}
	rq := kmsg.NewPtrOffsetCommitRequest()
	rq.Version, rq.Group, rq.Generation = 8, c.group, -1
	t, p := kmsg.NewOffsetCommitRequestTopic(), kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset = c.partition, offset
	t.Topic, t.Partitions = c.topic, append(t.Partitions, p)
	rq.Topics = append(rq.Topics, t)
	c.may = append(c.may, offset)
	began := time.Now()
	got, err := c.ask(c.w.ctx, addr, rq)
	if err != nil {
		c.note(began, addr, offset, err)
		return
	}
	code := kerr.Code(got.(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode)
	c.note(began, addr, offset, code)
	switch {
	case code == kerr.None:
		c.committed, c.may = offset, nil
		c.w.count("commits")
	case !passing(int16(code)):
		c.w.complain("commit of %v by %s: %v", c.spot, c.group, code)
	}
}

// note keeps what became of a commit.
func (c *consumer) note(began time.Time, addr string, offset int64, outcome any) {
	const kept = 12
	c.tried = append(c.tried, fmt.Sprintf("%s to %s: %d: %v, %s", began.Format("15:04:05.000"), addr, offset, outcome, time.Since(began)))
	c.tried = c.tried[max(0, len(c.tried)-kept):]
}

// look reads the committed offset; false when nobody said what it is.
func (c *consumer) look() bool {
	addr, ok := c.coordinator()
	if !ok {
		return false
	}
	rq := kmsg.NewPtrOffsetFetchRequest()
	rq.Version = 8
	g, t := kmsg.NewOffsetFetchRequestGroup(), kmsg.NewOffsetFetchRequestGroupTopic()
	t.Topic, t.Partitions = c.topic, []int32{c.partition}
	g.Group, g.Topics = c.group, append(g.Topics, t)
	rq.Groups = append(rq.Groups, g)
	got, err := c.ask(c.w.ctx, addr, rq)
	if err != nil || got.(*kmsg.OffsetFetchResponse).Groups[0].ErrorCode != 0 {
		return false
	}
	at := got.(*kmsg.OffsetFetchResponse).Groups[0].Topics[0].Partitions[0].Offset
	if at != c.committed && !slices.Contains(c.may, at) {
		c.w.complain("%s says that the committed offset of %s is %d; %d was acknowledged, and %s asked for since:\n%s", addr, c.group, at,
			c.committed, strings.Trim(fmt.Sprint(c.may), "[]"), strings.Join(c.tried, "\n"))
	}
	return true
}
