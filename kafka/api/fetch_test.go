package api

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/batch"
	"chronik/kafka/kerr"
)

func ieee(b []byte) uint32 { return crc32.ChecksumIEEE(b) }

func fetchRequest(version int16, topic string, id [16]byte, offset int64) *kmsg.FetchRequest {
	rq := kmsg.NewPtrFetchRequest()
	rq.Version, rq.MaxBytes, rq.SessionEpoch, rq.MaxWaitMillis = version, 1<<20, -1, 0
	p := kmsg.NewFetchRequestTopicPartition()
	p.FetchOffset, p.PartitionMaxBytes = offset, 1<<20
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID, t.Partitions = topic, id, append(t.Partitions, p)
	rq.Topics = append(rq.Topics, t)
	return rq
}

// fetched is a response in words: of each partition its code, the offsets of its batches, and its high watermark.
func fetched(t testing.TB, resp *kmsg.FetchResponse) string {
	t.Helper()
	var out []string
	if resp.ErrorCode != 0 {
		out = append(out, kerr.Code(resp.ErrorCode).String())
	}
	for _, topic := range resp.Topics {
		for _, p := range topic.Partitions {
			s := fmt.Sprintf("%s/%d", topic.Topic, p.Partition)
			if p.ErrorCode != 0 {
				out = append(out, s+" "+kerr.Code(p.ErrorCode).String())
				continue
			}
			for rest := p.RecordBatches; len(rest) > 0; {
				var b batch.Batch
				var err error
				if b, rest, err = batch.Next(rest); err != nil {
					t.Fatal(err)
				}
				s += fmt.Sprintf(" %d-%d", b.BaseOffset(), b.NextOffset()-1)
			}
			out = append(out, fmt.Sprintf("%s <%d", s, p.HighWatermark))
		}
	}
	return strings.Join(out, ", ")
}

func (n *node) fetch(rq *kmsg.FetchRequest) string {
	n.t.Helper()
	return fetched(n.t, ask[*kmsg.FetchResponse](n, rq))
}

func TestFetch(t *testing.T) {
	n := start(t, nil)
	id := n.create("t", 2)
	n.produce("t", 0, 1, 2, 3)
	n.produce("t", 0, 4, 5)
	with := func(change func(*kmsg.FetchRequest)) *kmsg.FetchRequest {
		rq := fetchRequest(12, "t", id, 0)
		change(rq)
		return rq
	}
	part := func(rq *kmsg.FetchRequest) *kmsg.FetchRequestTopicPartition { return &rq.Topics[0].Partitions[0] }
	for name, c := range map[string]struct {
		rq   *kmsg.FetchRequest
		want string
	}{
		"all":                             {fetchRequest(12, "t", id, 0), "t/0 0-2 3-4 <5"},
		"the whole batch from its middle": {fetchRequest(12, "t", id, 1), "t/0 0-2 3-4 <5"},
		"from the end":                    {fetchRequest(12, "t", id, 5), "t/0 <5"},
		"beyond the end":                  {fetchRequest(12, "t", id, 6), "t/0 OFFSET_OUT_OF_RANGE"},
		"before the start":                {fetchRequest(12, "t", id, -1), "t/0 OFFSET_OUT_OF_RANGE"},
		"by id":                           {fetchRequest(13, "", id, 0), "/0 0-2 3-4 <5"},
		"an unknown id":                   {fetchRequest(13, "", uuid.New(), 0), "/0 UNKNOWN_TOPIC_ID"},
		"no id":                           {fetchRequest(13, "", uuid.Nil, 0), "/0 UNKNOWN_TOPIC_ID"},
		"an unknown topic":                {fetchRequest(12, "none", uuid.Nil, 0), "none/0 UNKNOWN_TOPIC_OR_PARTITION"},
		"an unknown partition":            {with(func(rq *kmsg.FetchRequest) { part(rq).Partition = 2 }), "t/2 UNKNOWN_TOPIC_OR_PARTITION"},
		"a later epoch":                   {with(func(rq *kmsg.FetchRequest) { part(rq).CurrentLeaderEpoch = 1 }), "t/0 UNKNOWN_LEADER_EPOCH"},
		"a last epoch to come":            {with(func(rq *kmsg.FetchRequest) { part(rq).LastFetchedEpoch = 7 }), "t/0 OFFSET_OUT_OF_RANGE"},
		"an old client's epoch":           {with(func(rq *kmsg.FetchRequest) { rq.Version = 8; part(rq).CurrentLeaderEpoch = 1 }), "t/0 0-2 3-4 <5"},
		"one byte gives one batch":        {with(func(rq *kmsg.FetchRequest) { part(rq).PartitionMaxBytes = 1 }), "t/0 0-2 <5"},
		"no bytes give one batch":         {with(func(rq *kmsg.FetchRequest) { rq.MaxBytes = 0 }), "t/0 0-2 <5"},
		"a negative number of bytes":      {with(func(rq *kmsg.FetchRequest) { rq.MaxBytes, part(rq).PartitionMaxBytes = -5, -5 }), "t/0 0-2 <5"},
		"a follower of no cluster":        {with(func(rq *kmsg.FetchRequest) { rq.ReplicaID = 2 }), "CLUSTER_AUTHORIZATION_FAILED"},
		"committed":                       {with(func(rq *kmsg.FetchRequest) { rq.IsolationLevel = 1 }), "t/0 0-2 3-4 <5"},
	} {
		if got := n.fetch(c.rq); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// A client may send many fetches before it reads an answer: they must not hold records before it is their turn.
func TestAFetchReadsWhenItIsItsTurn(t *testing.T) {
	n := start(t, nil)
	id := n.create("t", 1)
	n.produce("t", 0, 1, 2, 3)
	rq := fetchRequest(12, "t", id, 0)
	p := n.begin(t.Context(), rq)
	n.produce("t", 0, 4, 5)
	if !p.Ready() {
		t.Error("there are records, and it waits")
	}
	b, err := n.raw(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if got := fetched(t, n.decode(rq, b).(*kmsg.FetchResponse)); got != "t/0 0-2 3-4 <5" {
		t.Error(got)
	}
}

// Only the first partition with records may exceed the limits (KIP-74).
func TestOneBatchIsEnoughToMakeProgress(t *testing.T) {
	n := start(t, nil)
	n.create("t", 2)
	n.produce("t", 0, 1)
	n.produce("t", 1, 1)
	rq := fetchRequest(11, "t", uuid.Nil, 0)
	rq.MaxBytes = 1
	second := rq.Topics[0].Partitions[0]
	second.Partition = 1
	rq.Topics[0].Partitions = append(rq.Topics[0].Partitions, second)
	if got := n.fetch(rq); got != "t/0 0-0 <1, t/1 <1" {
		t.Error(got)
	}
}

// Clients of the first versions get the message format that they know.
func TestOldVersionsGetOldMessages(t *testing.T) {
	n := start(t, nil)
	n.create("t", 1)
	n.produce("t", 0, 1000, 2000)
	for v, magic := range map[int16]byte{0: 0, 1: 0, 2: 1, 3: 1, 4: 2, 11: 2} {
		got := ask[*kmsg.FetchResponse](n, fetchRequest(v, "t", uuid.Nil, 1)).Topics[0].Partitions[0].RecordBatches
		if len(got) < 17 || got[16] != magic {
			t.Errorf("v%d: %x", v, got)
			continue
		}
		if offset := int64(binary.BigEndian.Uint64(got)); magic < 2 && offset != 1 {
			t.Errorf("v%d: the first message is %d", v, offset)
		}
	}
}

// T08: no records are empty records, not null.
func TestNoRecordsAreNotNull(t *testing.T) {
	n := start(t, nil)
	n.create("t", 1)
	for v := range int16(13) {
		if got := ask[*kmsg.FetchResponse](n, fetchRequest(v, "t", uuid.Nil, 0)).Topics[0].Partitions[0]; got.RecordBatches == nil {
			t.Errorf("v%d: null", v)
		}
	}
}

// T38: new records answer a fetch that waits, whichever of its partitions they come to, and so does the end of the topic.
func TestAFetchThatWaitsIsWoken(t *testing.T) {
	n := start(t, nil)
	n.create("t", 3)
	wait := func(minBytes int32) (*kmsg.FetchRequest, <-chan []byte) {
		rq := fetchRequest(11, "t", uuid.Nil, 0)
		rq.MaxWaitMillis, rq.MinBytes = math.MaxInt32, minBytes
		for i := range int32(2) {
			p := rq.Topics[0].Partitions[0]
			p.Partition = i + 1
			rq.Topics[0].Partitions = append(rq.Topics[0].Partitions, p)
		}
		p := n.begin(t.Context(), rq)
		if p.Ready() {
			t.Fatal("it does not wait")
		}
		got := make(chan []byte, 1)
		go func() {
			b, err := n.raw(soon(t), p)
			if err != nil {
				t.Error(err)
			}
			got <- b
		}()
		return rq, got
	}
	rq, got := wait(1)
	n.produce("t", 2, 1)
	if s := fetched(t, n.decode(rq, <-got).(*kmsg.FetchResponse)); s != "t/0 <0, t/1 <0, t/2 0-0 <1" {
		t.Error(s)
	}
	rq, got = wait(150) // which one batch does not fill
	n.produce("t", 0, 1)
	n.produce("t", 1, 1)
	if s := fetched(t, n.decode(rq, <-got).(*kmsg.FetchResponse)); s != "t/0 0-0 <1, t/1 0-0 <1, t/2 0-0 <1" {
		t.Error(s)
	}
	rq, got = wait(math.MaxInt32)
	deletion := kmsg.NewPtrDeleteTopicsRequest()
	deletion.TopicNames = []string{"t"}
	n.code(ask[*kmsg.DeleteTopicsResponse](n, deletion).Topics[0].ErrorCode, kerr.None)
	if s := fetched(t, n.decode(rq, <-got).(*kmsg.FetchResponse)); !strings.Contains(s, "t/0 UNKNOWN_TOPIC_OR_PARTITION") {
		t.Error(s)
	}
}

func TestAFetchWaitsNoLongerThanItsClient(t *testing.T) {
	n := start(t, nil)
	n.create("t", 1)
	rq := fetchRequest(11, "t", uuid.Nil, 0)
	rq.MaxWaitMillis, rq.MinBytes = 1, 1
	if got := n.fetch(rq); got != "t/0 <0" {
		t.Error(got)
	}
	rq.MaxWaitMillis = math.MaxInt32
	gone, cancel := context.WithCancel(t.Context())
	p := n.begin(gone, rq)
	cancel()
	if _, err := n.raw(gone, p); err != nil {
		t.Error(err)
	}
}

// KIP-227.
func TestFetchSessions(t *testing.T) {
	for _, byID := range []bool{false, true} {
		t.Run(fmt.Sprint("by id ", byID), func(t *testing.T) { testSession(t, byID) })
	}
}

func testSession(t *testing.T, byID bool) {
	n := start(t, nil)
	id := n.create("t", 3)
	name, version := "t", int16(12)
	if byID {
		name, version = "", 13
	} else {
		id = uuid.Nil
	}
	var session, epoch int32
	request := func(parts ...int32) *kmsg.FetchRequest {
		rq := fetchRequest(version, name, id, 0)
		rq.SessionID, rq.SessionEpoch = session, epoch
		one := rq.Topics[0].Partitions[0]
		rq.Topics[0].Partitions = nil
		for _, p := range parts {
			one.Partition = p
			rq.Topics[0].Partitions = append(rq.Topics[0].Partitions, one)
		}
		if len(parts) == 0 {
			rq.Topics = nil
		}
		return rq
	}
	expect := func(what string, rq *kmsg.FetchRequest, want string) {
		t.Helper()
		resp := ask[*kmsg.FetchResponse](n, rq)
		if got := fetched(t, resp); got != strings.ReplaceAll(want, "t/", name+"/") {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
		if resp.ErrorCode != 0 {
			if resp.SessionID != 0 {
				t.Errorf("%s: an error of session %d", what, resp.SessionID)
			}
			return
		}
		if session != 0 && resp.SessionID != session {
			t.Errorf("%s: session %d, was %d", what, resp.SessionID, session)
		}
		session, epoch = resp.SessionID, epoch+1
	}
	expect("a full fetch", request(0, 1), "t/0 <0, t/1 <0")
	if session == 0 {
		t.Fatal("no session")
	}
	expect("nothing is new", request(), "")
	n.produce("t", 1, 1)
	expect("what is new", request(), "t/1 0-0 <1")
	expect("until the client moves on", request(), "t/1 0-0 <1")
	moved := request(1)
	moved.Topics[0].Partitions[0].FetchOffset = 1
	expect("nothing behind it", moved, "")
	n.produce("t", 1, 2)
	n.produce("t", 0, 1)
	expect("whoever had records comes last", request(), "t/0 0-0 <1, t/1 1-1 <2")
	expect("another partition", request(2), "t/0 0-0 <1, t/1 1-1 <2, t/2 <0")
	forget := request()
	forget.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{Topic: name, TopicID: id, Partitions: []int32{0, 1}}}
	expect("what was forgotten is not there", forget, "")

	epoch += 5
	expect("an epoch that is not the next", request(), "INVALID_FETCH_SESSION_EPOCH")
	epoch -= 5
	negative := request()
	negative.SessionEpoch = -7
	expect("an epoch that is none", negative, "INVALID_FETCH_SESSION_EPOCH")
	mixed := request()
	mixed.Version = 25 - version // ids and names are never mixed
	expect("the other kind of names", mixed, "FETCH_SESSION_TOPIC_ID_ERROR")
	last := request(0)
	last.SessionEpoch = -1
	if got := ask[*kmsg.FetchResponse](n, last); got.SessionID != 0 || len(got.Topics) != 1 {
		t.Errorf("the session's end: %+v", got)
	}
	expect("a session that has ended", request(), "FETCH_SESSION_ID_NOT_FOUND")

	session, epoch = 0, 0
	expect("another session", request(0), "t/0 0-0 <1")
	forget = request()
	forget.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{Topic: name, TopicID: id, Partitions: []int32{0}}}
	before := session
	if got := ask[*kmsg.FetchResponse](n, forget); got.SessionID != 0 || got.ErrorCode != 0 {
		t.Errorf("a session without partitions: %+v", got)
	}
	session, epoch = before, epoch+1
	expect("which has ended", request(), "FETCH_SESSION_ID_NOT_FOUND")
}

// A cache that is full of sessions in use answers without one.
func TestFetchSessionsAreBounded(t *testing.T) {
	n := start(t, map[string]string{"max.incremental.fetch.session.cache.slots": "2"})
	n.create("t", 1)
	for i := range 4 {
		rq := fetchRequest(12, "t", uuid.Nil, 0)
		rq.SessionEpoch = 0
		resp := ask[*kmsg.FetchResponse](n, rq)
		if (resp.SessionID != 0) != (i < 2) || fetched(t, resp) != "t/0 <0" {
			t.Errorf("fetch %d: %+v", i, resp)
		}
	}
}
