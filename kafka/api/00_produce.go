package api

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/replica"
	"chronik/kafka/batch"
	"chronik/kafka/kerr"
	"chronik/kafka/wire"
	"chronik/metalog/image"
)

// produceCall is one Produce request (key 0, versions 0-13) between Begin and its answer. It is recycled, with its
// response, so that a request of few partitions costs no allocation here.
type produceCall struct {
	broker  *Broker
	rq      *wire.Request
	req     *kmsg.ProduceRequest
	parts   *replica.Produce
	resp    wire.ProduceResponse
	pending wire.Pending
}

var produceCalls sync.Pool

func newProduceCall() *produceCall {
	if c, ok := produceCalls.Get().(*produceCall); ok {
		return c
	}
	c := new(produceCall)
	c.pending = wire.Pending{Ready: c.ready, Finish: c.finish}
	return c
}

// inlineMax is the size up to which a lone request's goroutine writes to disk itself. Handing over costs tens of
// microseconds: much beside a small write, little beside one during which the next request could have been read.
const inlineMax = 64 << 10

// produce appends every partition's records before it waits for any, so that a request costs one group commit.
func produce(b *Broker, _ context.Context, rq *wire.Request) wire.Pending {
	c := newProduceCall()
	c.broker, c.rq, c.req = b, rq, rq.Body.(*kmsg.ProduceRequest)
	n := 0
	for i := range c.req.Topics {
		n += len(c.req.Topics[i].Partitions)
	}
	c.parts = replica.NewProduce(c.req.Acks, n)
	refused := c.refused()
	img, i := b.Meta.Image(), 0
	for t := range c.req.Topics {
		topic := &c.req.Topics[t]
		id, err := topicID(img, topic, c.rq.Version)
		if refused != nil {
			err = refused
		}
		for p := range topic.Partitions {
			c.begin(i, id, &topic.Partitions[p], err)
			i++
		}
	}
	p := c.pending
	switch {
	case rq.Alone && (rq.Buf == nil || len(rq.Buf.Bytes()) <= inlineMax):
		b.Parts.Commit()
	case rq.More:
		p.Start = b.Parts.CommitSoon
	default:
		b.Parts.CommitSoon()
	}
	return p
}

// refused says why no partition of the request may be written at all.
func (c *produceCall) refused() error {
	switch {
	case c.req.Acks < -1 || c.req.Acks > 1:
		return kerr.InvalidRequiredAcks
	case c.req.TransactionID != nil:
		// InitProducerId hands out no transactional producers, so this one has no transaction to write in.
		return kerr.Detail(kerr.InvalidTxnState, "transactions are not served by this broker")
	}
	return nil
}

func topicID(img *image.Image, t *kmsg.ProduceRequestTopic, version int16) (uuid.UUID, error) {
	if id := uuid.UUID(t.TopicID); id != uuid.Nil {
		return id, nil // replica knows ids
	}
	if topic, ok := img.TopicNamed(t.Topic); ok {
		return topic.ID, nil
	}
	if version >= 13 {
		return uuid.Nil, kerr.UnknownTopicID
	}
	return uuid.Nil, kerr.UnknownTopicOrPartition
}

func (c *produceCall) begin(i int, id uuid.UUID, p *kmsg.ProduceRequestTopicPartition, err error) {
	var part *replica.Partition
	if err == nil && transactional(p.Records) {
		// The request has no transactional id, and without one nothing would ever end the transaction: it would hold
		// back all that read committed records only.
		err = kerr.TransactionalIDAuthorizationFailed
	}
	if err == nil {
		part, err = c.broker.Parts.Leader(id, p.Partition, -1)
	}
	c.parts.Begin(i, part, err, p.Records, c.rq.Buf, c.rq.Version)
}

func transactional(records []byte) bool {
	b, _, err := batch.Next(records)
	return err == nil && b.IsTransactional()
}

func (c *produceCall) ready() bool { return c.parts.Ready() }

// finish waits for the acknowledgement that the client asked for and answers.
func (c *produceCall) finish(ctx context.Context, r *wire.Reply) error {
	defer c.recycle()
	c.parts.Wait(ctx, time.Duration(c.req.TimeoutMillis)*time.Millisecond)
	results := c.parts.Results()
	if c.req.Acks == 0 {
		r.Nothing()
		return firstFailure(results)
	}
	c.answer(results)
	r.Produce(&c.resp)
	return nil
}

// firstFailure makes a failed produce with acks=0 close the connection: there is no answer that could say so, and
// clients take the closing as the sign to refresh their metadata.
func firstFailure(results []replica.Result) error {
	for i := range results {
		if results[i].Err != nil {
			return fmt.Errorf("produce with acks=0: %w", results[i].Err)
		}
	}
	return nil
}

func (c *produceCall) answer(results []replica.Result) {
	c.resp.Topics = c.resp.Topics[:0]
	img := c.broker.Meta.Image()
	var h hints
	for t := range c.req.Topics {
		in := &c.req.Topics[t]
		out := c.nextTopic()
		out.Name, out.ID = in.Topic, in.TopicID
		for p := range in.Partitions {
			part := c.partition(in.Partitions[p].Partition, &results[0])
			if part.Err != kerr.None && c.rq.Version >= 10 {
				if id, err := topicID(img, in, c.rq.Version); err == nil {
					part.LeaderID, part.LeaderEpoch = h.add(img, id, part.Partition, part.Err)
				}
			}
			out.Partitions = append(out.Partitions, part)
			results = results[1:]
		}
	}
	c.resp.Nodes = c.broker.endpoints(img, h.leaders, c.rq.Peer)
}

// nextTopic lengthens the response by a topic whose partitions' memory is used again.
func (c *produceCall) nextTopic() *wire.ProduceTopic {
	n := len(c.resp.Topics)
	if n == cap(c.resp.Topics) {
		c.resp.Topics = append(c.resp.Topics, wire.ProduceTopic{})
	}
	c.resp.Topics = c.resp.Topics[:n+1]
	t := &c.resp.Topics[n]
	t.Partitions = t.Partitions[:0]
	return t
}

func (c *produceCall) partition(number int32, res *replica.Result) wire.ProducePartition {
	out := wire.ProducePartition{Partition: number, BaseOffset: -1, AppendTime: -1, LogStart: -1, LeaderID: -1, LeaderEpoch: -1}
	if res.Err != nil {
		out.Err, out.Message = kerr.Of(res.Err), kerr.Message(res.Err)
		return out
	}
	out.BaseOffset, out.AppendTime, out.LogStart = res.Base, res.AppendTime, res.LogStart
	return out
}

func (c *produceCall) recycle() {
	c.parts.Done()
	c.broker, c.rq, c.req, c.parts = nil, nil, nil, nil
	produceCalls.Put(c)
}
