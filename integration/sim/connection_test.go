package sim

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// end is one side of a connection: a net.Conn.
type end struct {
	of            *fabric
	local, remote *net.TCPAddr
	in, out       *pipe
	silence       *time.Timer // of keepalive; guarded by the fabric's mu
}

func newConnection(f *fabric, from, to *net.TCPAddr) (a, b *end) {
	there, back := newPipe(), newPipe()
	return &end{of: f, local: from, remote: to, in: back, out: there}, &end{of: f, local: to, remote: from, in: there, out: back}
}

func (e *end) LocalAddr() net.Addr  { return e.local }
func (e *end) RemoteAddr() net.Addr { return e.remote }

func (e *end) Read(b []byte) (int, error) { return e.in.read(b) }

func (e *end) Write(b []byte) (int, error) {
	e.of.mu.Lock()
	at, held := e.travels()
	e.of.mu.Unlock()
	return e.out.write(b, at, held)
}

// travels is when a packet arrives that is sent now. It needs the fabric's mu, as the next three do.
func (e *end) travels() (at time.Time, held bool) {
	from, to := e.local.IP.String(), e.remote.IP.String()
	return time.Now().Add(e.of.delay(from, to)), e.of.blocked(from, to)
}

// watch ends this side of the connection when nothing gets through for too long.
func (e *end) watch() {
	from, to := e.local.IP.String(), e.remote.IP.String()
	switch silent := e.of.blocked(from, to) || e.of.blocked(to, from); {
	case silent && e.silence == nil:
		e.silence = time.AfterFunc(keepAlive, func() { e.breakOff(syscall.ETIMEDOUT) })
	case !silent && e.silence != nil:
		e.silence.Stop()
		e.silence = nil
	}
}

// abandon is what becomes of the end when its process has gone. The other one hears of it, or not.
func (e *end) abandon(silent bool) {
	if e.silence != nil {
		e.silence.Stop()
	}
	e.in.fail(&e.in.reader, syscall.ECONNRESET)
	if silent {
		e.out.forget()
	} else {
		e.out.close(e.travels())
	}
}

func (e *end) leave() {
	if e.silence != nil {
		e.silence.Stop()
	}
	delete(e.of.hosts[e.local.IP.String()].ends, e)
}

// breakOff is the system's, and this side's alone.
func (e *end) breakOff(why error) {
	e.of.mu.Lock()
	defer e.of.mu.Unlock()
	e.leave()
	e.in.fail(&e.in.reader, why)
	e.out.fail(&e.out.writer, why)
}

// Close is an orderly end: what was written before still arrives.
func (e *end) Close() error {
	e.of.mu.Lock()
	defer e.of.mu.Unlock()
	e.leave()
	e.in.fail(&e.in.reader, net.ErrClosed)
	if !e.out.close(e.travels()) {
		return net.ErrClosed
	}
	return nil
}

// abort takes back what the other side has not read yet, as a reset does that comes in time.
func (e *end) abort() {
	e.of.mu.Lock()
	defer e.of.mu.Unlock()
	e.leave()
	e.in.fail(&e.in.reader, net.ErrClosed)
	e.out.forget()
	e.out.fail(&e.out.reader, syscall.ECONNRESET)
}

func (e *end) SetDeadline(t time.Time) error {
	e.in.until(&e.in.reader, t)
	e.out.until(&e.out.writer, t)
	return nil
}

func (e *end) SetReadDeadline(t time.Time) error  { e.in.until(&e.in.reader, t); return nil }
func (e *end) SetWriteDeadline(t time.Time) error { e.out.until(&e.out.writer, t); return nil }

// window is how much is on its way before a writer has to wait. It is more than there ever is: some write with a mutex held,
// and in a bubble time stands still while anyone waits for a mutex.
const window = 64 << 20

// pipe is one direction.
type pipe struct {
	mu             sync.Mutex // guards all but the sides' wake
	packets        []packet
	size           int
	closed         bool // by who writes
	reader, writer side
}

// packet is some bytes, or the end when there are none.
type packet struct {
	data []byte
	at   time.Time // when it arrives
	held bool      // not before the path is whole
}

// side is what one side waits by.
type side struct {
	deadline time.Time
	failed   error
	wake     chan struct{} // of one
}

func newPipe() *pipe {
	return &pipe{reader: side{wake: make(chan struct{}, 1)}, writer: side{wake: make(chan struct{}, 1)}}
}

func (s *side) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *side) overdue() bool { return !s.deadline.IsZero() && !time.Now().Before(s.deadline) }

// wait waits until something has changed, or for the sooner of the two.
func (s *side) wait(deadline, at time.Time) {
	if !deadline.IsZero() && (at.IsZero() || deadline.Before(at)) {
		at = deadline
	}
	if at.IsZero() {
		<-s.wake
		return
	}
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-s.wake:
	case <-t.C:
	}
}

func (p *pipe) read(b []byte) (int, error) {
	for {
		p.mu.Lock()
		n, at, err := p.take(b)
		deadline := p.reader.deadline
		p.mu.Unlock()
		if n > 0 || err != nil || len(b) == 0 {
			return n, err
		}
		p.reader.wait(deadline, at)
	}
}

// take is what has arrived; at is when more will. It needs mu.
func (p *pipe) take(b []byte) (n int, at time.Time, err error) {
	if p.reader.overdue() {
		return 0, at, os.ErrDeadlineExceeded
	}
	if p.reader.failed != nil {
		return 0, at, p.reader.failed
	}
	for now := time.Now(); len(p.packets) > 0 && n < len(b); {
		k := &p.packets[0]
		if k.held {
			break
		}
		if now.Before(k.at) {
			at = k.at
			break
		}
		if len(k.data) == 0 {
			err = io.EOF
			break
		}
		c := copy(b[n:], k.data)
		k.data, n, p.size = k.data[c:], n+c, p.size-c
		if len(k.data) == 0 {
			p.packets = p.packets[1:]
		}
	}
	if n > 0 {
		p.writer.poke()
		err = nil
	}
	return n, at, err
}

func (p *pipe) write(b []byte, at time.Time, held bool) (int, error) {
	for {
		done, deadline, err := p.offer(b, at, held)
		if err != nil {
			return 0, err
		}
		if done {
			return len(b), nil
		}
		p.writer.wait(deadline, time.Time{})
	}
}

func (p *pipe) offer(b []byte, at time.Time, held bool) (done bool, deadline time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.writer.failed != nil:
		return false, deadline, p.writer.failed
	case p.reader.failed != nil && !held:
		return false, deadline, syscall.ECONNRESET
	case p.closed:
		return false, deadline, net.ErrClosed
	case p.writer.overdue():
		return false, deadline, os.ErrDeadlineExceeded
	case p.size >= window && p.reader.failed == nil:
		return false, p.writer.deadline, nil
	}
	if len(b) > 0 {
		p.put(packet{append([]byte(nil), b...), at, held})
	}
	return true, deadline, nil
}

// put needs mu. Nothing overtakes what was sent before.
func (p *pipe) put(k packet) {
	if n := len(p.packets); n > 0 {
		before := &p.packets[n-1]
		k.held = k.held || before.held
		if k.at.Before(before.at) {
			k.at = before.at
		}
	}
	p.packets = append(p.packets, k)
	p.size += len(k.data)
	p.reader.poke()
}

// close is false when it was closed before.
func (p *pipe) close(at time.Time, held bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.closed = true
	p.put(packet{at: at, held: held})
	p.writer.poke()
	return true
}

// forget drops what has not arrived: the machine that would send it again has no power.
func (p *pipe) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for i, k := range p.packets {
		if k.held || time.Now().Before(k.at) {
			p.packets = p.packets[:i]
			break
		}
	}
	p.writer.poke()
}

func (p *pipe) fail(s *side, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.failed == nil {
		s.failed = why
	}
	p.reader.poke()
	p.writer.poke()
}

// hold keeps what has not arrived until the path is whole, and then has it come a while later.
func (p *pipe) hold(yes bool, later time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for i := range p.packets {
		switch k := &p.packets[i]; {
		case yes && now.Before(k.at):
			k.held = true
		case !yes && k.held:
			k.held, k.at = false, now.Add(later)
		}
	}
	p.reader.poke()
}

func (p *pipe) until(s *side, t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.deadline = t
	s.poke()
}
