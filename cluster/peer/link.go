package peer

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/wal/arena"
)

const (
	maxInFlight  = 128             // requests on a connection that are not answered yet; the next one waits
	writeTimeout = 5 * time.Second // for a request, while the other side takes nothing
	maxSilence   = 5 * time.Second // how long nothing may come after somebody gave up waiting: then the connection is broken
	readBuffer   = 4 << 10
	readPiece    = 256 << 10 // fits the processor's cache, see arena.Buf.Arrived
	apiVersions  = 18        // its response's header has no tags in any version
)

// The states of a call.
const (
	waiting uint32 = iota
	answered
	abandoned
)

// call is a request that was sent.
type call struct {
	ctx   context.Context
	pool  *arena.Pool // nil: memory of the heap
	id    int32
	state atomic.Uint32
	done  chan answer // of one
}

// answer is the bytes of a response behind its correlation id. They lie in buf, when that is not nil.
type answer struct {
	body []byte
	buf  *arena.Buf
	err  error
}

func (a answer) release() {
	if a.buf != nil {
		a.buf.Release()
	}
}

// decode reads what answers rq. The byte slices of the response alias the answer's bytes.
func (a answer) decode(rq kmsg.Request) (kmsg.Response, error) {
	resp := rq.ResponseKind()
	resp.SetVersion(rq.GetVersion())
	body, err := a.body, error(nil)
	if resp.IsFlexible() && rq.Key() != apiVersions {
		if body, err = skipTags(body); err != nil {
			return nil, err
		}
	}
	if err := resp.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("a response that cannot be read: %w", err)
	}
	return resp, nil
}

var errTags = errors.New("a response whose header cannot be read")

// skipTags cuts off the tagged fields of a header.
func skipTags(b []byte) ([]byte, error) {
	count, n := binary.Uvarint(b)
	if n <= 0 {
		return nil, errTags
	}
	for b = b[n:]; count > 0; count-- {
		_, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errTags
		}
		b = b[n:]
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return nil, errTags
		}
		b = b[n+int(size):]
	}
	return b, nil
}

// link is one connection from its opening to its end. The goroutine that runs it reads.
type link struct {
	n      *Net
	addr   string
	ctx    context.Context // ends with the link
	end    context.CancelCauseFunc
	opened chan struct{}
	format *kmsg.RequestFormatter

	openErr error    // set before opened is closed
	nc      net.Conn // likewise

	writing chan struct{} // of one: whoever is in it writes; owns out and lastID
	out     []byte
	lastID  int32
	calls   chan *call // sent, in their order

	mu        sync.Mutex
	abandoned bool // somebody gave up since the last answer; guarded by mu
}

func newLink(n *Net, addr string) *link {
	l := &link{
		n: n, addr: addr, opened: make(chan struct{}), writing: make(chan struct{}, 1), calls: make(chan *call, maxInFlight),
		format: kmsg.NewRequestFormatter(kmsg.FormatterClientID(fmt.Sprintf("broker-%d", n.o.Node))),
	}
	l.ctx, l.end = context.WithCancelCause(context.Background())
	return l
}

// run opens the connection and reads until it breaks.
func (l *link) run() {
	l.nc, l.openErr = l.n.Dial(l.ctx, l.addr, Kafka)
	if cause := context.Cause(l.ctx); l.openErr != nil && cause != nil {
		l.openErr = cause
	}
	if l.openErr != nil {
		l.fail(l.openErr)
		close(l.opened)
		return
	}
	close(l.opened)
	unhook := context.AfterFunc(l.ctx, func() { l.nc.Close() })
	defer unhook()
	l.fail(l.read())
	l.nc.Close()
	l.failCalls()
}

// fail breaks the link off; the first reason counts. It does not wait.
func (l *link) fail(why error) { l.end(why) }

func (l *link) isBroken() bool { return l.ctx.Err() != nil }

// failCalls answers those that wait. Taking the place of the one who writes, for good, keeps later ones out.
func (l *link) failCalls() {
	l.writing <- struct{}{}
	close(l.calls)
	for k := range l.calls {
		k.finish(answer{err: l.reason()})
	}
}

func (l *link) reason() error {
	return fmt.Errorf("connection to the broker at %s: %w", l.addr, context.Cause(l.ctx))
}

// send writes the request. It waits, as long as the call's context lets it, for those before it and for room among the
// requests that are not answered; and, whatever the context says, up to writeTimeout for the socket: a request that went
// out by half would break the connection for all.
func (l *link) send(k *call, rq kmsg.Request) error {
	select {
	case l.writing <- struct{}{}:
		defer func() { <-l.writing }()
	case <-k.ctx.Done():
		return k.ctx.Err()
	case <-l.ctx.Done():
		return l.reason()
	}
	l.lastID++
	k.id = l.lastID
	select {
	case l.calls <- k:
	case <-k.ctx.Done():
		return k.ctx.Err()
	case <-l.ctx.Done():
		return l.reason()
	}
	l.out = l.format.AppendRequest(l.out[:0], rq, k.id)
	_ = l.nc.SetWriteDeadline(time.Now().Add(writeTimeout)) // fails only with the connection, as the write then does
	if _, err := l.nc.Write(l.out); err != nil {
		l.fail(err) // the reader answers the call
	}
	if cap(l.out) > readPiece {
		l.out = nil
	}
	return nil
}

// abandon starts the clock of a connection on which somebody gave up.
func (l *link) abandon() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.abandoned {
		l.abandoned = true
		_ = l.nc.SetReadDeadline(time.Now().Add(l.n.silence)) // as in send
	}
}

// alive stops that clock: the other side still answers.
func (l *link) alive() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.abandoned {
		l.abandoned = false
		_ = l.nc.SetReadDeadline(time.Time{})
	}
}

// read hands the answers to their calls.
func (l *link) read() error {
	src := bufio.NewReaderSize(l.nc, readBuffer)
	for {
		size, id, err := readHead(src, l.n.o.MaxResponse)
		if err != nil {
			return err
		}
		l.alive()
		var k *call
		select {
		case k = <-l.calls:
		default:
		}
		if k == nil || k.id != id {
			err := fmt.Errorf("the answer to request %d, which is not the next one", id)
			if k != nil {
				k.finish(answer{err: err})
			}
			return err
		}
		if err := l.answer(src, k, size); err != nil {
			return err
		}
	}
}

// readHead reads size and correlation id; it returns how many bytes follow.
func readHead(src *bufio.Reader, most int) (int, int32, error) {
	var head [8]byte
	if _, err := io.ReadFull(src, head[:]); err != nil {
		return 0, 0, err
	}
	size := int32(binary.BigEndian.Uint32(head[:]))
	if size < 4 || int(size) > most {
		return 0, 0, fmt.Errorf("a response of %d bytes, the limit is %d", size, most)
	}
	return int(size) - 4, int32(binary.BigEndian.Uint32(head[4:])), nil
}

// answer reads the size bytes of k's answer, or past them when nobody waits. An error is the connection's.
func (l *link) answer(src *bufio.Reader, k *call, size int) error {
	a, err := k.room(size)
	l.alive() // that there was no room is not the other side's fault
	if err != nil {
		k.finish(answer{err: err})
		_, err := io.CopyN(io.Discard, src, int64(size))
		return err
	}
	err = l.fill(src, a)
	if err != nil {
		a.release()
		a = answer{err: fmt.Errorf("connection to the broker at %s, within an answer: %w", l.addr, err)}
	}
	k.finish(a)
	return err
}

func (l *link) fill(src io.Reader, a answer) error {
	for at := 0; at < len(a.body); {
		end := min(len(a.body), at/readPiece*readPiece+readPiece)
		if _, err := io.ReadFull(src, a.body[at:end]); err != nil {
			return err
		}
		l.alive()
		at = end
		if a.buf != nil {
			a.buf.Arrived(at)
		}
	}
	return nil
}

// room is the memory for an answer; an error says that nobody waits for it.
func (k *call) room(size int) (answer, error) {
	if k.state.Load() == abandoned {
		return answer{}, context.Canceled
	}
	if k.pool == nil {
		return answer{body: make([]byte, size)}, nil
	}
	buf, err := k.pool.Get(k.ctx, size)
	if err != nil {
		return answer{}, err
	}
	return answer{body: buf.Bytes(), buf: buf}, nil
}

// finish gives the answer to who waits for it, or back to its pool when nobody does.
func (k *call) finish(a answer) {
	if k.state.CompareAndSwap(waiting, answered) {
		k.done <- a
	} else {
		a.release()
	}
}
