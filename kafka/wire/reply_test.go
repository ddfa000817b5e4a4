package wire

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"chronik/kafka/batch"
	"chronik/kafka/kerr"
)

// The hand-written encoders must agree with kmsg's, byte for byte, in every version.
func TestProduceEncodesAsKmsg(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		version := int16(rapid.IntRange(0, 13).Draw(t, "version"))
		p := drawProduce(t)
		r := NewReply(&Request{Key: 0, Version: version, CorrelationID: 7})
		m := kmsgProduce(p, version)
		m.ThrottleMillis = drawThrottle(t, r, 0)
		r.Produce(p)
		equalFrames(t, r, m)
	})
}

func TestFetchEncodesAsKmsg(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		version := int16(rapid.IntRange(0, 18).Draw(t, "version"))
		f, records := drawFetch(t, dir)
		r := NewReply(&Request{Key: 1, Version: version, CorrelationID: 7})
		m := kmsgFetch(f, records, version)
		m.ThrottleMillis = drawThrottle(t, r, len(bytes.Join(records, nil)))
		r.Fetch(f)
		equalFrames(t, r, m)
	})
}

// drawThrottle has r's client be silent for a while that is no whole number of milliseconds; what it is told is.
func drawThrottle(t *rapid.T, r *Reply, records int) (ms int32) {
	if rapid.Bool().Draw(t, "not measured") {
		return 0
	}
	ms = rapid.Int32Min(0).Draw(t, "throttle")
	r.Measure(func(n int64) time.Duration {
		if n != int64(records) {
			t.Fatalf("%d bytes of records, want %d", n, records)
		}
		return max(time.Duration(ms)*time.Millisecond-time.Microsecond, 0)
	})
	return ms
}

// A response that carries a throttle time already, from the controller, keeps the longer one; one that has no room for any
// holds the client back all the same.
func TestThrottleOfAMessage(t *testing.T) {
	for _, c := range []struct{ has, measured, want int32 }{{0, 0, 0}, {7, 0, 7}, {0, 5, 5}, {7, 5, 7}, {5, 7, 7}} {
		m := kmsg.NewPtrCreateTopicsResponse()
		m.ThrottleMillis = c.has
		r := NewReply(&Request{Key: 19, Version: 7})
		r.Measure(func(int64) time.Duration { return time.Duration(c.measured) * time.Millisecond })
		r.Message(m)
		if m.ThrottleMillis != c.want || r.Held() != time.Duration(c.want)*time.Millisecond {
			t.Errorf("%+v: told %d, held %v", c, m.ThrottleMillis, r.Held())
		}
		r.Release()
	}
	r := NewReply(&Request{Key: 0, Version: 9})
	r.Measure(func(int64) time.Duration { return time.Second })
	if r.Nothing(); r.Held() != time.Second {
		t.Errorf("held %v", r.Held())
	}
	r.Release()
}

func equalFrames(t *rapid.T, r *Reply, m kmsg.Response) {
	t.Helper()
	var got bytes.Buffer
	if err := NewSender(&got).Send(r); err != nil {
		t.Fatal(err)
	}
	want := []byte{0, 0, 0, 0, 0, 0, 0, 7}
	if m.IsFlexible() {
		want = append(want, 0)
	}
	want = m.AppendTo(want)
	binary.BigEndian.PutUint32(want, uint32(len(want)-4))
	if !bytes.Equal(got.Bytes(), want) {
		t.Fatalf("v%d:\n got %x\nwant %x", m.GetVersion(), got.Bytes(), want)
	}
	if r.Len() != int64(len(want)) {
		t.Fatalf("Len is %d, sent were %d", r.Len(), len(want))
	}
	r.Release()
}

var words = rapid.StringN(0, 12, 300)

func drawNodes(t *rapid.T) []Node {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Node {
		return Node{rapid.Int32().Draw(t, "id"), words.Draw(t, "host"), rapid.Int32().Draw(t, "port"), words.Draw(t, "rack")}
	}), 0, 3).Draw(t, "nodes")
}

func drawID(t *rapid.T) (id [16]byte) {
	copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
	return id
}

func drawProduce(t *rapid.T) *ProduceResponse {
	p := &ProduceResponse{Nodes: drawNodes(t)}
	for range rapid.IntRange(0, 3).Draw(t, "topics") {
		topic := ProduceTopic{Name: words.Draw(t, "topic"), ID: drawID(t)}
		for range rapid.IntRange(0, 3).Draw(t, "partitions") {
			topic.Partitions = append(topic.Partitions, ProducePartition{
				Partition:   rapid.Int32().Draw(t, "partition"),
				Err:         rapid.SampledFrom([]kerr.Code{0, kerr.NotLeaderOrFollower, kerr.CorruptMessage, -1}).Draw(t, "err"),
				BaseOffset:  rapid.Int64().Draw(t, "base"),
				AppendTime:  rapid.Int64().Draw(t, "time"),
				LogStart:    rapid.Int64().Draw(t, "start"),
				Message:     words.Draw(t, "message"),
				LeaderID:    rapid.SampledFrom([]int32{-1, 0, 5}).Draw(t, "leader"),
				LeaderEpoch: rapid.SampledFrom([]int32{-1, 0, 5}).Draw(t, "epoch"),
			})
		}
		p.Topics = append(p.Topics, topic)
	}
	return p
}

func kmsgProduce(p *ProduceResponse, version int16) *kmsg.ProduceResponse {
	m := kmsg.NewPtrProduceResponse()
	m.Version = version
	for _, t := range p.Topics {
		kt := kmsg.NewProduceResponseTopic()
		kt.Topic, kt.TopicID = t.Name, t.ID
		for _, p := range t.Partitions {
			kp := kmsg.NewProduceResponseTopicPartition()
			kp.Partition, kp.ErrorCode, kp.BaseOffset = p.Partition, int16(p.Err), p.BaseOffset
			kp.LogAppendTime, kp.LogStartOffset = p.AppendTime, p.LogStart
			if p.Message != "" {
				kp.ErrorMessage = &p.Message
			}
			if version >= 10 && p.Err == kerr.NotLeaderOrFollower {
				kp.CurrentLeader.LeaderID, kp.CurrentLeader.LeaderEpoch = p.LeaderID, p.LeaderEpoch
			}
			kt.Partitions = append(kt.Partitions, kp)
		}
		m.Topics = append(m.Topics, kt)
	}
	if version >= 10 {
		for _, n := range p.Nodes {
			b := kmsg.NewProduceResponseBroker()
			b.NodeID, b.Host, b.Port = n.ID, n.Host, n.Port
			if n.Rack != "" {
				b.Rack = &n.Rack
			}
			m.Brokers = append(m.Brokers, b)
		}
	}
	return m
}

// drawFetch returns a response and, for each of its partitions in turn, the records' bytes.
func drawFetch(t *rapid.T, dir string) (*FetchResponse, [][]byte) {
	f := &FetchResponse{
		Err:       kerr.Code(rapid.Int16().Draw(t, "err")),
		SessionID: rapid.Int32().Draw(t, "session"), Nodes: drawNodes(t),
	}
	var records [][]byte
	for range rapid.IntRange(0, 3).Draw(t, "topics") {
		topic := FetchTopic{Name: words.Draw(t, "topic"), ID: drawID(t)}
		for range rapid.IntRange(0, 3).Draw(t, "partitions") {
			p := FetchPartition{
				Partition:        rapid.Int32().Draw(t, "partition"),
				Err:              kerr.Code(rapid.Int16().Draw(t, "err")),
				HighWatermark:    rapid.Int64().Draw(t, "hw"),
				LastStable:       rapid.Int64().Draw(t, "lso"),
				LogStart:         rapid.Int64().Draw(t, "start"),
				PreferredReplica: rapid.Int32().Draw(t, "replica"),
				DivergingEpoch:   rapid.SampledFrom([]int32{-1, 0, 5}).Draw(t, "diverging"),
				DivergingEnd:     rapid.SampledFrom([]int64{-1, 0, 5}).Draw(t, "diverging end"),
				LeaderID:         rapid.SampledFrom([]int32{-1, 0, 5}).Draw(t, "leader"),
				LeaderEpoch:      rapid.SampledFrom([]int32{-1, 0, 5}).Draw(t, "epoch"),
			}
			if rapid.Bool().Draw(t, "aborted") {
				p.Aborted = []AbortedTxn{}
				for range rapid.IntRange(0, 3).Draw(t, "txns") {
					p.Aborted = append(p.Aborted, AbortedTxn{rapid.Int64().Draw(t, "pid"), rapid.Int64().Draw(t, "first")})
				}
			}
			all := []byte{}
			for range rapid.IntRange(0, 3).Draw(t, "extents") {
				b := bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, rapid.SampledFrom([]int{1, 100, 20_000, 70_000}).Draw(t, "len"))
				p.Records = append(p.Records, drawExtent(t, dir, b))
				all = append(all, b...)
			}
			topic.Partitions, records = append(topic.Partitions, p), append(records, all)
		}
		f.Topics = append(f.Topics, topic)
	}
	return f, records
}

// drawExtent puts b into memory or into a file.
func drawExtent(t *rapid.T, dir string, b []byte) batch.Extent {
	if rapid.Bool().Draw(t, "memory") {
		return batch.Extent{Mem: b, Len: int64(len(b))}
	}
	f, err := os.CreateTemp(dir, "records")
	if err != nil {
		t.Fatal(err)
	}
	const off = 10
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
	return batch.Extent{File: f, Off: off, Len: int64(len(b)), Ref: closer{f}}
}

type closer struct{ io.Closer }

func (c closer) Release() { c.Close() }

func kmsgFetch(f *FetchResponse, records [][]byte, version int16) *kmsg.FetchResponse {
	m := kmsg.NewPtrFetchResponse()
	m.Version, m.ErrorCode, m.SessionID = version, int16(f.Err), f.SessionID
	for _, t := range f.Topics {
		kt := kmsg.NewFetchResponseTopic()
		kt.Topic, kt.TopicID = t.Name, t.ID
		for _, p := range t.Partitions {
			kp := kmsg.NewFetchResponseTopicPartition()
			kp.Partition, kp.ErrorCode, kp.HighWatermark = p.Partition, int16(p.Err), p.HighWatermark
			kp.LastStableOffset, kp.LogStartOffset, kp.PreferredReadReplica = p.LastStable, p.LogStart, p.PreferredReplica
			kp.DivergingEpoch.Epoch, kp.DivergingEpoch.EndOffset = p.DivergingEpoch, p.DivergingEnd
			kp.CurrentLeader.LeaderID, kp.CurrentLeader.LeaderEpoch = p.LeaderID, p.LeaderEpoch
			if p.Aborted != nil {
				kp.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{}
			}
			for _, a := range p.Aborted {
				ka := kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
				ka.ProducerID, ka.FirstOffset = a.ProducerID, a.FirstOffset
				kp.AbortedTransactions = append(kp.AbortedTransactions, ka)
			}
			kp.RecordBatches, records = records[0], records[1:]
			kt.Partitions = append(kt.Partitions, kp)
		}
		m.Topics = append(m.Topics, kt)
	}
	if version >= 16 {
		for _, n := range f.Nodes {
			b := kmsg.NewFetchResponseBroker()
			b.NodeID, b.Host, b.Port = n.ID, n.Host, n.Port
			if n.Rack != "" {
				b.Rack = &n.Rack
			}
			m.Brokers = append(m.Brokers, b)
		}
	}
	return m
}

// Over TCP the same bytes leave by writev and sendfile, also when the socket's buffer is smaller than they are.
func TestSendOverTCP(t *testing.T) {
	dir := t.TempDir()
	out, in := tcpPair(t)
	out.SetWriteBuffer(8 << 10)
	s := NewSender(out)
	rapid.Check(t, func(t *rapid.T) {
		var want bytes.Buffer
		var batch []*Reply
		for range rapid.IntRange(1, 3).Draw(t, "replies") {
			f, _ := drawFetch(t, dir)
			r := NewReply(&Request{Key: 1, Version: 17})
			r.Fetch(f)
			batch = append(batch, r)
		}
		if err := NewSender(&want).Send(batch...); err != nil {
			t.Fatal(err)
		}
		read := make(chan []byte)
		go func() {
			got := make([]byte, want.Len())
			io.ReadFull(in, got)
			read <- got
		}()
		if err := s.Send(batch...); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(<-read, want.Bytes()) {
			t.Fatal("the bytes differ")
		}
		for _, r := range batch {
			r.Release()
		}
	})
}

// Extents are released however sending ends.
func TestReleaseAfterError(t *testing.T) {
	name := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(name, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, n := range []int64{100, 100_000} {
		out, _ := tcpPair(t)
		var ref count
		r := NewReply(&Request{Key: 1, Version: 12})
		r.Fetch(&FetchResponse{Topics: []FetchTopic{{Partitions: []FetchPartition{{Records: []batch.Extent{
			{Mem: []byte("a"), Len: 1, Ref: &ref}, {File: file, Len: n, Ref: &ref}, {Mem: []byte("b"), Len: 1, Ref: &ref},
		}}}}}})
		if err := NewSender(out).Send(r); err == nil {
			t.Errorf("sent %d bytes of a file of 5", n)
		}
		r.Release()
		if ref != 3 {
			t.Errorf("%d of 3 extents were released", ref)
		}
	}
}

type count int

func (c *count) Release() { *c++ }

func tcpPair(t testing.TB) (*net.TCPConn, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close(); in.Close() })
	return out.(*net.TCPConn), in.(*net.TCPConn)
}
