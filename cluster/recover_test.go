package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"chronik/cluster/controller"
	"chronik/metalog/image"
)

// Cut short at any step, a recovery leaves a node that starts as before, or one that does not start and whose recovery goes
// on; and what it had in sync is there in the end.
func TestARecoveryMayBeCutShortAtAnyStep(t *testing.T) {
	cut := errors.New("cut short")
	for stop := range 5 {
		o := options(t.TempDir())
		n := mustStart(t, o)
		topic := createTopic(t, n, "t")
		produce(t, n, topic)
		id, incarnation := n.Meta.ClusterID(), n.Meta.Incarnation()
		if _, err := Survive(o.Dir); err == nil || !strings.Contains(err.Error(), "stop the node first") {
			t.Fatal("of a running node:", err)
		}
		mustClose(t, n)

		s, err := Survive(o.Dir)
		if err != nil || s.Resumed || s.Cluster != id {
			t.Fatal(s, err)
		}
		step := 0
		err = s.recover(o.Logger, func(string) error {
			if step == stop {
				return cut
			}
			step++
			return nil
		})
		if err := errors.Join(s.Close()); err != nil {
			t.Fatal(err)
		}
		if stop < 4 != errors.Is(err, cut) {
			t.Fatal(stop, err)
		}
		switch {
		case stop < 3:
			mustClose(t, mustStart(t, o))
			if s, err = Survive(o.Dir); err != nil || s.Resumed {
				t.Fatal(stop, s, err)
			}
			if err := errors.Join(s.Recover(o.Logger), s.Close()); err != nil {
				t.Fatal(stop, err)
			}
		case stop == 3:
			if err := mustNotStart(t, o); !strings.Contains(err.Error(), "run chronik cluster recover, or migrate-metadata, again") {
				t.Fatal(err)
			}
			if s, err = Survive(o.Dir); err != nil || !s.Resumed {
				t.Fatal(stop, s, err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := os.Stat(filepath.Join(o.Dir, damagedDir, "metalog", "raft.db")); err != nil {
			t.Error("the old metadata log is not kept:", err)
		}
		n = mustStart(t, o)
		if n.Meta.ClusterID() != id || n.Meta.Incarnation() != incarnation {
			t.Error("another cluster or another incarnation")
		}
		if base := produce(t, n, topic); base != 1 {
			t.Errorf("the record after the recovery is at %d", base)
		}
		mustClose(t, n)
	}
}

// A recovery that was cut short before it took effect is over when the node has started as it was: were its metadata log lost
// later, what was left of that attempt would make it the only voter of a cluster that has gone on. While one is under way,
// the node does not start, and touches nothing of it.
func TestAnAttemptAtARecoveryEndsWithTheNextStart(t *testing.T) {
	o := options(t.TempDir())
	mustClose(t, mustStart(t, o))
	s, err := Survive(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	cut, fresh := errors.New("cut short"), filepath.Join(o.Dir, recoveringDir)
	err = s.recover(o.Logger, func(step string) error {
		if step != "set the old one aside" {
			return nil
		}
		if err := mustNotStart(t, o); !strings.Contains(err.Error(), "in use by another process") {
			t.Error("amid the recovery:", err)
		}
		if _, err := os.Stat(filepath.Join(fresh, "raft.db")); err != nil {
			t.Error("amid the recovery:", err)
		}
		return cut
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, cut) {
		t.Fatal(err)
	}
	mustClose(t, mustStart(t, o))
	if _, err := os.Stat(fresh); !errors.Is(err, os.ErrNotExist) {
		t.Error("it is still there:", err)
	}

	empty := options(t.TempDir())
	if err := os.MkdirAll(filepath.Join(empty.Dir, recoveringDir, "snapshots"), 0o700); err != nil {
		t.Fatal(err)
	}
	mustClose(t, mustStart(t, empty))
}

func TestOnlyADataDirectorySurvives(t *testing.T) {
	dir := t.TempDir()
	if _, err := Survive(dir); err == nil || !strings.Contains(err.Error(), "is no data directory") {
		t.Error(err)
	}
	if found, err := os.ReadDir(dir); err != nil || len(found) > 0 {
		t.Error("it was changed:", found, err)
	}
	if err := os.MkdirAll(filepath.Join(dir, recoveringDir, "snapshots"), 0o700); err != nil {
		t.Fatal(err)
	}
	if s, err := Survive(dir); err == nil {
		t.Error("half a recovery took the place of a metadata log", s)
	}
}

// A disk of one that was lost is another replica, however new it is: it registers under an epoch that its own note does not
// know, so it sets its metadata log aside, and it is in no ISR.
func TestTheDisksOfTheLostAreOtherReplicas(t *testing.T) {
	run, incarnation := uuid.New(), uuid.New()
	broker := func(id image.BrokerID, run uuid.UUID) image.BrokerRecord {
		return image.BrokerRecord{ID: id, Incarnation: incarnation, Endpoints: []image.Endpoint{{Name: "PLAINTEXT"}}, Run: run}
	}
	topic := uuid.New()
	partition := func(number int32, p image.Partition) image.PartitionRecord {
		p.Number, p.Stream, p.Replicas = number, uint64(number)+1, []image.BrokerID{1, 2, 3}
		return image.PartitionRecord{Topic: topic, Partition: p}
	}
	img, _, err := image.Empty().Apply(1, []image.Record{
		image.ClusterRecord{ID: uuid.New()}, broker(1, uuid.New()), broker(2, run), broker(3, uuid.Nil),
		image.TopicRecord{ID: topic, Name: "t"},
		partition(0, image.Partition{ISR: []image.BrokerID{2, 3, 1}, Leader: 2, LeaderEpoch: 5}),
		partition(1, image.Partition{ISR: []image.BrokerID{1, 3}, Leader: 1}),
		partition(2, image.Partition{ISR: []image.BrokerID{3}, ELR: []image.BrokerID{1}, Leader: 3}),
		partition(3, image.Partition{ISR: []image.BrokerID{3, 2}, Leader: 3}),
	})
	if err != nil {
		t.Fatal(err)
	}
	recs, err := controller.PlanRecovery(img, 1, uuid.New)
	if err != nil {
		t.Fatal(err)
	}
	is, _, err := img.Apply(1<<32, recs)
	if err != nil {
		t.Fatal(err)
	}
	if is.TopicCount() != 1 || is.PartitionCount() != 4 || is.NextStream() <= 1<<32 || is.NextProducerID() < 1<<30 {
		t.Errorf("%d topics, %d partitions, stream %d, producer id %d", is.TopicCount(), is.PartitionCount(), is.NextStream(), is.NextProducerID())
	}
	was, _ := img.Topic(topic)
	now, _ := is.Topic(topic)
	for i, p := range now.Partitions {
		if p.LeaderEpoch < was.Partitions[i].LeaderEpoch+1<<20 {
			t.Errorf("leader epoch of %d: %d", i, p.LeaderEpoch)
		}
		for _, id := range append(append([]image.BrokerID{p.Leader}, p.ISR...), p.ELR...) {
			if id != 1 && id != image.NoBroker {
				t.Errorf("partition %d: %+v", i, p)
			}
		}
		whole := i < 3
		if (controller.RemainsOf(p, 1) == controller.Whole) != whole || (controller.RemainsOf(was.Partitions[i], 1) == controller.Whole) != whole {
			t.Errorf("partition %d: %+v", i, p)
		}
	}
	for _, id := range []image.BrokerID{2, 3} {
		b, _ := is.Broker(id)
		r := broker(id, uuid.New())
		if r.Before = run; !b.Fenced || b.Run == uuid.Nil || b.Epoch != 1<<32 {
			t.Errorf("%+v", b)
		}
		after, _, err := is.Apply(is.Index()+1, []image.Record{r})
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := after.Broker(id); !b.Fenced {
			t.Errorf("%+v", b)
		}
	}
}
