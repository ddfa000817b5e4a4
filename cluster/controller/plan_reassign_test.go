package controller

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// placeOf is a partition in one line, without the numbers that only count.
func placeOf(p *image.Partition) string {
	text := fmt.Sprintf("%v isr %v", p.Replicas, p.ISR)
	for _, list := range []struct {
		name string
		ids  []image.BrokerID
	}{{"elr", p.ELR}, {"adding", p.Adding}, {"removing", p.Removing}} {
		if len(list.ids) > 0 {
			text += fmt.Sprintf(" %s %v", list.name, list.ids)
		}
	}
	return fmt.Sprintf("%s leader %d epoch %d", text, p.Leader, p.LeaderEpoch)
}

// What becomes of a partition whose leader is the first of its ISR, in epoch 7, and then of one change of the ISR.
func TestReassignments(t *testing.T) {
	p := func(replicas, isr []image.BrokerID, more ...[]image.BrokerID) image.Partition {
		in := image.Partition{Stream: 1, Replicas: replicas, ISR: isr, Leader: image.NoBroker, LeaderEpoch: 7}
		if len(isr) > 0 {
			in.Leader = isr[0]
		}
		for i, to := range []*[]image.BrokerID{&in.Adding, &in.Removing, &in.ELR} {
			if i < len(more) {
				*to = more[i]
			}
		}
		return in
	}
	cancel := reassignmentAsked{cancel: true}
	to := func(ids ...int32) reassignmentAsked { return reassignmentAsked{replicas: ids} }
	moving := p(ids(3, 4, 1, 2), ids(1, 2, 3), ids(4), ids(1, 2)) // of 1, 2, 3 to 3, 4
	for _, c := range []struct {
		name    string
		brokers string
		was     image.Partition
		asked   reassignmentAsked
		want    string
		code    kerr.Code
	}{
		{"new ones come beside the old", "lllll", p(ids(1, 2, 3), ids(1, 2, 3)), to(2, 3, 4),
			"[2 3 4 1] isr [1 2 3] adding [4] removing [1] leader 1 epoch 7", 0},
		{"nobody stays", "llllll", p(ids(1, 2), ids(1, 2)), to(6, 5), "[6 5 1 2] isr [1 2] adding [5 6] removing [1 2] leader 1 epoch 7", 0},
		{"another order is there at once", "lll", p(ids(1, 2, 3), ids(1, 2, 3)), to(3, 2, 1), "[3 2 1] isr [1 2 3] leader 1 epoch 7", 0},
		{"fewer are there at once", "lll", p(ids(1, 2, 3), ids(1, 2, 3)), to(1, 2), "[1 2] isr [1 2] leader 1 epoch 8", 0},
		{"... without the leader, another leads", "lll", p(ids(1, 2, 3), ids(1, 2, 3)), to(3, 2), "[3 2] isr [2 3] leader 3 epoch 8", 0},
		{"... unless one of them is behind", "lll", p(ids(1, 2, 3), ids(1, 3)), to(1, 2), "[1 2 3] isr [1 3] removing [3] leader 1 epoch 7", 0},
		{"more", "lll", p(ids(1), ids(1)), to(1, 2, 3), "[1 2 3] isr [1] adding [2 3] leader 1 epoch 7", 0},
		{"nothing to do", "lll", p(ids(1, 2, 3), ids(1, 2, 3)), to(1, 2, 3), "[1 2 3] isr [1 2 3] leader 1 epoch 7", 0},
		{"the same again", "llll", moving, to(3, 4), "[3 4 1 2] isr [1 2 3] adding [4] removing [1 2] leader 1 epoch 7", 0},
		{"another target in its place", "lllll", moving, to(3, 5), "[3 5 1 2] isr [1 2 3] adding [5] removing [1 2] leader 1 epoch 8", 0},
		{"to a broker that is down", "lllf", p(ids(1), ids(1)), to(4), "[4 1] isr [1] adding [4] removing [1] leader 1 epoch 7", 0},
		{"nobody", "lll", p(ids(1), ids(1)), to(), "", kerr.InvalidReplicaAssignment},
		{"to an unknown broker", "lll", p(ids(1), ids(1)), to(4), "", kerr.InvalidReplicaAssignment},
		{"one twice", "lll", p(ids(1), ids(1)), to(1, 2, 2), "", kerr.InvalidReplicaAssignment},
		{"another number", "lll", p(ids(1), ids(1)), reassignmentAsked{replicas: []int32{1, 2}, sameSize: true}, "", kerr.InvalidReplicationFactor},
		{"that of the move on its way", "llll", moving, reassignmentAsked{replicas: []int32{4, 3}, sameSize: true},
			"[4 3 1 2] isr [1 2 3] adding [4] removing [1 2] leader 1 epoch 7", 0},

		{"cancel", "llll", moving, cancel, "[3 1 2] isr [1 2 3] leader 1 epoch 8", 0},
		{"cancel where a new one leads", "llll", p(ids(4, 1), ids(4, 1), ids(4), ids(1)), cancel, "[1] isr [1] leader 1 epoch 8", 0},
		{"cancel what is not on its way", "lll", p(ids(1), ids(1)), cancel, "", kerr.NoReassignmentInProgress},
		{"cancel when only a new one has everything", "llll", p(ids(4, 1), ids(4), ids(4), ids(1)), cancel, "", kerr.InvalidReplicaAssignment},
		{"... or one that may be elected", "llll", p(ids(4, 5, 1, 2), ids(4), ids(4, 5), ids(1, 2), ids(1)), cancel, "[1 2] isr [1] leader 1 epoch 8", 0},
		{"cancel while nobody leads", "ffll", p(ids(3, 1, 2), nil, ids(3), ids(1), ids(2)), cancel, "[1 2] isr [] elr [2] leader -1 epoch 8", 0},
	} {
		cfg := compiled(t, config.Static{minISRConfig: "2"})
		m := with(t, brokersOf(t, c.brokers), image.TopicRecord{ID: topicID, Name: "t"}, image.PartitionRecord{Topic: topicID, Partition: c.was})
		c.asked.topic = "t"
		recs, err := newElectorate(m, cfg).planReassignment(newSpread(m), c.asked)
		if kerr.Of(err) != c.code {
			t.Errorf("%s: %v, want %v", c.name, err, c.code)
			continue
		}
		m = with(t, m, recs...)
		topic, _ := m.Topic(topicID)
		if got := placeOf(topic.Partitions[0]); err == nil && got != c.want {
			t.Errorf("%s: %s\nwant %s", c.name, got, c.want)
		}
		if again := planElections(m, cfg); err == nil && len(again) > 0 {
			t.Errorf("%s: it does not come to rest: %+v", c.name, again)
		}
	}
}

// A move is complete when all that are to be are in sync, not before, and the leader goes with the others.
func TestReassignmentsEnd(t *testing.T) {
	for _, c := range []struct {
		brokers string
		isr     []image.BrokerID
		want    string
	}{
		{"llll", ids(1, 2), "[3 4 1 2] isr [1 2] adding [3 4] removing [1 2] leader 1 epoch 7"},
		{"llll", ids(1, 3), "[3 4 1 2] isr [1 3] adding [3 4] removing [1 2] leader 1 epoch 7"},
		{"llll", ids(1, 2, 3, 4), "[3 4] isr [3 4] leader 3 epoch 8"},
		{"llll", ids(4, 1, 3), "[3 4] isr [4 3] leader 4 epoch 8"},
		{"lllf", ids(1, 2, 3, 4), "[3 4 1 2] isr [1 2 3] adding [3 4] removing [1 2] leader 1 epoch 7"},
		{"fflf", ids(1, 2), "[3 4 1 2] isr [] elr [1 2] adding [3 4] removing [1 2] leader -1 epoch 8"},
	} {
		cfg := compiled(t, nil)
		was := image.Partition{Stream: 1, Replicas: ids(3, 4, 1, 2), ISR: c.isr, Adding: ids(3, 4), Removing: ids(1, 2), Leader: c.isr[0], LeaderEpoch: 7}
		m := with(t, brokersOf(t, c.brokers), image.TopicRecord{ID: topicID, Name: "t"}, image.PartitionRecord{Topic: topicID, Partition: was})
		m = with(t, m, planElections(m, cfg)...)
		topic, _ := m.Topic(topicID)
		if got := placeOf(topic.Partitions[0]); got != c.want {
			t.Errorf("%s, ISR %v: %s\nwant %s", c.brokers, c.isr, got, c.want)
		}
		if again := planElections(m, cfg); len(again) > 0 {
			t.Errorf("%s: it does not come to rest: %+v", c.brokers, again)
		}
	}
}

// mover moves the replicas of one partition about while brokers come and go and leaders change the ISR.
type mover struct {
	*rapid.T
	m    *image.Image
	cfg  *config.Broker
	goal []image.BrokerID // where the last request that was taken leads to
}

func (v *mover) partition() *image.Partition {
	t, _ := v.m.Topic(topicID)
	return t.Partitions[0]
}

func (v *mover) apply(recs ...image.Record) { v.m = with(v, v.m, recs...) }

// ask has the replicas moved, or the move that is on its way cancelled.
func (v *mover) ask(a reassignmentAsked) {
	was := v.partition()
	a.topic = "t"
	recs, err := newElectorate(v.m, v.cfg).planReassignment(newSpread(v.m), a)
	if err != nil {
		if code := kerr.Of(err); code != kerr.NoReassignmentInProgress && code != kerr.InvalidReplicaAssignment {
			v.Fatal(err)
		}
		return
	}
	v.apply(recs...)
	is := v.partition()
	v.goal = is.Target()
	for _, id := range was.Original() { // what was there before all moves stays until the new ones have caught up
		if is.Reassigning() && slices.Contains(was.ISR, id) && !slices.Contains(is.ISR, id) && v.live(id) {
			v.Fatalf("%s became %s: %d was in sync", placeOf(was), placeOf(is), id)
		}
	}
}

func (v *mover) live(id image.BrokerID) bool {
	b, _ := v.m.Broker(id)
	return b.Active()
}

func (v *mover) fence(id image.BrokerID, fenced bool) {
	b, _ := v.m.Broker(id)
	v.apply(image.FenceRecord{ID: id, Epoch: b.Epoch, Fenced: fenced})
	v.elect()
}

// elect is what the controller does after every change.
func (v *mover) elect() {
	for range 3 {
		was := v.partition()
		recs := planElections(v.m, v.cfg)
		if len(recs) == 0 {
			return
		}
		v.apply(recs...)
		is := v.partition()
		if was.Reassigning() && !is.Reassigning() && (!slices.Equal(is.Replicas, was.Target()) || len(is.ISR) != len(is.Replicas)) {
			v.Fatalf("%s was completed to %s", placeOf(was), placeOf(is))
		}
	}
	v.Fatal("elections have no end")
}

// join has the leader ask for an ISR: of these brokers with itself.
func (v *mover) join(wanted []image.BrokerID) {
	p := v.partition()
	if p.Leader == image.NoBroker {
		return
	}
	r := image.ISRRecord{Topic: topicID, From: p.Epoch, Leader: p.Leader, LeaderEpoch: p.LeaderEpoch, MinISR: 2}
	for _, id := range p.Replicas {
		if b, _ := v.m.Broker(id); id == p.Leader || b.Active() && slices.Contains(wanted, id) {
			r.ISR = append(r.ISR, image.ISRMember{ID: id, Epoch: b.Epoch})
		}
	}
	v.apply(r)
	v.elect()
}

// hold checks what must be true of every state that follows another.
func (v *mover) hold(was, is *image.Partition) {
	all := slices.Concat(is.Target(), is.Removing)
	fits := func(ids []image.BrokerID) bool { return len(minus(ids, is.Replicas)) == 0 }
	switch {
	case !slices.Equal(all, is.Replicas) || !fits(is.Adding) || !fits(is.ISR) || !fits(is.ELR):
		v.Fatalf("it does not hold together: %s", placeOf(is))
	case is.Leader != image.NoBroker && !slices.Contains(is.ISR, is.Leader):
		v.Fatalf("the leader is not in sync: %s", placeOf(is))
	case len(is.ISR)+len(is.ELR) == 0:
		v.Fatalf("%s became %s: nobody has all records", placeOf(was), placeOf(is))
	case is.LeaderEpoch < was.LeaderEpoch || is.LeaderEpoch == was.LeaderEpoch && (is.Leader != was.Leader || len(minus(was.Replicas, is.Replicas)) > 0):
		v.Fatalf("%s became %s in the same leader epoch", placeOf(was), placeOf(is))
	}
}

func someBrokers(t *rapid.T, least int) []image.BrokerID {
	n := rapid.IntRange(least, 5).Draw(t, "brokers")
	return rapid.Permutation(ids(1, 2, 3, 4, 5)).Draw(t, "order")[:n]
}

func TestMovesNeverLoseAndEnd(t *testing.T) {
	cfg := compiled(t, config.Static{minISRConfig: "2"})
	rapid.Check(t, func(t *rapid.T) {
		v := &mover{T: t, cfg: cfg, m: image.Empty(), goal: ids(1, 2, 3)}
		for id := range image.BrokerID(5) {
			v.apply(image.BrokerRecord{ID: id + 1, Incarnation: uuid.UUID{byte(id + 1)}})
		}
		v.apply(image.TopicRecord{ID: topicID, Name: "t"}, image.PartitionRecord{Topic: topicID,
			Partition: image.Partition{Stream: 1, Replicas: v.goal, ISR: v.goal, Leader: 1}})
		act := func(kind int) {
			was := v.partition()
			switch kind {
			case 0:
				v.ask(reassignmentAsked{replicas: numbers(someBrokers(t, 1))})
			case 1:
				v.ask(reassignmentAsked{cancel: true})
			case 2:
				v.fence(image.BrokerID(rapid.IntRange(1, 5).Draw(t, "broker")), rapid.Bool().Draw(t, "dies"))
			default:
				v.join(someBrokers(t, 0))
			}
			v.hold(was, v.partition())
		}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			act(rapid.IntRange(0, 5).Draw(t, "kind"))
		}
		for id := range image.BrokerID(5) {
			v.fence(id+1, false)
		}
		v.join(ids(1, 2, 3, 4, 5))
		if p := v.partition(); p.Reassigning() || !slices.Equal(p.Replicas, v.goal) || len(p.ISR) != len(p.Replicas) {
			t.Fatalf("it ended as %s, not at %v", placeOf(p), v.goal)
		}
	})
}
