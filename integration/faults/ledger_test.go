package faults

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// An outcome is what a client knows of what it asked for. What was never answered stays unknown: the broker may have
// done it or not, but only until somebody has seen which.
type outcome int

const (
	unknown outcome = iota
	done
	refused
)

// A recordID names a record, and it is the record's key. Nothing is sent twice under one by the test; what the client
// does to get it through is another matter.
type recordID struct {
	topic, partition, producer uint32
	sequence                   uint64
}

const recordIDSize = 20

func (id recordID) key() []byte {
	b := make([]byte, 0, recordIDSize)
	for _, n := range []uint32{id.topic, id.partition, id.producer} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return binary.BigEndian.AppendUint64(b, id.sequence)
}

func parseRecordID(key []byte) (id recordID, ok bool) {
	if len(key) != recordIDSize {
		return id, false
	}
	n := func(at int) uint32 { return binary.BigEndian.Uint32(key[at:]) }
	return recordID{n(0), n(4), n(8), binary.BigEndian.Uint64(key[12:])}, true
}

func (id recordID) String() string {
	return fmt.Sprintf("record %d of producer %d for %d/%d", id.sequence, id.producer, id.topic, id.partition)
}

var contentSeed = maphash.MakeSeed()

// contentHash is of all that a reader must be given as it was sent.
func contentHash(r *kgo.Record) uint64 {
	var h maphash.Hash
	h.SetSeed(contentSeed)
	part := func(b []byte) {
		maphash.WriteComparable(&h, len(b))
		_, _ = h.Write(b) // never fails
	}
	part(r.Key)
	part(r.Value)
	for _, header := range r.Headers {
		part([]byte(header.Key))
		part(header.Value)
	}
	maphash.WriteComparable(&h, r.Timestamp.UnixMilli())
	return h.Sum64()
}

// A sent is what is known of a record.
type sent struct {
	hash    uint64
	outcome outcome
	offset  int64 // where it is acknowledged
	repeats bool  // its producer may write it more than once: it retries, and is not idempotent
}

// A partitionLedger is what is known of one partition: what was sent to it, what readers were shown, and where it
// starts. Once a record was shown at an offset it must stay there, acknowledged or not.
type partitionLedger struct {
	sent  map[recordID]*sent
	shown map[int64]recordID
	start register
	acked int64 // the offset after the last acknowledged record
}

func newPartitionLedger() *partitionLedger {
	return &partitionLedger{sent: map[recordID]*sent{}, shown: map[int64]recordID{}}
}

// A register is a value that one client at a time sets, and that must outlive the broker.
type register struct {
	is  int64
	may []int64 // values that were asked for since, with an unknown outcome
}

func (r *register) ask(v int64) { r.may = append(r.may, v) }

// settle is the outcome of the last ask.
func (r *register) settle(o outcome) {
	last := len(r.may) - 1
	switch o {
	case done:
		r.is, r.may = r.may[last], nil
	case refused:
		r.may = r.may[:last]
	}
}

func (r *register) permits(v int64) bool { return v == r.is || slices.Contains(r.may, v) }

// found is what the register holds after whoever could still change it is gone.
func (r *register) found(v int64) { r.is, r.may = v, nil }

// is and may of a topic's existence.
const (
	absent  = 0
	present = 1
)

// A topicLedger is one topic from its creation to its deletion. Another one may have had the name before.
type topicLedger struct {
	name       string
	serial     uint32
	id         [16]byte // zero: not known yet
	lasting    bool     // never deleted
	deletedIn  int      // the load, if somebody has asked for it
	exists     register
	size       register // partitions
	retention  register // a config, in ms
	partitions []*partitionLedger
}

// usable: it was acknowledged, and nobody has asked for its deletion.
func (t *topicLedger) usable() bool { return t.exists.is == present && len(t.exists.may) == 0 }

func (t *topicLedger) gone() bool { return t.exists.is == absent && len(t.exists.may) == 0 }

// partition makes the ledger of a partition that there may be since someone asked for more.
func (t *topicLedger) partition(n int32) *partitionLedger {
	for int(n) >= len(t.partitions) {
		t.partitions = append(t.partitions, newPartitionLedger())
	}
	return t.partitions[n]
}

// A commit names a committed offset.
type commit struct {
	group     string
	topic     string
	partition int32
}

// A ledger is what all clients of one broker know. The broker's state must fit it at any time.
type ledger struct {
	mu        sync.Mutex
	topics    []*topicLedger
	commits   map[commit]*register
	producers map[int64]uint32 // by the id that the broker gave it
	wrong     []string         // what clients have met while the broker was running
	acked     int64
}

func newLedger() *ledger {
	return &ledger{commits: map[commit]*register{}, producers: map[int64]uint32{}}
}

// newTopic is for a topic that nobody has asked for yet.
func (l *ledger) newTopic(name string, partitions int32, lasting bool) *topicLedger {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := &topicLedger{name: name, serial: uint32(len(l.topics)), lasting: lasting}
	t.size.is, t.retention.is = int64(partitions), defaultRetention
	l.topics = append(l.topics, t)
	return t
}

const defaultRetention = 7 * 24 * 3600 * 1000

// with runs f with everything locked.
func (l *ledger) with(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// pick returns a topic that can be used. There is one: those that last.
func (l *ledger) pick(dice *rand.Rand, lastingOnly bool) *topicLedger {
	l.mu.Lock()
	defer l.mu.Unlock()
	var fit []*topicLedger
	for _, t := range l.topics {
		if t.usable() && (t.lasting || !lastingOnly) {
			fit = append(fit, t)
		}
	}
	return fit[dice.IntN(len(fit))]
}

// sizeOf is how many partitions a topic has.
func (l *ledger) sizeOf(t *topicLedger) int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int32(t.size.is)
}

// takeAcked returns how many records were acknowledged since the last call.
func (l *ledger) takeAcked() (n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, l.acked = l.acked, 0
	return n
}

// committed is where a commit is noted. Its value is read by none but who commits it.
func (l *ledger) committed(c commit) *register {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.commits[c] == nil {
		l.commits[c] = &register{is: nothingCommitted}
	}
	return l.commits[c]
}

// send notes a record before it is sent.
func (l *ledger) send(t *topicLedger, partition int32, id recordID, r *kgo.Record, repeats bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t.partition(partition).sent[id] = &sent{hash: contentHash(r), repeats: repeats}
}

// acknowledge notes that r has been acknowledged.
func (l *ledger) acknowledge(t *topicLedger, id recordID, r *kgo.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := t.partition(int32(id.partition))
	s := p.sent[id]
	s.outcome, s.offset = done, r.Offset
	l.acked++
	p.acked = max(p.acked, r.Offset+1)
	if r.Offset < 0 || r.Partition != int32(id.partition) {
		l.complain("%v was acknowledged at offset %d of partition %d", id, r.Offset, r.Partition)
	}
	if r.ProducerID < 0 {
		return
	}
	if other, given := l.producers[r.ProducerID]; given && other != id.producer {
		l.complain("producers %d and %d were both given the id %d", other, id.producer, r.ProducerID)
	}
	l.producers[r.ProducerID] = id.producer
}

// complain is called with the lock.
func (l *ledger) complain(format string, args ...any) {
	if len(l.wrong) < 20 {
		l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
	}
}

// met is what clients have met.
func (l *ledger) met() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.wrong)
}

// see notes what a reader was given while the broker was running.
func (l *ledger) see(t *topicLedger, partition int32, s sight) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := t.partition(partition)
	if problem := p.judge(s); problem != "" {
		l.complain("%s/%d, read under load: %s", t.name, partition, problem)
		return
	}
	p.shown[s.offset] = s.id
}
