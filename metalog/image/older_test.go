package image

import (
	"testing"

	"github.com/google/uuid"

	"chronik/kafka/kerr"
)

// A copy of a directory that was made before the last run of its node lacks what that run has acknowledged: it must not be
// counted on, however whole it is in itself.
func TestAnOlderDirectoryIsNotInSync(t *testing.T) {
	topic := uuid.UUID{1}
	r := func(run, before byte) BrokerRecord {
		b := BrokerRecord{ID: 1, Incarnation: uuid.UUID{9}, Fenced: true}
		if run > 0 {
			b.Run = uuid.UUID{run}
		}
		if before > 0 {
			b.Before = uuid.UUID{before}
		}
		return b
	}
	begin, _, err := Empty().Apply(1, []Record{
		r(2, 1), BrokerRecord{ID: 2, Incarnation: uuid.UUID{8}}, TopicRecord{ID: topic, Name: "t"},
		PartitionRecord{topic, Partition{Stream: 1, Replicas: []BrokerID{1, 2}, ISR: []BrokerID{1, 2}, Leader: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		again BrokerRecord
		stays bool
	}{
		"the next run":                            {r(3, 2), true},
		"the same run again":                      {r(2, 1), true},
		"the answer to its last attempt was lost": {r(2, 1), true},
		"a copy from before the last run":         {r(4, 1), false},
		"a directory without a note":              {r(4, 0), false},
		"a program that writes none":              {r(0, 0), false},
	} {
		m, _, err := begin.Apply(2, []Record{c.again})
		if err != nil {
			t.Fatal(name, err)
		}
		is, _ := m.Topic(topic)
		if in := len(is.Partitions[0].ISR) == 2 && is.Partitions[0].Leader == 1; in != c.stays {
			t.Errorf("%s: %+v", name, is.Partitions[0])
		}
	}
	b, _ := begin.Broker(1)
	alive, _, err := begin.Apply(2, []Record{FenceRecord{1, b.Epoch, false}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := alive.Apply(3, []Record{r(4, 1)}); kerr.Of(err) != kerr.DuplicateBrokerRegistration {
		t.Error("a copy of the directory of a broker that lives: ", err)
	}
}
