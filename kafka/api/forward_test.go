package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/controller"
	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/kafka/wire"
	"chronik/metalog/image"
)

// commonLog is a metadata log that agrees at once. Every node sees it through a view of its own.
type commonLog struct {
	mu     sync.Mutex
	img    *image.Image
	leader image.BrokerID
}

func (l *commonLog) Image() *image.Image {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.img
}

func (l *commonLog) Propose(_ context.Context, recs ...image.Record) (image.Index, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next, _, err := l.img.Apply(l.img.Index()+1, recs)
	if err == nil {
		l.img = next
	}
	return l.img.Index(), err
}

// view is what one node has applied: nothing new until it waits for it.
type view struct {
	log *commonLog
	mu  sync.Mutex
	img *image.Image
}

func (v *view) Image() *image.Image {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.img
}

func (v *view) Leader() image.BrokerID {
	v.log.mu.Lock()
	defer v.log.mu.Unlock()
	return v.log.leader
}

func (v *view) Wait(_ context.Context, index image.Index) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.img = v.log.Image(); v.img.Index() < index {
		return fmt.Errorf("waits for %d, there is %d", index, v.img.Index())
	}
	return nil
}

// two is a controller, broker 1, and a broker that clients ask, 2.
type two struct {
	*testing.T
	log         *commonLog
	first, asks *Broker
	sent        int
	fault       func(n int) error // of the n-th envelope, before it is sent
	lost        bool              // answers do not arrive
}

func pair(t *testing.T) *two {
	w := &two{T: t, log: &commonLog{img: image.Empty(), leader: 1}}
	for id := image.BrokerID(1); id <= 2; id++ {
		if _, err := w.log.Propose(t.Context(), image.BrokerRecord{ID: id, Incarnation: uuid.UUID{byte(id)}, Endpoints: []image.Endpoint{{Name: "PLAINTEXT", Host: "h"}}}); err != nil {
			t.Fatal(err)
		}
	}
	w.first, w.asks = w.broker(1), w.broker(2)
	w.asks.Forward = w.forward
	ctx, end := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.first.Controller.Lead(ctx, 1) }()
	synctest.Wait()
	t.Cleanup(func() {
		end()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *two) broker(id image.BrokerID) *Broker {
	cfg, err := config.CompileBroker(config.Static{"broker.session.timeout.ms": "3600000"}, nil, nil)
	if err != nil {
		w.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	return &Broker{
		Self: id, Meta: &view{log: w.log, img: w.log.Image()}, Config: func() *config.Broker { return cfg }, Logger: logger,
		Controller: controller.New(controller.Options{Self: id, Log: w.log, Config: func() *config.Broker { return cfg }, NewID: uuid.New}),
	}
}

func (w *two) forward(ctx context.Context, to image.BrokerID, rq *kmsg.EnvelopeRequest) (*kmsg.EnvelopeResponse, error) {
	w.sent++
	if w.fault != nil {
		if err := w.fault(w.sent); err != nil {
			return nil, err
		}
	}
	if to != 1 {
		w.Errorf("sent to %d", to)
	}
	resp := w.request(w.first, image.InternalListener, rq).(*kmsg.EnvelopeResponse)
	if w.lost {
		return nil, errors.New("the connection broke")
	}
	return resp, nil
}

// request has a broker answer as on a connection, from bytes to bytes.
func (w *two) request(b *Broker, listener string, req kmsg.Request) kmsg.Response {
	w.Helper()
	frame := kmsg.NewRequestFormatter().AppendRequest(nil, req, 7)
	peer := &wire.Peer{Listener: listener, Remote: netip.MustParseAddrPort("10.0.0.1:1"), Local: netip.MustParseAddrPort("10.0.0.2:9092")}
	rq, err := wire.Decode(wire.Frame{Bytes: frame[4:]}, b.Served, nil, peer, "")
	if err != nil {
		w.Fatal(err)
	}
	r := wire.NewReply(rq)
	defer r.Release()
	if err := b.Begin(w.Context(), rq).Finish(w.Context(), r); err != nil {
		w.Fatal(err)
	}
	var out bytes.Buffer
	if err := wire.NewSender(&out).Send(r); err != nil {
		w.Fatal(err)
	}
	resp, body := req.ResponseKind(), out.Bytes()[8:]
	if resp.IsFlexible() {
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		w.Fatal(err)
	}
	return resp
}

func (w *two) create(version int16, names ...string) (codes []kerr.Code) {
	w.Helper()
	rq := kmsg.NewPtrCreateTopicsRequest()
	rq.Version, rq.TimeoutMillis = version, 1000
	for _, name := range names {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = name, 1, 1
		rq.Topics = append(rq.Topics, t)
	}
	for _, t := range w.request(w.asks, "PLAINTEXT", rq).(*kmsg.CreateTopicsResponse).Topics {
		codes = append(codes, kerr.Code(t.ErrorCode))
	}
	return codes
}

func (w *two) expect(what string, got []kerr.Code, want ...kerr.Code) {
	w.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		w.Errorf("%s: %v, want %v", what, got, want)
	}
}

// A client reads its own write at the node that it asked, whichever that is.
func TestRequestsGoToTheController(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := pair(t)
		for version := range int16(8) {
			name := fmt.Sprintf("t%d", version)
			w.expect("create", w.create(version, name, "#"), kerr.None, kerr.InvalidTopicException)
			if _, ok := w.asks.Meta.Image().TopicNamed(name); !ok {
				t.Errorf("version %d: the node that was asked does not know it yet", version)
			}
		}
		m := kmsg.NewPtrMetadataRequest()
		m.Version, m.AllowAutoTopicCreation = 12, true
		m.Topics = []kmsg.MetadataRequestTopic{{Topic: ptr("auto")}}
		resp := w.request(w.asks, "PLAINTEXT", m).(*kmsg.MetadataResponse)
		if resp.ControllerID != 1 || resp.Topics[0].ErrorCode != 0 || len(resp.Topics[0].Partitions) != 1 {
			t.Errorf("%+v", resp)
		}
		q := kmsg.NewPtrDescribeQuorumRequest()
		q.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: metadataTopic, Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{}}}}
		quorum := w.request(w.asks, "PLAINTEXT", q).(*kmsg.DescribeQuorumResponse)
		if p := quorum.Topics[0].Partitions[0]; p.LeaderID != 1 || p.LeaderEpoch != 1 || len(p.CurrentVoters) != 1 {
			t.Errorf("%+v", quorum)
		}
	})
}

// What was surely not carried out is sent again, to whoever is the controller then; the rest has an unknown outcome, and
// is not.
func TestForwardingSurvivesAChangeOfController(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := pair(t)
		w.fault = func(n int) error {
			if n < 3 {
				return fmt.Errorf("dial: %w", syscall.ECONNREFUSED)
			}
			return nil
		}
		w.expect("refused twice", w.create(7, "a"), kerr.None)
		if w.sent != 3 {
			t.Errorf("sent %d times", w.sent)
		}
		w.fault, w.lost, w.sent = nil, true, 0
		w.expect("without an answer", w.create(7, "b", "c"), kerr.RequestTimedOut, kerr.RequestTimedOut)
		if _, ok := w.log.Image().TopicNamed("b"); !ok || w.sent != 1 {
			t.Errorf("sent %d times", w.sent)
		}
	})
}

func TestNoControllerIsSaidSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := pair(t)
		w.log.leader = image.NoBroker
		begun := time.Now()
		w.expect("nobody leads", w.create(7, "a", "b"), kerr.NotController, kerr.NotController)
		if waited := time.Since(begun); w.sent != 0 || waited < leastPatience || waited > leastPatience+time.Second {
			t.Errorf("sent %d times, waited %v", w.sent, waited)
		}
		elect := kmsg.NewPtrElectLeadersRequest()
		elect.Version = 2
		if resp := w.request(w.asks, "PLAINTEXT", elect).(*kmsg.ElectLeadersResponse); kerr.Code(resp.ErrorCode) != kerr.NotController {
			t.Errorf("%+v", resp)
		}
		w.log.leader = 2 // by Raft, but its image is not current yet
		go func() {
			<-time.After(time.Second)
			w.log.mu.Lock()
			w.log.leader = 1
			w.log.mu.Unlock()
		}()
		w.expect("it is found a second later", w.create(7, "a"), kerr.None)
	})
}

// Only what a client may ask of a controller is taken out of an envelope, by a controller.
func TestEnvelopesAreOpenedWithCare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := pair(t)
		inner := func(req kmsg.Request) []byte {
			return kmsg.NewRequestFormatter().AppendRequest(nil, req, 1)[4:]
		}
		create := kmsg.NewPtrCreateTopicsRequest()
		for _, c := range []struct {
			name string
			to   *Broker
			data []byte
			want kerr.Code
		}{
			{"nothing", w.first, nil, kerr.InvalidRequest},
			{"bytes", w.first, []byte("what is this?"), kerr.InvalidRequest},
			{"cut short", w.first, inner(create)[:9], kerr.InvalidRequest},
			{"not for the controller", w.first, inner(kmsg.NewPtrMetadataRequest()), kerr.InvalidRequest},
			{"an envelope", w.first, inner(kmsg.NewPtrEnvelopeRequest()), kerr.InvalidRequest},
			{"a heartbeat", w.first, inner(kmsg.NewPtrBrokerHeartbeatRequest()), kerr.InvalidRequest},
			{"to another node", w.asks, inner(create), kerr.NotController},
			{"as it should be", w.first, inner(create), kerr.None},
		} {
			rq := kmsg.NewPtrEnvelopeRequest()
			rq.RequestData = c.data
			if resp := w.request(c.to, image.InternalListener, rq).(*kmsg.EnvelopeResponse); kerr.Code(resp.ErrorCode) != c.want {
				t.Errorf("%s: %v, want %v", c.name, kerr.Code(resp.ErrorCode), c.want)
			}
		}
	})
}

// A client that asks what is between brokers is no client: its connection is closed.
func TestClientsHaveNoInnerKeys(t *testing.T) {
	n := start(t, nil)
	for _, req := range []kmsg.Request{kmsg.NewPtrEnvelopeRequest(), kmsg.NewPtrBrokerHeartbeatRequest()} {
		rq := &wire.Request{Key: req.Key(), Body: req, Peer: &n.peer}
		if err := n.broker.Begin(t.Context(), rq).Finish(t.Context(), wire.NewReply(rq)); err == nil {
			t.Errorf("%s was answered", kmsg.NameForKey(req.Key()))
		}
	}
}
