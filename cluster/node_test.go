package cluster

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/partlog"
	"chronik/cluster/replica"
	"chronik/kafka/batch"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
	"chronik/wal"
	"chronik/wal/arena"
)

func options(dir string) Options {
	return Options{
		Dir: dir, ID: 1, Endpoints: []image.Endpoint{{Name: "PLAINTEXT"}},
		Pool: arena.New(32 << 20), WALFileSize: 1 << 20, WALBudget: 4 << 20, Sync: wal.SyncNever,
		Logger: slog.New(slog.DiscardHandler),
	}
}

func mustStart(t *testing.T, o Options) *Node {
	t.Helper()
	n, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func mustClose(t *testing.T, n *Node) {
	t.Helper()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

// mustNotStart returns why o does not start.
func mustNotStart(t *testing.T, o Options) error {
	t.Helper()
	n, err := Start(t.Context(), o)
	if err == nil {
		t.Fatal("started", n.Close())
	}
	return err
}

func createTopic(t *testing.T, n *Node, name string) uuid.UUID {
	t.Helper()
	rq := kmsg.NewPtrCreateTopicsRequest()
	asked := kmsg.NewCreateTopicsRequestTopic()
	asked.Topic, asked.NumPartitions, asked.ReplicationFactor = name, 2, 1
	rq.Topics = append(rq.Topics, asked)
	made := n.Controller.CreateTopics(t.Context(), rq, nil)
	if made[0].ErrorCode != 0 {
		t.Fatal(kerr.Code(made[0].ErrorCode))
	}
	return made[0].TopicID
}

func produce(t *testing.T, n *Node, topic uuid.UUID) (base int64) {
	t.Helper()
	b := batch.Builder{}
	b.Add(&batch.Record{Value: []byte("v")})
	data, err := b.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := n.Replicas.Leader(topic, 0, -1)
	w := replica.NewProduce(-1, 1)
	w.Begin(0, p, err, data, nil, 13)
	n.Replicas.Commit()
	w.Wait(t.Context(), time.Minute)
	defer w.Done()
	if err := w.Results()[0].Err; err != nil {
		t.Fatal(err)
	}
	return w.Results()[0].Base
}

// T32 of the lessons, for the whole node.
func TestRestartKeepsEverything(t *testing.T) {
	o := options(t.TempDir())
	n := mustStart(t, o)
	id, topic, incarnation := n.Meta.Image().ClusterID(), createTopic(t, n, "t"), n.Meta.Incarnation()
	if id == uuid.Nil {
		t.Error("no cluster id")
	}
	if base := produce(t, n, topic); base != 0 {
		t.Errorf("the first record is at %d", base)
	}
	first, err := n.Controller.ProducerID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	broker, _ := n.Meta.Image().Broker(1)
	mustClose(t, n)

	n = mustStart(t, o)
	defer mustClose(t, n)
	img := n.Meta.Image()
	if img.ClusterID() != id || n.Meta.Incarnation() != incarnation {
		t.Error("another cluster id or incarnation after a restart")
	}
	if again, ok := img.Broker(1); !ok || again.Epoch <= broker.Epoch {
		t.Errorf("the broker's epoch was %d and is %v", broker.Epoch, again)
	}
	if kept, ok := img.TopicNamed("t"); !ok || kept.ID != topic {
		t.Errorf("the topic is %v after a restart", kept)
	}
	if base := produce(t, n, topic); base != 1 {
		t.Errorf("the record after the restart is at %d", base)
	}
	if next, err := n.Controller.ProducerID(t.Context()); err != nil || next <= first {
		t.Errorf("producer id %d after %d (%v)", next, first, err)
	}
}

func TestClusterID(t *testing.T) {
	o := options(t.TempDir())
	o.ClusterID = "MkU3OEVBNTcwNTJENDM2Qg"
	n := mustStart(t, o)
	if got := FormatClusterID(n.Meta.Image().ClusterID()); got != o.ClusterID {
		t.Errorf("cluster id %s, not %s", got, o.ClusterID)
	}
	mustClose(t, n)

	o.ClusterID = FormatClusterID(uuid.UUID{1})
	if err := mustNotStart(t, o); !strings.Contains(err.Error(), "belongs to cluster MkU3OEVBNTcwNTJENDM2Qg") {
		t.Error(err)
	}
	o.ClusterID = "nonsense"
	if err := mustNotStart(t, o); !strings.Contains(err.Error(), "no cluster id") {
		t.Error(err)
	}
	o.ClusterID = ""
	n = mustStart(t, o)
	if got := FormatClusterID(n.Meta.Image().ClusterID()); got != "MkU3OEVBNTcwNTJENDM2Qg" {
		t.Errorf("cluster id %s after a restart without the setting", got)
	}
	mustClose(t, n)
}

func TestParseClusterID(t *testing.T) {
	id := uuid.MustParse("324537b8-45a5-4705-a2d4-3b6f00000001")
	for _, text := range []string{FormatClusterID(id), id.String()} {
		if got, err := ParseClusterID(text); err != nil || got != id {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
}

// A node that takes over another one's directory would answer for records that it is not known to have.
func TestAnotherNodeIsRefused(t *testing.T) {
	o := options(t.TempDir())
	mustClose(t, mustStart(t, o))
	o.ID = 2
	if err := mustNotStart(t, o); !strings.Contains(err.Error(), "belongs to node 1") {
		t.Error(err)
	}
}

func TestSecondStartIsRefused(t *testing.T) {
	o := options(t.TempDir())
	n := mustStart(t, o)
	defer mustClose(t, n)
	if err := mustNotStart(t, o); !strings.Contains(err.Error(), "in use by another process") {
		t.Error(err)
	}
}

// The metadata and the data must come from the same node: records of a log whose metadata is lost, and partitions whose
// records are lost, are refused rather than begun anew.
func TestHalfADirectoryIsRefused(t *testing.T) {
	for lost, want := range map[string]string{"metalog": "which topics and partitions", "wal": "their records are lost"} {
		t.Run(lost, func(t *testing.T) {
			o := options(t.TempDir())
			n := mustStart(t, o)
			produce(t, n, createTopic(t, n, "t"))
			mustClose(t, n)
			if err := os.RemoveAll(filepath.Join(o.Dir, lost)); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := mustNotStart(t, o); !strings.Contains(err.Error(), want) {
					t.Error(err)
				}
				if _, err := os.Stat(filepath.Join(o.Dir, "metalog")); (err != nil) != (lost == "metalog") {
					t.Error("the refused start has made a metadata log, or removed it:", err)
				}
			}
		})
	}
}

// The data of a topic that the metadata has forgotten is freed; a stream that the metadata never gave out is a metadata
// log put back from a time before it.
func TestKnownStreams(t *testing.T) {
	img, _, err := image.Empty().Apply(1, []image.Record{
		image.TopicRecord{ID: uuid.UUID{7}, Name: "t"},
		image.PartitionRecord{Topic: uuid.UUID{7}, Partition: image.Partition{Number: 0, Stream: 5, Leader: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	settings, err := newSettings(img, 1, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	find := known(img, settings)
	if id, c, err := find(5); err != nil || c == nil || id != (partlog.ID{Stream: 5, Topic: uuid.UUID{7}}) {
		t.Error(id, c, err)
	}
	if _, _, err := find(4); !errors.Is(err, partlog.ErrDeleted) {
		t.Error(err)
	}
	if _, _, err := find(6); err == nil || errors.Is(err, partlog.ErrDeleted) {
		t.Error(err)
	}
}

func TestDeletedTopicStaysDeleted(t *testing.T) {
	o := options(t.TempDir())
	n := mustStart(t, o)
	gone := createTopic(t, n, "t")
	produce(t, n, gone)
	rq := kmsg.NewPtrDeleteTopicsRequest()
	rq.TopicNames = []string{"t"}
	if done := n.Controller.DeleteTopics(t.Context(), rq, nil); done[0].ErrorCode != 0 {
		t.Fatal(kerr.Code(done[0].ErrorCode))
	}
	mustClose(t, n)
	n = mustStart(t, o)
	defer mustClose(t, n)
	if _, err := n.Replicas.Leader(gone, 0, -1); kerr.Of(err) != kerr.UnknownTopicID {
		t.Error(err)
	}
	if base := produce(t, n, createTopic(t, n, "t")); base != 0 {
		t.Errorf("the new topic begins at %d", base)
	}
}

// A start that fails half-way must leave nothing behind that keeps the next one out: no lock, no port, no open file.
func TestFailedStartLetsGo(t *testing.T) {
	ended, end := context.WithCancel(context.Background())
	end()
	for name, fail := range map[string]func(*Options) context.Context{
		"config": func(o *Options) context.Context {
			o.Static = map[string]string{"num.partitions": "x"}
			return t.Context()
		},
		"cluster": func(o *Options) context.Context { o.ClusterID = "nonsense"; return t.Context() },
		"broker":  func(o *Options) context.Context { o.Endpoints = nil; return t.Context() },
		"ended":   func(*Options) context.Context { return ended },
		"partition logs": func(o *Options) context.Context {
			if err := os.WriteFile(filepath.Join(o.Dir, "wal"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return t.Context()
		},
	} {
		t.Run(name, func(t *testing.T) {
			good := options(t.TempDir())
			good.Peers = oneOfItself(t, freeAddr(t))
			bad := good
			ctx := fail(&bad)
			if n, err := Start(ctx, bad); err == nil {
				t.Fatal("started", n.Close())
			}
			if files := openFiles(t, good.Dir); len(files) > 0 {
				t.Errorf("still open after the start failed: %v", files)
			}
			if err := os.Remove(filepath.Join(good.Dir, "wal")); err != nil && name == "partition logs" {
				t.Fatal(err)
			}
			mustClose(t, mustStart(t, good))
			if files := openFiles(t, good.Dir); len(files) > 0 {
				t.Errorf("still open after the node was closed: %v", files)
			}
		})
	}
}

// oneOfItself founds a cluster of one node that others may join.
func oneOfItself(t *testing.T, addr string) *Peers {
	t.Helper()
	_, port, err := net.SplitHostPort(freeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	gossip, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return &Peers{Bind: addr, GossipBind: "127.0.0.1", GossipPort: gossip, Expect: 1, Key: "the key of a node in a test"}
}

func TestTakenRaftPort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := options(t.TempDir())
	o.Peers = oneOfItself(t, taken.Addr().String())
	if err := mustNotStart(t, o); !strings.Contains(err.Error(), o.Peers.Bind) {
		t.Error(err)
	}
	taken.Close()
	mustClose(t, mustStart(t, o))
}

func TestReadOnlyDirectory(t *testing.T) {
	if os.Getuid() == 0 {
		t.Log("root may write everywhere: nothing to see")
		return
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if err := mustNotStart(t, options(dir)); !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), dir) {
		t.Error(err)
	}
}

// What the metadata changes while the node runs is in force when the change is acknowledged.
func TestSettingsFollowTheMetadata(t *testing.T) {
	o := options(t.TempDir())
	o.Static = map[string]string{"message.max.bytes": "1000", "num.partitions": "3"}
	n := mustStart(t, o)
	defer mustClose(t, n)
	topic := func() int32 { return n.Settings.Topic(n.Meta.Image(), "t").MaxMessageBytes }
	if n.Settings.Broker().NumPartitions != 3 || topic() != 1000 {
		t.Error("what was given at start is not in force")
	}
	set := func(name, value string) {
		r := image.ConfigRecord{Resource: image.Resource{Type: image.BrokerResource, Name: name}, Name: "message.max.bytes", Value: &value}
		if _, err := n.Meta.Propose(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		broker, value string
		want          int32
	}{{"", "2000", 2000}, {"1", "3000", 3000}, {"2", "4000", 3000}, {"", "5000", 3000}, {"1", "nonsense", 5000}} { // as after a restart
		if set(c.broker, c.value); topic() != c.want {
			t.Errorf("broker %q set to %s: %d", c.broker, c.value, topic())
		}
	}
}

// offsets.retention.minutes=2147483647 stands for "for ever"; as nanoseconds it came out negative, and every committed
// offset expired at once.
func TestLongTimesStayLong(t *testing.T) {
	o := options(t.TempDir())
	o.Static = map[string]string{"offsets.retention.minutes": "2147483647", "broker.rack": "r1"}
	n := mustStart(t, o)
	defer mustClose(t, n)
	if got := n.groupConfig().OffsetsRetention; got < 250*365*24*time.Hour {
		t.Errorf("offsets are kept for %s", got)
	}
	if Millis(-1) != -time.Millisecond || Millis(math.MinInt64) >= 0 || Millis(1500) != 1500*time.Millisecond {
		t.Error(Millis(-1), Millis(math.MinInt64), Millis(1500))
	}
	if b, _ := n.Meta.Image().Broker(1); b.Rack != "r1" {
		t.Errorf("the rack is %q", b.Rack)
	}
}

func TestAFailedPartFailsTheNode(t *testing.T) {
	o := options(t.TempDir())
	n := mustStart(t, o)
	n.Meta.Lead(func(context.Context, uint64) error { return errors.New("cannot go on") })
	<-n.Failed()
	if err := n.Err(); err == nil || !strings.Contains(err.Error(), "cannot go on") {
		t.Error(err)
	}
	_ = n.Close() // says the same again, or nothing
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// openFiles lists the files below dir that this process has open, where the system tells. The directory of the
// write-ahead log is the partition logs' own affair.
func openFiles(t *testing.T, dir string) (open []string) {
	t.Helper()
	const list = "/proc/self/fd"
	found, err := os.ReadDir(list)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, f := range found {
		path, err := os.Readlink(filepath.Join(list, f.Name()))
		if err == nil && strings.HasPrefix(path, dir) && path != filepath.Join(dir, "wal") {
			open = append(open, path)
		}
	}
	return open
}

// A member's id stands in responses whose strings have lengths of 16 bits, and so may the client id that it begins with.
func TestAMemberIDMustFitIntoOldResponses(t *testing.T) {
	if n := len(newMemberID(strings.Repeat("c", math.MaxInt16))); n > 2000 {
		t.Errorf("%d bytes", n)
	}
	if id := newMemberID("client"); !strings.HasPrefix(id, "client-") || len(id) != len("client-")+36 {
		t.Error(id)
	}
}

// A client in Java replaces what is not UTF-8, and its heartbeats would come from a member that nobody knows.
func TestAMemberIDMustNotHoldHalfACharacter(t *testing.T) {
	for _, clientID := range []string{strings.Repeat("€", 1000), "a" + strings.Repeat("é", 1000), "b\xff"} {
		if id := newMemberID(clientID); !utf8.ValidString(id) || id[0] != clientID[0] {
			t.Errorf("%q", id)
		}
	}
}
