package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// mortal is a broker with one partition that acknowledges a number of Produce requests. The next one it takes and never
// answers, and it is gone: that is when a client does not know whether the records were written.
type mortal struct {
	listener net.Listener
	topic    string
	left     atomic.Int64 // requests to acknowledge
	offset   atomic.Int64
	died     chan struct{}

	mu    sync.Mutex
	conns []net.Conn
}

func startMortal(t *testing.T, topic string, requests int64) *mortal {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mortal{listener: l, topic: topic, died: make(chan struct{})}
	m.left.Store(requests)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			m.mu.Lock()
			m.conns = append(m.conns, conn)
			m.mu.Unlock()
			all.Go(func() { m.serve(conn) })
		}
	})
	t.Cleanup(func() {
		m.die()
		all.Wait()
	})
	return m
}

func (m *mortal) die() {
	_ = m.listener.Close() // a second time it fails
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, conn := range m.conns {
		_ = conn.Close()
	}
}

// The versions are those before flexible ones: their headers are all alike.
var mortalVersions = []struct{ key, least, most int16 }{{0, 3, 8}, {2, 1, 5}, {3, 0, 8}, {18, 0, 2}, {19, 0, 4}, {22, 0, 1}}

func (m *mortal) serve(conn net.Conn) {
	for {
		var size [4]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		b := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(conn, b); err != nil {
			return
		}
		key, version := int16(binary.BigEndian.Uint16(b)), int16(binary.BigEndian.Uint16(b[2:]))
		rq := kmsg.RequestForKey(key)
		var resp kmsg.Response
		if key == 18 && version > 2 {
			refused := kmsg.NewPtrApiVersionsResponse()
			refused.ErrorCode = kerr.UnsupportedVersion.Code
			resp = refused
		} else {
			rq.SetVersion(version)
			client := int(binary.BigEndian.Uint16(b[8:]))
			if rq.ReadFrom(b[10+client:]) != nil {
				return
			}
			if resp = m.answer(rq); resp == nil {
				close(m.died)
				go m.die()
				return
			}
			resp.SetVersion(version)
		}
		out := resp.AppendTo(append(make([]byte, 4), b[4:8]...))
		binary.BigEndian.PutUint32(out, uint32(len(out)-4))
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

func (m *mortal) answer(rq kmsg.Request) kmsg.Response {
	resp := rq.ResponseKind()
	switch r := resp.(type) {
	case *kmsg.ApiVersionsResponse:
		for _, v := range mortalVersions {
			r.ApiKeys = append(r.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: v.key, MinVersion: v.least, MaxVersion: v.most})
		}
	case *kmsg.MetadataResponse:
		host, port, _ := net.SplitHostPort(m.listener.Addr().String())
		number, _ := strconv.Atoi(port)
		r.Brokers = append(r.Brokers, kmsg.MetadataResponseBroker{NodeID: 1, Host: host, Port: int32(number)})
		r.ControllerID = 1
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic = &m.topic
		topic.Partitions = []kmsg.MetadataResponseTopicPartition{{Leader: 1, Replicas: []int32{1}, ISR: []int32{1}}}
		r.Topics = append(r.Topics, topic)
	case *kmsg.CreateTopicsResponse:
		topic := kmsg.NewCreateTopicsResponseTopic()
		topic.Topic, topic.ErrorCode = m.topic, kerr.TopicAlreadyExists.Code
		r.Topics = append(r.Topics, topic)
	case *kmsg.ListOffsetsResponse:
		topic := kmsg.NewListOffsetsResponseTopic()
		p := kmsg.NewListOffsetsResponseTopicPartition()
		if p.Offset = 0; rq.(*kmsg.ListOffsetsRequest).Topics[0].Partitions[0].Timestamp == -1 {
			p.Offset = m.offset.Load()
		}
		topic.Topic, topic.Partitions = m.topic, append(topic.Partitions, p)
		r.Topics = append(r.Topics, topic)
	case *kmsg.InitProducerIDResponse:
		r.ProducerID = 1
	case *kmsg.ProduceResponse:
		if m.left.Add(-1) < 0 {
			return nil
		}
		var batch kmsg.RecordBatch
		if batch.ReadFrom(rq.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records) != nil {
			return nil
		}
		p := kmsg.NewProduceResponseTopicPartition()
		p.BaseOffset = m.offset.Add(int64(batch.NumRecords)) - int64(batch.NumRecords)
		topic := kmsg.NewProduceResponseTopic()
		topic.Topic, topic.Partitions = m.topic, append(topic.Partitions, p)
		r.Topics = append(r.Topics, topic)
	}
	return resp
}

// goneRun runs produce against a broker that dies; how ends the run when it has.
func goneRun(t *testing.T, how func(stop func()), flags ...string) (*report, *Config, error) {
	t.Helper()
	m := startMortal(t, "t", 3)
	c, err := configOf("produce", append(flags, "--brokers", m.listener.Addr().String(), "--topic", "t", "--rate", "2000", "--size", "100",
		"--verify-file", filepath.Join(t.TempDir(), "acknowledged"))...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	type ended struct {
		r   *report
		err error
	}
	done := make(chan ended, 1)
	go func() {
		r, err := runProduce(ctx, c)
		done <- ended{r, err}
	}()
	select {
	case <-m.died:
	case e := <-done:
		t.Fatalf("it ended before the broker did: %v", e.err)
	}
	how(stop)
	select {
	case e := <-done:
		return e.r, c, e.err
	case <-time.After(20 * time.Second):
		t.Fatal("it hangs")
		return nil, nil, nil
	}
}

func checkGone(t *testing.T, r *report, c *Config, err error) {
	t.Helper()
	if !errors.Is(err, errUnacknowledged) {
		t.Errorf("%v", err)
	}
	p := r.Produce
	if p.Acked == 0 || p.Acked >= p.Sent {
		t.Errorf("acknowledged %d of %d", p.Acked, p.Sent)
	}
	runs, err := readVerifyFile(c.VerifyFile)
	if err != nil || len(runs) != 1 || runs[0].acked.records() != p.Acked {
		t.Errorf("%d were acknowledged, the file has %+v, %v", p.Acked, runs, err)
	}
}

func TestProduceEndsWithinGraceWhenTheBrokerIsGone(t *testing.T) {
	grace := 300 * time.Millisecond
	r, c, err := goneRun(t, func(func()) {}, "--duration", "1s", "--grace", grace.String())
	checkGone(t, r, c, err)
	if r.Produce.LongestGap < grace.Seconds() {
		t.Errorf("the longest gap is %g s: the one at the end is missing", r.Produce.LongestGap)
	}
}

// A run of a number of records waited for ever.
func TestProduceOfRecordsEndsWhenTheBrokerIsGone(t *testing.T) {
	r, c, err := goneRun(t, func(func()) {}, "--records", "1000000", "--delivery-timeout", "8s") // a busy machine answers late
	checkGone(t, r, c, err)
	if !strings.HasPrefix(err.Error(), "the broker acknowledges nothing any more: ") {
		t.Error(err)
	}
}

func TestASignalEndsProduceWhenTheBrokerIsGone(t *testing.T) {
	r, c, err := goneRun(t, func(stop func()) { stop() }, "--duration", "1h", "--grace", "1h")
	checkGone(t, r, c, err)
}
