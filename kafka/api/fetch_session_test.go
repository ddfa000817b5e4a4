package api

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A follower that is told to truncate, or that has come to another leader epoch meanwhile, does not take over the high
// watermark of the answer. Where no records came any more it kept an old one for ever, and so did who read from it.
func TestAFollowerMustNotMissTheHighWatermark(t *testing.T) {
	item := func(epoch int32) *fetchItem {
		return &fetchItem{topic: uuid.UUID{1}, part: kmsg.FetchRequestTopicPartition{CurrentLeaderEpoch: epoch}}
	}
	var all sessions
	s := newFetchSession([]*fetchItem{item(4)}, true, nil, nil)
	all.open(s, time.Now(), 1)
	answers := func(diverging int32) []answer {
		a := answer{item: s.copies()[0], FetchPartition: unanswered(0)}
		a.HighWatermark, a.LogStart, a.DivergingEpoch = 7, 0, diverging
		return s.news([]answer{a})
	}
	update := func(epoch int32) {
		rq := kmsg.NewPtrFetchRequest()
		rq.Version, rq.SessionEpoch = 17, s.epoch
		if _, err := s.update(rq, []*fetchItem{item(epoch)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		what  string
		epoch int32
		tells bool
	}{{"truncate", 4, true}, {"after it", 4, true}, {"again", 4, false}, {"another epoch", 5, true}, {"again", 5, false}} {
		update(step.epoch)
		diverging := int32(-1)
		if step.what == "truncate" {
			diverging = 3
		}
		if told := len(answers(diverging)) == 1; told != step.tells {
			t.Errorf("%s: told %v, want %v", step.what, told, step.tells)
		}
	}
}
