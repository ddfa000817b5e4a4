package faults

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// crowd is connections that take without giving: each is opened again as soon as the broker closes it.
type crowd struct {
	address string
	topic   string // large records
	ctx     context.Context
	cancel  context.CancelFunc
	work    sync.WaitGroup

	mu      sync.Mutex
	dropped map[string]int // by character, those that the broker closed
}

// character is how a connection behaves until the broker closes it; it may return before.
type character struct {
	name  string
	share int // of 100 connections
	act   func(c *crowd, conn net.Conn)
}

var characters = []character{
	{"mute", 30, func(*crowd, net.Conn) {}},
	{"slow loris", 30, (*crowd).loris},
	{"half a frame", 10, (*crowd).half},
	{"fetches and never reads", 10, (*crowd).hoard},
	{"fetches the old way and never reads", 5, (*crowd).hoardOld},
	{"claims 30 MiB and sends 2", 5, (*crowd).claim},
	{"many tiny elements", 5, (*crowd).tiny},
	{"asks for the same again and again", 5, (*crowd).repeat},
}

func startCrowd(address, topic string, size int) *crowd {
	c := &crowd{address: address, topic: topic, dropped: map[string]int{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	for _, ch := range characters {
		for range max(1, size*ch.share/100) {
			c.work.Go(func() { c.live(ch) })
		}
	}
	return c
}

func (c *crowd) live(ch character) {
	for c.ctx.Err() == nil {
		var d net.Dialer
		conn, err := d.DialContext(c.ctx, "tcp", c.address)
		if err != nil {
			c.count("refused")
			c.wait(time.Second)
			continue
		}
		stop := context.AfterFunc(c.ctx, func() { conn.Close() })
		ch.act(c, conn)
		c.awaitEnd(conn)
		if c.ctx.Err() == nil {
			c.count(ch.name)
			c.wait(100 * time.Millisecond)
		}
		stop()
		conn.Close()
	}
}

// awaitEnd waits until the broker has closed the connection, without taking what it sent.
func (c *crowd) awaitEnd(conn net.Conn) {
	for c.ctx.Err() == nil && isOpen(conn) {
		c.wait(250 * time.Millisecond)
	}
}

func (c *crowd) wait(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-c.ctx.Done():
		return false
	}
}

func (c *crowd) count(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropped[name]++
}

// disperse closes all connections.
func (c *crowd) disperse() string {
	c.cancel()
	c.work.Wait()
	var all []string
	for _, name := range slices.Sorted(maps.Keys(c.dropped)) {
		all = append(all, fmt.Sprintf("%s %d", name, c.dropped[name]))
	}
	return strings.Join(all, ", ")
}

func encoded(rq kmsg.Request) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("crowd")).AppendRequest(nil, rq, 1)
}

func (c *crowd) loris(conn net.Conn) {
	for _, b := range encoded(kmsg.NewPtrApiVersionsRequest()) {
		if _, err := conn.Write([]byte{b}); err != nil || !c.wait(400*time.Millisecond) {
			return
		}
	}
}

func (c *crowd) half(conn net.Conn) {
	b := encoded(kmsg.NewPtrApiVersionsRequest())
	_, _ = conn.Write(append(b, b[:len(b)/2]...)) // an error is the broker's hanging up
}

// flood sends b many times, as far as the broker takes it, and reads nothing.
func (c *crowd) flood(conn net.Conn, b []byte, times int) {
	for range times {
		_ = conn.SetWriteDeadline(time.Now().Add(2 * time.Second))
		if _, err := conn.Write(b); err != nil {
			return
		}
	}
}

func (c *crowd) fetch(version int16) []byte {
	rq := kmsg.NewPtrFetchRequest()
	rq.Version, rq.MaxBytes, rq.MinBytes, rq.SessionEpoch = version, 50<<20, 1, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic = c.topic
	for range 8 { // the same partition again counts again
		p := kmsg.NewFetchRequestTopicPartition()
		p.PartitionMaxBytes = 50 << 20
		t.Partitions = append(t.Partitions, p)
	}
	rq.Topics = append(rq.Topics, t)
	return encoded(rq)
}

func (c *crowd) hoard(conn net.Conn)    { c.flood(conn, c.fetch(11), 200) }
func (c *crowd) hoardOld(conn net.Conn) { c.flood(conn, c.fetch(2), 200) }

func (c *crowd) claim(conn net.Conn) {
	b := encoded(kmsg.NewPtrApiVersionsRequest())
	b = binary.BigEndian.AppendUint32(b, 30<<20)
	c.flood(conn, append(b, make([]byte, 2<<20)...), 1)
}

// tiny asks for so many topics of one letter that a request of a few hundred KiB is tens of MiB when decoded.
func (c *crowd) tiny(conn net.Conn) {
	rq := kmsg.NewPtrMetadataRequest()
	rq.Version = 9
	for range 1 << 17 {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr("")
		rq.Topics = append(rq.Topics, t)
	}
	c.flood(conn, encoded(rq), 100)
}

// repeat asks for what has a long answer, very often in one request.
func (c *crowd) repeat(conn net.Conn) {
	configs := kmsg.NewPtrDescribeConfigsRequest()
	configs.Version, configs.IncludeSynonyms, configs.IncludeDocumentation = 4, true, true
	topics := kmsg.NewPtrMetadataRequest()
	topics.Version = 9
	for range 20_000 {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, c.topic
		configs.Resources = append(configs.Resources, r)
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &c.topic
		topics.Topics = append(topics.Topics, t)
	}
	c.flood(conn, append(encoded(configs), encoded(topics)...), 20)
}

// ask sends one request by a connection of its own and reads the answer.
func ask(address string, rq kmsg.Request) (kmsg.Response, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.Write(encoded(rq)); err != nil {
		return nil, err
	}
	p := hostilePeer{answer: bufio.NewReader(conn)}
	_, body, err := p.read()
	if err != nil {
		return nil, err
	}
	resp := rq.ResponseKind()
	if resp.IsFlexible() && rq.Key() != keyApiVersions {
		if len(body) == 0 {
			return nil, io.ErrUnexpectedEOF
		}
		body = body[1:]
	}
	return resp, resp.ReadFrom(body)
}
