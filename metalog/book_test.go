package metalog

import (
	"context"
	"net"
	"testing"
	"testing/synctest"

	"chronik/metalog/image"
)

// swallowing is a network in which nothing answers at most addresses, not even to say that nobody is there.
type swallowing struct {
	Network
	answers string
}

func (n swallowing) Addr() string { return "n1:1" }

func (n swallowing) Listen(string) net.Listener { return nil }

func (n swallowing) Dial(ctx context.Context, addr, _ string) (net.Conn, error) {
	if addr != n.answers {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	here, there := net.Pipe()
	go func() {
		if _, err := readPreamble(there); err == nil {
			_, _ = there.Write([]byte{itsMe})
		}
	}()
	return here, nil
}

// A node that has moved is reached where it says that it is now, also when the machine at its old address is gone and
// nobody refuses what is sent there.
func TestAnAddressThatSwallowsEverythingDoesNotHideTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(newViews(image.Empty(), 0))
		b.hear("2@x", "new:1")
		n := swallowing{answers: "new:1"}
		s := newStreams(n, "1@x", b, testLogger(1))
		c, err := s.Dial(target("2@x", "old:1"), rpcTimeout)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}
