package controller

import (
	"context"

	"chronik/metalog/image"
)

// producerIDs is what is left of this broker's block of producer ids. A block that a restart leaves unfinished is never
// taken up again: an id is given out once in the life of a cluster.
type producerIDs struct {
	turn      chan struct{} // guards the rest; waiting for it ends with the context
	next, end int64
}

// ProducerID gives out a producer id that no one has had, from this broker's block, and has a new block allocated when
// that is used up.
func (c *Controller) ProducerID(ctx context.Context) (int64, error) {
	p := &c.producers
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return -1, ctx.Err()
	}
	defer func() { <-p.turn }()
	if p.next == p.end {
		block, err := c.AllocateProducerIDs(ctx, c.o.Self)
		if err != nil {
			return -1, err
		}
		p.next, p.end = block.Start, block.Start+int64(block.Count)
	}
	id := p.next
	p.next++
	return id, nil
}

// AllocateProducerIDs gives a block of producer ids to a broker.
func (c *Controller) AllocateProducerIDs(ctx context.Context, broker image.BrokerID) (block image.ProducerIDsRecord, err error) {
	if err := c.take(ctx); err != nil {
		return block, err
	}
	defer c.release()
	errs := c.decide(ctx, 1, func(img *image.Image) planner {
		return func(int) ([]image.Record, error) {
			block = planProducerIDs(img, broker)
			return []image.Record{block}, nil
		}
	})
	return block, errs[0]
}
