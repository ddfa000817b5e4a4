package metalog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"chronik/metalog/image"
)

// courier takes this node's messages to the leader and brings the answers. It has one connection to it; those to leaders
// before it stay a moment, for what they may still answer.
type courier struct {
	self   image.BrokerID
	net    Network
	book   *book
	lead   *leadership
	raft   *raft.Raft
	ctx    context.Context // ends with the courier
	end    context.CancelFunc
	window chan struct{} // a token for each message under way

	mu   sync.Mutex // guards now and next; nobody dials with it
	now  *errand
	next *attempt
	runs sync.WaitGroup // attempts and readers
}

// attempt is a connection to a server that is being opened.
type attempt struct {
	to     raft.ServerID
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{} // closed when the rest is known
	got    *errand
	err    error
}

const (
	// messagesUnderWay bounds what a node has asked a leader and not heard of yet. When so many are, proposals gather.
	messagesUnderWay = 32

	// dialTimeout bounds one attempt to reach the leader.
	dialTimeout = time.Second

	// answerTimeout is how long nothing may come while an answer is due. A leader's slow disk must fit in.
	answerTimeout = 15 * time.Second

	// lastWords is how long a connection to a leader that leads no more is kept.
	lastWords = time.Second
)

// errNotProposed: it is certain that no leader's log has the proposal, nor will have it.
var errNotProposed = errors.New("not proposed")

func newCourier(self image.BrokerID, n Network, b *book, l *leadership, r *raft.Raft) *courier {
	c := &courier{self: self, net: n, book: b, lead: l, raft: r, window: make(chan struct{}, messagesUnderWay)}
	c.ctx, c.end = context.WithCancel(context.Background())
	return c
}

// stop closes all connections and waits for what runs; what is under way is answered with an error.
func (c *courier) stop() {
	c.end()
	c.mu.Lock() // whoever is in there starts nothing any more
	c.now = nil
	c.mu.Unlock()
	c.runs.Wait()
}

// ask sends m to the leader, and has done called once with the answer or an error, unless ask returns an error: then m has
// not been sent, and will not be. done must not block.
func (c *courier) ask(ctx context.Context, m *message, done func(*message, error)) error {
	select {
	case c.window <- struct{}{}:
	case <-ctx.Done():
		return errors.Join(errNotProposed, ctx.Err())
	case <-c.ctx.Done():
		return errNotProposed
	}
	e, err := c.errand(ctx)
	if err == nil {
		err = e.send(m, func(answer *message, err error) { <-c.window; done(answer, err) })
	}
	if err != nil {
		<-c.window
		return fmt.Errorf("%w: %w", errNotProposed, err)
	}
	return nil
}

// moved lets go of the connection to a leader that leads no more, also while it is being opened: nobody may answer there.
func (c *courier) moved() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
}

// look returns who leads now; the caller holds mu.
func (c *courier) look() raft.ServerID {
	to := c.lead.leader()
	if c.now != nil && (c.now.to != to || !c.now.open()) {
		c.now.retire()
		c.now = nil
	}
	if c.next != nil && c.next.to != to {
		c.next.cancel()
		c.next = nil
	}
	return to
}

// errand is the connection to the leader of now. Who comes while it is being opened waits for that, as long as ctx lets it.
func (c *courier) errand(ctx context.Context) (*errand, error) {
	c.mu.Lock()
	to := c.look()
	if c.now != nil {
		defer c.mu.Unlock()
		return c.now, nil
	}
	if to == "" || c.ctx.Err() != nil {
		defer c.mu.Unlock()
		return nil, errors.New("no leader is known")
	}
	if c.next == nil {
		a := &attempt{to: to, done: make(chan struct{})}
		a.ctx, a.cancel = context.WithTimeout(c.ctx, dialTimeout)
		c.next = a
		c.runs.Go(func() { c.open(a) })
	}
	a := c.next
	c.mu.Unlock()
	select {
	case <-a.done:
		return a.got, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// open carries out an attempt.
func (c *courier) open(a *attempt) {
	defer close(a.done)
	defer a.cancel()
	conn, err := c.dial(a.ctx, a.to)
	c.mu.Lock()
	defer c.mu.Unlock()
	wanted := c.next == a && c.ctx.Err() == nil
	if c.next == a {
		c.next = nil
	}
	switch {
	case err != nil:
		a.err = err
	case !wanted:
		a.err = errors.Join(fmt.Errorf("server %s leads no more", a.to), conn.Close())
	default:
		a.got = newErrand(c.ctx, a.to, conn)
		c.now = a.got
		c.runs.Go(a.got.read)
	}
}

func (c *courier) dial(ctx context.Context, to raft.ServerID) (net.Conn, error) {
	return c.book.reach(ctx, to, c.configured(to), func(ctx context.Context, addr string) (net.Conn, error) {
		conn, err := c.net.Dial(ctx, addr, proposeStream)
		if err != nil {
			return nil, err
		}
		if err := c.begin(ctx, conn); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return conn, nil
	})
}

// begin asks who has been reached whether it leads, and has it drop what it still has from an older connection: whatever
// this node proposes comes into the log in the order in which it was sent, or not at all.
func (c *courier) begin(ctx context.Context, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := conn.Write(encodeFrame(&message{kind: msgBegin, node: c.self})); err != nil {
		return err
	}
	m, err := readFrame(conn)
	switch {
	case err != nil:
		return err
	case m.kind != msgBegun || !m.leads:
		return errors.New("it does not lead")
	case !stop():
		return ctx.Err()
	}
	return nil
}

func (c *courier) configured(id raft.ServerID) raft.ServerAddress {
	for _, s := range c.raft.GetConfiguration().Configuration().Servers {
		if s.ID == id {
			return s.Address
		}
	}
	return ""
}

// errand is a connection to one server.
type errand struct {
	to   raft.ServerID
	conn net.Conn
	stop func() bool // of the watch over the courier's end

	mu      sync.Mutex
	ended   error // why there is nothing more to hope for
	retired bool
	next    uint64
	pending map[uint64]func(*message, error)

	write sync.Mutex
}

func newErrand(ctx context.Context, to raft.ServerID, conn net.Conn) *errand {
	e := &errand{to: to, conn: conn, pending: map[uint64]func(*message, error){}}
	e.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	return e
}

// open says whether something can be sent still.
func (e *errand) open() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ended == nil && !e.retired
}

// retire lets the connection end when it has nothing to wait for, or soon.
func (e *errand) retire() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.retired = true
	_ = e.conn.SetReadDeadline(time.Now().Add(lastWords))
}

// send returns an error when m has not been sent. Once part of it may be on its way, done says what became of it.
func (e *errand) send(m *message, done func(*message, error)) error {
	e.mu.Lock()
	if e.ended != nil || e.retired {
		defer e.mu.Unlock()
		return errors.Join(errors.New("the connection has ended"), e.ended)
	}
	m.id = e.next
	e.next++
	if len(e.pending) == 0 {
		_ = e.conn.SetReadDeadline(time.Now().Add(answerTimeout))
	}
	e.pending[m.id] = done
	e.mu.Unlock()
	e.write.Lock()
	defer e.write.Unlock()
	_ = e.conn.SetWriteDeadline(time.Now().Add(answerTimeout))
	if _, err := e.conn.Write(encodeFrame(m)); err != nil {
		_ = e.conn.Close() // read ends it
	}
	return nil
}

// read hands out the answers until the connection ends, and then tells those who still wait.
func (e *errand) read() {
	r := bufio.NewReaderSize(e.conn, 16<<10)
	for {
		m, err := readFrame(r)
		if err == nil {
			err = e.deliver(m)
		}
		if err != nil {
			e.finish(fmt.Errorf("server %s: %w", e.to, err))
			return
		}
	}
}

func (e *errand) deliver(m *message) error {
	e.mu.Lock()
	done, ok := e.pending[m.id]
	delete(e.pending, m.id)
	e.retired = e.retired || m.turnsAway() // it does not lead any more, or in another term, which takes another connection
	switch {
	case e.retired:
	case len(e.pending) == 0:
		_ = e.conn.SetReadDeadline(time.Time{})
	default:
		_ = e.conn.SetReadDeadline(time.Now().Add(answerTimeout))
	}
	e.mu.Unlock()
	if !ok {
		return fmt.Errorf("answer %d to nothing that was asked", m.id)
	}
	done(m, nil)
	return nil
}

func (e *errand) finish(err error) {
	e.stop()
	_ = e.conn.Close()
	e.mu.Lock()
	e.ended = err
	pending := e.pending
	e.pending = nil
	e.mu.Unlock()
	for _, done := range pending {
		done(nil, err)
	}
}
