package metalog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// streams is the network's stream "raft" as Raft wants it. A connection begins with the server that the dialler wants to
// talk to, and who is not that server refuses: a new disk under an old address has forgotten whom it voted for, and must
// not be taken for the old one.
type streams struct {
	net.Listener
	net    Network
	self   raft.ServerID
	book   *book
	logger *slog.Logger
	ended  func(raft.ServerID) // a connection that this server opened has ended
	stall  time.Duration       // stallTimeout but in tests

	ctx context.Context // ends when they are closed
	end context.CancelFunc

	mu       sync.Mutex
	open     map[*stream]struct{}  // nil when closed
	lost     map[raft.ServerID]int // connections that ended while they were kept for later use, see transport.send
	accepted sync.WaitGroup        // connections that Raft still reads requests from
}

func newStreams(n Network, self raft.ServerID, b *book, logger *slog.Logger) *streams {
	s := &streams{
		Listener: n.Listen(raftStream), net: n, self: self, book: b, logger: logger,
		open: map[*stream]struct{}{}, lost: map[raft.ServerID]int{}, stall: stallTimeout,
	}
	s.ctx, s.end = context.WithCancel(context.Background())
	return s
}

// Accept returns at once: the beginning of the connection is read by who reads the rest of it.
func (s *streams) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return s.keep(&stream{Conn: c, of: s, fresh: true, accepted: true})
}

// Dial opens a connection to the server that a names: its id, and behind a space where the configuration has it.
func (s *streams) Dial(a raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	id, configured, _ := strings.Cut(string(a), " ")
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	c, err := s.book.reach(ctx, raft.ServerID(id), raft.ServerAddress(configured), func(ctx context.Context, addr string) (net.Conn, error) {
		return s.dial(ctx, addr, raft.ServerID(id))
	})
	if err != nil {
		return nil, err
	}
	return s.keep(&stream{Conn: c, of: s, to: raft.ServerID(id), left: maxAnswer})
}

func (s *streams) dial(ctx context.Context, addr string, want raft.ServerID) (net.Conn, error) {
	c, err := s.net.Dial(ctx, addr, raftStream)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) }) // the read below ends then
	err = introduce(c, preamble{want, s.self, s.net.Addr()})
	if !stop() {
		err = errors.Join(err, ctx.Err())
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Addr is a name: where this server is reached is not what others know it by.
func (s *streams) Addr() net.Addr { return serverName(s.self) }

type serverName raft.ServerID

func (serverName) Network() string  { return "raft" }
func (n serverName) String() string { return string(n) }

// Close closes the connections too, and waits until Raft has let go of those that it reads requests from.
func (s *streams) Close() error {
	s.end()
	err := s.Listener.Close()
	s.mu.Lock()
	open := s.open
	s.open = nil
	s.mu.Unlock()
	for c := range open {
		err = errors.Join(err, ignoreClosed(c.Conn.Close()))
	}
	return ignoreClosed(err)
}

func (s *streams) keep(c *stream) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		return nil, errors.Join(net.ErrClosed, c.Conn.Close())
	}
	s.open[c] = struct{}{}
	if c.accepted {
		s.accepted.Add(1)
	}
	return c, nil
}

func (s *streams) drop(c *stream) {
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
	if !c.accepted {
		return
	}
	if c.from != "" && s.ctx.Err() == nil {
		s.ended(c.from)
	}
	s.accepted.Done()
}

// lose counts a connection to the server that had answered before and ended without an answer to what was asked last.
func (s *streams) lose(id raft.ServerID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost[id]++
}

func (s *streams) lostTo(id raft.ServerID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost[id]
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// What Raft's transport reads before it looks at it. One request is answered before the next is read.
const (
	maxAnswer   = 64 << 10
	maxVote     = 64 << 10
	maxAppend   = maxAppendEntries * (maxEntry + 1<<10)
	maxSnapshot = 64 << 30

	maxAppendEntries = 64 // in one message
	installSnapshot  = 2  // the first byte of Raft's requests
	appendEntries    = 0
)

// stream is a connection that bounds what is read from it. One goroutine of Raft's at a time uses it.
type stream struct {
	net.Conn
	of       *streams
	accepted bool
	greeted  bool          // an accepted one: it wants this server
	from     raft.ServerID // an accepted one that was greeted: who opened it
	to       raft.ServerID // one that this server opened: to whom
	answers  bool          // one that this server opened: it has been answered
	asked    bool          // one that this server opened: nothing was read since something was written
	fresh    bool          // an accepted one: the next byte begins a request
	left     int64
	once     sync.Once
}

func (c *stream) Read(b []byte) (int, error) {
	if c.accepted && !c.greeted {
		if err := c.greet(); err != nil {
			return 0, err
		}
	}
	if c.fresh {
		c.left = maxSnapshot
	}
	if c.left <= 0 {
		return 0, errors.New("a message of raft is too long")
	}
	if int64(len(b)) > c.left {
		b = b[:c.left]
	}
	n, err := c.readOn(b)
	if c.fresh && n > 0 {
		c.fresh, c.left = false, requestSize(b[0])
	}
	c.left -= int64(n)
	c.note(err)
	if n > 0 {
		c.answers, c.asked = true, false
	}
	return n, err
}

// stallTimeout is how long nothing may come of a request that has begun. Raft reads a snapshot in the goroutine by which it
// votes: a leader that is held still in the midst of one, or is gone without a word, would keep the others from electing another.
const stallTimeout = 5 * time.Second

// readOn gives a request that does not go on up, and the connection: the rest of it would be taken for another one.
func (c *stream) readOn(b []byte) (int, error) {
	if !c.accepted {
		return c.Conn.Read(b)
	}
	var until time.Time
	if !c.fresh {
		until = time.Now().Add(c.of.stall)
	}
	_ = c.Conn.SetReadDeadline(until) // fails only with the connection, as the read then does
	n, err := c.Conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		_ = c.Conn.Close() // the error says why
	}
	return n, err
}

// note counts a connection that had become useless before it was used again.
func (c *stream) note(err error) {
	var timed net.Error
	if err == nil || c.accepted || !c.answers || !c.asked || errors.Is(err, net.ErrClosed) || errors.As(err, &timed) && timed.Timeout() {
		return
	}
	c.answers = false
	c.of.lose(c.to)
}

func requestSize(kind byte) int64 {
	switch kind {
	case appendEntries:
		return maxAppend
	case installSnapshot:
		return maxSnapshot
	}
	return maxVote
}

// Write ends what was read before.
func (c *stream) Write(b []byte) (int, error) {
	c.fresh, c.left, c.asked = c.accepted, maxAnswer, true
	n, err := c.Conn.Write(b)
	c.note(err)
	return n, err
}

func (c *stream) Close() error {
	c.once.Do(func() { c.of.drop(c) })
	return ignoreClosed(c.Conn.Close())
}

// greetTimeout is how long a connection may take to say whom it wants.
const greetTimeout = 5 * time.Second

// greet reads whom the dialler wants, and answers. io.EOF has Raft close the connection without a word.
func (c *stream) greet() error {
	_ = c.Conn.SetDeadline(time.Now().Add(greetTimeout))
	p, err := readPreamble(c.Conn)
	if err != nil {
		c.of.logger.Warn("raft: closed a connection that began with something else", "remote", c.RemoteAddr(), "error", err)
		return io.EOF
	}
	if p.want != c.of.self {
		c.of.logger.Warn("raft: closed a connection to another server, which was here or is thought to be",
			"wanted", p.want, "self", c.of.self, "remote", p.from)
		_, _ = c.Conn.Write([]byte{notMe})
		return io.EOF
	}
	c.of.book.hear(p.from, p.addr)
	_ = c.Conn.SetDeadline(time.Time{})
	c.greeted, c.from = true, p.from
	_, err = c.Conn.Write([]byte{itsMe})
	return err
}

// preamble is what a connection begins with. FORMAT.md has its bytes.
type preamble struct {
	want, from raft.ServerID
	addr       string // of who dials
}

const (
	preambleMagic = "CMR"
	preambleHead  = len(preambleMagic) + 1 + 2
	maxPreamble   = 1 << 10

	preambleVersion = 1
	itsMe           = 0
	notMe           = 1
)

func (p preamble) encode() []byte {
	b := append(make([]byte, 0, 256), preambleMagic...)
	b = append(b, preambleVersion, 0, 0)
	for _, text := range []string{string(p.want), string(p.from), p.addr} {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	binary.BigEndian.PutUint16(b[preambleHead-2:], uint16(len(b)-preambleHead))
	return b
}

func readPreamble(r io.Reader) (p preamble, err error) {
	head := make([]byte, preambleHead)
	if _, err := io.ReadFull(r, head); err != nil {
		return p, err
	}
	size := int(binary.BigEndian.Uint16(head[preambleHead-2:]))
	if string(head[:3]) != preambleMagic || head[3] != preambleVersion || size > maxPreamble {
		return p, fmt.Errorf("%q is no beginning that is known here", head)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return p, err
	}
	f := fields{b: b}
	p = preamble{raft.ServerID(f.text()), raft.ServerID(f.text()), f.text()}
	return p, f.end()
}

// introduce says whom c is for, and reads whether that is who is there.
func introduce(c net.Conn, p preamble) error {
	if _, err := c.Write(p.encode()); err != nil {
		return err
	}
	answer := make([]byte, 1)
	if _, err := io.ReadFull(c, answer); err != nil {
		return err
	}
	if answer[0] != itsMe {
		return errAnotherServer
	}
	return nil
}

var errAnotherServer = errors.New("another server answers there")
