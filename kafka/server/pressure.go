package server

import (
	"context"
	"sync/atomic"

	"chronik/kafka/wire"
)

// Memory is the pool's and, beside it, what requests are decoded into and responses that are on their way. A peer that
// sends or reads slowly holds some of it. As long as there is enough, it may; when others have to wait, what was patience
// before is over much sooner.

const (
	large    = 64 << 10 // transfers below it hold too little to matter
	hurried  = 2        // ticks that each piece of a large transfer has while memory is short
	heldLong = 30       // ticks after which a large request must be done with while memory is short

	// What a connection's requests may take for themselves: most, when there are few connections, and least, when there
	// are many. A single request may take modest.
	mostHeld, leastHeld = 1 << 20, 64 << 10
	modest              = 128 << 10
)

// load is the server's memory outside of the pool.
type load struct {
	frames   budget       // of the pool, for frames of more than wire.LargeFrame
	requests budget       // those of more than modest
	answers  budget       // what answers are made of that are not referred to, but copied
	wide     atomic.Int64 // connections that may still have a wide buffer, which they keep while they are idle
	sending  atomic.Int64 // bytes of large responses that are being sent
	short    atomic.Int64 // ticks in a row in which memory was short
}

// sense is called once a tick.
func (s *Server) sense() {
	if s.o.Pool.Waiting() > 0 || s.load.frames.waiting() > 0 || s.load.requests.waiting() > 0 || s.load.answers.waiting() > 0 ||
		s.load.sending.Load() > s.o.Pool.Limit()/2 {
		s.load.short.Add(1)
	} else {
		s.load.short.Store(0)
	}
}

// Lend and Return are wire.Lender's.
func (s *Server) Lend(ctx context.Context, n int, wait bool) bool {
	if wait {
		return s.load.answers.take(ctx, int64(n)) == nil
	}
	return s.load.answers.try(int64(n))
}

func (s *Server) Return(n int) { s.load.answers.give(int64(n)) }

// mayHold is what the requests of one connection may take together.
func (s *Server) mayHold() int64 {
	return min(max(s.o.Pool.Limit()/max(s.guard.open.Load(), 1), leastHeld), mostHeld)
}

// sent gives the peer time for the next piece.
func (c *conn) sent() { c.hurryWrite.Store(c.s.clock.after(hurried)) }

// hurriedUp is the tick by which responses must be through that have until by while there is enough memory, 0 for none: however small they
// are, the requests behind them may hold much.
func hurriedUp(by int64) int64 { return max(by-(patience-hurried), 0) }

// awaitLarge keeps frames that are so large that a few of them fill the pool from doing so: all others go on beside them.
func (c *conn) awaitLarge(n int) error {
	c.large = n
	c.blocked.Store(true)
	err := c.s.load.frames.take(c.reading, int64(n))
	if err != nil {
		c.large = 0
	}
	return err
}

// giveLarge gives back what awaitLarge took for a frame of *n bytes.
func (c *conn) giveLarge(n *int) {
	if *n > wire.LargeFrame {
		c.s.load.frames.give(int64(*n))
	}
	*n = 0
}

// admit waits until the connection's requests may take cost more. Those of a connection wait for its own to end, so that
// one that asks for little at a time waits for nobody; only large ones wait for those of others.
func (c *conn) admit(cost int) error {
	n := int64(cost)
	if held := c.held.Load(); held > 0 && held+n > c.s.mayHold() {
		if err := c.awaitRoom(n); err != nil {
			return err
		}
	}
	if n > modest {
		c.startBegun()
		c.readBy.Store(0)
		if err := c.flushOwn(); err != nil {
			return err
		}
		c.blocked.Store(true)
		err := c.s.load.requests.take(c.reading, n)
		c.blocked.Store(false)
		if err != nil {
			return err
		}
		if c.largeHeld.Load() == 0 {
			c.releaseBy.Store(c.s.clock.after(heldLong))
		}
		c.largeHeld.Add(1)
	}
	c.held.Add(n)
	c.admitted = n
	return nil
}

// flushOwn sends what the reader itself has finished, before it waits: those for whom it waits may wait for what that holds.
func (c *conn) flushOwn() error {
	if c.busy() {
		return nil
	}
	return c.flush()
}

// awaitRoom waits until what is held allows for n more. What the reader itself has finished is sent first.
func (c *conn) awaitRoom(n int64) error {
	c.startBegun()
	c.readBy.Store(0) // the wait is not the peer's fault
	if !c.busy() {
		return c.flush()
	}
	c.stuck.Store(true)
	c.blocked.Store(true)
	defer c.blocked.Store(false)
	defer c.stuck.Store(false)
	for held := c.held.Load(); held > 0 && held+n > c.s.mayHold(); held = c.held.Load() {
		select {
		case <-c.room:
		case <-c.reading.Done():
			return c.reading.Err()
		}
	}
	return nil
}

// dismiss is the end of a request.
func (c *conn) dismiss(rq *wire.Request) {
	if rq.Buf != nil {
		c.inPool.Add(-int64(rq.Size))
	}
	rq.Release()
	c.giveLarge(&rq.Size)
	c.release(int64(rq.Cost))
}

// release gives back what admit took.
func (c *conn) release(n int64) {
	if n == 0 {
		return
	}
	if n > modest {
		c.releaseBy.Store(c.s.clock.after(heldLong)) // of the next, if there is one: they end one after the other
		c.largeHeld.Add(-1)
		c.s.load.requests.give(n)
	}
	c.held.Add(-n)
	if c.stuck.Load() {
		select {
		case c.room <- struct{}{}:
		default:
		}
	}
}
