package faults

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A network is what an ordeal's clients reach the broker by. It goes down at the moment before the disk's power is cut, for
// a real cut takes the broker with it, and nobody hears of anything afterwards. Ours leaves the broker alive for some
// milliseconds, on a disk in a state that no machine is ever in: the kernel shuts a file system down between the steps of
// an fsync that is under way, and once in some thousand cuts it calls that one done though its data goes with the
// power. Plain writes and fsyncs, without a broker, show it: writes that were reported durable before the shutdown are
// all there, a few of those reported after it are not. An answer after the cut is therefore no evidence, whatever it
// says: what was asked stays unknown. Nor may it reach a client, since one that takes its record for written never sends
// it again, and its next record, if idempotent, is then out of order.
//
// A kill -9 leaves the network as it is: the kernel lives on, and what the broker has answered counts to the last byte.
type network struct{ changes atomic.Int64 } // of its state; it is up when they are even

func (n *network) cut()     { n.changes.Add(1) }
func (n *network) restore() { n.changes.Add(1) }

// dial is refused while the network is down, as it is when nobody listens.
func (n *network) dial(ctx context.Context, kind, address string) (net.Conn, error) {
	since := n.changes.Load()
	if since%2 != 0 {
		return nil, &net.OpError{Op: "dial", Net: kind, Err: syscall.ECONNREFUSED}
	}
	c, err := new(net.Dialer).DialContext(ctx, kind, address)
	if err != nil {
		return nil, err
	}
	return &conn{c, n, since}, nil
}

// A conn ends with the cut after it was dialed, even when there is still something to read.
type conn struct {
	net.Conn
	network *network
	since   int64
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.network.changes.Load() != c.since {
		return 0, io.EOF
	}
	return n, err
}

func TestFaultsNothingIsHeardAfterACut(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	n := &network{}
	dial := func() (client, broker net.Conn) {
		t.Helper()
		client, err := n.dial(t.Context(), "tcp", server.Addr().String())
		if err == nil {
			broker, err = server.Accept()
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = client.Close(), broker.Close() })
		return client, broker
	}
	heard := func(client, broker net.Conn) bool {
		t.Helper()
		if _, err := broker.Write([]byte("answer")); err != nil {
			t.Fatal(err)
		}
		_ = client.SetReadDeadline(time.Now().Add(patience)) // it fails only for what has none
		k, err := client.Read(make([]byte, 6))
		if err != nil && (err != io.EOF || k > 0) {
			t.Errorf("%d bytes and %v", k, err)
		}
		return k == 6
	}
	client, broker := dial()
	if !heard(client, broker) {
		t.Error("nothing is heard before the cut")
	}
	n.cut()
	if heard(client, broker) {
		t.Error("an answer is heard after the cut")
	}
	if _, err := n.dial(t.Context(), "tcp", server.Addr().String()); err == nil {
		t.Error("the broker can be reached after the cut")
	}
	n.restore()
	if heard(client, broker) {
		t.Error("a connection of the time before the cut is heard again")
	}
	if client, broker = dial(); !heard(client, broker) {
		t.Error("nothing is heard when the power is back")
	}
}
