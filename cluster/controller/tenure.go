package controller

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"chronik/metalog/image"
)

// tenure is the time in which this node's metadata log leads. One goroutine acts in it, always on the whole: it looks at
// the image and the sessions, and proposes what brings the two together. It takes no turn: what it changes of partitions
// is compared with their epochs, and a death must not wait until somebody's thousand topics are there.
type tenure struct {
	ctx      context.Context
	term     uint64
	wake     chan struct{} // holds one token when there is something to do
	sessions sessions
	probes   sync.WaitGroup
	chores   chores       // of its goroutine
	goal     atomic.Int64 // the index that a broker must have applied to be called current

	mu      sync.Mutex // guards the rest
	deltas  []*image.Delta
	dropped int  // deltas that were too many to be kept
	stirred bool // partitions or configs have changed, and wake is about to be told
}

const (
	// maxDeltas bounds what is kept to be logged.
	maxDeltas = 4096

	// stirDelay gathers the changes that hardly ever need an answer.
	stirDelay = 50 * time.Millisecond

	// overslept is how late the loop may come before it holds that the whole process stood still.
	overslept = 250 * time.Millisecond

	// retryDelay is how long to wait after records could not be agreed on.
	retryDelay = 100 * time.Millisecond
)

// Lead is the controller's part in leading the metadata log (metalog.Log.Lead): it returns when ctx ends. Errors of
// proposals are tried again; the log itself fails if it can go on no more.
func (c *Controller) Lead(ctx context.Context, term uint64) error {
	t := &tenure{ctx: ctx, term: term, wake: make(chan struct{}, 1)}
	t.sessions.of, t.sessions.passed = map[image.BrokerID]*session{}, make(chan struct{})
	c.o.Logger.Info("this node is the controller", "controllerEpoch", term)
	c.tenure.Store(t)
	defer t.probes.Wait()
	defer c.tenure.Store(nil)
	defer t.sessions.pass()
	c.begin(t)
	for {
		next := c.act(t)
		if !c.pause(t, next) {
			c.o.Logger.Info("this node is the controller no more", "controllerEpoch", term)
			return nil
		}
	}
}

// begin looks at once for every broker: one that died with the last controller is not given a session.
func (c *Controller) begin(t *tenure) {
	now := time.Now()
	t.sessions.mu.Lock()
	defer t.sessions.mu.Unlock()
	for _, b := range c.o.Log.Image().Brokers() {
		if of := t.sessions.get(b, now); !b.Fenced {
			c.look(t, b, of)
		}
	}
}

// pause waits until there is something to do, at the latest until next; false when the tenure has ended.
func (c *Controller) pause(t *tenure, next time.Time) bool {
	due := time.Now()
	if next.After(due) {
		due = next
	}
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-t.ctx.Done():
		return false
	case <-t.wake:
	case <-timer.C:
	}
	if late := time.Since(due); late > overslept {
		t.sessions.forgive(late)
	}
	return t.ctx.Err() == nil
}

// act does what is to be done, and says when there may be more.
func (c *Controller) act(t *tenure) (next time.Time) {
	t.mu.Lock()
	t.stirred = false
	t.mu.Unlock()
	now := time.Now()
	next, recs := c.judge(t, now)
	if err := c.settle(t.ctx, recs); err != nil && t.ctx.Err() == nil {
		c.o.Logger.Warn("the controller's records were not agreed on", "error", err)
		next = now.Add(retryDelay)
	}
	c.letGo(t)
	t.sessions.pass()
	next = earlier(next, c.chore(t, now))
	c.narrate(t)
	return next
}

// judge says which brokers are to be fenced, unfenced and let go, and when it may judge otherwise.
func (c *Controller) judge(t *tenure, now time.Time) (next time.Time, recs []image.Record) {
	img, timeout := c.o.Log.Image(), c.sessionTimeout()
	next = now.Add(timeout)
	s := &t.sessions
	s.mu.Lock()
	defer s.mu.Unlock()
	brokers := img.Brokers()
	if len(brokers) > 1 {
		recs = planOneMinISR(img, c.o.Config())
	}
	for _, b := range brokers {
		of := s.get(b, now)
		silent := now.Sub(of.heard)
		expired := (silent >= timeout || of.refused) && len(brokers) > 1 // a node alone has nobody to give way to
		switch {
		case !b.Fenced && (expired || of.wantFence):
			recs = append(recs, image.FenceRecord{ID: b.ID, Epoch: b.Epoch, Fenced: true})
		case b.Fenced && !expired && !of.wantFence && !of.wantShutdown && of.offset >= b.Epoch:
			recs = append(recs, image.FenceRecord{ID: b.ID, Epoch: b.Epoch})
		case !b.Fenced && of.wantShutdown && !b.ShuttingDown && others(brokers, b.ID):
			recs = append(recs, image.ControlledShutdownRecord{ID: b.ID, Epoch: b.Epoch})
		}
		if b.Fenced || expired || len(brokers) == 1 {
			continue
		}
		next = earlier(next, of.heard.Add(timeout))
		if silent >= c.silence() || of.missed {
			of.missed = false
			c.look(t, b, of)
			next = earlier(next, now.Add(c.silence()))
		} else {
			next = earlier(next, of.heard.Add(c.silence()))
		}
	}
	return next, recs
}

// others says whether there is a broker besides id that can take something over.
func others(brokers []*image.Broker, id image.BrokerID) bool {
	for _, b := range brokers {
		if b.ID != id && b.Active() {
			return true
		}
	}
	return false
}

// look begins to probe b, unless that goes on. It needs the sessions' mu.
func (c *Controller) look(t *tenure, b *image.Broker, of *session) {
	if of.probing || of.refused || c.o.Probe == nil || b.ID == c.o.Self {
		return
	}
	of.probing = true
	t.probes.Go(func() { c.probe(t, b) })
}

// letGo tells the brokers that want to stop and lead nothing any more that another one could.
func (c *Controller) letGo(t *tenure) {
	img := c.o.Log.Image()
	s := &t.sessions
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range img.Brokers() {
		of := s.of[b.ID]
		if of == nil || !of.wantShutdown || of.mayShutdown {
			continue
		}
		of.mayShutdown = b.Fenced || !others(img.Brokers(), b.ID) || b.ShuttingDown && len(planElections(img, c.o.Config())) == 0
	}
}

func (t *tenure) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func earlier(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}

// Apply is image.Watcher's: the leading controller acts on what has changed.
func (c *Controller) Apply(d *image.Delta) {
	t := c.tenure.Load()
	if t == nil || len(d.Brokers)+len(d.Topics)+len(d.Configs) == 0 {
		return
	}
	t.mu.Lock()
	if len(t.deltas) < maxDeltas {
		t.deltas = append(t.deltas, d)
	} else {
		t.dropped++
	}
	soon := len(d.Brokers) == 0
	if soon && !t.stirred {
		t.stirred = true
		time.AfterFunc(stirDelay, t.poke)
	}
	t.mu.Unlock()
	if !soon {
		t.poke()
	}
}

// settle proposes recs, and with them what they ask of the partitions, until every partition is in line.
func (c *Controller) settle(ctx context.Context, recs []image.Record) error {
	most, attempt := chunkBytes, 0
	for range maxRounds {
		img := c.o.Log.Image()
		then, _, err := img.Apply(img.Index()+1, recs)
		if err != nil {
			return err // a broker has registered anew meanwhile; it will be judged again
		}
		all := append(recs[:len(recs):len(recs)], planElections(then, c.o.Config())...)
		chunk := fitting(all, most)
		if len(chunk) == 0 {
			return nil
		}
		_, err = c.o.Log.Propose(ctx, chunk...)
		switch {
		case err == nil:
			recs, most = recs[min(len(recs), len(chunk)):], chunkBytes
			attempt = 0
		case cameTooLate(err) && attempt < maxSettles:
			most = max(most/2, leastChunk)
			attempt++
		default:
			return err
		}
	}
	return errors.New("elections have no end")
}

const (
	// maxSettles bounds how often a plan is made again because leaders changed their ISR meanwhile; each time it is in
	// smaller pieces, of which fewer are met.
	maxSettles = 20

	// maxRounds bounds how many chunks there can be: more than of the most partitions that a cluster has.
	maxRounds = 10_000

	// leastChunk holds a few dozen changes.
	leastChunk = 4 << 10
)

// fitting is the first of recs that weigh no more than most together, one at least.
func fitting(recs []image.Record, most int) []image.Record {
	size := 0
	for i := range recs {
		if size += weigh(recs[i : i+1]); size > most && i > 0 {
			return recs[:i]
		}
	}
	return recs
}

// Leads says whether this node is the controller now.
func (c *Controller) Leads() bool { return c.tenure.Load() != nil }
