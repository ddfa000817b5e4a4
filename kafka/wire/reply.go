package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/kafka/batch"
	"chronik/kafka/kerr"
)

// Reply collects one response: its header is written by the reply itself, flexible or not as key and version want it.
// Exactly one of Message, Produce, Fetch and Nothing is called.
type Reply struct{ reply }

// reply is the response's bytes, except that the extents belong between them: encoding copies no record.
type reply struct {
	key, version  int16
	correlationID int32
	filled        bool
	bytes         []byte // begins with the frame's size; empty: nothing is sent
	extents       []batch.Extent
	cuts          []cut
	records       int64 // the sum of the extents' lengths

	measure func(records int64) time.Duration // may be nil
	held    time.Duration
}

// cut is a place in bytes where extents belong: those up to the index end that belong to no cut before it.
type cut struct{ at, end int }

// keepBytes is how much memory a reply may have and still be used again.
const keepBytes = 64 << 10

var replies = sync.Pool{New: func() any { return new(Reply) }}

// NewReply returns an empty reply to rq. Release gives it back.
func NewReply(rq *Request) *Reply {
	r := replies.Get().(*Reply)
	r.key, r.version, r.correlationID = rq.Key, rq.Version, rq.CorrelationID
	return r
}

// Measure has by called when the reply is filled, with how many bytes of records it carries. For the time that by returns
// the client is to be silent; it is told so.
func (r *Reply) Measure(by func(records int64) time.Duration) { r.measure = by }

// Held is for how long the client is not to be heard, from when the reply was sent (KIP-219).
func (r *Reply) Held() time.Duration { return r.held }

// hold is called by what fills the reply, which carries that many bytes of records; the client is to be silent for so many
// milliseconds at least. It returns for how many it is to be.
func (r *Reply) hold(atLeast int32, records int64) (ms int32) {
	r.held = time.Duration(atLeast) * time.Millisecond
	if r.measure != nil {
		r.held = max(r.held, r.measure(records))
	}
	return int32(min((r.held+time.Millisecond-1)/time.Millisecond, math.MaxInt32))
}

// Message is the ordinary reply, encoded by kmsg at the request's version.
func (r *Reply) Message(m kmsg.Response) {
	m.SetVersion(r.version)
	r.throttle(m)
	// Whoever reads an ApiVersions response does not know yet which versions we speak, so its header is never flexible.
	r.begin(m.IsFlexible() && r.key != apiVersions)
	r.bytes = m.AppendTo(r.bytes)
	r.finish()
}

// throttle tells the client how long to be silent, if its version can.
func (r *Reply) throttle(m kmsg.Response) {
	told, ok := m.(interface {
		kmsg.ThrottleResponse
		kmsg.SetThrottleResponse
	})
	if !ok {
		r.hold(0, 0)
		return
	}
	ms, _ := told.Throttle()
	if ms = r.hold(ms, recordsIn(m)); ms > 0 {
		told.SetThrottle(ms)
	}
}

// recordsIn is how many bytes of records an ordinary reply carries: only ShareFetch's has any.
func recordsIn(m kmsg.Response) (n int64) {
	if share, ok := m.(*kmsg.ShareFetchResponse); ok {
		for _, t := range share.Topics {
			for i := range t.Partitions {
				n += int64(len(t.Partitions[i].Records))
			}
		}
	}
	return n
}

// Produce and Fetch are encoded by hand, byte for byte as kmsg would. Fetch takes over the extents and releases them
// when they were sent or the connection broke.
func (r *Reply) Produce(p *ProduceResponse) {
	throttle := r.hold(0, 0)
	r.begin(r.version >= 9)
	e := encoder{b: r.bytes}
	e.produce(p, r.version, throttle)
	r.bytes = e.b
	r.finish()
}

func (r *Reply) Fetch(f *FetchResponse) {
	throttle := r.hold(0, f.size())
	r.begin(r.version >= 12)
	e := encoder{b: r.bytes}
	r.fetch(&e, f, throttle)
	r.bytes = e.b
	r.finish()
}

// Nothing sends no reply: produce with acks=0.
func (r *Reply) Nothing() {
	r.hold(0, 0)
	r.fill()
}

// Filled says whether one of Message, Produce, Fetch and Nothing was called.
func (r *Reply) Filled() bool { return r.filled }

// Len is the number of bytes that will be sent: the size, the header, the body, the records.
func (r *Reply) Len() int64 { return int64(len(r.bytes)) + r.records }

// Memory is how much of Len lies in memory, and not in files.
func (r *Reply) Memory() int64 {
	n := int64(len(r.bytes))
	for i := range r.extents {
		n += int64(len(r.extents[i].Mem))
	}
	return n
}

// Release gives back the extents and the reply itself, which must not be used any more.
func (r *Reply) Release() {
	for i := range r.extents {
		r.extents[i].Release()
	}
	clear(r.extents)
	keep := reply{bytes: r.bytes[:0], extents: r.extents[:0], cuts: r.cuts[:0]}
	if cap(keep.bytes) > keepBytes {
		keep.bytes = nil
	}
	r.reply = keep
	replies.Put(r)
}

func (r *Reply) unsupported() {
	r.begin(false)
	r.bytes = binary.BigEndian.AppendUint16(r.bytes, uint16(kerr.UnsupportedVersion))
	r.finish()
}

// oldest is Message with the response's version 0, whatever the request's was.
func (r *Reply) oldest(m kmsg.Response) {
	r.version = 0
	r.Message(m)
}

func (r *Reply) fill() {
	if r.filled {
		panic("wire: a reply was filled twice")
	}
	r.filled = true
}

// begin appends the size, to be set by finish, and the response header: v1, with tags, when it is flexible, else v0.
func (r *Reply) begin(flexible bool) {
	r.fill()
	r.bytes = append(r.bytes[:0], 0, 0, 0, 0)
	r.bytes = binary.BigEndian.AppendUint32(r.bytes, uint32(r.correlationID))
	if flexible {
		r.bytes = append(r.bytes, 0)
	}
}

func (r *Reply) finish() {
	size := r.Len() - 4
	if size > math.MaxInt32 {
		panic(fmt.Sprintf("wire: a response of %d bytes", size))
	}
	binary.BigEndian.PutUint32(r.bytes, uint32(size))
}

// insert puts the extents, of n bytes together, at the place at of the encoded bytes.
func (r *Reply) insert(at int, extents []batch.Extent, n int64) {
	if len(extents) == 0 {
		return
	}
	r.extents = append(r.extents, extents...)
	r.cuts = append(r.cuts, cut{at, len(r.extents)})
	r.records += n
}
