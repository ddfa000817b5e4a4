package group

import (
	"context"
	"testing"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// committedLongAgo is a world in which the group has that many offsets which have expired, and one that has not.
func committedLongAgo(t *testing.T, count int32) *world {
	w := newWorld(t)
	r := image.OffsetsRecord{Group: "g", OwnerEpoch: -1}
	for n := range count + 1 {
		at := image.Offset{Offset: 1, CommittedAt: w.now.Wall}
		if n == count {
			at.CommittedAt += w.config.OffsetsRetention.Milliseconds()
		}
		r.Offsets = append(r.Offsets, image.PartitionOffset{TopicPartition: image.TopicPartition{Topic: topicT, Partition: n}, Offset: at})
	}
	var err error
	if w.img, _, err = w.img.Apply(w.img.Index()+1, []image.Record{r}); err != nil {
		t.Fatal(err)
	}
	w.wait(w.config.OffsetsRetention)
	return w
}

func (w *world) offsets() (count int) {
	w.img.Offsets("g", func(image.TopicID, int32, image.Offset) bool {
		count++
		return true
	})
	return count
}

// The log takes no record that names so many: the same one was refused with every sweep.
func TestOffsetsMustNotStayBecauseTooManyExpireAtOnce(t *testing.T) {
	w := committedLongAgo(t, 60_000)
	w.do(func(fx *coordinator.Effects) { w.m.expireOffsets(w.now, fx) })
	if left := w.offsets(); left != 1 {
		t.Errorf("%d offsets are left", left)
	}
	if w.m.committing != 0 {
		t.Errorf("%d removals are in flight", w.m.committing)
	}
}

// Its records go out together: what is committed when the first has come in must not be removed by the second.
func TestACommitMustNotBeRemovedByASweepThatBeganBefore(t *testing.T) {
	const last = 2*maxRemoved - 1
	w := committedLongAgo(t, last+1)
	w.hold = true
	w.do(func(fx *coordinator.Effects) { w.m.expireOffsets(w.now, fx) })
	w.apply()
	again := []image.PartitionOffset{{TopicPartition: image.TopicPartition{Topic: topicT, Partition: last}}}
	w.do(func(fx *coordinator.Effects) {
		w.m.commit(w.now, commitRequest{ticket: w.ticket("commit"), generation: -1, offsets: again}, fx)
	})
	w.hold = false
	w.do(func(*coordinator.Effects) {})
	if _, ok := w.img.Offset("g", topicT, last); !ok || w.offsets() != 2 {
		t.Errorf("there: %v, of %d offsets", ok, w.offsets())
	}
}

// Who deletes offsets is answered once, when all are gone, and hears of a part that was not.
func TestADeletionMustNotSucceedWhenAPartOfItFailed(t *testing.T) {
	w := committedLongAgo(t, 2*maxRemoved)
	w.hold = true
	var got []deletedOffsets
	w.answered = func(_ string, body any) { got = append(got, body.(deletedOffsets)) }
	var all []image.TopicPartition
	for n := range int32(2 * maxRemoved) {
		all = append(all, image.TopicPartition{Topic: topicT, Partition: n})
	}
	remove := func() {
		w.do(func(fx *coordinator.Effects) {
			w.m.deleteOffsets(w.now, offsetDeletion{w.ticket("delete"), map[string][]image.TopicPartition{"t": all}}, fx)
		})
	}
	remove()
	w.fail(context.DeadlineExceeded)
	for len(w.inFlight) > 0 {
		w.apply()
	}
	remove()
	for len(w.inFlight) > 0 {
		w.apply()
	}
	if len(got) != 2 || got[0].code != kerr.CoordinatorNotAvailable || got[1].code != kerr.None || w.offsets() != 1 {
		t.Errorf("answered %v, %d offsets are left", got, w.offsets())
	}
}
