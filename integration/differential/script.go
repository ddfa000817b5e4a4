package main

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A scenario is a sequence of requests, the same for both brokers, written as a function of a script.
type scenario struct {
	name string
	run  func(s *script)
}

// script plays a scenario against one broker and keeps the answers.
type script struct {
	addr    string
	prefix  string // of the names that this run makes, so that runs do not see each other's
	common  map[int16]versions
	conn    *conn
	ids     map[[16]byte]string // topics by id
	key     int16               // of the answer that is being rendered
	answers []answer
}

// answer is one request's answer, as lines that can be compared.
type answer struct {
	label string
	lines []line
}

// stop ends a scenario that cannot go on.
type stop struct{ err error }

func newScript(addr, prefix string, common map[int16]versions) *script {
	return &script{addr: addr, prefix: prefix, common: common, ids: make(map[[16]byte]string)}
}

func (s *script) recoverStop() {
	if r := recover(); r != nil {
		why, ok := r.(stop)
		if !ok {
			panic(r)
		}
		s.note("the scenario ended early", why.err.Error())
	}
}

func (s *script) close() {
	if s.conn != nil {
		_ = s.conn.Close()
		s.conn = nil
	}
}

func (s *script) note(label, what string) {
	s.answers = append(s.answers, answer{label, []line{{path: "(outcome)", value: what}}})
}

// name is base, made unlike the names of other runs.
func (s *script) name(base string) string { return s.prefix + base }

// each calls fn for every version of rq's key that both brokers serve, with its label.
func (s *script) each(key int16, fn func(version int16)) {
	v, ok := s.common[key]
	for i := v.min; ok && i <= v.max; i++ {
		fn(i)
	}
}

// last is the highest version that both serve.
func (s *script) last(key int16) int16 { return s.common[key].max }

// do sends rq by version and records what comes back. The answer is nil when there was none.
func (s *script) do(label string, version int16, rq kmsg.Request) kmsg.Response {
	rq.SetVersion(version)
	resp, outcome := s.ask(rq)
	label = fmt.Sprintf("%s v%d %s", kmsg.NameForKey(rq.Key()), version, label)
	lines := []line{{path: "(outcome)", value: outcome}}
	if resp != nil {
		lines = append(lines, s.render(resp)...)
	}
	s.answers = append(s.answers, answer{label, lines})
	return resp
}

// all sends the request that make returns by each version that both serve.
func (s *script) all(key int16, label string, make func(version int16) kmsg.Request) {
	s.each(key, func(v int16) {
		if rq := make(v); rq != nil {
			s.do(label, v, rq)
		}
	})
}

// quiet sends rq without recording the answer.
func (s *script) quiet(version int16, rq kmsg.Request) kmsg.Response {
	rq.SetVersion(version)
	resp, outcome := s.ask(rq)
	if resp == nil {
		panic(stop{fmt.Errorf("%s v%d: %s", kmsg.NameForKey(rq.Key()), version, outcome)})
	}
	return resp
}

// ask says "answered", or what was wrong with the answer or came in its place.
func (s *script) ask(rq kmsg.Request) (kmsg.Response, string) {
	c := s.connect()
	body, err := c.ask(rq)
	if err != nil {
		s.close()
		return nil, failure(err)
	}
	resp := rq.ResponseKind()
	resp.SetVersion(rq.GetVersion())
	if err := resp.ReadFrom(body); err != nil {
		return nil, "not decodable: " + err.Error()
	}
	if !bytes.Equal(resp.AppendTo(nil), body) {
		return resp, "answered, in other bytes than kmsg would have"
	}
	return resp, "answered"
}

func (s *script) connect() *conn {
	if s.conn == nil {
		c, err := dial(s.addr)
		if err != nil {
			panic(stop{err})
		}
		s.conn = c
	}
	return s.conn
}

// unanswered sends a request that must not be answered, and records whether the connection lives on.
func (s *script) unanswered(label string, version int16, rq kmsg.Request) {
	rq.SetVersion(version)
	c := s.connect()
	outcome := "the connection lives on"
	if err := c.send(c.frame(rq)); err != nil {
		outcome = failure(err)
	} else if _, err := c.ask(kmsg.NewPtrApiVersionsRequest()); err != nil {
		outcome = failure(err)
		s.close()
	}
	s.note(fmt.Sprintf("%s v%d %s", kmsg.NameForKey(rq.Key()), version, label), outcome)
}

// raw sends bytes on a connection of its own and records what comes back, if anything.
func (s *script) raw(label string, frame []byte) []byte {
	c, err := dial(s.addr)
	if err != nil {
		panic(stop{err})
	}
	defer func() { _ = c.Close() }()
	c.correlation = 7
	body, outcome := []byte(nil), "answered"
	if err = c.send(frame); err == nil {
		body, err = c.receive(false)
	}
	if err != nil {
		outcome = failure(err)
	}
	s.note(label, outcome)
	return body
}

// apart plays part on another connection of the same broker, at the same time. The function that it returns waits for
// its end and records its answers.
func (s *script) apart(part func(s *script)) (join func()) {
	other := newScript(s.addr, s.prefix, s.common)
	other.ids = s.ids
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer other.close()
		defer other.recoverStop()
		part(other)
	}()
	return func() {
		<-done
		s.answers = append(s.answers, other.answers...)
	}
}

// until asks again and again, for a minute, and says whether the answer was yes in the end: what a broker comes to know by itself
// it tells nobody.
func until(yes func() bool) bool {
	for end := time.Now().Add(time.Minute); !yes(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// warmUp waits until there are coordinators and producer ids, which Kafka makes at the first question.
func (s *script) warmUp() error {
	defer s.close()
	for i := range 300 {
		find := kmsg.NewPtrFindCoordinatorRequest()
		find.CoordinatorKey = fmt.Sprint("warm", i)
		fetch := kmsg.NewPtrOffsetFetchRequest()
		fetch.Group = find.CoordinatorKey
		producer := kmsg.NewPtrInitProducerIDRequest()
		producer.ProducerID, producer.ProducerEpoch = -1, -1
		var codes [3]int16
		ready := until(func() bool {
			codes = [3]int16{s.quiet(2, find).(*kmsg.FindCoordinatorResponse).ErrorCode, s.quiet(5, fetch).(*kmsg.OffsetFetchResponse).ErrorCode,
				s.quiet(3, producer).(*kmsg.InitProducerIDResponse).ErrorCode}
			return codes == [3]int16{}
		})
		if !ready {
			return fmt.Errorf("%s is not ready: errors %v", s.addr, codes)
		}
	}
	return nil
}

// topic makes a topic and waits until it can be written.
func (s *script) topic(base string, partitions int32, configs ...string) string {
	rq := kmsg.NewPtrCreateTopicsRequest()
	rq.TimeoutMillis = 10000
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = s.name(base), partitions, 1
	if !slices.Contains(configs, "retention.ms") {
		configs = append(configs, "retention.ms", "-1") // or else the old times of the records would end them, at some moment
	}
	for i := 0; i < len(configs); i += 2 {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = configs[i], &configs[i+1]
		t.Configs = append(t.Configs, c)
	}
	rq.Topics = append(rq.Topics, t)
	resp := s.quiet(5, rq).(*kmsg.CreateTopicsResponse)
	if code := resp.Topics[0].ErrorCode; code != 0 {
		panic(stop{fmt.Errorf("topic %s: error %d", base, code)})
	}
	s.await(t.Topic, partitions)
	return t.Topic
}

// await waits until a topic's partitions have leaders that serve them.
func (s *script) await(topic string, partitions int32) {
	rq := kmsg.NewPtrListOffsetsRequest()
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	for p := range partitions {
		part := kmsg.NewListOffsetsRequestTopicPartition()
		part.Partition, part.Timestamp, part.CurrentLeaderEpoch = p, -1, -1
		t.Partitions = append(t.Partitions, part)
	}
	rq.ReplicaID = -1
	rq.Topics = append(rq.Topics, t)
	if !until(func() bool { return serves(s.quiet(4, rq).(*kmsg.ListOffsetsResponse)) }) {
		panic(stop{fmt.Errorf("topic %s has no leaders", topic)})
	}
	s.id(topic)
}

func serves(resp *kmsg.ListOffsetsResponse) bool {
	for _, p := range resp.Topics[0].Partitions {
		if p.ErrorCode != 0 {
			return false
		}
	}
	return true
}

// id asks for a topic's id, and remembers it for the answers to come.
func (s *script) id(topic string) [16]byte {
	rq := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &topic
	rq.Topics = append(rq.Topics, t)
	id := s.quiet(12, rq).(*kmsg.MetadataResponse).Topics[0].TopicID
	s.ids[id] = topic
	return id
}
