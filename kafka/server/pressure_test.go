package server

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/batch"
	"chronik/kafka/wire"
	"chronik/wal/arena"
)

// metadataOf asks for n topics.
func metadataOf(n int, correlation int32) []byte {
	rq := kmsg.NewPtrMetadataRequest()
	rq.Version = 9
	for range n {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr("t")
		rq.Topics = append(rq.Topics, t)
	}
	return request(rq, correlation)
}

// memoryFor sees that the one connection there is is left alone while nobody waits for memory, and that another one then is answered
// soon whose request takes n bytes.
func (x *harness) memoryFor(t *testing.T, n int) (other *client) {
	t.Helper()
	<-time.After(20 * time.Second)
	if n := x.s.Connections(); n != 1 {
		t.Fatal("closed although nobody waits")
	}
	began := time.Now()
	other = x.pipes.dial(t)
	other.send(request(produceOf(n), 2))
	other.expect(2)
	if d := time.Since(began); d > 6*time.Second {
		t.Errorf("answered after %v", d)
	}
	return other
}

// A few bytes a second for half an hour are patience enough only while nobody waits for the memory.
func TestASlowLargeRequestMustNotKeepMemoryFromOthers(t *testing.T) {
	bubble(t, echo, nil, func(t *testing.T, x *harness) {
		hog, err := x.s.o.Pool.Get(t.Context(), 60<<20)
		if err != nil {
			t.Fatal(err)
		}
		slow := x.pipes.dial(t)
		b := request(produceOf(3<<20), 1)
		slow.send(b[:len(b)-1])
		other := x.memoryFor(t, 2<<20)
		slow.expectClosed()
		other.Close()
		hog.Release()
	})
}

// Neither do responses that nobody reads.
func TestASlowReaderMustNotKeepMemoryFromOthers(t *testing.T) {
	fetch := func(_ context.Context, rq *wire.Request) wire.Pending {
		return wire.Pending{Finish: func(_ context.Context, r *wire.Reply) error {
			if rq.Key == 0 {
				r.Message(rq.Body.ResponseKind())
				return nil
			}
			p := wire.FetchPartition{Records: []batch.Extent{{Mem: make([]byte, 2<<20), Len: 2 << 20}}}
			r.Fetch(&wire.FetchResponse{Topics: []wire.FetchTopic{{Name: "t", Partitions: []wire.FetchPartition{p}}}})
			return nil
		}}
	}
	bubble(t, fetch, nil, func(t *testing.T, x *harness) {
		hog, err := x.s.o.Pool.Get(t.Context(), 63<<20)
		if err != nil {
			t.Fatal(err)
		}
		slow, other := x.pipes.dial(t), x.pipes.dial(t)
		slow.send(request(kmsg.NewPtrFetchRequest(), 1))
		other.send(request(produceOf(2<<20), 2))
		<-time.After(6 * time.Second)
		if n := x.s.Connections(); n != 1 {
			t.Errorf("%d connections", n)
		}
		hog.Release()
		other.expect(2)
		other.Close()
	})
}

// Nor do requests that stand behind a response which nobody reads, however small that is.
func TestWhoReadsNothingMustNotKeepItsRequestsInMemory(t *testing.T) {
	waits := func(ctx context.Context, rq *wire.Request) wire.Pending {
		p := echo(ctx, rq)
		p.Ready = wire.Waits
		return p
	}
	bubble(t, waits, nil, func(t *testing.T, x *harness) {
		slow := x.pipes.dial(t)
		var all [][]byte
		for range 20 {
			all = append(all, request(produceOf(3<<20), 1)) // of 64 MiB
		}
		slow.send(all...)
		x.memoryFor(t, 8<<20).Close()
	})
}

// What answers are made of that are copied is memory too: others wait for it, and who reads nothing must not keep it.
func TestAnswersThatAreCopiedMustWaitForEachOther(t *testing.T) {
	copied := func(_ context.Context, rq *wire.Request) wire.Pending {
		return wire.Pending{Finish: func(ctx context.Context, r *wire.Reply) error {
			if !rq.Borrow(ctx, 12<<20, true) || rq.Borrow(ctx, 12<<20, false) { // of 16 MiB
				return errors.New("it is lent what there is")
			}
			p := kmsg.NewShareFetchResponseTopicPartition()
			p.Records = make([]byte, 2<<20)
			resp := rq.Body.ResponseKind().(*kmsg.ShareFetchResponse)
			resp.Topics = []kmsg.ShareFetchResponseTopic{{Partitions: []kmsg.ShareFetchResponseTopicPartition{p}}}
			r.Message(resp)
			return nil
		}}
	}
	fetch := kmsg.NewPtrShareFetchRequest()
	fetch.Version = 1
	bubble(t, copied, nil, func(t *testing.T, x *harness) {
		slow, other := x.pipes.dial(t), x.pipes.dial(t)
		slow.send(request(fetch, 1))
		synctest.Wait()
		began := time.Now()
		other.send(request(fetch, 2))
		other.expect(2)
		if d := time.Since(began); d == 0 || d > 6*time.Second {
			t.Errorf("answered after %v", d)
		}
		slow.Close()
		other.Close()
		synctest.Wait()
		if used := x.s.load.answers.used; used != 0 {
			t.Errorf("%d bytes are still taken", used)
		}
	})
}

// A frame of a few hundred KiB can be a hundred MiB when it is decoded.
func TestRequestsOfManyElementsMustWaitForEachOther(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, x *harness) {
		clients := []*client{x.pipes.dial(t), x.pipes.dial(t), x.pipes.dial(t)}
		for i, c := range clients[:2] {
			c.send(metadataOf(40_000, int32(i))) // together more than half of the pool
			synctest.Wait()
		}
		clients[2].send(metadataOf(100, 2)) // has nothing to do with them
		synctest.Wait()
		if x.begun != 2 {
			t.Errorf("%d requests have begun", x.begun)
		}
		for i, c := range clients {
			close(x.gates[i])
			c.expect(int32(i))
			c.Close()
		}
		synctest.Wait()
		if used := x.s.load.requests.used; used != 0 {
			t.Errorf("%d bytes are still taken", used)
		}
	})
}

// The first of a connection's large requests ends; the second is then as much in the way of others as the first was.
func TestTheEndOfOneLargeRequestMustNotExcuseTheNext(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, x *harness) {
		slow, other := x.pipes.dial(t), x.pipes.dial(t)
		slow.send(metadataOf(500, 0), metadataOf(500, 1))
		synctest.Wait()
		if x.begun != 2 {
			t.Fatalf("%d requests have begun", x.begun)
		}
		close(x.gates[0])
		slow.expect(0)
		go other.Write(metadataOf(120_000, 2)) // all there is, and so it waits
		<-time.After((heldLong + 5) * time.Second)
		if n := x.s.Connections(); n != 1 {
			t.Errorf("%d connections", n)
		}
		slow.Close()
		other.Close()
		close(x.gates[1])
	})
}

func TestAConnectionMustNotHoldMuch(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, x *harness) {
		c := x.pipes.dial(t)
		var all [][]byte
		for i := range 40 {
			all = append(all, metadataOf(200, int32(i)))
		}
		c.send(all...)
		synctest.Wait()
		if cost := 200 * 512; x.begun < mostHeld/cost-2 || x.begun > mostHeld/cost {
			t.Errorf("%d requests of %d bytes have begun", x.begun, cost)
		}
		for i := range all {
			close(x.gates[i])
			c.expect(int32(i))
		}
		c.Close()
	})
}

// What the reader has finished itself and not yet sent must not keep it waiting for itself.
func TestAnswersThatAreNotSentYetMustNotBlock(t *testing.T) {
	bubble(t, echo, nil, func(t *testing.T, x *harness) {
		c := x.pipes.dial(t)
		var all [][]byte
		for i := range 40 {
			all = append(all, metadataOf(200, int32(i)))
		}
		c.send(all...)
		for i := range all {
			c.expect(int32(i))
		}
		c.Close()
	})
}

// Nor must it keep two connections waiting for each other: each has the first of its large requests done, and asks for the second.
func TestAnswersThatAreNotSentYetMustNotBlockOthers(t *testing.T) {
	const topics = 650 // two such requests come by one read, and three are more than there is for requests
	var first sync.WaitGroup
	h := func(ctx context.Context, rq *wire.Request) wire.Pending {
		p := echo(ctx, rq)
		finish := p.Finish
		p.Finish = func(ctx context.Context, r *wire.Reply) error {
			if rq.CorrelationID == 1 {
				first.Done()
				first.Wait()
			}
			return finish(ctx, r)
		}
		return p
	}
	bubble(t, h, func(o *Options) { o.Pool = arena.New(5 * topics * 512) }, func(t *testing.T, x *harness) {
		a, b := x.pipes.dial(t), x.pipes.dial(t)
		began := time.Now()
		first.Add(2)
		for _, c := range []*client{a, b} {
			c.send(metadataOf(topics, 1), metadataOf(topics, 2))
		}
		for _, c := range []*client{a, b} {
			c.expect(1, 2)
			c.Close()
		}
		if d := time.Since(began); d > 0 {
			t.Errorf("answered after %v", d)
		}
	})
}

func TestFramesThatFillThePoolMustWaitForEachOther(t *testing.T) {
	bubble(t, nil, nil, func(t *testing.T, x *harness) {
		large, more, small := x.pipes.dial(t), x.pipes.dial(t), x.pipes.dial(t)
		large.send(request(produceOf(20<<20), 0))
		synctest.Wait()
		more.send(request(produceOf(20<<20), 1))
		small.send(request(produceOf(2<<20), 2))
		synctest.Wait()
		if x.begun != 2 {
			t.Errorf("%d requests have begun", x.begun)
		}
		for i, c := range []*client{large, more, small} {
			close(x.gates[i])
			c.expect(int32(i))
			c.Close()
		}
		synctest.Wait()
		if used := x.s.load.frames.used; used != 0 {
			t.Errorf("%d bytes are still taken", used)
		}
	})
}

func TestABudgetIsGivenInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &budget{size: 10}
		var order []int64
		ask := func(ctx context.Context, n int64) {
			go func() {
				if err := b.take(ctx, n); err == nil {
					order = append(order, n)
				} else if !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			}()
			synctest.Wait()
		}
		ctx, cancel := context.WithCancel(t.Context())
		ask(t.Context(), 6)
		ask(ctx, 100) // gets all there is, when it is its turn
		ask(t.Context(), 3)
		if b.waiting() != 2 {
			t.Errorf("%d wait", b.waiting())
		}
		cancel()
		synctest.Wait()
		if b.used != 9 || b.waiting() != 0 {
			t.Errorf("%d are used, %d wait", b.used, b.waiting())
		}
		ask(t.Context(), 100)
		b.give(6)
		b.give(3)
		synctest.Wait()
		if b.give(100); b.used != 0 || len(order) != 3 {
			t.Errorf("%d are used, in the order %v", b.used, order)
		}
	})
}

// Peers must not fill the disk with what they are told off for.
func TestBadFramesMustNotFloodTheLog(t *testing.T) {
	bubble(t, echo, nil, func(t *testing.T, x *harness) {
		<-time.After(tickLength / 2)
		for second := range 2 {
			for range 100 {
				c := x.pipes.dial(t)
				c.send([]byte("GET / HTTP/1.1\r\n\r\n"))
				c.expectClosed()
			}
			synctest.Wait() // a connection is closed before the line about it is written
			lines := bytes.Count([]byte(strings.Join(x.log.lines(), "\n")), []byte("connection closed"))
			if want := linesPerTick * (second + 1); lines != want {
				t.Errorf("%d lines in %d s, want %d", lines, second+1, want)
			}
			<-time.After(tickLength)
		}
		all, counted := strings.Join(x.log.lines(), "\n"), 0
		for _, m := range regexp.MustCompile(`not_logged_before=(\d+)`).FindAllStringSubmatch(all, -1) {
			n, _ := strconv.Atoi(m[1])
			counted += n
		}
		if counted != 100-linesPerTick {
			t.Errorf("%d ends are counted, want %d:\n%s", counted, 100-linesPerTick, all)
		}
	})
}

// A reader that waits for its connection's requests does not see the peer's end, and what they wait for may never come.
func TestWhoHangsUpBehindManyRequestsMustNotStay(t *testing.T) {
	x := start(t, nil, tcp)
	for name, frames := range map[string][][]byte{
		"many":  slices.Repeat([][]byte{heartbeat(1)}, maxBegun+10),
		"large": {heartbeat(2), metadataOf(1900, 3), metadataOf(1900, 4)},
	} {
		c := x.dialTCP()
		if _, err := c.Write(bytes.Join(frames, nil)); err != nil {
			t.Fatal(err)
		}
		for deadline := time.After(10 * time.Second); ; {
			blocked := false
			x.s.each(func(c *conn) { blocked = c.blocked.Load() })
			if blocked {
				break
			}
			select {
			case <-time.After(time.Millisecond):
			case <-deadline:
				t.Fatalf("%s: everything was read", name)
			}
		}
		c.Close()
		for deadline := time.After(10 * time.Second); x.s.Connections() > 0; {
			select {
			case <-time.After(50 * time.Millisecond):
			case <-deadline:
				t.Fatalf("%s: the connection is still there", name)
			}
		}
	}
	if err := x.s.Shutdown(t.Context()); err != nil || x.s.load.requests.used != 0 {
		t.Error(err, x.s.load.requests.used)
	}
}

// Who has many small requests under way gets a buffer for them, of which there is a number, and gives it back at its end.
func TestAConnectionThatHasEndedHasNoWideBuffer(t *testing.T) {
	var h shared
	x := start(t, h.Begin, nil)
	c := x.pipes.dial(t)
	for range 3 {
		var all []byte
		var ids []int32
		for i := range int32(3 * maxBegun) {
			all, ids = append(all, heartbeat(i)...), append(ids, i)
		}
		c.send(all)
		c.expect(ids...)
	}
	if n := x.wide(); n != 1 {
		t.Errorf("%d connections have one", n)
	}
	c.Close()
	x.stop()
}
