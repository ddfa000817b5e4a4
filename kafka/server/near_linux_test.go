package server

import (
	"io"
	"math"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chronik/kafka/wire"
)

// A peer far away needs a large buffer: a bound on it would be one on its speed.
func TestFarPeersKeepTheSystemsSendBuffer(t *testing.T) {
	tcp := exchanged(t)
	before := sendBuffer(t, tcp)
	boundBuffer(tcp, time.Microsecond) // no trip is that short
	if got := sendBuffer(t, tcp); got != before {
		t.Errorf("%d bytes, %d before", got, before)
	}
	boundBuffer(tcp, time.Hour)
	if got := sendBuffer(t, tcp); got == before || got > 2*nearBuffer {
		t.Errorf("%d bytes for a near peer, %d before", got, before)
	}
}

func TestATripThatIsNotKnownIsNotShort(t *testing.T) {
	for trip, want := range map[uint32]bool{0: false, math.MaxUint32: false, 1: true, 99: true, 100: false} {
		if got := isLess(trip, nearTrip); got != want {
			t.Errorf("%d microseconds: %v", trip, got)
		}
	}
}

// Who looks how far the peer is does so once there is much to send, and not where a size was asked for.
func TestOnlyALargeAnswerSizesTheSendBuffer(t *testing.T) {
	for _, asked := range []int{0, 1 << 20} {
		tcp := exchanged(t)
		c := &conn{nc: tcp, s: &Server{o: Options{SendBuffer: asked}}, out: outbox{sender: wire.NewSender(tcp)}}
		before := sendBuffer(t, tcp)
		if c.send(large-1) != nil || c.sized {
			t.Fatal("sized for a small answer, or not sent")
		}
		if err := c.send(large); err != nil || !c.sized {
			t.Fatalf("%v, sized: %v", err, c.sized)
		}
		if got := sendBuffer(t, tcp); asked > 0 && got != before {
			t.Errorf("%d bytes in place of %d that were asked for", got, before)
		}
	}
}

// exchanged is one end of a connection over which something has gone and come.
func exchanged(t *testing.T) *net.TCPConn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	for _, ends := range [2][2]net.Conn{{a, b}, {b, a}} {
		if _, err := ends[0].Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(ends[1], make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	return a.(*net.TCPConn)
}

func sendBuffer(t *testing.T, tcp *net.TCPConn) (n int) {
	t.Helper()
	raw, err := tcp.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var getErr error
	if err := raw.Control(func(fd uintptr) { n, getErr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF) }); err != nil || getErr != nil {
		t.Fatal(err, getErr)
	}
	return n
}
