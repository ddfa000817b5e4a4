package lan

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// A network that does not do what it is told proves nothing. These want root, as all that uses it: they are part of the
// fault campaigns.
func newLAN(t *testing.T, hosts int) *LAN {
	t.Helper()
	l, err := New(hosts, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// listen receives datagrams on a host.
func listen(t *testing.T, h *Host) (socket net.PacketConn) {
	t.Helper()
	err := h.Do(func() (err error) {
		socket, err = net.ListenPacket("udp4", net.JoinHostPort(h.Address.String(), "7000"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	return socket
}

func send(t *testing.T, from, to *Host, text string) {
	t.Helper()
	c, err := from.Dial(t.Context(), "udp4", net.JoinHostPort(to.Address.String(), "7000"))
	if err == nil {
		_, err = io.WriteString(c, text)
		err = errors.Join(err, c.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// heard returns the texts that come up to the one that ends them.
func heard(t *testing.T, at net.PacketConn, last string) (texts []string) {
	t.Helper()
	if err := at.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, mtu)
	for {
		n, _, err := at.ReadFrom(buf)
		if err != nil {
			t.Fatalf("after %q: %v", texts, err)
		}
		if string(buf[:n]) == last {
			return texts
		}
		texts = append(texts, string(buf[:n]))
	}
}

func TestFaultsLANCutsOneWay(t *testing.T) {
	l := newLAN(t, 3)
	a, b := listen(t, l.Hosts[0]), listen(t, l.Hosts[1])
	l.Set(0, 1, Link{Cut: true})
	send(t, l.Hosts[0], l.Hosts[1], "cut")
	send(t, l.Hosts[1], l.Hosts[0], "back") // the other way is whole
	send(t, l.Hosts[2], l.Hosts[1], "beside")
	if got := heard(t, a, "back"); len(got) > 0 {
		t.Error(got)
	}
	if got := heard(t, b, "beside"); len(got) > 0 {
		t.Errorf("%q through a link that is cut", got)
	}
	l.Heal()
	send(t, l.Hosts[0], l.Hosts[1], "healed")
	if got := heard(t, b, "healed"); len(got) > 0 {
		t.Errorf("%q came late", got)
	}
}

func TestFaultsLANLosesAndDelays(t *testing.T) {
	l := newLAN(t, 2)
	b := listen(t, l.Hosts[1])
	const sent, delay = 400, 50 * time.Millisecond
	l.Set(0, 1, Link{Loss: 0.2})
	for range sent {
		send(t, l.Hosts[0], l.Hosts[1], "x")
	}
	l.Set(0, 1, Link{Delay: delay, Vary: delay})
	begun := time.Now()
	send(t, l.Hosts[0], l.Hosts[1], "end")
	if got := len(heard(t, b, "end")); got < sent*6/10 || got > sent*9/10 {
		t.Errorf("%d of %d came through a link that loses a fifth", got, sent)
	}
	if took := time.Since(begun); took < delay {
		t.Errorf("a delay of %s took %s", delay, took)
	}
}

// Processes are the host's: what listens there is heard of from its peers and from nowhere else.
func TestFaultsLANIsApart(t *testing.T) {
	l := newLAN(t, 2)
	var socket net.Listener
	err := l.Hosts[0].Do(func() (err error) {
		socket, err = net.Listen("tcp4", net.JoinHostPort(l.Hosts[0].Address.String(), "7000"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	c, err := l.Hosts[1].Dial(t.Context(), "tcp4", socket.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	names, err := os.ReadDir("/sys/class/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if n.Name() == "lan0" {
			t.Error("the machine itself has the device")
		}
	}
}
