package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// autoCreationTimeout bounds a batch of automatic creations, which serves more callers than the one that carries it out.
const autoCreationTimeout = 30 * time.Second

// autoCreation gathers the topics that clients want while a batch before them is on its way, so that a thousand clients
// that start at once need a few entries of the log, not a thousand.
type autoCreation struct {
	mu   sync.Mutex // guards next and what it holds, until it is taken
	next *autoBatch
}

type autoBatch struct {
	names   []string
	may     []*permits // of who wanted the name first
	index   map[string]int
	outcome []error       // by index; written before done is closed
	done    chan struct{} // closed when the batch has been carried out
}

// AutoCreate creates topics with the default number of partitions and replicas. A topic that is there already, or that
// someone else creates at the same time, is a success; the error joins those of the topics that are not. The permit of who
// wants a topic first is asked for its partitions.
func (c *Controller) AutoCreate(ctx context.Context, names []string, permit Permit) error {
	if err := checkNewPartitions(len(names) * int(c.o.Config().NumPartitions)); err != nil {
		return err
	}
	b, mine := c.auto.join(names, permit)
	if mine {
		c.carryOutBatch(ctx)
	}
	select {
	case <-b.done:
		return b.result(names)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// join adds names to the batch that gathers; mine says that the caller began it, and so must carry it out.
func (a *autoCreation) join(names []string, permit Permit) (b *autoBatch, mine bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if mine = a.next == nil; mine {
		a.next = &autoBatch{index: map[string]int{}, done: make(chan struct{})}
	}
	b = a.next
	may := newPermits(permit)
	for _, n := range names {
		if _, ok := b.index[n]; !ok {
			b.index[n] = len(b.names)
			b.names = append(b.names, n)
			b.may = append(b.may, may)
		}
	}
	return b, mine
}

// take ends the gathering.
func (a *autoCreation) take() *autoBatch {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.next
	a.next = nil
	return b
}

// carryOutBatch creates what has gathered when its turn comes. It does not end with its caller's context: others wait
// for the same batch.
func (c *Controller) carryOutBatch(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), autoCreationTimeout)
	defer cancel()
	err := c.take(ctx)
	b := c.auto.take()
	defer close(b.done)
	if err != nil {
		b.outcome = repeat(err, len(b.names))
		return
	}
	defer c.release()
	cfg := c.o.Config()
	ids := make([]uuid.UUID, len(b.names))
	for i := range ids {
		ids[i] = c.o.NewID()
	}
	b.outcome = c.decide(ctx, len(b.names), func(img *image.Image) planner {
		p := newTopicPlan(img, cfg)
		return func(i int) ([]image.Record, error) {
			recs, err := p.create(&kmsg.CreateTopicsRequestTopic{Topic: b.names[i], NumPartitions: -1, ReplicationFactor: -1}, ids[i])
			if errors.Is(err, kerr.TopicAlreadyExists) {
				return nil, nil
			}
			if err == nil {
				err = b.may[i].item(i, int(cfg.NumPartitions))
			}
			if err != nil {
				return nil, err
			}
			return recs, nil
		}
	})
}

func (b *autoBatch) result(names []string) error {
	var failed []error
	for _, n := range names {
		if err := b.outcome[b.index[n]]; err != nil {
			failed = append(failed, fmt.Errorf("create %s: %w", n, err))
		}
	}
	return errors.Join(failed...)
}
