package metalog

import (
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// Two of three are lost, and the third goes on alone. When the two turn out to live they are a quorum of what was before,
// know the survivor as a voter, and may be in a later term: they must not bring it back, nor overwrite what it has agreed on.
func TestARecoveredLogTakesNothingFromTheLost(t *testing.T) {
	for _, compacted := range []bool{false, true} {
		c := founded(t, 3)
		for i := range int64(80) {
			mustProposeAnywhere(c, image.ProducerIDsRecord{Start: i, Count: 1})
		}
		if compacted {
			if err := c.logs[2].Snapshot(); err != nil {
				t.Fatal(err)
			}
		}
		c.same()
		cluster, was := c.logs[0].ClusterID(), c.logs[2].identity
		c.close(2)
		mustProposeAnywhere(c, topic("agreed on without the survivor"))
		c.close(0)
		c.close(1)

		from := c.path(2)
		s, err := Examine(from)
		if err != nil {
			t.Fatal(err)
		}
		if s.Self.ID != string(was.serverID()) || !s.Self.Voter || len(s.Servers) != 3 || s.Cluster != cluster ||
			s.Image.NextProducerID() != 80 || s.Index < 80 || s.Term == 0 || s.At.IsZero() {
			t.Fatalf("%+v", s)
		}
		to := filepath.Join(t.TempDir(), "recovered")
		if err := s.Recover(to, []image.Record{topic("recovered")}); err != nil {
			t.Fatal(err)
		}
		if again, err := Examine(from); err != nil || again.Index != s.Index || again.Self.ID != s.Self.ID {
			t.Fatal("the old log has changed", again, err)
		}
		recovered := func() *Log {
			l, err := Open(Options{Dir: to, NodeID: 3, Net: c.ports[2], Logger: testLogger(3)})
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		l := recovered()
		if err := l.Ready(c.soon()); err != nil {
			t.Fatal(err)
		}
		if l.identity.server == was.server || l.identity.incarnation != was.incarnation || l.ClusterID() != cluster {
			t.Errorf("it was %+v and is %+v", was, l.identity)
		}
		c.open(0)
		c.open(1)
		mustProposeAnywhere(c, topic("the lost live")) // the survivor is in vain dialled for all that
		mustPropose(t, l, topic("agreed on by the survivor"))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = recovered()
		if err := l.Sync(c.soon()); err != nil {
			t.Fatal(err)
		}
		img := l.Image()
		for name, want := range map[string]bool{"recovered": true, "agreed on by the survivor": true,
			"agreed on without the survivor": false, "the lost live": false} {
			if _, is := img.TopicNamed(name); is != want {
				t.Errorf("topic %q: %v", name, is)
			}
		}
		if img.NextProducerID() != 80 || uint64(img.Index()) < s.Index+Leap {
			t.Errorf("%d producer ids, index %d behind %d", img.NextProducerID(), img.Index(), s.Index)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// What cannot be read, or is in use, is not recovered from.
func TestADamagedOrUsedLogIsNotExamined(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir)
	mustPropose(t, l, image.ClusterRecord{ID: uuid.New()})
	if _, err := Examine(dir); err == nil {
		t.Error("a log in use")
	}
	if _, err := Lock(dir); err == nil {
		t.Error("a log in use is locked")
	}
	mustClose(t, l)
	s, err := Examine(dir)
	if err != nil || s.Cluster == uuid.Nil {
		t.Fatal(s, err)
	}
	to := filepath.Join(t.TempDir(), "to")
	if err := s.Recover(to, []image.Record{image.RemoveTopicRecord{}}); kerr.Of(err) != kerr.UnknownTopicID {
		t.Error("records that are refused", err)
	}
	change(t, filepath.Join(dir, storeFile), func(b []byte) []byte { b[30] ^= 1; return b })
	if _, err := Examine(dir); err == nil {
		t.Error("a damaged log")
	}
}
