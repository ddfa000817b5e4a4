package cluster

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/peer"
	"chronik/metalog/image"
)

// controllerPort is a controller's internal port as kafka/server serves it: what comes over a connection is done in its order.
// Envelopes are what takes long.
type controllerPort struct {
	came   chan struct{} // an envelope
	finish chan struct{} // closed when they may be answered
}

func (c *controllerPort) serve(l net.Listener, all *sync.WaitGroup) {
	for {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		all.Go(func() {
			defer nc.Close()
			for c.one(nc) == nil {
			}
		})
	}
}

func (c *controllerPort) one(nc net.Conn) error {
	var size [4]byte
	if _, err := io.ReadFull(nc, size[:]); err != nil {
		return err
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(nc, body); err != nil {
		return err
	}
	rq := kmsg.RequestForKey(int16(binary.BigEndian.Uint16(body)))
	rq.SetVersion(int16(binary.BigEndian.Uint16(body[2:])))
	if _, forwarded := rq.(*kmsg.EnvelopeRequest); forwarded {
		c.came <- struct{}{}
		<-c.finish
	}
	answer := append(make([]byte, 4, 64), body[4:8]...)
	if rq.IsFlexible() {
		answer = append(answer, 0)
	}
	answer = rq.ResponseKind().AppendTo(answer)
	binary.BigEndian.PutUint32(answer, uint32(len(answer)-4))
	_, err := nc.Write(answer)
	return err
}

// What a client asks of the controller, such as many topics, may take longer than a session lasts. The broker that sends it on
// lives all the same.
func TestAHeartbeatDoesNotWaitBehindAForwardedRequest(t *testing.T) {
	open := func(node image.BrokerID) *peer.Net {
		n, err := peer.Listen(peer.Options{Bind: "127.0.0.1:0", Key: make([]byte, peer.KeySize), Node: node})
		if err != nil {
			t.Fatal(err)
		}
		n.SetCluster(uuid.UUID{1})
		return n
	}
	controller, asks := open(1), open(2)
	c, all := &controllerPort{came: make(chan struct{}, 1), finish: make(chan struct{})}, sync.WaitGroup{}
	listener := controller.Listen(peer.Kafka)
	all.Go(func() { c.serve(listener, &all) })
	host, port, _ := net.SplitHostPort(controller.Addr())
	number, _ := strconv.Atoi(port)
	img, _, err := image.Empty().Apply(1, []image.Record{image.BrokerRecord{ID: 1, Incarnation: uuid.UUID{1},
		Endpoints: []image.Endpoint{{Name: image.InternalListener, Host: host, Port: int32(number)}}}})
	if err != nil {
		t.Fatal(err)
	}
	links := newLinks(asks, func() *image.Image { return img }, nil)
	forwarded := make(chan error, 1)
	go func() {
		_, err := links.Forward(t.Context(), 1, kmsg.NewPtrEnvelopeRequest())
		forwarded <- err
	}()
	<-c.came
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := links.heartbeat(ctx, 1, kmsg.NewPtrBrokerHeartbeatRequest()); err != nil {
		t.Error(err)
	}
	close(c.finish)
	for _, err := range []error{<-forwarded, asks.Close(), controller.Close()} {
		if err != nil {
			t.Error(err)
		}
	}
	all.Wait()
}
