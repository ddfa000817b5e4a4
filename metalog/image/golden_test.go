package image

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew; only for a record that has never been released")

// samples is a record of each kind with every field set, so that each encoding is pinned down.
func samples() []Record {
	topic, value := uuid.UUID{0: 1, 15: 2}, "604800000"
	partition := Partition{
		Number: 0, Stream: 300, Replicas: []BrokerID{1, 2, 3}, ISR: []BrokerID{1, 2}, ELR: []BrokerID{3},
		Adding: []BrokerID{4}, Removing: []BrokerID{1}, Leader: 2, LeaderEpoch: 5, Epoch: 7,
	}
	changed := partition
	changed.Leader, changed.LeaderEpoch, changed.ISR = NoBroker, 6, nil
	return []Record{
		ClusterRecord{uuid.UUID{0: 0xc1, 15: 0x01}},
		BrokerRecord{ID: 1, Incarnation: uuid.UUID{7: 9}, Rack: "r1", Endpoints: []Endpoint{{"PLAINTEXT", "", 9092}, {"SSL", "b.example", 9093}}, Fenced: true},
		BrokerRecord{ID: 2, Incarnation: uuid.UUID{7: 10}, Features: []FeatureRange{{"metadata.version", 1, 25}, {"group.version", 0, 1}}},
		BrokerRecord{ID: 3, Incarnation: uuid.UUID{7: 11}, Fenced: true, Run: uuid.UUID{8: 1}, Before: uuid.UUID{8: 2}},
		FenceRecord{1, 1, false},
		TopicRecord{topic, "orders", true},
		PartitionRecord{topic, partition},
		PartitionChange{topic, 7, changed},
		ConfigRecord{Resource{TopicResource, "orders"}, "retention.ms", &value},
		ConfigRecord{Resource{BrokerResource, ""}, "retention.ms", nil},
		ProducerIDsRecord{1, 0, 1000},
		FeatureRecord{"metadata.version", 25},
		GroupRecord{Owner: 1, OwnerEpoch: 1, OwnerSince: 0, Group: Group{
			ID: "g", ProtocolType: "consumer", Generation: 3, Protocol: "range", Leader: "m1", StateSince: 1700000000000,
			Members: []Member{{"m1", "i1", "c1", "/10.0.0.1", 300000, 45000, []byte{1, 2}, []byte{3}}}}},
		OffsetsRecord{"g", []PartitionOffset{{TopicPartition{topic, 0}, Offset{1 << 40, -1, "note", 1700000000001}}}, 1, 1, 0},
		OffsetsRecord{"only offsets", []PartitionOffset{{TopicPartition{topic, 70}, Offset{0, 0, "", 0}}}, NoBroker, -1, -1},
		RemoveOffsetsRecord{"g", []TopicPartition{{topic, 3}}, 1, 1, -1},
		RemoveGroupRecord{"none", 2, 1, 0},
		GroupStateRecord{"s", ShareGroup, []GroupEntry{{[]byte{1}, []byte{2, 3}}, {[]byte{4}, []byte{}}, {[]byte{5}, nil}}, NoBroker, -1, -1},
		SetShareRecord{"s", TopicPartition{topic, 0}, 3, []byte{6}, false, NoBroker, -1, -1},
		SetShareRecord{"s", TopicPartition{topic, 9}, 3, nil, true, 1, -1, -1},
		TopicRecord{uuid.UUID{3}, "gone", false},
		PartitionRecord{uuid.UUID{3}, Partition{Stream: 301, Replicas: []BrokerID{1, 2}, ISR: []BrokerID{1, 2}, Leader: 2, LeaderEpoch: 5}},
		SetShareRecord{"t", TopicPartition{uuid.UUID{3}, 0}, 1, nil, false, NoBroker, -1, -1},
		ShareRecord{"t", TopicPartition{uuid.UUID{3}, 0}, 1, 2, 5, []byte{7}},
		ISRRecord{Topic: uuid.UUID{3}, Partition: 0, From: 0, Leader: 2, LeaderEpoch: 5, MinISR: 2, ISR: []ISRMember{{2, 1}}},
		RemoveTopicRecord{uuid.UUID{3}},
		ControlledShutdownRecord{2, 1},
		UnregisterBrokerRecord{3, 1},
	}
}

func golden(t *testing.T, name, got string) string {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(want)
}

// What has been written once must be read for ever, and the same record must give the same bytes on every node.
func TestRecordEncodingsStay(t *testing.T) {
	var text strings.Builder
	kinds := map[Kind]bool{}
	for _, r := range samples() {
		b, err := Append(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		kinds[r.Kind()] = true
		fmt.Fprintf(&text, "%d %s %x\n", r.Kind(), r.Kind(), b)
	}
	if len(kinds) != maxKind {
		t.Fatalf("samples of %d kinds, there are %d", len(kinds), maxKind)
	}
	want := golden(t, "records.txt", text.String())
	if want != text.String() {
		t.Errorf("encodings have changed: give the record a new version instead\ngot:\n%swant:\n%s", text.String(), want)
	}
	lines := strings.Split(strings.TrimSpace(want), "\n")
	for i, r := range samples() {
		b, err := hex.DecodeString(lines[i][strings.LastIndex(lines[i], " ")+1:])
		if err != nil {
			t.Fatal(err)
		}
		got, rest, err := Decode(b)
		if err != nil || len(rest) != 0 || !reflect.DeepEqual(got, r) {
			t.Errorf("%s: %+v, %v\nwant %+v", lines[i], got, err, r)
		}
	}
}

// What older programs wrote (the files named _1 to _4) is read as what it meant. They did not note who led last.
func TestOldEncodingsAreRead(t *testing.T) {
	for _, version := range []string{"1", "2", "3", "4"} {
		recs, err := DecodeAll(unlisted(t, "records_"+version+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		if r, first := recs[10].(GroupRecord); first && (r.Group.ID != "g" || r.Owner != NoBroker || r.OwnerEpoch != -1) {
			t.Errorf("%+v", r)
		}
		m, _, err := Empty().Apply(1, recs)
		if err != nil {
			t.Fatal(err)
		}
		for topic := range m.Topics {
			for _, p := range topic.Partitions {
				p.LastKnownELR = nil
			}
		}
		dump, err := os.ReadFile(filepath.Join("testdata", "snapshot_"+version+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		read, err := Read(bytes.NewReader(undump(t, string(dump))))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := imageText(read), imageText(m); got != want || read.Coordinator("g") != 1 {
			t.Errorf("%s\nwant\n%s", got, want)
		}
	}
}

// unlisted is the records of a golden file, which has one a line, behind its name.
func unlisted(t *testing.T, file string) (b []byte) {
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if b, err = hex.AppendDecode(b, []byte(line[strings.LastIndex(line, " ")+1:])); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// undump is the opposite of hex.Dump.
func undump(t *testing.T, text string) (b []byte) {
	for line := range strings.Lines(text) {
		if len(line) < 10 {
			continue
		}
		digits, _, _ := strings.Cut(line[8:], "|")
		var err error
		if b, err = hex.AppendDecode(b, []byte(strings.ReplaceAll(digits, " ", ""))); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// Every kind and its version stand in the table of FORMAT.md.
func TestFormatListsEveryKind(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "FORMAT.md"))
	if err != nil {
		t.Fatal(err)
	}
	for k := Kind(1); k <= maxKind; k++ {
		if line := fmt.Sprintf("\n| %d | %s | %d | ", k, k, kinds[k].version()); !strings.Contains(string(text), line) {
			t.Errorf("FORMAT.md has no line %q", line)
		}
	}
}

func sampleImage(t testing.TB) *Image {
	m, _, err := Empty().Apply(1, samples())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSnapshotEncodingStays(t *testing.T) {
	m := sampleImage(t)
	got := hex.Dump(encoded(t, m))
	if want := golden(t, "snapshot.txt", got); want != got {
		t.Errorf("the snapshot has changed: give it a new version instead\ngot:\n%swant:\n%s", got, want)
	}
}

func TestStrangeRecordsAreErrors(t *testing.T) {
	good, err := Append(nil, TopicRecord{uuid.UUID{1}, "t", false})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"unknown kind":     {append([]byte{maxKind + 1}, good[1:]...), ErrUnknown},
		"kind 0":           {append([]byte{0}, good[1:]...), ErrUnknown},
		"kind beyond 16 b": {append([]byte{0x84, 0x80, 0x04}, good[1:]...), ErrUnknown},
		"newer version":    {append([]byte{good[0], 2}, good[2:]...), ErrUnknown},
		"version 0":        {append([]byte{good[0], 0}, good[2:]...), ErrUnknown},
		"cut":              {good[:len(good)-1], ErrCorrupt},
		"field too many":   {append([]byte{good[0], good[1], good[2] + 1}, append(good[3:len(good):len(good)], 0)...), ErrCorrupt},
		"no boolean":       {append(good[:len(good)-1:len(good)], 2), ErrCorrupt},
		"empty":            {nil, ErrCorrupt},
	} {
		if r, _, err := Decode(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if _, err := Append(nil, foreign{}); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	if _, _, err := Empty().Apply(1, []Record{foreign{}}); err == nil {
		t.Error("applied a foreign record")
	}
}

type foreign struct{}

func (foreign) Kind() Kind { return 4 }

// Every cut and every flipped bit of a snapshot is found.
func TestDamagedSnapshotIsRefused(t *testing.T) {
	b := encoded(t, sampleImage(t))
	if _, err := Read(bytes.NewReader(append(b[:len(b):len(b)], 0))); !errors.Is(err, ErrCorrupt) {
		t.Error("bytes too many:", err)
	}
	for i := range b {
		if _, err := Read(bytes.NewReader(b[:i])); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut at %d: %v", i, err)
		}
		b[i] ^= 0x10
		if _, err := Read(bytes.NewReader(b)); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrUnknown) {
			t.Errorf("flipped at %d: %v", i, err)
		}
		b[i] ^= 0x10
	}
}
