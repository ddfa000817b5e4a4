package server

import (
	"context"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"chronik/kafka/wire"
)

// closedAfter waits for the server to close and says how long that took.
func closedAfter(c *client) time.Duration {
	began := time.Now()
	io.Copy(io.Discard, c)
	return time.Since(began)
}

func TestAFirstRequestMustComeSoon(t *testing.T) {
	for name, drip := range map[string]bool{"silent": false, "a byte at a time": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, echo, nil, func(t *testing.T, x *harness) {
				c := x.pipes.dial(t)
				var dripping sync.WaitGroup
				if drip {
					dripping.Go(func() { writeSlowly(c, heartbeat(1), 2*time.Second) })
				}
				defer dripping.Wait()
				if d := closedAfter(c); d < 10*time.Second || d > 13*time.Second {
					t.Errorf("closed after %v", d)
				}
			})
		})
	}
}

// writeSlowly writes a byte per interval.
func writeSlowly(w io.Writer, b []byte, interval time.Duration) {
	for i := range b {
		if _, err := w.Write(b[i : i+1]); err != nil {
			return
		}
		<-time.After(interval)
	}
}

func TestALaterRequestMustNotDrip(t *testing.T) {
	bubble(t, echo, nil, func(t *testing.T, x *harness) {
		c := x.pipes.dial(t)
		c.send(heartbeat(1))
		c.expect(1)
		<-time.After(5 * time.Minute)
		big := request(produceOf(640<<10), 2) // has 10 s more than a small one
		c.send(big[:300<<10])
		if d := closedAfter(c); d < 35*time.Second || d > 45*time.Second {
			t.Errorf("closed after %v", d)
		}
	})
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	bubble(t, echo, nil, func(t *testing.T, x *harness) {
		c := x.pipes.dial(t)
		c.send(heartbeat(1))
		c.expect(1)
		<-time.After(9 * time.Minute)
		c.send(heartbeat(2))
		c.expect(2)
		if d := closedAfter(c); d < 10*time.Minute || d > 10*time.Minute+3*time.Second {
			t.Errorf("closed after %v", d)
		}
	})
}

func TestIdleForEver(t *testing.T) {
	bubble(t, echo, func(o *Options) { o.IdleTimeout = -1 }, func(t *testing.T, x *harness) {
		c := x.pipes.dial(t)
		c.send(heartbeat(1))
		c.expect(1)
		<-time.After(24 * time.Hour)
		c.send(heartbeat(2))
		c.expect(2)
	})
}

func TestAConnectionThatWaitsForAResponseIsNotIdle(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, x *harness) {
		c := x.pipes.dial(t)
		c.send(heartbeat(1))
		<-time.After(30 * time.Minute)
		close(x.gates[1])
		c.expect(1)
		if d := closedAfter(c); d < 10*time.Minute || d > 10*time.Minute+3*time.Second {
			t.Errorf("closed %v after the response", d)
		}
	})
}

// Who has waited for longer than a connection may be idle must not be taken for idle in the moment in which it is answered.
func TestAConnectionIsNotIdleWhenItIsAnswered(t *testing.T) {
	var begun atomic.Int32
	var gates []chan struct{}
	for range 3 * maxBegun {
		gates = append(gates, make(chan struct{}))
	}
	x := start(t, func(_ context.Context, rq *wire.Request) wire.Pending {
		begun.Add(1)
		return when(rq, gates[rq.CorrelationID])
	}, nil)
	client := x.pipes.dial(t)
	for i, gate := range gates {
		client.send(heartbeat(int32(i)))
		var c *conn
		for c == nil || !c.busy() || c.idleBy.Load() == 0 {
			if runtime.Gosched(); begun.Load() == int32(i)+1 {
				x.s.each(func(is *conn) { c = is })
			}
		}
		c.idleBy.Store(1) // it has been so for long
		answered := make(chan struct{})
		var janitor sync.WaitGroup
		janitor.Go(func() {
			for {
				select {
				case <-answered:
					return
				default:
					c.check(1)
				}
			}
		})
		close(gate)
		_, _, err := client.tryReceive()
		for c.busy() {
			runtime.Gosched()
		}
		close(answered)
		if janitor.Wait(); err != nil || c.broken.Load() {
			t.Fatalf("request %d: the connection was closed: %v", i, err)
		}
	}
	client.Close()
	x.stop()
}

func TestAPeerThatDoesNotReadIsClosed(t *testing.T) {
	for name, h := range map[string]handlerFunc{"inline": echo, "queued": func(ctx context.Context, rq *wire.Request) wire.Pending {
		p := echo(ctx, rq)
		p.Ready = wire.Waits
		return p
	}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, h, nil, func(t *testing.T, x *harness) {
				c := x.pipes.dial(t)
				c.send(heartbeat(1), heartbeat(2))
				synctest.Wait()
				<-time.After(28 * time.Second)
				if n := x.s.Connections(); n != 1 {
					t.Error("closed before its time")
				}
				<-time.After(5 * time.Second)
				if n := x.s.Connections(); n != 0 {
					t.Error("still open")
				}
			})
		})
	}
}

// Memory that others hold is not the peer's fault, however long it takes.
func TestWaitingForMemoryIsNotHeldAgainstThePeer(t *testing.T) {
	bubble(t, echo, nil, func(t *testing.T, x *harness) {
		hog, err := x.s.o.Pool.Get(t.Context(), 60<<20)
		if err != nil {
			t.Fatal(err)
		}
		c := x.pipes.dial(t)
		c.send(request(produceOf(8<<20), 1))
		<-time.After(time.Hour)
		hog.Release()
		c.expect(1)
		c.Close()
	})
}

// clinging is a connection that something still uses: its close waits for that.
type clinging struct {
	net.Conn
	let chan struct{}
}

func (c clinging) Close() error {
	<-c.let
	return c.Conn.Close()
}

// A disk that hangs holds whom it sends a file to. Whoever closes that connection must not wait with all others in its hands.
func TestAConnectionThatCannotBeClosedMustNotHoldUpOthers(t *testing.T) {
	for name, end := range map[string]func(c *conn){
		"overdue":    func(c *conn) { c.check(c.s.clock.after(firstRequest)) },
		"broken off": func(c *conn) { c.abort() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, echo, nil, func(t *testing.T, x *harness) {
				near, far := net.Pipe()
				let := make(chan struct{})
				x.pipes.conns <- clinging{far, let}
				synctest.Wait()
				done := make(chan struct{})
				go func() {
					defer close(done)
					x.s.each(end)
				}()
				synctest.Wait()
				select {
				case <-done:
				default:
					t.Error("it waits")
				}
				close(let)
				(&client{t: t, Conn: near}).expectClosed()
			})
		})
	}
}
