package group

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"chronik/cluster/coordinator"
	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

var topicT = image.TopicID{15: 1}

// withTopic is an image with topic "t" of two partitions.
func withTopic(t rapid.TB) *image.Image {
	recs := []image.Record{image.TopicRecord{ID: topicT, Name: "t"}}
	for i := range int32(2) {
		recs = append(recs, image.PartitionRecord{Topic: topicT, Partition: image.Partition{Number: i, Stream: uint64(i + 1)}})
	}
	img, _, err := image.Empty().Apply(1, recs)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func testConfig() Config {
	return Config{
		MinSessionTimeout: 6 * time.Second, MaxSessionTimeout: 30 * time.Minute, InitialRebalanceDelay: 3 * time.Second,
		MaxSize: 1000, OffsetMetadataMax: 4096, OffsetsRetention: 7 * 24 * time.Hour,
	}
}

// world is a machine with time and a metadata log that are moved by hand.
type world struct {
	t           rapid.TB
	img         *image.Image
	config      Config
	groupConfig config.Group
	now         coordinator.Instant
	m           *machine

	hold     bool // proposals stay in flight until apply or fail
	inFlight []coordinator.Proposal

	slow  bool // works stay undone until work
	works []coordinator.Work

	last     coordinator.Ticket
	open     map[coordinator.Ticket]string // calls that were not answered, with their labels
	answered func(label string, body any)
	recorded func(image.Record)
}

func newWorld(t rapid.TB) *world {
	w := &world{t: t, img: withTopic(t), config: testConfig(), open: map[coordinator.Ticket]string{}}
	w.now.Wall = 1_000_000
	w.answered, w.recorded = func(string, any) {}, func(image.Record) {}
	w.restart()
	return w
}

// restart loses all that is not in the image.
func (w *world) restart() {
	clear(w.open)
	w.inFlight, w.works = nil, nil
	w.make()
	w.slow = false
}

func (w *world) make() {
	e := env{
		image: func() *image.Image { return w.img }, config: func() Config { return w.config },
		group: func(string) config.Group { return w.groupConfig },
	}
	w.m = newMachine(e, "g", 0, w.now)
}

func (w *world) classic() *classicGroup { return w.m.kind.(*classicGroup) }

func (w *world) ticket(label string) coordinator.Ticket {
	w.last++
	w.open[w.last] = label
	return w.last
}

func (w *world) do(fn func(fx *coordinator.Effects)) {
	var fx coordinator.Effects
	fn(&fx)
	w.settle(fx)
	for !w.slow && len(w.works) > 0 || !w.hold && len(w.inFlight) > 0 {
		if !w.slow && len(w.works) > 0 {
			w.work()
		} else {
			w.apply()
		}
	}
}

// work has the oldest work done.
func (w *world) work() {
	is := w.works[0]
	w.works = w.works[1:]
	is.Do()
	var fx coordinator.Effects
	is.Then(w.now, &fx)
	w.settle(fx)
}

func (w *world) settle(fx coordinator.Effects) {
	for _, a := range fx.Answers {
		label, ok := w.open[a.To]
		if !ok {
			w.t.Fatalf("ticket %d was answered twice: %v", a.To, a.Body)
		}
		delete(w.open, a.To)
		w.answered(label, a.Body)
	}
	w.inFlight = append(w.inFlight, fx.Proposals...)
	w.works = append(w.works, fx.Works...)
	if len(w.inFlight)+len(w.works) == 0 && w.m.Idle() {
		w.make()
	}
}

// mostBytes is what the log takes at once (metalog).
const mostBytes = 1<<20 - 64

// apply has the oldest proposal agreed on, unless it is too large.
func (w *world) apply() {
	p := w.inFlight[0]
	if sizeOf(w.t, p.Records) > mostBytes {
		w.fail(kerr.RecordListTooLarge)
		return
	}
	w.inFlight = w.inFlight[1:]
	img, _, err := w.img.Apply(w.img.Index()+1, p.Records)
	if err != nil {
		w.t.Fatal(err)
	}
	w.img = img
	for _, r := range p.Records {
		w.recorded(r)
	}
	w.outcome(p, nil)
}

func sizeOf(t rapid.TB, recs []image.Record) (size int) {
	for _, r := range recs {
		b, err := image.Append(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		size += len(b)
	}
	return size
}

func (w *world) fail(err error) {
	p := w.inFlight[0]
	w.inFlight = w.inFlight[1:]
	w.outcome(p, err)
}

func (w *world) outcome(p coordinator.Proposal, err error) {
	var fx coordinator.Effects
	p.Then(w.now, err, &fx)
	w.settle(fx)
}

// wait lets time pass, stopping at each deadline.
func (w *world) wait(d time.Duration) {
	end := w.now.Up + d
	for calls := 0; ; calls++ {
		at, ok := w.m.Deadline()
		if !ok || at > end {
			w.advance(end)
			return
		}
		w.advance(max(at, w.now.Up))
		w.do(func(fx *coordinator.Effects) { w.m.Expire(w.now, fx) })
		if calls > 10_000 {
			w.t.Fatalf("the deadline %s does not move", at)
		}
	}
}

func (w *world) advance(to time.Duration) {
	w.now.Wall += (to - w.now.Up).Milliseconds()
	w.now.Up = to
}

// subscribing is the metadata of a consumer that subscribes to topics.
func subscribing(topics ...string) []byte {
	s := kmsg.NewConsumerMemberMetadata()
	s.Topics = topics
	return s.AppendTo(nil)
}

func show(body any) string {
	switch b := body.(type) {
	case *kmsg.JoinGroupResponse:
		return showJoin(b)
	case *kmsg.SyncGroupResponse:
		if b.ErrorCode != 0 {
			return kerr.Code(b.ErrorCode).String()
		}
		return fmt.Sprintf("assignment=%q protocol=%s/%s", b.MemberAssignment, *b.ProtocolType, *b.Protocol)
	case deletedOffsets:
		return fmt.Sprint(b.code, " subscribed=", slices.Collect(keysOf(b.subscribed)))
	}
	return fmt.Sprint(body)
}

func keysOf(m map[string]bool) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func showJoin(b *kmsg.JoinGroupResponse) string {
	if b.ErrorCode != 0 {
		return fmt.Sprintf("%s member=%s", kerr.Code(b.ErrorCode), b.MemberID)
	}
	s := fmt.Sprintf("generation=%d member=%s leader=%s protocol=%s", b.Generation, b.MemberID, b.LeaderID, *b.Protocol)
	if len(b.Members) > 0 {
		var list []string
		for _, m := range b.Members {
			id := m.MemberID
			if m.InstanceID != nil {
				id += "(" + *m.InstanceID + ")"
			}
			list = append(list, id)
		}
		s += " members=" + strings.Join(list, ",")
	}
	if b.SkipAssignment {
		s += " skip-assignment"
	}
	return s
}

func showRecord(r image.Record) string {
	switch r := r.(type) {
	case image.GroupRecord:
		s := fmt.Sprintf("record: generation=%d protocol=%s leader=%s", r.Group.Generation, r.Group.Protocol, r.Group.Leader)
		for _, m := range r.Group.Members {
			s += fmt.Sprintf(" %s=%s", m.ID, m.Assignment)
		}
		return s
	case image.OffsetsRecord:
		s := "record: offsets"
		for _, o := range r.Offsets {
			s += fmt.Sprintf(" t/%d=%d", o.Partition, o.Offset.Offset)
		}
		return s
	case image.RemoveOffsetsRecord:
		s := "record: remove offsets"
		for _, p := range r.Partitions {
			s += fmt.Sprintf(" t/%d", p.Partition)
		}
		return s
	case image.GroupStateRecord:
		s := "record: " + strings.ToLower(r.GroupKind.String())
		for _, e := range r.Entries {
			if s += " "; e.Value == nil {
				s += "-"
			}
			s += string(e.Key)
		}
		return s
	}
	return fmt.Sprintf("record: %T", r)
}
