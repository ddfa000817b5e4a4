package main

import (
	"context"
	"time"
)

// A pace says when each record is to be sent.
type pace struct {
	clock clock
	start int64
	step  float64 // nanoseconds between records; 0: at once
}

// newPace spreads rate over clients; each has its own phase, so that they do not send in step.
func newPace(clock clock, rate float64, client, clients int) pace {
	p := pace{clock: clock, start: clock.now()}
	if rate > 0 {
		p.step = 1e9 / rate * float64(clients)
		p.start += int64(p.step * float64(client) / float64(clients))
	}
	return p
}

// wait returns the time that record n is meant for, when that has come or ctx has ended. It does not wait for what is
// late: the latency counts from the intended time.
func (p pace) wait(ctx context.Context, n int64) int64 {
	if p.step == 0 {
		return p.clock.now()
	}
	at := p.start + int64(p.step*float64(n))
	for {
		left := time.Duration(at - p.clock.now())
		if left <= 0 || ctx.Err() != nil {
			return at
		}
		nap(min(left, longestNap))
	}
}

// longestNap bounds how late an end is seen.
const longestNap = 50 * time.Millisecond
