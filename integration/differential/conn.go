package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// answerTime bounds the wait for one answer; nothing that is asked here takes longer when it works.
const answerTime = 5 * time.Second

const clientID = "differential"

var errMismatch = errors.New("correlation id of another request")

// conn is one connection to a broker; it has one request in flight.
type conn struct {
	net.Conn
	correlation int32
}

func dial(addr string) (*conn, error) {
	c, err := net.DialTimeout("tcp", addr, answerTime)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c}, nil
}

// frame encodes a request with its length and its header.
func (c *conn) frame(rq kmsg.Request) []byte {
	c.correlation++
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID)).AppendRequest(nil, rq, c.correlation)
}

// ask returns the body of the answer, without its header.
func (c *conn) ask(rq kmsg.Request) ([]byte, error) {
	if err := c.send(c.frame(rq)); err != nil {
		return nil, err
	}
	return c.receive(rq.IsFlexible() && rq.Key() != 18)
}

func (c *conn) send(frame []byte) error {
	if err := c.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	_, err := c.Write(frame)
	return err
}

func (c *conn) receive(flexible bool) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < 4 || n > 1<<28 {
		return nil, fmt.Errorf("an answer of %d bytes", n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(c, body); err != nil {
		return nil, err
	}
	if got := int32(binary.BigEndian.Uint32(body)); got != c.correlation {
		return nil, errMismatch
	}
	body = body[4:]
	if flexible {
		if len(body) == 0 || body[0] != 0 {
			return nil, errors.New("no empty tag section in the header of the answer")
		}
		body = body[1:]
	}
	return body, nil
}

// failure names what came instead of an answer, in words that do not depend on timing.
func failure(err error) string {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return "no answer"
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || isReset(err) {
		return "connection closed"
	}
	return err.Error()
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op)
}

// versions is what a broker serves of a key.
type versions struct{ min, max int16 }

func served(addr string) (map[int16]versions, error) {
	c, err := dial(addr)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	rq := kmsg.NewPtrApiVersionsRequest()
	body, err := c.ask(rq)
	if err != nil {
		return nil, fmt.Errorf("ask %s what it serves: %w", addr, err)
	}
	resp := rq.ResponseKind().(*kmsg.ApiVersionsResponse)
	if err := resp.ReadFrom(body); err != nil {
		return nil, err
	}
	all := make(map[int16]versions)
	for _, k := range resp.ApiKeys {
		all[k.ApiKey] = versions{k.MinVersion, k.MaxVersion}
	}
	return all, nil
}

// commonVersions is what both serve.
func commonVersions(a, b string) (map[int16]versions, error) {
	one, err := served(a)
	if err != nil {
		return nil, err
	}
	two, err := served(b)
	if err != nil {
		return nil, err
	}
	common := make(map[int16]versions)
	for key, v := range one {
		w, ok := two[key]
		v = versions{max(v.min, w.min), min(v.max, w.max)}
		if ok && v.min <= v.max {
			common[key] = v
		}
	}
	return common, nil
}
