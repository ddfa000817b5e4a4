package group

import (
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"chronik/cluster/coordinator"
	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// odd is a world in which there may be groups of all kinds; got is the answers by label.
type odd struct {
	*world
	got map[string]any
}

func newOdd(t *testing.T) *odd {
	o := &odd{world: newWorld(t), got: map[string]any{}}
	o.config.InitialRebalanceDelay, o.config.Upgrade, o.config.Downgrade = 0, true, true
	o.config.ConsumerMaxSize, o.config.ShareMaxSize = 100, 100
	o.config.ConsumerAssignors = []string{uniformName}
	o.groupConfig = config.Group{
		Consumer: config.ConsumerGroup{SessionTimeoutMs: 20_000, HeartbeatIntervalMs: 3000},
		Share:    config.ShareGroup{SessionTimeoutMs: 20_000, HeartbeatIntervalMs: 3000},
	}
	o.answered = func(label string, body any) { o.got[label] = body }
	return o
}

// beat is a heartbeat of a member of KIP-848 that subscribes to "t"; instance may be "".
func (o *odd) beat(label, id, instance string, epoch int32) {
	rebalance := time.Minute
	h := consumerHeartbeat{memberID: id, epoch: epoch, rebalance: &rebalance, topics: []string{"t"}, owned: partitions{}}
	if instance != "" {
		h.instance = &instance
	}
	o.do(func(fx *coordinator.Effects) {
		h.ticket = o.ticket(label)
		o.m.consumerHeartbeat(o.now, h, fx)
	})
}

// A leader of the classic protocol may assign whatever it likes. A panic over it by a timer would end the broker.
func TestAPartitionThatThereIsNotMustNotPanicWhenTheGroupIsUpgraded(t *testing.T) {
	o := newOdd(t)
	o.do(func(fx *coordinator.Effects) {
		o.m.join(o.now, joinRequest{
			ticket: o.ticket("join"), newMemberID: "a", protocolType: consumerProtocol,
			protocols: []protocol{{"range", subscribing("t")}}, session: time.Minute, rebalance: time.Minute,
		}, fx)
	})
	assignment := kmsg.NewConsumerMemberAssignment()
	assignment.Topics = []kmsg.ConsumerMemberAssignmentTopic{{Topic: "t", Partitions: []int32{-7, 1, 1 << 30}}}
	o.do(func(fx *coordinator.Effects) {
		o.m.sync(o.now, syncRequest{
			ticket: o.ticket("sync"), memberID: "a", generation: 1, assignments: map[string][]byte{"a": assignment.AppendTo(nil)},
		}, fx)
	})
	o.beat("beat", "b", "", joining)
	g, ok := o.m.kind.(*consumerGroup)
	if !ok {
		t.Fatalf("the group is a %T; %v", o.m.kind, show(o.got["beat"]))
	}
	if want := (partitions{topicT: {1}}); !g.members["a"].held.equal(want) {
		t.Errorf("the member has %v, want %v", g.members["a"].held, want)
	}
}

// One member may be an instance after another, and leave: what it was before is nobody's.
func TestAnInstanceMustNotBeHeldByAMemberThatIsAnotherOne(t *testing.T) {
	o := newOdd(t)
	o.beat("other", "z", "", joining) // the group stays
	o.beat("a", "m", "a", joining)
	o.beat("b", "m", "b", joining)
	o.beat("left", "m", "b", leaving)
	o.beat("again", "n", "a", joining)
	if _, ok := o.got["again"].(*kmsg.ConsumerGroupHeartbeatResponse); !ok {
		t.Errorf("answered %v", o.got["again"])
	}
	if g := o.m.kind.(*consumerGroup); len(g.static) != 1 {
		t.Errorf("%d instances are known", len(g.static))
	}
}

// A record that the log will never take has the group begin again with what the log has. Who waits for its states must hear
// of it.
func TestAHeartbeatMustNotHangWhenTheGroupIsMadeAnew(t *testing.T) {
	o := newOdd(t)
	o.hold = true
	o.do(func(fx *coordinator.Effects) {
		o.m.shareHeartbeat(o.now, shareRequest{ticket: o.ticket("beat"), memberID: "a", topics: []string{"t"}}, fx)
	})
	for i, p := range o.inFlight {
		if _, ok := p.Records[0].(image.GroupStateRecord); ok {
			o.inFlight[0], o.inFlight[i] = o.inFlight[i], o.inFlight[0]
			break
		}
	}
	o.fail(kerr.RecordListTooLarge)
	for len(o.inFlight) > 0 {
		o.apply()
	}
	if len(o.open) > 0 {
		t.Errorf("not answered: %v", o.open)
	}
}

// Who left while the group was being removed, and it was not, is not in it any more.
func TestAMemberThatLeftMustNotComeBackWhenARemovalFails(t *testing.T) {
	for _, share := range []bool{false, true} {
		o := newOdd(t)
		ask := func(label, id string, epoch int32) {
			if !share {
				o.beat(label, id, "", epoch)
				return
			}
			o.do(func(fx *coordinator.Effects) {
				o.m.shareHeartbeat(o.now, shareRequest{ticket: o.ticket(label), memberID: id, epoch: epoch, topics: []string{"t"}}, fx)
			})
		}
		ask("a", "a", joining)
		ask("b", "b", joining)
		o.hold = true
		ask("b left", "b", leaving)
		ask("a left", "a", leaving) // with the next record
		o.do(func(fx *coordinator.Effects) { o.m.deleteGroup(o.now, o.ticket("delete"), fx) })
		o.apply()
		o.fail(kerr.NotController)
		for len(o.inFlight) > 0 {
			o.apply()
		}
		o.restart()
		if o.m.kind.occupied() {
			t.Errorf("share %v: the group has members", share)
		}
	}
}

// A topic takes a few bytes to name, thousands of times in a request. Each time all of its states were removed once more.
func TestATopicNamedAgainMustNotBeRemovedAgain(t *testing.T) {
	o := newOdd(t)
	starts := []shareStart{{image.TopicPartition{Topic: topicT}, 0}, {image.TopicPartition{Topic: topicT, Partition: 1}, 0}}
	o.do(func(fx *coordinator.Effects) { o.m.alterShare(o.now, o.ticket("alter"), starts, fx) })
	removed := 0
	o.recorded = func(image.Record) { removed++ }
	again := slices.Repeat([]image.TopicID{topicT}, 1000)
	o.do(func(fx *coordinator.Effects) { o.m.deleteShare(o.ticket("delete"), again, fx) })
	if removed != len(starts) || o.got["delete"] != nil {
		t.Errorf("%d states were removed; %v", removed, o.got["delete"])
	}
}
