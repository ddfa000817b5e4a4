// Package wire turns frames into requests and replies into frames. Requests are decoded by kmsg over the bytes as they
// arrived; replies are written by reference: record bytes go from memory by writev and from files by sendfile. It does
// not know what a request does.
package wire

import (
	"context"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/batch"
	"chronik/kafka/kerr"
	"chronik/wal/arena"
)

// Request is one decoded request. Body aliases the frame's bytes, which stay valid until the reply was written; whoever
// needs bytes longer copies them, or retains Buf.
type Request struct {
	Key, Version  int16
	CorrelationID int32
	ClientID      string
	Body          kmsg.Request
	Buf           *arena.Buf // that the frame lies in; nil for small frames
	Peer          *Peer
	Size          int // of the frame
	Received      time.Time
	// Alone says that its connection seems to have nothing else to do: Begin may take as long as a small write to disk.
	Alone bool
	// Behind says that a request before it on its connection has not begun but in name (Pending.Later): what must keep its
	// place among those begins later too.
	Behind bool
	// More says that the next request of its connection is here as a whole and begins right after this one: what serves both
	// may be left to Pending.Start.
	More bool
	Cost int // bytes of memory, about: what the body is decoded into and what handling that takes, and a small frame

	Lender Lender // nil: there is always enough
	lent   int
	small  *[]byte // that a small frame lies in
}

// Lender has memory for what an answer is made of. It may be called concurrently.
type Lender interface {
	// Lend says whether there are n bytes more; wait has it wait for them until ctx ends.
	Lend(ctx context.Context, n int, wait bool) bool
	Return(n int)
}

// Borrow says whether the answer may take n bytes more of memory; wait has it wait for them until ctx ends. They are given back by
// Repay, or when the answer is sent. Only who handles the request may call these two.
func (rq *Request) Borrow(ctx context.Context, n int, wait bool) bool {
	if rq.Lender == nil {
		return true
	}
	if !rq.Lender.Lend(ctx, n, wait) {
		return false
	}
	rq.lent += n
	return true
}

// Repay gives back all that was borrowed.
func (rq *Request) Repay() {
	if rq.lent > 0 {
		rq.Lender.Return(rq.lent)
		rq.lent = 0
	}
}

// Release gives the frame's bytes back, and what was borrowed. Whoever got the request from Decode calls it once, after the reply
// was written.
func (rq *Request) Release() {
	rq.Repay()
	if rq.Buf != nil {
		rq.Buf.Release()
	}
	putSmall(rq.small)
	rq.Buf, rq.small = nil, nil
}

// Peer is the connection that a request came by. Its fields are set by the connection's own goroutine.
type Peer struct {
	Listener        string         // name, "PLAINTEXT"
	Remote, Local   netip.AddrPort // Local is what the client reached us by
	Principal       string         // "User:ANONYMOUS" until authentication comes
	SoftwareName    string         // from ApiVersions v3+ (KIP-511)
	SoftwareVersion string
}

// Pending is a request that has begun. Finish completes it and fills the reply; it is called once, in the order of the
// connection's requests, also when the connection broke in between (ctx is done then, and the reply goes nowhere).
// Ready says whether Finish would return without waiting; nil: always. Later says that nothing has been done yet, and all is
// Finish's. Start begins what Begin has left to be begun together with what comes next, of this request and of those before it;
// nil: nothing. The connection's goroutine calls it when it has begun what is here, and before it waits for anything. An error
// from Finish closes the connection.
type Pending struct {
	Ready  func() bool
	Later  bool
	Start  func()
	Finish func(ctx context.Context, r *Reply) error
}

// Waits is the Ready of a request whose Finish may wait.
func Waits() bool { return false }

// Handler is what stands above the sockets. Begin is called by the connection's goroutine, in the order of its requests;
// what must start before earlier requests have finished (appends) starts there, all else belongs in Finish. ctx ends
// with the connection.
type Handler interface {
	// Served says whether this version is served; the answer to what is not is UNSUPPORTED_VERSION.
	Served(key, version int16) bool
	Begin(ctx context.Context, rq *Request) Pending
}

// ProduceResponse is API key 0's, versions 0 to 13.
type ProduceResponse struct {
	Topics []ProduceTopic
	Nodes  []Node // v10+
}

// ProduceTopic has Name up to v12, ID from v13.
type ProduceTopic struct {
	Name       string
	ID         uuid.UUID
	Partitions []ProducePartition
}

// ProducePartition: AppendTime is -1 unless the topic has LogAppendTime.
type ProducePartition struct {
	Partition   int32
	Err         kerr.Code
	BaseOffset  int64
	AppendTime  int64
	LogStart    int64
	Message     string // v8+, "" is null
	LeaderID    int32  // v10+, sent when Err says that the leader is elsewhere
	LeaderEpoch int32
}

// FetchResponse is API key 1's, versions 0 to 18.
type FetchResponse struct {
	Err       kerr.Code
	SessionID int32
	Topics    []FetchTopic
	Nodes     []Node // v16+
}

// FetchTopic has Name up to v12, ID from v13.
type FetchTopic struct {
	Name       string
	ID         uuid.UUID
	Partitions []FetchPartition
}

// FetchPartition is one partition's records: whole batches, in Records one after the other.
type FetchPartition struct {
	Partition             int32
	Err                   kerr.Code
	HighWatermark         int64
	LastStable            int64
	LogStart              int64
	Aborted               []AbortedTxn // nil is null
	PreferredReplica      int32        // -1: none
	DivergingEpoch        int32        // v12+; with DivergingEnd, sent unless both are -1
	DivergingEnd          int64
	LeaderID, LeaderEpoch int32 // v12+, sent unless both are -1
	Records               []batch.Extent
}

// AbortedTxn is an aborted transaction that a read_committed reader must skip.
type AbortedTxn struct{ ProducerID, FirstOffset int64 }

// Node is a leader hint's address (KIP-951).
type Node struct {
	ID   int32
	Host string
	Port int32
	Rack string // "" is null
}
