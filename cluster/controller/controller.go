// Package controller is what a cluster decides about itself, where the metadata log leads: which topics there are, where
// their replicas lie, what is configured, which brokers live and who leads. A decision is a planner (plan_*.go: the image and a request in, records and an
// outcome per item out, without clock or chance) whose records are then proposed. It does not know how requests arrive
// nor how records are agreed on.
package controller

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/google/uuid"

	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// Log is the metadata log.
type Log interface {
	Image() *image.Image
	Propose(ctx context.Context, recs ...image.Record) (image.Index, error)
}

// Voters is the metadata log's own members. Every change of them is one of the configuration that was read.
type Voters interface {
	Servers() ([]Server, error)
	Promote(ctx context.Context, id string) error
	Demote(ctx context.Context, id string) error
	Handover(ctx context.Context) error // returns when another node leads
	RemoveServer(ctx context.Context, id string) error
}

// Server is a member of the metadata log, by the id under which it takes part.
type Server struct {
	ID    string
	Node  image.BrokerID
	Voter bool
}

// Options of New.
type Options struct {
	Self   image.BrokerID
	Log    Log
	Config func() *config.Broker // this broker's, compiled
	NewID  func() uuid.UUID      // of a new topic; never the zero id
	Logger *slog.Logger          // nil: none

	// What a cluster of several needs; nil where there is one node.
	Sync   func(ctx context.Context) error                  // metalog.Log.Sync
	Probe  func(ctx context.Context, b *image.Broker) error // tries to connect to b; ECONNREFUSED says that nobody is there
	Voters Voters
}

// Controller makes decisions one after the other, each against the image that the one before it left. All methods may be
// called concurrently. A message of a kerr.Detail in an outcome is meant for the client.
type Controller struct {
	o         Options
	turn      chan struct{}          // holds one token: who has taken it decides
	tenure    atomic.Pointer[tenure] // nil while this node's metadata log does not lead
	auto      autoCreation
	producers producerIDs
	retired   retired
}

// New returns a controller.
func New(o Options) *Controller {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Controller{o: o, turn: make(chan struct{}, 1)}
	c.producers.turn = make(chan struct{}, 1)
	return c
}

// RegisterBroker registers a broker, or registers it anew after a restart, and returns its epoch. Errors are image.Apply's.
func (c *Controller) RegisterBroker(ctx context.Context, r image.BrokerRecord) (epoch int64, err error) {
	if err := c.take(ctx); err != nil {
		return 0, err
	}
	defer c.release()
	if err := planRegistration(r); err != nil {
		return 0, err
	}
	if err := checkFeatures(c.o.Log.Image(), r.Features); err != nil {
		return 0, err
	}
	index, err := c.o.Log.Propose(ctx, r)
	return int64(index), err
}

// take waits for the turn; the error is what ctx ended for. With one that has ended nothing is decided.
func (c *Controller) take(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *Controller) release() { <-c.turn }

const (
	// chunkBytes bounds the records proposed together, well below what one entry of the log may hold: other proposals
	// have room in the same entry, and followers are not kept waiting for a large one.
	chunkBytes = 512 << 10

	// maxAttempts bounds how often a plan that came too late is made again. Only what changes partitions from elsewhere
	// can make it so: other decisions wait for their turn.
	maxAttempts = 8
)

// planner returns the records of one item of a request, or why it is refused. It sees the items in order, and counts on
// the records of those before it that it did not refuse.
type planner func(item int) ([]image.Record, error)

// decide plans n items against the newest image and proposes their records, as many whole items at a time as fit
// together, until each item has its outcome. The caller has the turn.
func (c *Controller) decide(ctx context.Context, n int, begin func(*image.Image) planner) []error {
	outcome := make([]error, n)
	for from, attempt := 0, 1; from < n; {
		end, recs := gather(begin(c.o.Log.Image()), from, outcome)
		err := c.propose(ctx, recs)
		switch {
		case err == nil:
			from, attempt = end, 1
		case cameTooLate(err) && attempt < maxAttempts && c.catchUp(ctx) == nil:
			attempt++
		default:
			for i := from; i < n; i++ {
				outcome[i] = err
			}
			return outcome
		}
	}
	return outcome
}

// catchUp waits for an image with what made a plan come too late; where this node leads it is there already.
func (c *Controller) catchUp(ctx context.Context) error {
	if c.o.Sync == nil || c.tenure.Load() != nil {
		return nil
	}
	return c.o.Sync(ctx)
}

// gather plans items from the first one on until their records fill a chunk; a single item may be larger than that.
func gather(plan planner, from int, outcome []error) (end int, recs []image.Record) {
	size := 0
	for end = from; end < len(outcome); end++ {
		more, err := plan(end)
		n := weigh(more)
		if len(recs) > 0 && size+n > chunkBytes {
			break
		}
		outcome[end] = err
		recs, size = append(recs, more...), size+n
	}
	return end, recs
}

func (c *Controller) propose(ctx context.Context, recs []image.Record) error {
	if len(recs) == 0 {
		return nil
	}
	_, err := c.o.Log.Propose(ctx, recs...)
	return err
}

// check is decide without proposing anything, for requests that only ask whether they would succeed.
func (c *Controller) check(n int, begin func(*image.Image) planner) []error {
	outcome := make([]error, n)
	plan := begin(c.o.Log.Image())
	for i := range outcome {
		_, outcome[i] = plan(i)
	}
	return outcome
}

// carryOut is decide or check, in its turn.
func (c *Controller) carryOut(ctx context.Context, validateOnly bool, n int, begin func(*image.Image) planner) []error {
	if validateOnly {
		return c.check(n, begin)
	}
	if err := c.take(ctx); err != nil {
		return repeat(err, n)
	}
	defer c.release()
	return c.decide(ctx, n, begin)
}

// cameTooLate says that the image changed between plan and proposal: Apply refused, and nothing happened.
func cameTooLate(err error) bool {
	switch kerr.Of(err) {
	case kerr.InvalidUpdateVersion, kerr.TopicAlreadyExists, kerr.UnknownTopicID, kerr.UnknownTopicOrPartition, kerr.InvalidPartitions:
		return true
	}
	return false
}

func repeat(err error, n int) []error {
	all := make([]error, n)
	for i := range all {
		all[i] = err
	}
	return all
}
