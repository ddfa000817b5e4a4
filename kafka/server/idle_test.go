package server

import (
	"context"
	"runtime"
	"testing"
	"time"

	"chronik/kafka/wire"
)

// Thousands of connections that wait must cost little: no buffer to read into, and no queue for more requests than were made.
func TestAnIdleConnectionMustNotHoldABuffer(t *testing.T) {
	const conns, most = 400, 7 << 10 // bytes; the test's own end of the connection is among them
	x := start(t, waiting, tcp)
	first := x.dialTCP() // what is made once is there
	first.send(heartbeat(0))
	first.expect(0)
	before := held()
	all := []*client{first}
	for i := range int32(conns) {
		c := x.dialTCP()
		c.send(heartbeat(i))
		c.expect(i)
		all = append(all, c)
	}
	if per := (held() - before) / conns; per > most {
		t.Errorf("an idle connection holds %d bytes, want at most %d", per, most)
	}
	for _, c := range all {
		c.Close()
	}
	x.stop()
}

// A connection without requests must not keep a goroutine to write their answers; the next request has one again.
func TestAnIdleConnectionMustNotHaveAWriter(t *testing.T) {
	bubble(t, waiting, nil, func(t *testing.T, x *harness) {
		c := x.pipes.dial(t)
		for range 3 {
			for _, n := range []int32{1, maxBegun} {
				var all [][]byte
				var ids []int32
				for i := range n {
					all, ids = append(all, heartbeat(i)), append(ids, i)
				}
				c.send(all...)
				c.expect(ids...)
				<-time.After((restAfter + 3) * tickLength)
				x.s.each(func(c *conn) {
					if n := c.begun.Load(); n != noWriter {
						t.Errorf("there is a writer still: %d", n)
					}
				})
			}
		}
		c.Close()
	})
}

// waiting answers at once what might have waited.
func waiting(_ context.Context, rq *wire.Request) wire.Pending {
	p := when(rq, done)
	p.Ready = wire.Waits
	return p
}

var done = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// held is the bytes of the heap that are in use.
func held() int64 {
	for range 3 { // pools let go of what they have in two collections
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
