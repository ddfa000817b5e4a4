package api

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster"
	"chronik/kafka/batch"
	"chronik/kafka/kerr"
	"chronik/kafka/wire"
	"chronik/metalog/image"
	"chronik/wal/arena"
)

const self = 1

// node is a whole node of a cluster of one, asked as a connection would ask it: bytes in, bytes out.
type node struct {
	lender wire.Lender // of memory for answers
	t      testing.TB
	*cluster.Node
	broker *Broker
	dir    string
	static map[string]string
	pool   *arena.Pool
	peer   wire.Peer
	next   int32 // correlation id
}

func start(t testing.TB, static map[string]string) *node {
	t.Helper()
	n := &node{t: t, dir: t.TempDir(), pool: arena.New(64 << 20), next: 1000, peer: wire.Peer{
		Listener: "PLAINTEXT", Remote: netip.MustParseAddrPort("[::ffff:10.1.2.3]:5555"), Local: netip.MustParseAddrPort("192.0.2.7:9092"), Principal: "User:ANONYMOUS",
	}}
	n.static = map[string]string{"group.initial.rebalance.delay.ms": "0", "num.partitions": "3", "node.id": "1"}
	n.static["broker.session.timeout.ms"] = "600000" // other brokers are made up, send no heartbeats, and are not to be fenced meanwhile
	for name, value := range static {
		n.static[name] = value
	}
	n.open()
	t.Cleanup(n.close)
	return n
}

func (n *node) open() {
	n.t.Helper()
	var err error
	n.Node, err = cluster.Start(n.t.Context(), cluster.Options{
		Dir: n.dir, ID: self, Endpoints: []image.Endpoint{{Name: "PLAINTEXT"}}, Static: n.static,
		Pool: n.pool, WALFileSize: 1 << 20, WALBudget: 4 << 20, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		n.t.Fatal(err)
	}
	n.broker = &Broker{
		Self: self, Meta: n.Meta, Parts: n.Replicas, Controller: n.Controller, Groups: n.Groups, Shares: n.Shares,
		Config: n.Settings.Broker, DataDir: n.dir, Logger: slog.New(slog.DiscardHandler),
	}
}

func (n *node) close() {
	if err := n.Close(); err != nil {
		n.t.Error(err)
	}
}

// restart ends the node and starts it from its disk.
func (n *node) restart() {
	n.t.Helper()
	n.close()
	n.open()
}

// pending is a request that has begun.
type pending struct {
	rq *wire.Request
	wire.Pending
}

func (n *node) begin(ctx context.Context, rq kmsg.Request) pending {
	n.t.Helper()
	n.next++
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("tester")).AppendRequest(nil, rq, n.next)
	f, err := wire.NewFrames(bytes.NewReader(frame), n.pool, 100<<20).Next(ctx)
	if err != nil {
		n.t.Fatal(err)
	}
	peer := &n.peer
	if table[rq.Key()].inner {
		peer = &wire.Peer{Listener: image.InternalListener, Remote: n.peer.Remote, Local: n.peer.Local}
	}
	got, err := wire.Decode(f, n.broker.Served, nil, peer, "")
	if err != nil {
		n.t.Fatalf("%s v%d: %v", kmsg.NameForKey(rq.Key()), rq.GetVersion(), err)
	}
	if got.Body == nil {
		return pending{got, wire.Unsupported(got, n.broker.Served)}
	}
	got.Lender = n.lender
	return pending{got, n.broker.Begin(ctx, got)}
}

// raw finishes a request and returns its response behind the size, nil when there is none.
func (n *node) raw(ctx context.Context, p pending) ([]byte, error) {
	defer p.rq.Release()
	r := wire.NewReply(p.rq)
	defer r.Release()
	if err := p.Finish(ctx, r); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := wire.NewSender(&out).Send(r); err != nil {
		n.t.Fatal(err)
	}
	if out.Len() == 0 {
		return nil, nil
	}
	b := out.Bytes()
	if size := binary.BigEndian.Uint32(b); int(size) != len(b)-4 {
		n.t.Fatalf("a size of %d before %d bytes", size, len(b)-4)
	}
	if id := int32(binary.BigEndian.Uint32(b[4:])); id != p.rq.CorrelationID {
		n.t.Fatalf("correlation id %d, want %d", id, p.rq.CorrelationID)
	}
	return b[4:], nil
}

// decode reads a response as a client does that knows nothing of this program, and insists that nothing is left over:
// what it read, encoded again, is what came.
func (n *node) decode(rq kmsg.Request, b []byte) kmsg.Response {
	n.t.Helper()
	name := kmsg.NameForKey(rq.Key())
	resp := rq.ResponseKind()
	resp.SetVersion(rq.GetVersion())
	body := b[4:]
	if resp.IsFlexible() && rq.Key() != 18 {
		if body[0] != 0 {
			n.t.Fatalf("%s v%d: the header of the response is not flexible: %x", name, rq.GetVersion(), b[:8])
		}
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		n.t.Fatalf("%s v%d: %v: %x", name, rq.GetVersion(), err, body)
	}
	if again := resp.AppendTo(nil); !bytes.Equal(again, body) {
		n.t.Fatalf("%s v%d: the client reads\n%x of\n%x", name, rq.GetVersion(), again, body)
	}
	return resp
}

// ask sends a request and returns its response.
func ask[R kmsg.Response](n *node, rq kmsg.Request) R {
	n.t.Helper()
	return answerTo[R](n, rq, n.begin(n.t.Context(), rq))
}

func answerTo[R kmsg.Response](n *node, rq kmsg.Request, p pending) R {
	n.t.Helper()
	b, err := n.raw(n.t.Context(), p)
	if err != nil {
		n.t.Fatalf("%s v%d: %v", kmsg.NameForKey(rq.Key()), rq.GetVersion(), err)
	}
	return n.decode(rq, b).(R)
}

// create makes a topic.
func (n *node) create(topic string, partitions int32, configs ...string) [16]byte {
	n.t.Helper()
	rq := kmsg.NewPtrCreateTopicsRequest()
	rq.Version, rq.TimeoutMillis = 7, 10_000
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, partitions, 1
	for i := 0; i < len(configs); i += 2 {
		t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: configs[i], Value: &configs[i+1]})
	}
	rq.Topics = append(rq.Topics, t)
	got := ask[*kmsg.CreateTopicsResponse](n, rq).Topics[0]
	n.code(got.ErrorCode, kerr.None)
	return got.TopicID
}

// stamped is a batch of one record for each time given.
func stamped(t testing.TB, times ...int64) []byte {
	t.Helper()
	var w batch.Builder
	for _, ts := range times {
		w.Add(&batch.Record{Timestamp: ts, Key: []byte("k"), Value: []byte("value")})
	}
	b, err := w.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func produceRequest(version int16, topic string, id [16]byte, partition int32, records []byte) *kmsg.ProduceRequest {
	rq := kmsg.NewPtrProduceRequest()
	rq.Version, rq.Acks, rq.TimeoutMillis = version, -1, 10_000
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, records
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.TopicID, t.Partitions = topic, id, append(t.Partitions, p)
	rq.Topics = append(rq.Topics, t)
	return rq
}

// produce writes records with the times given and returns the offset of the first.
func (n *node) produce(topic string, partition int32, times ...int64) int64 {
	n.t.Helper()
	rq := produceRequest(9, topic, [16]byte{}, partition, stamped(n.t, times...))
	got := ask[*kmsg.ProduceResponse](n, rq).Topics[0].Partitions[0]
	n.code(got.ErrorCode, kerr.None)
	return got.BaseOffset
}

func (n *node) code(got int16, want kerr.Code) {
	n.t.Helper()
	if kerr.Code(got) != want {
		n.t.Fatalf("%v, want %v", kerr.Code(got), want)
	}
}

// equal compares what is described by strings, in any order when sorted.
func (n *node) equal(what string, got, want []string) {
	n.t.Helper()
	if !slices.Equal(got, want) {
		n.t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

// soon ends a wait that must not happen.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func ptr[T any](v T) *T { return &v }
