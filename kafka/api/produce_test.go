package api

import (
	"reflect"
	"testing"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/batch"
	"chronik/kafka/kerr"
)

func TestProduceRefuses(t *testing.T) {
	n := start(t, nil)
	id := n.create("t", 1, "max.message.bytes", "200", "min.insync.replicas", "1")
	n.create("compacted", 1, "cleanup.policy", "compact")
	good := stamped(t, 1)
	damaged := append([]byte(nil), good...)
	damaged[len(damaged)-1] ^= 1
	var keyless batch.Builder
	keyless.Add(&batch.Record{Timestamp: 1, Value: []byte("v")})
	noKey, err := keyless.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	part := batch.Builder{Transactional: true, Producer: &batch.Producer{ID: 3}}
	part.Add(&batch.Record{Timestamp: 1, Value: []byte("v")})
	inTransaction, err := part.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	many := make([]int64, 40)
	for name, c := range map[string]struct {
		rq   *kmsg.ProduceRequest
		want kerr.Code
	}{
		"fine":                  {produceRequest(9, "t", uuid.Nil, 0, good), kerr.None},
		"fine, by id":           {produceRequest(13, "", id, 0, good), kerr.None},
		"an unknown topic":      {produceRequest(9, "none", uuid.Nil, 0, good), kerr.UnknownTopicOrPartition},
		"an unknown partition":  {produceRequest(9, "t", uuid.Nil, 1, good), kerr.UnknownTopicOrPartition},
		"an unknown id":         {produceRequest(13, "", uuid.New(), 0, good), kerr.UnknownTopicID},
		"a damaged batch":       {produceRequest(9, "t", uuid.Nil, 0, damaged), kerr.CorruptMessage},
		"half a batch":          {produceRequest(9, "t", uuid.Nil, 0, good[:30]), kerr.InvalidRecord},
		"a large batch":         {produceRequest(9, "t", uuid.Nil, 0, stamped(t, many...)), kerr.MessageTooLarge},
		"no topic":              {produceRequest(9, "", uuid.Nil, 0, good), kerr.UnknownTopicOrPartition},
		"no id":                 {produceRequest(13, "", uuid.Nil, 0, good), kerr.UnknownTopicID},
		"of no transaction":     {produceRequest(9, "t", uuid.Nil, 0, inTransaction), kerr.TransactionalIDAuthorizationFailed},
		"no key to compact by":  {produceRequest(9, "compacted", uuid.Nil, 0, noKey), kerr.InvalidRecord},
		"old message, old form": {produceRequest(2, "t", uuid.Nil, 0, oldMessage(1)), kerr.None},
	} {
		got := ask[*kmsg.ProduceResponse](n, c.rq).Topics[0].Partitions[0]
		if kerr.Code(got.ErrorCode) != c.want || (c.want == kerr.None) != (got.BaseOffset >= 0) {
			t.Errorf("%s: %v at %d, want %v", name, kerr.Code(got.ErrorCode), got.BaseOffset, c.want)
		}
	}
	for _, change := range []func(*kmsg.ProduceRequest) kerr.Code{
		func(rq *kmsg.ProduceRequest) kerr.Code { rq.Acks = 2; return kerr.InvalidRequiredAcks },
		func(rq *kmsg.ProduceRequest) kerr.Code { rq.TransactionID = ptr("tx"); return kerr.InvalidTxnState },
	} {
		rq := produceRequest(9, "t", uuid.Nil, 0, good)
		want := change(rq)
		n.code(ask[*kmsg.ProduceResponse](n, rq).Topics[0].Partitions[0].ErrorCode, want)
	}
}

// Without acks there is no response; what failed can only be told by closing the connection.
func TestProduceWithoutAcks(t *testing.T) {
	n := start(t, nil)
	n.create("t", 1)
	rq := produceRequest(9, "t", uuid.Nil, 0, stamped(t, 1))
	rq.Acks = 0
	if b, err := n.raw(t.Context(), n.begin(t.Context(), rq)); len(b) > 0 || err != nil {
		t.Errorf("%x %v", b, err)
	}
	n.produce("t", 0, 2) // what came before it is written when it is
	if got := n.listOffset(7, "t", 0, latestTimestamp); got != "-1@2/0" {
		t.Error(got)
	}
	rq.Topics[0].Topic = "none"
	if b, err := n.raw(t.Context(), n.begin(t.Context(), rq)); len(b) > 0 || err == nil {
		t.Errorf("%x %v", b, err)
	}
}

// Requests that begin one after the other get their offsets in that order, whenever they are answered.
func TestPipelinedProducesKeepTheirOrder(t *testing.T) {
	n := start(t, nil)
	n.create("t", 1)
	var begun []pending
	var rqs []kmsg.Request
	for range 50 {
		rq := produceRequest(9, "t", uuid.Nil, 0, stamped(t, 1))
		rqs, begun = append(rqs, rq), append(begun, n.begin(t.Context(), rq))
	}
	for i := range begun {
		got := answerTo[*kmsg.ProduceResponse](n, rqs[i], begun[i]).Topics[0].Partitions[0]
		if got.ErrorCode != 0 || got.BaseOffset != int64(i) {
			t.Fatalf("request %d got offset %d, code %d", i, got.BaseOffset, got.ErrorCode)
		}
	}
}

// An idempotent producer that sends a batch again is told the offset that it has.
func TestABatchThatIsSentAgainIsNotWrittenAgain(t *testing.T) {
	n := start(t, nil)
	n.create("t", 1)
	id := ask[*kmsg.InitProducerIDResponse](n, kmsg.NewPtrInitProducerIDRequest()).ProducerID
	send := func(sequence int32) (int64, kerr.Code) {
		w := batch.Builder{Producer: &batch.Producer{ID: id, Epoch: 0, Sequence: sequence}}
		w.Add(&batch.Record{Timestamp: 1, Value: []byte("v")})
		b, err := w.Build(nil)
		if err != nil {
			t.Fatal(err)
		}
		got := ask[*kmsg.ProduceResponse](n, produceRequest(9, "t", uuid.Nil, 0, b)).Topics[0].Partitions[0]
		return got.BaseOffset, kerr.Code(got.ErrorCode)
	}
	for _, c := range []struct {
		sequence int32
		offset   int64
		code     kerr.Code
	}{{0, 0, kerr.None}, {1, 1, kerr.None}, {0, 0, kerr.None}, {3, -1, kerr.OutOfOrderSequenceNumber}, {2, 2, kerr.None}} {
		if offset, code := send(c.sequence); offset != c.offset || code != c.code {
			t.Errorf("sequence %d: %d %v, want %d %v", c.sequence, offset, code, c.offset, c.code)
		}
	}
	rq := kmsg.NewPtrDescribeProducersRequest()
	rq.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: "t", Partitions: []int32{0}}}
	got := ask[*kmsg.DescribeProducersResponse](n, rq).Topics[0].Partitions[0].ActiveProducers
	want := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
	want.ProducerID, want.LastSequence, want.LastTimestamp, want.CoordinatorEpoch, want.CurrentTxnStartOffset = id, 2, 1, -1, -1
	if len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
