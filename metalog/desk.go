package metalog

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// desk is where other nodes' messages come in. What they propose joins what this node proposes itself; when this node does
// not lead, they hear so and try elsewhere.
type desk struct {
	batcher  *batcher
	tenures  *tenures
	listener net.Listener
	logger   *slog.Logger

	ctx  context.Context // ends with the desk
	end  context.CancelFunc
	work sync.WaitGroup

	mu     sync.Mutex
	visits map[image.BrokerID]*visit // the newest of each node
	inside int                       // connections
}

// spareVisitors is how many connections there may be beyond two for each node that is registered, its newest and one that has
// not noticed yet that it is gone: nodes that are new have theirs before they register.
const spareVisitors = 64

func newDesk(l net.Listener, b *batcher, t *tenures, logger *slog.Logger) *desk {
	d := &desk{batcher: b, tenures: t, listener: l, logger: logger, visits: map[image.BrokerID]*visit{}}
	d.ctx, d.end = context.WithCancel(context.Background())
	d.work.Go(d.accept)
	return d
}

func (d *desk) stop() error {
	d.end()
	err := d.listener.Close()
	d.work.Wait()
	return ignoreClosed(err)
}

func (d *desk) accept() {
	var told time.Time
	for {
		c, err := d.listener.Accept()
		if err != nil {
			return // it is closed
		}
		if !d.enter() {
			if now := time.Now(); now.Sub(told) >= saidAgain {
				d.logger.Warn("metalog: closed a connection of a node: there are too many", "remote", c.RemoteAddr())
				told = now
			}
			_ = c.Close() // it asks again
			continue
		}
		d.work.Go(func() {
			defer d.leave()
			if err := d.serve(c); err != nil && d.ctx.Err() == nil {
				d.logger.Debug("metalog: a node's connection ended", "remote", c.RemoteAddr(), "error", err)
			}
		})
	}
}

// enter says whether there is room for one more connection, and takes it.
func (d *desk) enter() bool {
	room := spareVisitors + 2*len(d.batcher.views.image.Load().Brokers())
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.inside >= room {
		return false
	}
	d.inside++
	return true
}

func (d *desk) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inside--
}

// serve answers the messages of a connection. They are taken in their order, and answered as it comes.
func (d *desk) serve(c net.Conn) (err error) {
	v := &visit{desk: d, conn: c, window: make(chan struct{}, messagesUnderWay)}
	ctx, end := context.WithCancel(d.ctx)
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	defer func() { end(); d.gone(v); v.work.Wait(); err = errors.Join(err, ignoreClosed(c.Close())) }()
	r := bufio.NewReaderSize(c, 64<<10)
	for {
		m, err := readFrame(r)
		if err != nil {
			return err
		}
		select {
		case v.window <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		finish := d.begin(ctx, v, m)
		if finish == nil {
			return errors.New("a message that is no question, or has no place there")
		}
		v.work.Go(func() { v.answer(finish()); <-v.window })
	}
}

// visit is one connection. It begins with who asks, in one term of this node's leadership, and what it brings is proposed
// in that term only, while its node has begun no other: a message may lie in a socket, or wait here, for as long as it takes
// the node to give it up, to have something else agreed on, elsewhere perhaps, and to come back.
type visit struct {
	desk   *desk
	conn   net.Conn
	window chan struct{}
	work   sync.WaitGroup
	write  sync.Mutex

	begun bool
	node  image.BrokerID
	term  uint64
	over  atomic.Bool // another has begun, or it has ended
}

// counts says whether what v has brought may be proposed in term.
func (v *visit) counts(term uint64) bool { return v.begun && v.term == term && !v.over.Load() }

// welcome begins v, and ends the one that its node had before.
func (d *desk) welcome(v *visit, node image.BrokerID) {
	term, leads := d.batcher.lead.term()
	if !leads {
		return
	}
	v.begun, v.node, v.term = true, node, term
	d.mu.Lock()
	defer d.mu.Unlock()
	if before := d.visits[node]; before != nil {
		before.over.Store(true)
	}
	d.visits[node] = v
}

// gone ends v; what it has brought and is not proposed yet goes with it.
func (d *desk) gone(v *visit) {
	v.over.Store(true)
	d.mu.Lock()
	defer d.mu.Unlock()
	if v.begun && d.visits[v.node] == v {
		delete(d.visits, v.node)
	}
}

func (v *visit) answer(m *message) {
	v.write.Lock()
	defer v.write.Unlock()
	_ = v.conn.SetWriteDeadline(time.Now().Add(answerTimeout))
	if _, err := v.conn.Write(encodeFrame(m)); err != nil {
		_ = v.conn.Close() // whoever reads from it ends
	}
}

// begin puts what m asks in its place; what it returns waits for the answer.
func (d *desk) begin(ctx context.Context, v *visit, m *message) func() *message {
	switch m.kind {
	case msgBegin:
		if v.begun {
			return nil
		}
		d.welcome(v, m.node)
		return func() *message { return &message{kind: msgBegun, id: m.id, leads: v.begun} }
	case msgPropose:
		waiting := d.enqueue(v, m)
		return func() *message { return d.proposed(m.id, waiting) }
	case msgSync:
		return func() *message {
			ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
			defer cancel()
			index, err := d.tenures.readIndex(ctx)
			return &message{kind: msgSynced, id: m.id, index: index, leads: err == nil}
		}
	}
	return nil
}

// arrival is a message's proposals at this node: what is known of them at once, and those that are on their way.
type arrival struct {
	outcomes []outcomeOf
	parcel   *parcel
	at       []int // of the parcel's, among outcomes
}

// enqueue puts what a message brings into the queue as one, as its sender counts on.
func (d *desk) enqueue(v *visit, m *message) *arrival {
	a := &arrival{
		outcomes: make([]outcomeOf, len(m.proposals)),
		parcel:   &parcel{ctx: d.ctx, answer: make(chan []answer, 1), low: m.low, visit: v},
	}
	for i, body := range m.proposals {
		if _, err := image.DecodeAll(body); err != nil || !a.parcel.fits(body) {
			a.outcomes[i] = outcomeFor(answer{err: kerr.Detail(kerr.InvalidRecord, "records that this node cannot take: %v", err), refused: true})
			continue
		}
		a.parcel.add(body)
		a.at = append(a.at, i)
	}
	if len(a.at) == 0 {
		a.parcel.tell(answer{})
		return a
	}
	if term, leads := d.batcher.lead.term(); !leads || !v.counts(term) || d.batcher.failure.err() != nil {
		a.parcel.tell(answer{err: errNotProposed})
		return a
	}
	queue := d.batcher.first
	if m.low {
		queue = d.batcher.second
	}
	select {
	case queue <- a.parcel:
	case <-d.ctx.Done():
		a.parcel.tell(answer{err: errNotProposed})
	case <-d.batcher.stopped:
		a.parcel.tell(answer{err: errNotProposed})
	}
	return a
}

func (d *desk) proposed(id uint64, a *arrival) *message {
	for i, got := range d.batcher.result(d.ctx, a.parcel) {
		a.outcomes[a.at[i]] = outcomeFor(got)
	}
	return &message{kind: msgProposed, id: id, outcomes: a.outcomes}
}

// outcomeFor is how an answer goes over the wire.
func outcomeFor(a answer) outcomeOf {
	switch {
	case a.err == nil:
		return outcomeOf{is: isApplied, index: a.index}
	case a.refused:
		return outcomeOf{is: isRefused, index: a.index, code: kerr.Of(a.err), text: kerr.Message(a.err)}
	case errors.Is(a.err, errNotProposed):
		return outcomeOf{is: isNotProposed}
	}
	return outcomeOf{is: isUnknown, text: a.err.Error()}
}

// answer is the other direction of outcomeFor.
func (o outcomeOf) answer() answer {
	switch {
	case o.is == isApplied:
		return answer{index: o.index}
	case o.is == isRefused && o.text != "":
		return answer{index: o.index, err: kerr.Detail(o.code, "%s", o.text), refused: true}
	case o.is == isRefused:
		return answer{index: o.index, err: o.code, refused: true}
	case o.is == isNotProposed:
		return answer{err: errNotProposed}
	}
	return answer{err: unknown(errors.New(o.text))}
}
