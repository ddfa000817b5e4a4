package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// A rawConn is a connection over which requests go that were encoded before, so that what is measured is the broker: a
// client library takes most of a machine that it shares with one. One goroutine uses it.
type rawConn struct {
	net.Conn
	in  *bufio.Reader
	out net.Buffers // to be sent
}

// rawReadBuffer holds many responses to Produce; those to Fetch are read past it.
const rawReadBuffer = 8 << 10

// dialRaw connects; grace after ctx has ended nothing more is read or written.
func dialRaw(ctx context.Context, addr string, grace time.Duration) (*rawConn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Now().Add(grace)) }) // it fails only on a closed one
	return &rawConn{Conn: nc, in: bufio.NewReaderSize(nc, rawReadBuffer)}, nil
}

// send sends everything in out.
func (c *rawConn) send() error {
	if len(c.out) == 0 {
		return nil
	}
	left := c.out
	_, err := left.WriteTo(c.Conn)
	clear(c.out)
	c.out = c.out[:0]
	return err
}

// size waits for the next response and returns how many bytes of it follow.
func (c *rawConn) size() (int, error) {
	var b [4]byte
	if _, err := io.ReadFull(c.in, b[:]); err != nil {
		return 0, err
	}
	return int(binary.BigEndian.Uint32(b[:])), nil
}

// here says whether the next response has arrived as a whole.
func (c *rawConn) here() bool {
	if c.in.Buffered() < 4 {
		return false
	}
	b, _ := c.in.Peek(4)
	return c.in.Buffered() >= 4+int(binary.BigEndian.Uint32(b))
}

// led is the partitions of the topic that one broker leads.
type led struct {
	addr       string
	partitions []int32
}

// leaders asks until every partition has a leader, for the grace at most.
func (t *target) leaders(ctx context.Context, grace time.Duration) ([]led, error) {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	for {
		all, err := t.leadersOnce(ctx)
		if err == nil {
			return all, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("find the leaders of %s: %w", t.topic, err)
		case <-time.After(retryPause):
		}
	}
}

func (t *target) leadersOnce(ctx context.Context) ([]led, error) {
	m, err := t.admin.Metadata(ctx, t.topic)
	if err != nil {
		return nil, err
	}
	addrs := make(map[int32]string)
	for _, b := range m.Brokers {
		addrs[b.NodeID] = net.JoinHostPort(b.Host, fmt.Sprint(b.Port))
	}
	byLeader := make(map[string][]int32)
	for _, p := range m.Topics[t.topic].Partitions {
		addr, ok := addrs[p.Leader]
		if !ok || p.Err != nil {
			return nil, cmp.Or(p.Err, error(kerr.LeaderNotAvailable))
		}
		byLeader[addr] = append(byLeader[addr], p.Partition)
	}
	if len(byLeader) == 0 {
		return nil, kerr.UnknownTopicOrPartition
	}
	var all []led
	for _, addr := range slices.Sorted(maps.Keys(byLeader)) {
		slices.Sort(byLeader[addr])
		all = append(all, led{addr, byLeader[addr]})
	}
	return all, nil
}

// eachConn runs use over c.Connections connections, spread over the brokers, and returns their errors. The first error
// ends all.
func (c *Config) eachConn(ctx context.Context, all []led, use func(ctx context.Context, i int, conn *rawConn, l led) error) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	conns := make([]*rawConn, c.Connections)
	defer closeAll(conns)
	for i := range conns {
		var err error
		if conns[i], err = dialRaw(ctx, all[i%len(all)].addr, c.Grace); err != nil {
			return err
		}
	}
	var wait sync.WaitGroup
	errs := make([]error, len(conns))
	for i, conn := range conns {
		wait.Go(func() {
			if errs[i] = use(ctx, i, conn, all[i%len(all)]); errs[i] != nil {
				fail(errs[i])
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

func closeAll(conns []*rawConn) {
	for _, conn := range conns {
		if conn != nil {
			_ = conn.Close() // nothing is on its way
		}
	}
}
