package metalog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hashicorp/raft"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

func newFSM() *fsm { return &fsm{views: newViews(image.Empty(), 0), failure: newFailure()} }

// someEntries is a log in which proposals meet each other, and some are refused.
func someEntries(t *testing.T) []*raft.Log {
	random := rand.New(rand.NewPCG(1, 2))
	var entries []*raft.Log
	for index := range uint64(300) {
		var proposals [][]byte
		for range 1 + random.IntN(5) {
			name := fmt.Sprint(random.IntN(20))
			value := fmt.Sprint(index)
			var body []byte
			for _, r := range []image.Record{
				topic(name),
				image.PartitionRecord{Topic: topic(name).ID, Partition: image.Partition{Stream: 10*index + 10}},
				image.ConfigRecord{Resource: image.Resource{Type: image.BrokerResource, Name: name}, Name: name, Value: &value},
				commit("g"+name, topic(fmt.Sprint(random.IntN(20))).ID, int32(random.IntN(50))),
				image.RemoveTopicRecord{ID: topic(fmt.Sprint(random.IntN(20))).ID},
			}[random.IntN(3) : 3+random.IntN(3)] {
				var err error
				if body, err = image.Append(body, r); err != nil {
					t.Fatal(err)
				}
			}
			proposals = append(proposals, body)
		}
		entries = append(entries, &raft.Log{Index: index + 1, Term: 1, Data: sealEntry(1, proposals)})
	}
	return entries
}

// Three nodes apply one log, one of them from a snapshot in the middle of it: the same refusals, the same bytes.
func TestSameLogSameImage(t *testing.T) {
	nodes := []*fsm{newFSM(), newFSM(), newFSM()}
	refused := 0
	for i, entry := range someEntries(t) {
		var first []error
		for n, f := range nodes {
			done, ok := f.Apply(entry).(applied)
			if !ok {
				t.Fatal(f.failure.err())
			}
			if n == 0 {
				first = done.refused
			} else if !slices.EqualFunc(first, done.refused, func(a, b error) bool { return kerr.Of(a) == kerr.Of(b) }) {
				t.Fatalf("entry %d: %v, %v", entry.Index, first, done.refused)
			}
		}
		for _, err := range first {
			if err != nil {
				refused++
			}
		}
		if i == 150 {
			var b bytes.Buffer
			if err := nodes[1].views.image.Load().Encode(&b); err != nil {
				t.Fatal(err)
			}
			nodes[2] = newFSM()
			if err := nodes[2].Restore(io.NopCloser(&b)); err != nil {
				t.Fatal(err)
			}
		}
		if i%50 == 0 {
			sameHash(t, nodes)
		}
	}
	sameHash(t, nodes)
	if refused == 0 || nodes[0].views.image.Load().TopicCount() == 0 {
		t.Fatal("the log says too little")
	}
}

func sameHash(t *testing.T, nodes []*fsm) {
	t.Helper()
	want := hash(t, nodes[0].views.image.Load())
	for _, f := range nodes[1:] {
		if hash(t, f.views.image.Load()) != want {
			t.Fatal("another image")
		}
	}
}

// A snapshot that is damaged at its end leaves the image as it was, and fails the log.
func TestRestoreSwapsOnlyAWholeImage(t *testing.T) {
	f := newFSM()
	entries := someEntries(t)
	for _, e := range entries[:100] {
		f.Apply(e)
	}
	before := f.views.image.Load()
	b := []byte(hash(t, before))
	b[len(b)-1] ^= 1
	if err := f.Restore(io.NopCloser(bytes.NewReader(b))); err == nil || f.views.image.Load() != before || f.failure.err() == nil {
		t.Fatal(err)
	}
	if _, ok := f.Apply(entries[100]).(error); !ok || f.views.image.Load() != before {
		t.Fatal("applied after a failure")
	}
}

func TestWatcherIsToldOfARestore(t *testing.T) {
	f, other := newFSM(), newFSM()
	w := &watcher{t, image.Empty(), map[image.TopicID]bool{}}
	f.views.watch(w)
	for _, e := range someEntries(t)[:20] {
		other.Apply(e)
	}
	if err := f.Restore(io.NopCloser(bytes.NewReader([]byte(hash(t, other.views.image.Load()))))); err != nil {
		t.Fatal(err)
	}
	if w.last != f.views.image.Load() || len(w.seen) != w.last.TopicCount() {
		t.Fatal(len(w.seen))
	}
}

// steps records what a compaction deletes.
type steps struct {
	backend
	first   uint64
	deleted [][2]uint64
}

func (s *steps) FirstIndex() (uint64, error) { return s.first, nil }
func (s *steps) LastIndex() (uint64, error)  { return 10_000, nil }
func (s *steps) DeleteRange(min, max uint64) error {
	s.deleted = append(s.deleted, [2]uint64{min, max})
	return nil
}

func TestLogIsDeletedFromTheFrontInSteps(t *testing.T) {
	for _, c := range []struct {
		first, min, max uint64
		want            [][2]uint64
	}{
		{1, 1, 10, [][2]uint64{{1, 10}}},
		{1, 1, 2048, [][2]uint64{{1, 1024}, {1025, 2048}}},
		{1, 1, 2049, [][2]uint64{{1, 1024}, {1025, 2048}, {2049, 2049}}},
		{1, 5, 5000, [][2]uint64{{5, 5000}}},
		{1, 1, 10_000, [][2]uint64{{1, 10_000}}},
	} {
		under := &steps{first: c.first}
		st := &store{under: under, failure: newFailure()}
		if err := st.DeleteRange(c.min, c.max); err != nil || !slices.Equal(under.deleted, c.want) {
			t.Errorf("%v, %v", under.deleted, err)
		}
	}
}

// What a leader was sent in one term must not come into the log in a later one that it leads: its sender may have had
// something else agreed on meanwhile.
func TestEntriesOfAnotherTermCountForNothing(t *testing.T) {
	l := mustOpen(t, t.TempDir())
	mustPropose(t, l, topic("a"))
	body, err := image.Append(nil, topic("late"))
	if err != nil {
		t.Fatal(err)
	}
	term := l.raft.CurrentTerm()
	for _, c := range []struct {
		term uint64
		late bool
	}{{term - 1, true}, {term + 1, true}, {term, false}} {
		future := l.raft.Apply(sealEntry(c.term, [][]byte{body}), 0)
		if err := future.Error(); err != nil {
			t.Fatal(err)
		}
		done := future.Response().(applied)
		if _, there := l.Image().TopicNamed("late"); there == c.late || done.late != c.late {
			t.Errorf("term %d in %d: %+v", c.term, term, done)
		}
	}
	mustPropose(t, l, topic("b"))
}

// Entries of programs that did not write the term are applied.
func TestEntriesWithoutATermAreRead(t *testing.T) {
	body, err := image.Append(nil, topic("t"))
	if err != nil {
		t.Fatal(err)
	}
	entry := sealEntry(0, [][]byte{body})
	older := append(entry[:entryHeader:entryHeader], entry[entryHeader+1:]...)
	older[len(entryMagic)] = 1
	resum(older)
	proposals, late, err := openEntry(&raft.Log{Term: 7, Data: older})
	if err != nil || late || len(proposals) != 1 {
		t.Fatal(proposals, late, err)
	}
}

func FuzzEntry(f *testing.F) {
	f.Add(sealEntry(1, nil)[entryHeader:])
	body, _ := image.Append(nil, topic("t"))
	f.Add(sealEntry(1, [][]byte{body, nil, body})[entryHeader:])
	f.Fuzz(func(t *testing.T, body []byte) {
		entry := sealEntry(1, nil)
		if _, _, err := openEntry(&raft.Log{Term: 1, Data: body}); err == nil && len(body) < entryHeader {
			t.Fatal("a short entry")
		}
		// with the right checksum, so that what is behind it is met
		entry = append(entry[:entryHeader], body...)
		resum(entry)
		proposals, _, err := openEntry(&raft.Log{Term: 1, Data: entry})
		if err != nil {
			return
		}
		for _, recs := range proposals {
			for _, r := range recs {
				if _, err := image.Append(nil, r); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

func resum(entry []byte) {
	binary.BigEndian.PutUint32(entry[entryHeader-4:], crc32.Checksum(entry[entryHeader:], castagnoli))
}
