package server

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/wire"
)

func TestResponsesKeepTheOrderOfRequests(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, x *harness) {
		c := x.pipes.dial(t)
		close(x.gates[0])
		c.send(heartbeat(0), heartbeat(1), heartbeat(2), heartbeat(3), heartbeat(4), heartbeat(5))
		for i := 5; i > 0; i-- {
			close(x.gates[i])
			synctest.Wait()
		}
		c.expect(0, 1, 2, 3, 4, 5)
		c.Close()
	})
}

func TestAConnectionThatWaitsIsNotRead(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, x *harness) {
		c := x.pipes.dial(t)
		var all [][]byte
		for i := range x.gates {
			all = append(all, heartbeat(int32(i)))
		}
		c.send(all...)
		synctest.Wait()
		// One is with the writer, one with the reader; the rest is queued. One less when the queue was made longer before the
		// writer came to take its first.
		if x.begun != maxBegun+2 && x.begun != maxBegun+1 {
			t.Errorf("%d requests have begun, want %d", x.begun, maxBegun+2)
		}
		for i, gate := range x.gates {
			close(gate)
			c.expect(int32(i))
		}
		c.Close()
	})
}

func TestNoResponseWithoutAcks(t *testing.T) {
	h := func(ctx context.Context, rq *wire.Request) wire.Pending {
		if rq.Key != 0 {
			return echo(ctx, rq)
		}
		return wire.Pending{Finish: func(_ context.Context, r *wire.Reply) error {
			r.Nothing()
			return nil
		}}
	}
	bubble(t, h, nil, func(t *testing.T, x *harness) {
		c := x.pipes.dial(t)
		c.send(request(kmsg.NewPtrProduceRequest(), 1), heartbeat(2), request(kmsg.NewPtrProduceRequest(), 3))
		c.expect(2)
		synctest.Wait()
		c.Close()
	})
}

func TestUnknownKeysAndVersionsAreAnswered(t *testing.T) {
	bubble(t, echo, nil, func(t *testing.T, x *harness) {
		c := x.pipes.dial(t)
		unknown := func(key, version uint16, id uint32) []byte {
			b := binary.BigEndian.AppendUint16([]byte{0, 0, 0, 9}, key)
			b = binary.BigEndian.AppendUint16(b, version)
			return append(binary.BigEndian.AppendUint32(b, id), 0xff)
		}
		c.send(unknown(3, 99, 1), unknown(999, 0, 2), unknown(apiVersionsKey, 77, 3), heartbeat(4))
		for id := range int32(2) {
			got, body := c.receive()
			if got != id+1 || len(body) != 2 || binary.BigEndian.Uint16(body) != 35 {
				t.Errorf("response %d: %x", got, body)
			}
		}
		id, body := c.receive()
		m := kmsg.NewPtrApiVersionsResponse()
		if err := m.ReadFrom(body); err != nil || id != 3 || m.ErrorCode != 35 {
			t.Fatalf("response %d: %+v, %v", id, m, err)
		}
		if len(m.ApiKeys) != 1 || m.ApiKeys[0].ApiKey != apiVersionsKey || m.ApiKeys[0].MaxVersion != m.MaxVersion() {
			t.Errorf("keys %+v", m.ApiKeys)
		}
		c.expect(4)
		c.Close()
	})
}

const apiVersionsKey = 18

func TestBadFramesCloseTheConnection(t *testing.T) {
	for name, bad := range map[string]struct{ bytes, logged string }{
		"http":     {"GET / HTTP/1.1\r\n\r\n", "the peer speaks HTTP"},
		"tls":      {"\x16\x03\x01\x02\x00\x01\x00\x01", "the peer speaks TLS"},
		"negative": {"\xff\xff\xff\xff\x00", "size -1"},
		"zero":     {"\x00\x00\x00\x00", "size 0"},
		"huge":     {"\x7f\xff\xff\xff\x00\x00\x00\x00", "the limit is"},
		"short":    {"\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00", "too few"},
		"rest":     {"\x00\x00\x00\x0c\x00\x10\x00\x00\x00\x00\x00\x01\xff\xff\x00\x00", "ListGroups v0"},
		"cut":      {"\x00\x00\x00\x0a\x00\x03\x00\x00\x00\x00\x00\x01\xff\xff", "Metadata v0"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, echo, nil, func(t *testing.T, x *harness) {
				c := x.pipes.dial(t)
				c.send([]byte(bad.bytes))
				c.expectClosed()
				synctest.Wait()
				if lines := x.log.lines(); len(lines) != 1 || !strings.Contains(lines[0], bad.logged) {
					t.Errorf("want one line with %q, got %q", bad.logged, lines)
				}
			})
		})
	}
}

func TestWhatWasRightBeforeABadFrameIsAnswered(t *testing.T) {
	bubble(t, echo, nil, func(t *testing.T, x *harness) {
		c := x.pipes.dial(t)
		c.send(heartbeat(1), heartbeat(2), []byte("GET / HTTP/1.1"))
		c.expect(1, 2)
		c.expectClosed()
	})
}

func TestAPanicCostsOneConnection(t *testing.T) {
	h := func(ctx context.Context, rq *wire.Request) wire.Pending {
		switch rq.CorrelationID {
		case 1:
			panic("begin")
		case 2:
			return wire.Pending{Finish: func(context.Context, *wire.Reply) error { panic("finish") }}
		case 3:
			return wire.Pending{Ready: wire.Waits, Finish: func(context.Context, *wire.Reply) error { panic("waiting finish") }}
		}
		return echo(ctx, rq)
	}
	bubble(t, h, nil, func(t *testing.T, x *harness) {
		x.panics = true
		good := x.pipes.dial(t)
		for id := range int32(3) {
			c := x.pipes.dial(t)
			c.send(heartbeat(id + 1))
			c.expectClosed()
			good.send(heartbeat(9))
			good.expect(9)
		}
		good.Close()
		if all := strings.Join(x.log.lines(), "\n"); strings.Count(all, "level=ERROR") != 3 || !strings.Contains(all, "stack=") {
			t.Errorf("logged %s", all)
		}
	})
}

func TestAHandlersErrorClosesTheConnection(t *testing.T) {
	h := func(_ context.Context, rq *wire.Request) wire.Pending {
		return wire.Pending{Finish: func(context.Context, *wire.Reply) error {
			if rq.CorrelationID == 1 {
				return errors.New("refused")
			}
			return nil // and no response: a bug
		}}
	}
	for _, id := range []int32{1, 2} {
		bubble(t, h, nil, func(t *testing.T, x *harness) {
			c := x.pipes.dial(t)
			c.send(heartbeat(id))
			c.expectClosed()
		})
	}
}

// A request that fails, as a produce without acks may, must not cost those before it their answers; those after it get
// none. The first of them is ready at once, or waits.
func TestWhatWasRightBeforeAFailureIsAnswered(t *testing.T) {
	for _, waits := range []bool{false, true} {
		h := func(ctx context.Context, rq *wire.Request) wire.Pending {
			p := echo(ctx, rq)
			if rq.CorrelationID == 1 && waits {
				p.Ready = wire.Waits
			}
			if rq.CorrelationID == 3 {
				p.Finish = func(context.Context, *wire.Reply) error { return errors.New("refused") }
			}
			return p
		}
		bubble(t, h, nil, func(t *testing.T, x *harness) {
			c := x.pipes.dial(t)
			c.send(heartbeat(1), heartbeat(2), heartbeat(3), heartbeat(4))
			c.expect(1, 2)
			c.expectClosed()
		})
	}
}

// Every request that began is finished once, and at once, when the peer goes.
func TestWhoHangsUpEndsTheWait(t *testing.T) {
	finished := make(chan error, 10)
	h := func(_ context.Context, rq *wire.Request) wire.Pending {
		return wire.Pending{Ready: wire.Waits, Finish: func(ctx context.Context, _ *wire.Reply) error {
			<-ctx.Done()
			finished <- ctx.Err()
			return ctx.Err()
		}}
	}
	bubble(t, h, nil, func(t *testing.T, x *harness) {
		c := x.pipes.dial(t)
		c.send(heartbeat(1), heartbeat(2), heartbeat(3))
		synctest.Wait()
		c.Close()
		synctest.Wait()
		if n := len(finished); n != 3 {
			t.Errorf("%d of 3 requests were finished", n)
		}
		if n := x.s.Connections(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

func TestAHalfClosedConnectionStillGetsWhatIsReady(t *testing.T) {
	x := start(t, echo, tcp)
	c := x.dialTCP()
	if _, err := c.Write(append(heartbeat(1), heartbeat(2)...)); err != nil {
		t.Fatal(err)
	}
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	c.expect(1, 2)
	c.expectClosed()
	x.stop()
}

func TestLargeFrames(t *testing.T) {
	held := 0
	h := func(ctx context.Context, rq *wire.Request) wire.Pending {
		if rq.Buf != nil {
			held++
		}
		if b := rq.Body.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records; b[0] != 1 || b[len(b)-1] != 2 {
			t.Error("the records are not what was sent")
		}
		return echo(ctx, rq)
	}
	x := start(t, h, tcp)
	c := x.dialTCP()
	sizes := []int{100, 1000, 9000, 60_000, 64 << 10, 1 << 20, 5 << 20}
	for i, n := range sizes {
		c.send(request(produceOf(n), int32(i)))
		c.expect(int32(i))
	}
	c.Close()
	x.stop()
	if held != 4 {
		t.Errorf("%d frames lay in the arena, want 4", held)
	}
}

// A handler that takes its time for a lone request must not do so for one behind which others stand.
func TestARequestIsAloneWhenNoneIsBehindIt(t *testing.T) {
	var alone []bool
	x := start(t, func(ctx context.Context, rq *wire.Request) wire.Pending {
		alone = append(alone, rq.Alone)
		return echo(ctx, rq)
	}, tcp)
	c := x.dialTCP()
	want := []bool{true, false, false}
	c.send(heartbeat(0))
	c.expect(0)
	c.send(append(heartbeat(1), heartbeat(2)...)) // the first has one behind it, the second stood behind one
	c.expect(1, 2)
	for i := range int32(pipelineMemory) {
		c.send(heartbeat(3 + i))
		c.expect(3 + i)
		want = append(want, i == pipelineMemory-2 || i == pipelineMemory-1)
	}
	c.Close()
	x.stop()
	if !slices.Equal(alone, want) {
		t.Errorf("%v\nwant %v", alone, want)
	}
}

// What keeps its place among requests that are carried out when their turn has come must not begin before them.
func TestARequestIsBehindWhatHasNotBegun(t *testing.T) {
	gates := []chan struct{}{make(chan struct{}), make(chan struct{})}
	behind := make(chan bool, 8)
	x := start(t, func(ctx context.Context, rq *wire.Request) wire.Pending {
		behind <- rq.Behind
		switch rq.CorrelationID {
		case 0:
			p := when(rq, gates[0])
			p.Later = true
			return p
		case 2:
			return when(rq, gates[1])
		}
		return echo(ctx, rq)
	}, tcp)
	c := x.dialTCP()
	next := func(id int32, want bool) {
		t.Helper()
		c.send(heartbeat(id))
		if got := <-behind; got != want {
			t.Errorf("request %d is behind: %t", id, got)
		}
	}
	next(0, false)
	next(1, true)
	close(gates[0])
	c.expect(0, 1)
	next(2, false)
	next(3, false) // the one before it has begun, and waits for its answer
	close(gates[1])
	c.expect(2, 3)
	c.Close()
	x.stop()
}

func produceOf(n int) *kmsg.ProduceRequest {
	rq := kmsg.NewPtrProduceRequest()
	rq.Version = 9
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = make([]byte, n)
	p.Records[0], p.Records[n-1] = 1, 2
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = "t"
	topic.Partitions = append(topic.Partitions, p)
	rq.Topics = append(rq.Topics, topic)
	return rq
}

// The limits are those of the moment: a connection that was refused is taken when they have been raised.
func TestLimitsOnConnections(t *testing.T) {
	for name, l := range map[string]Limits{"total": {2, math.MaxInt}, "per IP": {math.MaxInt, 2}} {
		t.Run(name, func(t *testing.T) {
			var limits atomic.Pointer[Limits]
			limits.Store(&l)
			x := start(t, echo, func(o *Options) {
				tcp(o)
				o.Limits = func() Limits { return *limits.Load() }
			})
			a, b := x.dialTCP(), x.dialTCP()
			for _, c := range []*client{a, b} {
				c.send(heartbeat(1))
				c.expect(1)
			}
			x.dialTCP().expectClosed()
			b.send(heartbeat(2))
			b.expect(2)
			limits.Store(&Limits{l.Connections + 1, l.ConnectionsPerIP})
			if l.Connections == math.MaxInt {
				limits.Store(&Limits{l.Connections, l.ConnectionsPerIP + 1})
			}
			c := x.dialTCP()
			c.send(heartbeat(3))
			c.expect(3)
			x.stop()
		})
	}
}

func TestSpareFiles(t *testing.T) {
	for files, want := range map[int]int{0: math.MaxInt, 1024: 512, 2048: 1024, 4096: 2048, 1 << 20: 1<<20 - 1536} {
		if got := spareFiles(files); got != want {
			t.Errorf("of %d files %d are for connections, not %d", files, got, want)
		}
	}
}

// A log of 8 GiB under a limit of 1,024 files met it under load, and ended the node without a word of warning before.
func TestFewFilesAreToldOf(t *testing.T) {
	for files, few := range map[int]bool{0: false, 1024: true, 3070: true, 3072: false, 4096: false, 1 << 20: false} {
		if said := fewFiles(files); (said != "") != few {
			t.Errorf("of %d files it says %q", files, said)
		}
	}
}

func TestShutdownLetsWhatHasBegunFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := start(t, nil, nil)
		c, idle := x.pipes.dial(t), x.pipes.dial(t)
		c.send(heartbeat(1), heartbeat(2))
		synctest.Wait()
		done := make(chan error)
		go func() { done <- x.s.Shutdown(context.Background()) }()
		idle.expectClosed()
		synctest.Wait()
		close(x.gates[2])
		close(x.gates[1])
		c.expect(1, 2)
		c.expectClosed()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestShutdownDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := start(t, nil, nil)
		c := x.pipes.dial(t)
		c.send(heartbeat(1))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := x.s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown returned %v", err)
		}
		c.expectClosed()
	})
}

func TestARealClient(t *testing.T) {
	h := func(ctx context.Context, rq *wire.Request) wire.Pending {
		return wire.Pending{Finish: func(_ context.Context, r *wire.Reply) error {
			m := rq.Body.ResponseKind()
			if v, ok := m.(*kmsg.ApiVersionsResponse); ok {
				v.ApiKeys = append(v.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: 3, MaxVersion: 13},
					kmsg.ApiVersionsResponseApiKey{ApiKey: 18, MaxVersion: 4}, kmsg.ApiVersionsResponseApiKey{ApiKey: 60, MaxVersion: 1})
			}
			if v, ok := m.(*kmsg.DescribeClusterResponse); ok {
				v.ClusterID = "of this test"
			}
			r.Message(m)
			return nil
		}}
	}
	x := start(t, h, tcp)
	kc, err := kgo.NewClient(kgo.SeedBrokers(x.s.Addr("TCP").String()))
	if err != nil {
		t.Fatal(err)
	}
	m, err := kmsg.NewPtrDescribeClusterRequest().RequestWith(t.Context(), kc)
	if err != nil || m.ClusterID != "of this test" {
		t.Errorf("%+v, %v", m, err)
	}
	kc.Close()
	x.stop()
}

// KIP-219: whoever was told to be silent is not heard for as long, whatever it sends.
func TestWhoIsHeldBackIsNotHeard(t *testing.T) {
	hold := func(_ context.Context, rq *wire.Request) wire.Pending {
		return wire.Pending{Finish: func(_ context.Context, r *wire.Reply) error {
			r.Measure(func(int64) time.Duration { return time.Minute })
			r.Message(rq.Body.ResponseKind())
			return nil
		}}
	}
	bubble(t, hold, nil, func(t *testing.T, x *harness) {
		c := x.pipes.dial(t)
		start := time.Now()
		c.send(heartbeat(1), heartbeat(2), heartbeat(3))
		for i := range int32(3) {
			c.expect(i + 1)
			if d := time.Since(start); d != time.Duration(i)*time.Minute {
				t.Errorf("answered %d after %v", i+1, d)
			}
		}
		c.send(heartbeat(4)) // and a server that ends does not wait for the end of it
	})
}

// rates is a server's: how long to wait after each connection, and how long each is left unserved.
type rates struct{ accept, refuse time.Duration }

func (r rates) Accepted() time.Duration            { return r.accept }
func (r rates) Connected(netip.Addr) time.Duration { return r.refuse }

func TestConnectionsAreAcceptedAtTheirRate(t *testing.T) {
	bubble(t, echo, func(o *Options) { o.Rates = rates{accept: time.Minute} }, func(t *testing.T, x *harness) {
		start := time.Now()
		for i := range 3 {
			c := x.pipes.dial(t)
			if d := time.Since(start); d != time.Duration(i)*time.Minute {
				t.Errorf("connection %d was accepted after %v", i, d)
			}
			c.send(heartbeat(1))
			c.expect(1)
			c.Close()
		}
	})
}

// KIP-612: a connection too many is not served, and is closed so late that its peer has time to think.
func TestConnectionsTooManyAreLeftUnserved(t *testing.T) {
	bubble(t, echo, func(o *Options) { o.Rates = rates{refuse: time.Minute} }, func(t *testing.T, x *harness) {
		start := time.Now()
		x.pipes.dial(t).expectClosed()
		if d := time.Since(start); d != time.Minute {
			t.Errorf("closed after %v", d)
		}
		x.pipes.dial(t) // and a server that ends does not wait for it
	})
}

// shared is a handler whose requests end once what they share was started: one behind which others stand leaves that to them.
type shared struct {
	starts atomic.Int64
	mu     sync.Mutex
	gates  []chan struct{} // of those that wait for it
}

func (h *shared) start() {
	h.starts.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, gate := range h.gates {
		close(gate)
	}
	h.gates = nil
}

func (h *shared) Begin(_ context.Context, rq *wire.Request) wire.Pending {
	gate := make(chan struct{})
	h.mu.Lock()
	h.gates = append(h.gates, gate)
	h.mu.Unlock()
	p := when(rq, gate)
	if p.Start = h.start; !rq.More {
		p.Start = nil
		h.start()
	}
	return p
}

// A client that waits for its answers before it goes on must not wait for a request that it has not sent.
func TestWhatRequestsShareIsStartedBeforeTheConnectionWaits(t *testing.T) {
	for name, n := range map[string]int{"few": 3, "more than may have begun": 3 * maxBegun} {
		t.Run(name, func(t *testing.T) {
			var h shared
			x := start(t, h.Begin, tcp)
			c := x.dialTCP()
			var all []byte
			var ids []int32
			for i := range int32(n) {
				all, ids = append(all, heartbeat(i)...), append(ids, i)
			}
			c.send(all)
			c.expect(ids...)
			if starts := h.starts.Load(); starts >= int64(n) {
				t.Errorf("%d requests that came together were started %d times", n, starts)
			}
			c.Close()
			x.stop()
		})
	}
}

// What was left to be started with a request that cannot be read must not be left for good.
func TestWhatRequestsShareIsStartedWhenTheNextOneIsWrong(t *testing.T) {
	var h shared
	x := start(t, h.Begin, tcp)
	c := x.dialTCP()
	c.send(append(heartbeat(0), 0, 0, 0, 1, 0)) // the second is here as a whole, and too short
	c.expectClosed()
	x.stop()
	if h.starts.Load() != 1 {
		t.Errorf("started %d times", h.starts.Load())
	}
}
