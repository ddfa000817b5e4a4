package faults

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type dialer func(ctx context.Context, kind, address string) (net.Conn, error)

// tap returns a dialer whose connections' requests and answers are noted.
//
// What a client has given up it takes back: closing such a connection drops what the system has not sent yet, instead of
// delivering it when the network has healed.
func (h *history) tap(dial dialer) dialer {
	return func(ctx context.Context, kind, address string) (net.Conn, error) {
		c, err := dial(ctx, kind, address)
		if err != nil {
			return nil, err
		}
		if socket, ok := c.(*net.TCPConn); ok {
			if err := socket.SetLinger(0); err != nil {
				return nil, errors.Join(err, c.Close())
			}
		}
		return &tapped{Conn: c, history: h, broker: address, waiting: map[int32]*question{}, reading: map[partitionKey]int32{}}, nil
	}
}

// tapped is a connection with a tap. One goroutine writes at a time, and one reads.
type tapped struct {
	net.Conn
	history   *history
	broker    string
	reading   map[partitionKey]int32 // by its fetch session
	asks      frames
	answers   frames
	waitingMu sync.Mutex
	waiting   map[int32]*question // by correlation id
	member    string              // of a share group, whose connection it is
}

func (c *tapped) Write(b []byte) (int, error) {
	c.asks.add(b, c.asked) // before it is sent
	return c.Conn.Write(b)
}

func (c *tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.answers.add(b[:n], c.answered)
	if err != nil {
		c.part()
	}
	return n, err
}

func (c *tapped) Close() error {
	c.part()
	return c.Conn.Close()
}

// part notes that the connection is over, if a member of a share group had it.
func (c *tapped) part() {
	c.waitingMu.Lock()
	member := c.member
	c.member = ""
	c.waitingMu.Unlock()
	if member != "" {
		c.history.parted(c.broker, member)
	}
}

// frames puts Kafka's frames together: four bytes of length, and so many of content.
type frames struct{ rest []byte }

func (f *frames) add(b []byte, each func(frame []byte)) {
	f.rest = append(f.rest, b...)
	for len(f.rest) >= 4 {
		end := 4 + int(binary.BigEndian.Uint32(f.rest))
		if end > len(f.rest) {
			f.rest = slices.Grow(f.rest, end-len(f.rest))
			return
		}
		each(f.rest[4:end])
		f.rest = append(f.rest[:0], f.rest[end:]...)
	}
}

func (c *tapped) asked(frame []byte) {
	in := kbin.Reader{Src: frame}
	key, version, correlation := in.Int16(), in.Int16(), in.Int32()
	in.NullableString() // the client's id
	body := kmsg.RequestForKey(key)
	if body == nil || !in.Ok() {
		c.odd("a client asks what nobody knows: %d", key)
		return
	}
	body.SetVersion(version)
	if body.IsFlexible() {
		kmsg.SkipTags(&in)
	}
	if err := body.ReadFrom(in.Src); err != nil {
		c.odd("%s v%d: %v", kmsg.NameForKey(key), version, err)
		return
	}
	if q := c.history.asked(c.broker, body, c.reading); q != nil {
		c.waitingMu.Lock()
		defer c.waitingMu.Unlock()
		c.waiting[correlation] = q
		if q.member != "" {
			c.member = q.member
		}
	}
}

func (c *tapped) answered(frame []byte) {
	in := kbin.Reader{Src: frame}
	correlation := in.Int32()
	c.waitingMu.Lock()
	q := c.waiting[correlation]
	delete(c.waiting, correlation)
	c.waitingMu.Unlock()
	if q == nil {
		return
	}
	body := kmsg.ResponseForKey(q.key)
	body.SetVersion(q.version)
	if body.IsFlexible() {
		kmsg.SkipTags(&in)
	}
	if err := body.ReadFrom(in.Src); err != nil {
		c.odd("the answer to %s v%d: %v", kmsg.NameForKey(q.key), q.version, err)
		return
	}
	c.history.answered(c.broker, q, body)
}

func (c *tapped) odd(format string, args ...any) {
	c.history.mu.Lock()
	defer c.history.mu.Unlock()
	c.history.odd = append(c.history.odd, fmt.Sprintf(format, args...))
}
