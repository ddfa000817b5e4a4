package image

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"chronik/kafka/kerr"
)

func encoded(t interface{ Fatal(...any) }, m *Image) []byte {
	var b bytes.Buffer
	if err := m.Encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// The image is what a naive model is, an image once made never changes, deltas tell all that changed, records and
// snapshots survive being written and read, and the same records give the same bytes.
func TestImageIsItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, plain, other := Empty(), newModel(), Empty()
		for index := Index(1); index < 30; index++ {
			var recs []Record
			for range rapid.IntRange(1, 5).Draw(t, "records") {
				recs = append(recs, anyRecord(t, m))
			}
			recs = throughBytes(t, recs)
			before := imageText(m)
			next, delta, err := m.Apply(index, recs)
			var code kerr.Code
			plain, code = plain.apply(index, recs)
			if kerr.Of(err) != code {
				t.Fatalf("%+v: %v, the model says %v", recs, err, code)
			}
			if imageText(m) != before {
				t.Fatalf("%+v changed the image before", recs)
			}
			if err != nil {
				continue
			}
			checkDelta(t, delta, m, next)
			m = next
			if got, want := imageText(m), plain.text(); got != want {
				t.Fatalf("after %+v\n%s\nthe model:\n%s", recs, got, want)
			}
			if other, _, err = other.Apply(index, recs); err != nil {
				t.Fatal(err)
			}
		}
		snapshot := encoded(t, m)
		if !bytes.Equal(snapshot, encoded(t, other)) {
			t.Fatal("the same records, other bytes")
		}
		read, err := Read(bytes.NewReader(snapshot))
		if err != nil {
			t.Fatal(err)
		}
		if imageText(read) != plain.text() || read.Index() != m.Index() || !bytes.Equal(encoded(t, read), snapshot) {
			t.Fatal("the snapshot is not the image")
		}
	})
}

// What proposals of an entry share makes no difference to what becomes of them.
func TestProposalsOfAnEntryAreAppliedInTurn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Empty()
		for index := Index(1); index < 12; index++ {
			var proposals [][]Record
			for range rapid.IntRange(0, 6).Draw(t, "proposals") {
				var recs []Record
				commits := rapid.Bool().Draw(t, "commits")
				for range rapid.IntRange(0, 3).Draw(t, "records") {
					if r := anyRecord(t, m); !commits {
						recs = append(recs, r)
					}
					g := anyName(t, "group")
					owner, epoch, since := anyOwner(t, m, g)
					recs = append(recs, OffsetsRecord{g, anyOffsets(t), owner, epoch, since})
				}
				proposals = append(proposals, recs)
			}
			want, touched := m, &Delta{}
			got, delta, refused, err := m.ApplyAll(index, proposals)
			if err != nil || len(refused) != len(proposals) {
				t.Fatal(refused, err)
			}
			for i, recs := range proposals {
				next, d, err := want.Apply(index, recs)
				if kerr.Of(err) != kerr.Of(refused[i]) {
					t.Fatalf("proposal %d: %v, alone %v", i, refused[i], err)
				}
				if err == nil {
					want, touched = next, d
				}
			}
			if !bytes.Equal(encoded(t, got), encoded(t, want)) || (delta == nil) != (touched.New == nil) {
				t.Fatalf("%s\nin turn\n%s", imageText(got), imageText(want))
			}
			if delta != nil {
				checkDelta(t, delta, m, got)
			}
			m = got
		}
	})
}

func throughBytes(t *rapid.T, recs []Record) []Record {
	var b []byte
	for _, r := range recs {
		var err error
		if b, err = Append(b, r); err != nil {
			t.Fatal(err)
		}
	}
	got, err := DecodeAll(b)
	if err != nil {
		t.Fatal(err)
	}
	var again []byte
	for _, r := range got {
		again, _ = Append(again, r)
	}
	if !bytes.Equal(b, again) {
		t.Fatalf("%+v\nbecame\n%+v", recs, got)
	}
	return got
}

// checkDelta holds a delta against the difference of its images: it must name all of that, and may name what was
// changed and changed back.
func checkDelta(t *rapid.T, d *Delta, old, new *Image) {
	diff := Between(old, new)
	if d.Old != old || d.New != new || !covers(d.Topics, diff.Topics) || !covers(d.Brokers, diff.Brokers) ||
		!covers(d.Groups, diff.Groups) || !covers(d.Configs, diff.Configs) {
		t.Fatalf("delta %+v, the difference is %+v", d, diff)
	}
}

func covers[T comparable](all, some []T) bool {
	for i, v := range all {
		if slices.Contains(all[:i], v) {
			return false
		}
	}
	for _, v := range some {
		if !slices.Contains(all, v) {
			return false
		}
	}
	return true
}

func TestApplyIsAllOrNone(t *testing.T) {
	id := uuid.UUID{1}
	m, _, err := Empty().Apply(1, []Record{TopicRecord{ID: id, Name: "t"}})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = m.Apply(2, []Record{
		PartitionRecord{id, Partition{Number: 0, Stream: 1}},
		RemoveTopicRecord{id},
		RemoveTopicRecord{id},
	})
	if kerr.Of(err) != kerr.UnknownTopicID {
		t.Fatal(err)
	}
	if topic, ok := m.TopicNamed("t"); !ok || len(topic.Partitions) != 0 || m.NextStream() != 1 {
		t.Fatal("a refused proposal left traces")
	}
}

// A snapshot that cannot be written leaves a log that grows for ever: long metadata, each committed in a record of its
// own, must not add up to an item that is too large.
func TestSnapshotHoldsLongMetadata(t *testing.T) {
	id := uuid.UUID{1}
	m, _, err := Empty().Apply(1, []Record{TopicRecord{ID: id, Name: "t"}})
	for p := int32(0); p < 2*offsetsPerItem && err == nil; p++ {
		o := PartitionOffset{TopicPartition{id, p}, Offset{Offset: int64(p), Metadata: strings.Repeat("m", 100_000)}}
		m, _, err = m.Apply(2, []Record{OffsetsRecord{Group: "g", Offsets: []PartitionOffset{o}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := m.Encode(&b); err != nil {
		t.Fatal(err)
	}
	again, err := Read(&b)
	if err != nil {
		t.Fatal(err)
	}
	if d := Between(m, again); again.Index() != 2 || len(d.Groups) != 1 {
		t.Fatal(d)
	}
	for p := range int32(2 * offsetsPerItem) {
		was, _ := m.Offset("g", id, p)
		if is, ok := again.Offset("g", id, p); !ok || is != was {
			t.Fatalf("partition %d: %v", p, is.Offset)
		}
	}
}

// One proposal may create a topic, configure it, fill it and delete it again; nothing of it may stay.
func TestDeletedTopicLeavesNothing(t *testing.T) {
	id, value := uuid.UUID{1}, "1"
	m, d, err := Empty().Apply(1, []Record{
		TopicRecord{ID: id, Name: "t"},
		PartitionRecord{id, Partition{Stream: 7}},
		ConfigRecord{Resource{TopicResource, "t"}, "retention.ms", &value},
		OffsetsRecord{Group: "g", Offsets: []PartitionOffset{{TopicPartition{id, 0}, Offset{Offset: 5}}}},
		RemoveTopicRecord{id},
	})
	if err != nil {
		t.Fatal(err)
	}
	if m.TopicCount() != 0 || m.PartitionCount() != 0 || m.Configs(Resource{TopicResource, "t"}) != nil {
		t.Fatal(imageText(m))
	}
	if _, ok := m.Offset("g", id, 0); ok || m.NextStream() != 8 {
		t.Fatal(imageText(m))
	}
	if !slices.Equal(d.Topics, []TopicID{id}) || !slices.Equal(d.Groups, []string{"g"}) {
		t.Fatalf("%+v", d)
	}
}

func TestTopicsFrom(t *testing.T) {
	var recs []Record
	for i, name := range []string{"b", "a", "c", "bb", "ba"} {
		recs = append(recs, TopicRecord{ID: uuid.UUID{byte(i + 1)}, Name: name})
	}
	m, _, err := Empty().Apply(1, recs)
	if err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string][]string{
		"": {"a", "b", "ba", "bb", "c"}, "b": {"b", "ba", "bb", "c"}, "bab": {"bb", "c"}, "d": nil, "c": {"c"},
	} {
		var got []string
		m.TopicsFrom(from, func(topic *Topic) bool { got = append(got, topic.Name); return true })
		if !slices.Equal(got, want) {
			t.Errorf("from %q: %v, want %v", from, got, want)
		}
	}
}

func TestDeltasJoin(t *testing.T) {
	a, b := uuid.UUID{1}, uuid.UUID{2}
	one, first, _ := Empty().Apply(1, []Record{TopicRecord{ID: a, Name: "a"}, FeatureRecord{"f", 1}})
	two, second, err := one.Apply(1, []Record{TopicRecord{ID: b, Name: "b"}, PartitionRecord{a, Partition{Stream: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	d := Join([]*Delta{first, second})
	if d.Old != Empty() || d.New != two || !reflect.DeepEqual(d.Topics, []TopicID{a, b}) {
		t.Fatalf("%+v", d)
	}
}
