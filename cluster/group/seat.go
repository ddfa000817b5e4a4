package group

import (
	"encoding/binary"
	"hash/fnv"
	"slices"
	"time"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// seat is what every member has that the coordinator assigns work to: who it is, what it subscribes to, and up to which epoch of
// the group it has come.
type seat struct {
	id, instance, rack string // instance and rack are "" where there is none
	client             Client
	topics             []string      // subscribed to by name, sorted
	epoch, previous    int32         // the member's, and the one before it
	expires            time.Duration // when it is taken for gone, in Instant.Up
}

// Epochs that a member sends with other meanings than where it stands (KIP-848).
const (
	joining          int32 = 0
	leaving          int32 = -1
	leavingForAWhile int32 = -2 // a static member that will be back within its session
)

// checkEpoch says whether a member that says to be at an epoch may go on. One at the epoch before has missed an answer, and
// may lag unless it holds what is not its own any more.
func (s *seat) checkEpoch(received int32, mayLag bool) kerr.Code {
	if received == s.epoch || received == s.previous && received < s.epoch && mayLag {
		return kerr.None
	}
	return kerr.FencedMemberEpoch
}

// advance brings the member to an epoch.
func (s *seat) advance(epoch int32) {
	if epoch != s.epoch {
		s.previous, s.epoch = s.epoch, epoch
	}
}

// epochs is the state of a group beside its members, as its entry keeps it.
type epochs struct {
	group      int32  // of the subscriptions and topics
	assignment int32  // of the group that the targets were made for
	topics     uint64 // fingerprint of the topics that are subscribed to
	since      int64  // when the last member left, ms; 0 while there are any or never were
}

func (e epochs) encode() []byte {
	dst := appendNumber(appendNumber([]byte{entryVersion}, e.group), e.assignment)
	return appendNumber(binary.BigEndian.AppendUint64(dst, e.topics), e.since)
}

func readEpochs(value []byte) (e epochs, ok bool) {
	r := &reader{rest: value}
	r.version()
	e.group, e.assignment = readNumber[int32](r), readNumber[int32](r)
	if b := r.take(8); b != nil {
		e.topics = binary.BigEndian.Uint64(b)
	}
	e.since = readNumber[int64](r)
	return e, r.done()
}

// left notes that the group has members, or since when it has none.
func (e *epochs) left(members int, now coordinator.Instant) {
	if members > 0 {
		e.since = 0
	} else if e.since == 0 {
		e.since = now.Wall
	}
}

// fingerprint stands for which of the topics there are, and how many partitions they have.
func fingerprint(img *image.Image, names []string) uint64 {
	h := fnv.New64a()
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		if t, ok := img.TopicNamed(name); ok {
			_, _ = h.Write(append(binary.BigEndian.AppendUint32(t.ID[:], uint32(len(t.Partitions))), name...))
		}
	}
	return h.Sum64()
}
