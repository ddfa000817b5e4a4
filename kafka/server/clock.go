package server

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	tickLength = time.Second
	// A connection must have sent its first request as a whole after this many ticks.
	firstRequest = 10
	// A frame, or a batch of responses, must be through after this many ticks and one more for every slowest bytes.
	patience = 30
	slowest  = 64 << 10
)

// clock counts ticks. Connections keep the tick by which they must have moved on and the janitor compares: this costs
// an atomic store per request, where a timer per read and write would cost a microsecond.
type clock struct{ now atomic.Int64 }

// after is the tick that is n whole ticks away.
func (c *clock) after(n int64) int64 { return c.now.Load() + n + 1 }

// transfer is the tick by which n bytes must have moved.
func (c *clock) transfer(n int64) int64 { return c.after(patience + n/slowest) }

// every says whether n ticks have passed since it last said so for last.
func (c *clock) every(last *atomic.Int64, n int64) bool {
	now, then := c.now.Load(), last.Load()
	return (then == 0 || now-then >= n) && last.CompareAndSwap(then, max(now, 1))
}

// linesPerTick is how many ends of connections are logged in a second.
const linesPerTick = 3

// chatter is log lines that peers cause: a few are told each tick, the others counted.
type chatter struct {
	mu                 sync.Mutex
	tick, said, unsaid int64 // guarded by mu
}

// say says whether to log a line now, and how many were not since the last one.
func (c *chatter) say(now int64) (ok bool, unsaid int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tick != now {
		c.tick, c.said = now, 0
	}
	if c.said == linesPerTick {
		c.unsaid++
		return false, 0
	}
	c.said++
	unsaid, c.unsaid = c.unsaid, 0
	return true, unsaid
}

// sweep closes the connections that are overdue, every tick until stop.
func (s *Server) sweep(stop <-chan struct{}) {
	t := time.NewTicker(tickLength)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
			now := s.clock.now.Add(1)
			s.sense()
			s.each(func(c *conn) { c.check(now) })
		}
	}
}
