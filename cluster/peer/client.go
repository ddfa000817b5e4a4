package peer

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/wal/arena"
)

// Kafka is the stream of Kafka's requests between brokers.
const Kafka = "kafka"

// Client sends Kafka's requests to one broker over one connection, which is opened when it is needed, and again after it
// broke or the broker has moved. Requests go out as they come and are answered in their order, so one that takes long
// holds up those behind it: callers that wait for different things have a Client each. All methods may be called
// concurrently.
type Client struct {
	n    *Net
	addr func() (string, bool)

	mu     sync.Mutex
	closed bool
	link   *link          // the newest; guarded by mu
	links  sync.WaitGroup // their goroutines
}

var (
	errClosed  = errors.New("the connections to other brokers are closed")
	errUnknown = errors.New("the broker's address is not known")
	errMoved   = errors.New("the broker has another address now")
)

// NewClient returns the client of the broker that addr finds; it is asked for each request and must not block.
func (n *Net) NewClient(addr func() (string, bool)) *Client {
	c := &Client{n: n, addr: addr}
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.closed = n.closed; !c.closed {
		n.clients[c] = struct{}{}
	}
	return c
}

// Do sends rq, whose version must be set, and returns the answer. An error leaves it unknown whether rq was handled,
// except errors of Dial, which come before that. When ctx ends, the answer is left out of the stream when it comes.
func (c *Client) Do(ctx context.Context, rq kmsg.Request) (kmsg.Response, error) {
	resp, _, err := c.DoInto(ctx, nil, rq)
	return resp, err
}

// DoInto is Do with the answer in a buffer of pool: the byte slices of the response lie in it, and the caller releases it
// when done with them. Strings are copies. While the pool has no room, nothing is read from the connection.
func (c *Client) DoInto(ctx context.Context, pool *arena.Pool, rq kmsg.Request) (kmsg.Response, *arena.Buf, error) {
	a, err := c.do(ctx, pool, rq)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", kmsg.NameForKey(rq.Key()), err)
	}
	resp, err := a.decode(rq)
	if err != nil {
		a.release()
		return nil, nil, fmt.Errorf("%s: %w", kmsg.NameForKey(rq.Key()), err)
	}
	return resp, a.buf, nil
}

func (c *Client) do(ctx context.Context, pool *arena.Pool, rq kmsg.Request) (answer, error) {
	l, err := c.connected(ctx)
	if err != nil {
		return answer{}, err
	}
	k := &call{ctx: ctx, pool: pool, done: make(chan answer, 1)}
	if err := l.send(k, rq); err != nil {
		return answer{}, err
	}
	select {
	case a := <-k.done:
		return a, a.err
	case <-ctx.Done():
		if k.state.Swap(abandoned) == answered {
			a := <-k.done
			return a, a.err
		}
		l.abandon()
		return answer{}, ctx.Err()
	}
}

// connected returns the open connection, once it is open. All that wait for it share one attempt.
func (c *Client) connected(ctx context.Context) (*link, error) {
	l, err := c.current()
	if err != nil {
		return nil, err
	}
	select {
	case <-l.opened:
		return l, l.openErr
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *Client) current() (*link, error) {
	addr, ok := c.addr()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, errClosed
	case !ok:
		return nil, errUnknown
	case c.link != nil && c.link.addr == addr && !c.link.isBroken():
		return c.link, nil
	case c.link != nil:
		c.link.fail(errMoved)
	}
	c.link = newLink(c.n, addr)
	c.links.Go(c.link.run)
	return c.link, nil
}

// Close breaks the connection off; requests under way end with an error, as those that come later.
func (c *Client) Close() {
	c.n.mu.Lock()
	delete(c.n.clients, c)
	c.n.mu.Unlock()
	c.shut()
}

func (c *Client) shut() {
	c.mu.Lock()
	c.closed = true
	if c.link != nil {
		c.link.fail(errClosed)
	}
	c.mu.Unlock()
	c.links.Wait()
}
