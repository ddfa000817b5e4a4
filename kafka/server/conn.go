package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"chronik/kafka/wire"
)

// maxBegun is how many requests of a connection may have begun; then it is not read until one has finished. Kafka's
// clients keep 5 in flight: fewBegun have room from the first request that waits on.
const (
	maxBegun = 64
	fewBegun = 8
)

const (
	noWriter  = -1
	restAfter = 2 // ticks without a request until the writer ends
)

// pipelineMemory is how many requests in a row must have come alone before a peer is taken for one that waits.
const pipelineMemory = 16

// errHandler is wrapped by what went wrong above the sockets.
var errHandler = errors.New("the request failed")

// conn is one connection. The reader decodes requests and begins them. As long as none waits, it also finishes them and
// writes the responses itself: handing over to another goroutine costs more than a small request does. The first
// request that is not ready starts the writer, which finishes in order whatever is queued; while anything is, the
// reader only queues. A writer without requests ends after a while: an idle connection is one goroutine.
type conn struct {
	s    *Server
	nc   net.Conn
	peer *wire.Peer
	log  *slog.Logger

	frames   *wire.Frames
	awaited  int    // bytes that await was last called for, in this frame
	clientID string // of the request before
	pipeline int    // requests for which the peer is still taken for one that does not wait for its answers
	started  int64  // the tick of the connection's beginning; 0 once a request has come, or enough of it
	start    func() // wire.Pending.Start of the last request that has one, until it is called; nil for none
	reading  context.Context
	stop     context.CancelFunc // ends reading

	ctx    context.Context // the requests'
	cancel context.CancelFunc
	queue  chan begun     // nil until the writer is needed
	rest   chan struct{}  // the janitor's word to a writer that may have nothing to do
	first  sync.WaitGroup // the writer
	writer sync.WaitGroup // the one that came after it, see lengthen
	begun  atomic.Int64   // requests that are queued or with the writer
	later  atomic.Int64   // those of them that have begun in name only

	asksFor  func(cost int) error // admit and dismiss: made once, they cost no allocation
	doneWith func(*wire.Request)
	large    int           // bytes that the large frame has which is being read
	admitted int64         // bytes that the request costs that is being decoded
	held     atomic.Int64  // bytes that all requests cost that were admitted and are not done with
	stuck    atomic.Bool   // the reader waits until held is less
	room     chan struct{} // has a value when stuck and held has become less
	inPool   atomic.Int64  // bytes of the pool that requests lie in which are not done with

	out   outbox // the writer's while begun > 0, else the reader's
	sized bool   // out's too: the send buffer has the size that it needs

	quiet    atomic.Pointer[time.Time] // until when the peer is not heard (KIP-219); nil: it is
	blocked  atomic.Bool               // the reader waits for something else than the peer, and would not notice its end
	draining atomic.Bool               // read no more
	broken   atomic.Bool               // send no more
	why      atomic.Pointer[string]

	// Ticks by which something must have happened, 0 when nothing must; the janitor looks at them.
	idleBy, readBy, writeBy atomic.Int64
	// The same for when memory is short.
	hurryRead, hurryWrite, releaseBy atomic.Int64
	largeHeld                        atomic.Int64 // requests that were admitted as large; releaseBy counts while there are any
}

// begun is a request and what its handler left to be done.
type begun struct {
	rq *wire.Request
	p  wire.Pending
}

func (b begun) ready() bool { return b.p.Ready == nil || b.p.Ready() }

func newConn(s *Server, nc net.Conn, peer *wire.Peer) *conn {
	if tcp, ok := nc.(*net.TCPConn); ok {
		s.o.tune(tcp)
	}
	c := &conn{s: s, nc: nc, peer: peer, started: s.clock.now.Load(), room: make(chan struct{}, 1), rest: make(chan struct{})}
	c.begun.Store(noWriter)
	c.log = s.log.With("listener", peer.Listener, "peer", peer.Remote)
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	c.reading, c.stop = context.WithCancel(c.ctx)
	c.asksFor, c.doneWith = c.admit, c.dismiss
	c.frames = wire.NewFrames(nc, s.o.Pool, s.o.MaxRequestBytes)
	c.frames.Await, c.frames.Large, c.frames.Wide = c.await, c.awaitLarge, &s.load.wide
	c.out.sender = wire.NewSender(nc)
	c.out.sender.Moved = c.sent
	c.readBy.Store(c.started + firstRequest + 1)
	return c
}

// tune fails only when the connection is gone, which reading finds out.
func (o *Options) tune(tcp *net.TCPConn) {
	_ = tcp.SetNoDelay(true)
	if o.SendBuffer > 0 {
		_ = tcp.SetWriteBuffer(o.SendBuffer)
	}
	if o.ReceiveBuffer > 0 {
		_ = tcp.SetReadBuffer(o.ReceiveBuffer)
	}
}

// serve is the reader; it returns when nothing of the connection is left.
func (c *conn) serve() {
	defer c.close()
	for !c.draining.Load() {
		rq, err := c.next()
		if err == nil {
			err = c.take(rq)
		}
		if err != nil {
			c.end(err)
			return
		}
	}
}

// next waits for a request.
func (c *conn) next() (*wire.Request, error) {
	if c.started == 0 && !c.frames.Buffered() {
		c.idleBy.Store(c.s.idleBy())
		err := c.frames.Wait()
		c.idleBy.Store(0)
		if err != nil {
			return nil, err
		}
	}
	if err := c.awaitQuiet(); err != nil {
		return nil, err
	}
	c.awaited = 0
	f, err := c.frames.Next(c.reading)
	if c.hurryRead.Load() != 0 {
		c.hurryRead.Store(0)
	}
	if c.blocked.Load() {
		c.blocked.Store(false)
	}
	if err != nil {
		c.giveLarge(&c.large)
		return nil, err
	}
	c.readBy.Store(0)
	c.started = 0
	rq, err := wire.Decode(f, c.s.served, c.asksFor, c.peer, c.clientID)
	if err != nil {
		f.Release()
		c.giveLarge(&c.large)
		c.release(c.admitted)
		return nil, err
	}
	rq.Lender = c.s
	if rq.Buf != nil {
		c.inPool.Add(int64(rq.Size))
	}
	c.admitted, c.large = 0, 0
	c.clientID = rq.ClientID
	return rq, nil
}

// await sets the time that the peer has for n more bytes. The first request gets no more time by coming in pieces:
// until then nothing is known of the peer.
func (c *conn) await(n int) {
	before := c.awaited
	c.awaited = n
	if c.blocked.Load() {
		c.blocked.Store(false)
	}
	if n >= large {
		c.hurryRead.Store(c.s.clock.after(hurried))
	}
	switch {
	case n == 0:
		c.started = 0
		c.readBy.Store(0)
		c.hurryRead.Store(0)
		c.blocked.Store(true)
	case c.started > 0:
		c.readBy.Store(c.started + firstRequest + 1 + int64(n)/slowest)
	case n > before: // else it is the next piece of what is awaited already
		c.readBy.Store(c.s.clock.transfer(int64(n)))
	}
}

// take begins a request, and finishes it when neither it nor one before it waits.
func (c *conn) take(rq *wire.Request) error {
	rq.Alone, rq.Behind, rq.More = c.alone(), c.later.Load() > 0, c.frames.Buffered()
	p, err := c.begin(rq)
	if err != nil {
		c.dismiss(rq)
		return err
	}
	if p.Start != nil {
		c.start = p.Start
	}
	if !rq.More {
		c.startBegun()
	}
	b := begun{rq, p}
	if c.busy() || !b.ready() {
		return c.enqueue(b)
	}
	if err := c.finish(b); err != nil {
		return err
	}
	if c.frames.Buffered() && !c.out.full() && c.quiet.Load() == nil {
		return nil // the next one's response can leave with this one
	}
	c.startBegun()
	return c.flush()
}

// startBegun starts what requests that came together have left to be started once for all of them.
func (c *conn) startBegun() {
	if c.start != nil {
		c.start()
		c.start = nil
	}
}

// alone says whether the peer is one that sends a request and waits for the answer. Another one is given no time that
// the reader could use for what comes next.
func (c *conn) alone() bool {
	if c.busy() || c.frames.More() {
		c.pipeline = pipelineMemory
	} else if c.pipeline > 0 {
		c.pipeline--
	}
	return c.pipeline == 0
}

func (c *conn) enqueue(b begun) error {
	if !c.busy() && c.out.len() > 0 {
		c.startBegun()
		if err := c.flush(); err != nil {
			c.discard(b)
			return err
		}
	}
	if c.begun.Add(1) == noWriter+1 {
		c.begun.Store(1)
		c.startWriter()
	}
	if b.p.Later {
		c.later.Add(1)
	}
	if len(c.queue) == fewBegun && cap(c.queue) == fewBegun {
		c.lengthen()
	}
	select {
	case c.queue <- b:
	default:
		c.startBegun()
		c.blocked.Store(true)
		c.queue <- b
		c.blocked.Store(false)
	}
	return nil
}

func (c *conn) startWriter() {
	if c.queue == nil {
		c.queue = make(chan begun, fewBegun)
	}
	queue := c.queue
	if cap(queue) == fewBegun {
		c.first.Go(func() { c.write(queue) })
		return
	}
	c.writer.Go(func() {
		c.first.Wait()
		c.write(queue)
	})
}

// lengthen gives a connection that has many requests in flight the queue for them, with a writer that goes on where the first ends.
func (c *conn) lengthen() {
	close(c.queue)
	c.queue = make(chan begun, maxBegun-fewBegun)
	c.startWriter()
}

// busy says whether requests are queued or with the writer.
func (c *conn) busy() bool { return c.begun.Load() > 0 }

// write is the writer: it finishes what is queued, in order, and lets responses that are ready leave together.
func (c *conn) write(queue <-chan begun) {
	for {
		b, ok := c.queued(queue)
		if !ok {
			return
		}
		c.finishQueued(b, queue)
	}
}

// queued waits for a request, and is false when the writer is to end.
func (c *conn) queued(queue <-chan begun) (b begun, ok bool) {
	select {
	case b, ok = <-queue: // by itself it costs less than beside another channel
		return b, ok
	default:
	}
	for ticks := 0; ; ticks++ {
		select {
		case b, ok = <-queue:
			return b, ok
		case <-c.rest:
			if ticks >= restAfter && c.begun.CompareAndSwap(0, noWriter) {
				return b, false
			}
		}
	}
}

func (c *conn) finishQueued(b begun, queue <-chan begun) {
	ready := b.ready()
	if !ready || c.out.full() {
		c.settle(c.flush())
	}
	err := c.finish(b)
	if b.p.Later {
		c.later.Add(-1)
	}
	if !ready && c.ctx.Err() != nil {
		c.broken.Store(true) // what it waited for was broken off with the connection: no answer is better than a wrong one
	}
	if err != nil || len(queue) == 0 {
		c.settle(c.flush())
	}
	c.settle(err)
}

// settle ends the connection after an error; the writer goes on, because every begun request must be finished.
func (c *conn) settle(err error) {
	if err != nil {
		c.fail(err)
	}
}

// begin calls the handler. A panic in there costs this connection, and only this one.
func (c *conn) begin(rq *wire.Request) (p wire.Pending, err error) {
	defer c.recovered(rq, &err)
	if rq.Body == nil {
		return wire.Unsupported(rq, c.s.served), nil
	}
	return c.s.o.Handler.Begin(c.ctx, rq), nil
}

// finish calls the request's Finish and puts the response into the outbox, which owns the request from then on. After an
// error there is no response; those before it may still leave.
func (c *conn) finish(b begun) error {
	r := wire.NewReply(b.rq)
	err := c.call(b, r)
	if err != nil {
		r.Release()
		r = wire.NewReply(b.rq) // an empty one is not sent
	}
	if held := r.Held(); held > 0 {
		c.silence(held)
	}
	c.out.add(b.rq, r)
	return err
}

func (c *conn) call(b begun, r *wire.Reply) (err error) {
	defer c.recovered(b.rq, &err)
	if err = b.p.Finish(c.ctx, r); err == nil && !r.Filled() {
		err = errors.New("no response was given")
	}
	if err != nil {
		err = fmt.Errorf("%w: API key %d v%d: %w", errHandler, b.rq.Key, b.rq.Version, err)
	}
	return err
}

// discard finishes a request whose response can't be sent.
func (c *conn) discard(b begun) {
	c.broken.Store(true)
	_ = c.finish(b) // the connection has ended with an error already
	_ = c.flush()
}

func (c *conn) recovered(rq *wire.Request, err *error) {
	v := recover()
	if v == nil {
		return
	}
	*err = fmt.Errorf("%w: panic: %v", errHandler, v)
	c.log.Error("panic while handling a request", "key", rq.Key, "version", rq.Version, "panic", v, "stack", string(debug.Stack()))
}

// flush sends what is in the outbox, unless the connection is broken, and releases it. Requests that came by the queue
// are done with then.
func (c *conn) flush() error {
	n := c.out.len()
	if n == 0 {
		return nil
	}
	var err error
	if !c.broken.Load() {
		err = c.send(c.out.bytes())
	}
	c.out.release(c.doneWith)
	if by := c.idleBy.Load(); by != 0 {
		c.idleBy.CompareAndSwap(by, c.s.idleBy())
	}
	if c.busy() { // from here on the janitor may find the connection idle
		c.begun.Add(int64(-n))
	}
	return err
}

func (c *conn) send(n int64) error {
	if n >= large {
		c.size()
		inMemory := c.out.memory()
		c.s.load.sending.Add(inMemory)
		defer c.s.load.sending.Add(-inMemory)
		if inMemory >= large {
			c.sent()
			defer c.hurryWrite.Store(0)
		}
	}
	c.writeBy.Store(c.s.clock.transfer(n))
	err := c.out.send()
	c.writeBy.Store(0)
	return err
}

// nearTrip is the round trip below which a peer is near: in the machine, or in the rack.
const nearTrip = 100 * time.Microsecond

// size looks once how far the peer is, when there is much to be sent: by then the kernel knows.
func (c *conn) size() {
	if tcp, ok := c.nc.(*net.TCPConn); ok && !c.sized && c.s.o.SendBuffer <= 0 {
		boundBuffer(tcp, nearTrip)
	}
	c.sized = true
}

// end is the reader's: it takes no more requests, says why, and breaks off what waits; what is ready still leaves.
func (c *conn) end(err error) {
	switch {
	case c.draining.Load():
		return
	case err == io.EOF:
		c.cancel()
	default:
		if !c.busy() {
			_ = c.flush() // the answers to what was right; err says more than an error from here
		}
		c.fail(err)
	}
}

// fail closes the connection at once; only the first error counts.
func (c *conn) fail(err error) {
	if !c.abort() {
		return
	}
	switch why := c.why.Load(); {
	case why != nil:
		c.tell(slog.LevelInfo, *why)
	case errors.Is(err, wire.ErrFrame), errors.Is(err, errHandler):
		c.tell(slog.LevelWarn, err)
	default:
		c.log.Debug("connection closed", "reason", err)
	}
}

// tell logs why the connection ended, unless others have said so much in this second that a peer could fill the disk.
func (c *conn) tell(level slog.Level, why any) {
	ok, unsaid := c.s.ends.say(c.s.clock.now.Load())
	if !ok {
		return
	}
	args := []any{"reason", why}
	if unsaid > 0 {
		args = append(args, "not_logged_before", unsaid)
	}
	c.log.Log(context.Background(), level, "connection closed", args...)
}

// abort breaks the connection off, and says whether it was whole until then.
func (c *conn) abort() bool {
	first := c.ctx.Err() == nil
	c.broken.Store(true)
	c.cancel()
	c.shut()
	return first
}

// shut closes the socket and does not wait until it is closed. A close waits for the system call that uses the socket, and sendfile waits
// for the disk, for ever when that hangs; but whoever shuts one connection may hold up all others as long as it does so.
func (c *conn) shut() { c.s.running.Go(func() { c.nc.Close() }) }

// drain has the reader stop at once; requests that have begun go on.
func (c *conn) drain() {
	c.draining.Store(true)
	c.stop()
	if err := c.nc.SetReadDeadline(time.Unix(1, 0)); err != nil {
		c.abort()
	}
}

// close waits for the writer.
func (c *conn) close() {
	c.frames.Close()
	c.startBegun()
	if c.queue != nil {
		close(c.queue)
		c.first.Wait()
		c.writer.Wait()
	}
	if err := c.flush(); err != nil {
		c.fail(err)
	}
	c.cancel()
	c.nc.Close()
}

// check is the janitor's: it closes the connection when something did not happen in time, and tells a writer without requests.
func (c *conn) check(now int64) {
	if c.begun.Load() == 0 {
		select {
		case c.rest <- struct{}{}:
		default:
		}
	}
	overdue := func(by int64) bool { return by != 0 && now >= by }
	short := c.s.load.short.Load() > 1
	switch {
	case short && overdue(c.hurryRead.Load()):
		c.expire("a large request came slowly while others waited for memory")
	case short && overdue(c.hurryWrite.Load()):
		c.expire("the peer took a large response slowly while others waited for memory")
	case short && c.inPool.Load() >= large && overdue(hurriedUp(c.writeBy.Load())):
		c.expire("the peer took no responses and sent large requests while others waited for memory")
	case short && c.largeHeld.Load() > 0 && overdue(c.releaseBy.Load()):
		c.expire("a large request took long while others waited for memory")
	case c.blocked.Load() && hungUp(c.nc):
		c.expire("the peer hung up while its requests waited")
	case overdue(c.readBy.Load()):
		c.expire("a request did not arrive in time")
	case overdue(c.writeBy.Load()):
		c.expire("the peer did not take a response in time")
	case !c.busy() && overdue(c.idleBy.Load()): // in this order: see flush
		c.expire("idle")
	}
}

func (c *conn) expire(why string) {
	c.why.CompareAndSwap(nil, &why)
	c.broken.Store(true)
	c.shut()
	if c.blocked.Load() {
		c.cancel() // else the reader finds out and does it
	}
}
