package peer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/wal/arena"
)

// broker is a fake of kafka/server: it hands requests to the test, which answers when it likes.
type broker struct {
	n   *Net
	got chan request
}

// request is one that came; its body is without the header, which no test here reads but for the id.
type request struct {
	nc  net.Conn
	key int16
	id  int32
}

func newBroker(t testing.TB, n *Net) *broker {
	b := &broker{n: n, got: make(chan request, 1000)}
	l := n.Listen(Kafka)
	var all sync.WaitGroup
	t.Cleanup(func() { l.Close(); n.Close(); all.Wait() })
	all.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { nc.Close() })
			go b.read(nc)
		}
	})
	return b
}

func (b *broker) read(nc net.Conn) {
	for {
		var size [4]byte
		if _, err := io.ReadFull(nc, size[:]); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(nc, body); err != nil {
			return
		}
		b.got <- request{nc, int16(binary.BigEndian.Uint16(body)), int32(binary.BigEndian.Uint32(body[4:]))}
	}
}

// frame is a response as it goes over the wire.
func (rq request) frame(resp kmsg.Response) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 4), uint32(rq.id))
	if resp.IsFlexible() && resp.Key() != apiVersions {
		b = append(b, 1, 200, 1, 3, 'a', 'b', 'c') // one tagged field, 200, that nobody knows
	}
	b = resp.AppendTo(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func (rq request) answer(t testing.TB, resp kmsg.Response) {
	t.Helper()
	if _, err := rq.nc.Write(rq.frame(resp)); err != nil {
		t.Error(err)
	}
}

func connect(t testing.TB) (*Client, *broker) {
	t.Helper()
	one := func(node int32) *Net {
		n, err := Listen(Options{Bind: "127.0.0.1:0", Key: key, Node: 1, MaxResponse: 4 << 20})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Close() })
		n.SetCluster(ours)
		return n
	}
	to := one(2)
	b := newBroker(t, to)
	return one(1).NewClient(func() (string, bool) { return to.Addr(), true }), b
}

func heartbeat(epoch int64) *kmsg.BrokerHeartbeatRequest {
	rq := kmsg.NewPtrBrokerHeartbeatRequest()
	rq.Version, rq.BrokerEpoch = 1, epoch
	return rq
}

func beaten(throttle int32) *kmsg.BrokerHeartbeatResponse {
	resp := kmsg.NewPtrBrokerHeartbeatResponse()
	resp.Version, resp.ThrottleMillis = 1, throttle
	return resp
}

// outcome is what Do returned.
type outcome struct {
	resp kmsg.Response
	err  error
}

func (c *Client) start(ctx context.Context, rq kmsg.Request) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		resp, err := c.Do(ctx, rq)
		done <- outcome{resp, err}
	}()
	return done
}

func throttle(t *testing.T, o outcome) int32 {
	t.Helper()
	if o.err != nil {
		t.Error(o.err)
		return -1
	}
	return o.resp.(*kmsg.BrokerHeartbeatResponse).ThrottleMillis
}

func TestRequestsAreAnsweredInOrderOnOneConnection(t *testing.T) {
	c, b := connect(t)
	var waiting []<-chan outcome
	var came []request
	for i := range int64(50) {
		waiting = append(waiting, c.start(t.Context(), heartbeat(i)))
		came = append(came, <-b.got) // so that they are in this order
	}
	for i, rq := range came {
		if rq.nc != came[0].nc {
			t.Fatal("a second connection")
		}
		rq.answer(t, beaten(int32(i)))
	}
	for i, w := range waiting {
		if got := throttle(t, <-w); got != int32(i) {
			t.Errorf("request %d got the answer to %d", i, got)
		}
	}
}

// Both headers: with tags, and ApiVersions, which has none although the body is flexible.
func TestResponseHeaders(t *testing.T) {
	c, b := connect(t)
	rq := kmsg.NewPtrApiVersionsRequest()
	rq.Version = 3
	w := c.start(t.Context(), rq)
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.Version, resp.ThrottleMillis = 3, 7
	(<-b.got).answer(t, resp)
	if o := <-w; o.err != nil || o.resp.(*kmsg.ApiVersionsResponse).ThrottleMillis != 7 {
		t.Errorf("%+v, %v", o.resp, o.err)
	}
	old := kmsg.NewPtrFindCoordinatorRequest() // version 0 is not flexible
	w = c.start(t.Context(), old)
	found := kmsg.NewPtrFindCoordinatorResponse()
	found.NodeID = 3
	(<-b.got).answer(t, found)
	if o := <-w; o.err != nil || o.resp.(*kmsg.FindCoordinatorResponse).NodeID != 3 {
		t.Errorf("%+v, %v", o.resp, o.err)
	}
}

// Somebody who gives up, before the answer comes or within it, leaves the others theirs.
func TestAnAbandonedAnswerIsLeftOut(t *testing.T) {
	for _, c := range []struct {
		name string
		head int // bytes of the answer that come before the caller gives up
		size int
	}{
		{"before", 0, 100},
		{"after its size", 6, 100},
		{"within it", 20_000, 300_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, b := connect(t)
			pool := arena.New(64 << 20)
			ctx, cancel := context.WithCancel(t.Context())
			first := make(chan error, 1)
			go func() {
				_, _, err := client.DoInto(ctx, pool, fetchRequest())
				first <- err
			}()
			rq := <-b.got
			second := client.start(t.Context(), heartbeat(1))
			next := <-b.got
			frame := rq.frame(fetched(make([]byte, c.size)))
			write(t, rq.nc, frame[:c.head])
			cancel()
			if err := <-first; !errors.Is(err, context.Canceled) {
				t.Errorf("the one that gave up: %v", err)
			}
			write(t, rq.nc, frame[c.head:])
			next.answer(t, beaten(5))
			if got := throttle(t, <-second); got != 5 {
				t.Errorf("the next one got %d", got)
			}
			if n := pool.InUse(); n != 0 {
				t.Errorf("%d bytes of the pool are held", n)
			}
		})
	}
}

func write(t *testing.T, nc net.Conn, b []byte) {
	t.Helper()
	if _, err := nc.Write(b); err != nil {
		t.Fatal(err)
	}
}

func TestABrokenConnectionIsOpenedAgain(t *testing.T) {
	c, b := connect(t)
	for i, breaks := range []func(request){
		func(rq request) { rq.nc.Close() },
		func(rq request) { rq.id++; rq.answer(t, beaten(1)) },
		func(rq request) { write(t, rq.nc, []byte{0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0}) },
		func(rq request) { write(t, rq.nc, []byte{0, 0, 0, 1, 0, 0, 0, 0}) },
		func(rq request) { write(t, rq.nc, []byte{0, 0, 0, 100, 0, 0, 0, byte(rq.id), 1, 2}); rq.nc.Close() },
	} {
		one, two := c.start(t.Context(), heartbeat(1)), c.start(t.Context(), heartbeat(2))
		first := <-b.got
		<-b.got
		breaks(first)
		for range 2 {
			select {
			case o := <-one:
				if one = nil; o.err == nil {
					t.Errorf("break %d: no error", i)
				}
			case o := <-two:
				if two = nil; o.err == nil {
					t.Errorf("break %d: no error", i)
				}
			}
		}
		again := c.start(t.Context(), heartbeat(3))
		rq := <-b.got
		if rq.nc == first.nc {
			t.Fatal("the broken connection was used")
		}
		rq.answer(t, beaten(3))
		throttle(t, <-again)
	}
}

// A machine that has gone without a word must not be waited for on every request.
func TestASilentConnectionIsGivenUp(t *testing.T) {
	c, b := connect(t)
	c.n.silence = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	w, still := c.start(ctx, heartbeat(1)), c.start(t.Context(), heartbeat(2))
	<-b.got
	<-b.got
	cancel()
	if o := <-w; !errors.Is(o.err, context.Canceled) {
		t.Errorf("%v", o.err)
	}
	if o := <-still; !errors.Is(o.err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", o.err)
	}
}

// An answer that cannot be read is an error of its own request alone.
func TestAnAnswerThatCannotBeRead(t *testing.T) {
	c, b := connect(t)
	w := c.start(t.Context(), heartbeat(1))
	rq := <-b.got
	write(t, rq.nc, append([]byte{0, 0, 0, 7, 0, 0, 0, byte(rq.id)}, 0, 1, 2))
	if o := <-w; o.err == nil || !strings.Contains(o.err.Error(), "BrokerHeartbeat") {
		t.Errorf("%v", o.err)
	}
	w = c.start(t.Context(), heartbeat(2))
	next := <-b.got
	next.answer(t, beaten(2))
	if throttle(t, <-w) != 2 || next.nc != rq.nc {
		t.Error("the connection did not outlive it")
	}
}

func TestABrokerThatMoves(t *testing.T) {
	a, _ := open(t, 1, ours, nil)
	one, _ := open(t, 2, ours, nil)
	two, _ := open(t, 2, ours, nil)
	b1, b2 := newBroker(t, one), newBroker(t, two)
	var at string
	c := a.NewClient(func() (string, bool) { return at, at != "" })
	if _, err := c.Do(t.Context(), heartbeat(0)); !errors.Is(err, errUnknown) {
		t.Errorf("without an address: %v", err)
	}
	for i, b := range []*broker{b1, b2} {
		at = b.n.Addr()
		w := c.start(t.Context(), heartbeat(1))
		(<-b.got).answer(t, beaten(int32(i)))
		if got := throttle(t, <-w); got != int32(i) {
			t.Errorf("broker %d answered", got)
		}
	}
	c.Close()
	if _, err := c.Do(t.Context(), heartbeat(0)); !errors.Is(err, errClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// Requests beyond those that may be in flight wait, and give up with their contexts.
func TestRequestsInFlightAreBounded(t *testing.T) {
	c, b := connect(t)
	var waiting []<-chan outcome
	for range maxInFlight {
		waiting = append(waiting, c.start(t.Context(), heartbeat(1)))
	}
	var came []request
	for range maxInFlight {
		came = append(came, <-b.got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	over := c.start(ctx, heartbeat(1))
	cancel()
	if o := <-over; !errors.Is(o.err, context.Canceled) {
		t.Errorf("%v", o.err)
	}
	for _, rq := range came {
		rq.answer(t, beaten(1))
	}
	for _, w := range waiting {
		throttle(t, <-w)
	}
}

func TestCloseEndsWhoWaits(t *testing.T) {
	c, b := connect(t)
	w := c.start(t.Context(), heartbeat(1))
	<-b.got
	if err := c.n.Close(); err != nil {
		t.Fatal(err)
	}
	if o := <-w; !errors.Is(o.err, errClosed) {
		t.Errorf("%v", o.err)
	}
}

func fetchRequest() *kmsg.FetchRequest {
	rq := kmsg.NewPtrFetchRequest()
	rq.Version = 17
	return rq
}

func fetched(records []byte) *kmsg.FetchResponse {
	p := kmsg.NewFetchResponseTopicPartition()
	p.RecordBatches = records
	topic := kmsg.NewFetchResponseTopic()
	topic.Partitions = []kmsg.FetchResponseTopicPartition{p}
	resp := kmsg.NewPtrFetchResponse()
	resp.Version, resp.Topics = 17, []kmsg.FetchResponseTopic{topic}
	return resp
}

// The records of a response must lie in the buffer that it came in: the log writes them from there.
func TestRecordsAreNotCopied(t *testing.T) {
	c, b := connect(t)
	pool := arena.New(64 << 20)
	for _, size := range []int{0, 10, 5000, 70_000, 1 << 20} {
		records := bytes.Repeat([]byte("r"), size)
		go func() {
			rq := <-b.got
			rq.answer(t, fetched(records))
		}()
		resp, buf, err := c.DoInto(t.Context(), pool, fetchRequest())
		if err != nil {
			t.Fatal(err)
		}
		got := resp.(*kmsg.FetchResponse).Topics[0].Partitions[0].RecordBatches
		if !bytes.Equal(got, records) {
			t.Errorf("%d bytes: others came", size)
		}
		if _, inside := buf.Offset(got); !inside && size > 0 {
			t.Errorf("%d bytes: a copy", size)
		}
		buf.Release()
	}
	if n := pool.InUse(); n != 0 {
		t.Errorf("%d bytes of the pool are held", n)
	}
}

func FuzzSkipTags(f *testing.F) {
	f.Add([]byte{0, 1, 2})
	f.Add([]byte{1, 200, 1, 3, 'a', 'b', 'c', 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		if rest, err := skipTags(b); err == nil && !bytes.HasSuffix(b, rest) {
			t.Errorf("%x left %x", b, rest)
		}
	})
}

func BenchmarkDoInto(b *testing.B) {
	for _, size := range []int{0, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			c, to := connect(b)
			pool := arena.New(64 << 20)
			records := make([]byte, size)
			done := make(chan struct{})
			go func() {
				defer close(done)
				var frame []byte
				for range b.N {
					rq := <-to.got
					if frame == nil {
						frame = rq.frame(fetched(records))
					}
					binary.BigEndian.PutUint32(frame[4:], uint32(rq.id))
					_, _ = rq.nc.Write(frame)
				}
			}()
			b.SetBytes(int64(size))
			b.ReportAllocs()
			rq := fetchRequest()
			b.ResetTimer()
			for range b.N {
				_, buf, err := c.DoInto(b.Context(), pool, rq)
				if err != nil {
					b.Fatal(err)
				}
				buf.Release()
			}
			<-done
		})
	}
}
