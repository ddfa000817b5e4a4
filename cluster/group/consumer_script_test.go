package group

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"chronik/cluster/coordinator"
	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// TestConsumerScripts runs testdata/consumer/*.txt, which are made as those of TestScripts, with its commands and these:
//
//	topic <name> <partitions>     makes it, or gives it as many; without a number it is deleted
//	beat <label> [id=<label>] [epoch=0] [instance=] [rack=] [rebalance=] [topics=t,u] [pattern=] [assignor=] [owned=t/0,t/1]
//	join ... [owned=t/0,t/1]      says what the member has
//	sync ... [<member>=t/0,t/1]   assigns partitions; user data too, if it ends with !
//	fetch id= epoch=              says whether a member may fetch offsets
//	policy upgrade|downgrade|bidirectional|disabled
//	set [max-size=] [consumer-max-size=] [interval=] [session=]
//	slow | work                   what is done beside the machine stays undone until work
//	group                         is the group as ConsumerGroupDescribe shows it
//
// What a heartbeat does not name it does not say. A label in capitals is of the member with that id in lower case.
func TestConsumerScripts(t *testing.T) {
	testScripts(t, "testdata/consumer/*.txt", func(t *testing.T, text string) string { return newConsumerScript(t).run(text) })
}

type consumerScript struct{ *script }

func newConsumerScript(t rapid.TB) *consumerScript {
	s := &consumerScript{newScript(t)}
	s.config.InitialRebalanceDelay, s.config.Upgrade, s.config.Downgrade = 0, true, true
	s.config.ConsumerMaxSize = 100
	s.config.ConsumerAssignors = []string{uniformName, rangeName}
	s.groupConfig = config.Group{Consumer: config.ConsumerGroup{SessionTimeoutMs: 45_000, HeartbeatIntervalMs: 5000}}
	s.answered = func(label string, body any) { fmt.Fprintf(&s.out, "%s: %s\n", label, s.show(body)) }
	s.recorded = func(r image.Record) { fmt.Fprintln(&s.out, s.showRecord(r)) }
	return s
}

func (s *consumerScript) run(text string) string { return perform(text, &s.out, s.command) }

func (s *consumerScript) command(words []string) {
	a := parse(s.t, words[1:])
	switch words[0] {
	case "topic":
		s.topicStep(a)
	case "beat":
		s.do(func(fx *coordinator.Effects) { s.m.consumerHeartbeat(s.now, s.beat(a), fx) })
	case "join":
		s.do(func(fx *coordinator.Effects) { s.m.join(s.now, s.join(a), fx) })
	case "sync":
		s.do(func(fx *coordinator.Effects) { s.m.sync(s.now, s.sync(a), fx) })
	case "fetch":
		fmt.Fprintln(&s.out, s.m.kind.checkFetch(a.value("id", ""), a.number("epoch", -1)))
	case "policy":
		s.config.Upgrade = a.label == "upgrade" || a.label == "bidirectional"
		s.config.Downgrade = a.label == "downgrade" || a.label == "bidirectional"
	case "set":
		s.set(a)
	case "group":
		s.group()
	case "slow":
		s.slow = true
	case "work":
		s.slow = false
		s.do(func(*coordinator.Effects) {})
	default:
		s.script.command(words)
		return
	}
	s.script.command([]string{"same"})
}

func (s *consumerScript) topicStep(a arguments) {
	if len(a.words) == 0 {
		t, _ := s.img.TopicNamed(a.label)
		img, _, err := s.img.Apply(s.img.Index()+1, []image.Record{image.RemoveTopicRecord{ID: t.ID}})
		if err != nil {
			s.t.Fatal(err)
		}
		s.img = img
	} else {
		n, _ := strconv.Atoi(a.words[0])
		s.topic(a.label, n)
	}
	s.do(func(fx *coordinator.Effects) { s.m.topicsChanged(s.now, fx) })
}

func (s *consumerScript) set(a arguments) {
	c := &s.groupConfig.Consumer
	s.config.MaxSize = int(a.number("max-size", int32(s.config.MaxSize)))
	s.config.ConsumerMaxSize = int(a.number("consumer-max-size", int32(s.config.ConsumerMaxSize)))
	ms := func(key string, is int32) int32 {
		return int32(a.duration(a.value(key, (time.Duration(is) * time.Millisecond).String())).Milliseconds())
	}
	c.AssignmentIntervalMs, c.SessionTimeoutMs = ms("interval", c.AssignmentIntervalMs), ms("session", c.SessionTimeoutMs)
}

// beat says all that the first heartbeat must say when it is one.
func (s *consumerScript) beat(a arguments) consumerHeartbeat {
	h := consumerHeartbeat{
		ticket: s.ticket(a.label), from: Client{"client-" + a.label, "/127.0.0.1"}, memberID: a.value("id", strings.ToLower(a.label)),
		epoch: a.number("epoch", 0), instance: a.optional("instance"), rack: a.optional("rack"), pattern: a.optional("pattern"),
		assignor: a.optional("assignor"),
	}
	_, names := a.values["topics"]
	if names || h.epoch == joining && h.pattern == nil {
		h.topics = sortedNames(strings.FieldsFunc(a.value("topics", "t"), func(r rune) bool { return r == ',' }))
	}
	if _, says := a.values["rebalance"]; says || h.epoch == joining {
		rebalance := a.duration(a.value("rebalance", "10s"))
		h.rebalance = &rebalance
	}
	if owned, says := a.values["owned"]; says || h.epoch == joining {
		h.owned = s.partitions(owned)
	}
	return h
}

func (s *consumerScript) join(a arguments) joinRequest {
	j := s.script.join(a)
	says, _ := readSubscription(j.protocols[0].metadata)
	says.Version = 1
	for t, list := range s.partitions(a.value("owned", "")) {
		topic, _ := s.img.Topic(t)
		says.OwnedPartitions = append(says.OwnedPartitions, kmsg.ConsumerMemberMetadataOwnedPartition{Topic: topic.Name, Partitions: list})
	}
	for i := range j.protocols {
		j.protocols[i].metadata = says.AppendTo(nil)
	}
	return j
}

func (s *consumerScript) sync(a arguments) syncRequest {
	rq := s.script.sync(a)
	for id, text := range rq.assignments {
		list, more := strings.CutSuffix(string(text), "!")
		assignment := kmsg.NewConsumerMemberAssignment()
		_ = assignment.ReadFrom(assignmentFor(s.img, subscribing("t"), s.partitions(list)))
		if more {
			assignment.UserData = []byte("more")
		}
		rq.assignments[id] = assignment.AppendTo(nil)
	}
	return rq
}

func (a arguments) optional(key string) *string {
	if v, ok := a.values[key]; ok {
		return &v
	}
	return nil
}

// partitions reads t/0,t/1. Of a topic that was deleted there are none.
func (s *consumerScript) partitions(list string) partitions {
	p := partitions{}
	for at := range strings.FieldsFuncSeq(list, func(r rune) bool { return r == ',' }) {
		name, n, _ := strings.Cut(at, "/")
		number, _ := strconv.Atoi(n)
		if t, ok := s.img.TopicNamed(name); ok {
			p = p.plus(partitions{t.ID: {int32(number)}})
		}
	}
	return p
}

func (s *consumerScript) names(p partitions) string {
	var list []string
	p.each(func(t image.TopicID, n int32) {
		name := "?"
		if topic, ok := s.img.Topic(t); ok {
			name = topic.Name
		}
		list = append(list, fmt.Sprintf("%s/%d", name, n))
	})
	slices.Sort(list)
	return strings.Join(list, ",")
}

func (s *consumerScript) show(body any) string {
	switch b := body.(type) {
	case *kmsg.ConsumerGroupHeartbeatResponse:
		text := fmt.Sprintf("epoch=%d", b.MemberEpoch)
		if b.Assignment != nil {
			p := partitions{}
			for _, t := range b.Assignment.Topics {
				p[t.TopicID] = t.Partitions
			}
			text += " assignment=" + s.names(p)
		}
		return text
	case *kmsg.SyncGroupResponse:
		if p, ok := heldIn(s.img, b.MemberAssignment); ok && b.ErrorCode == 0 {
			return fmt.Sprintf("assignment=%s protocol=%s/%s", s.names(p), *b.ProtocolType, *b.Protocol)
		}
	case error:
		if _, plain := errors.AsType[kerr.Code](b); !plain {
			return fmt.Sprintf("%s %s", kerr.Of(b), kerr.Message(b))
		}
	}
	return show(body)
}

func (s *consumerScript) showRecord(r image.Record) string {
	is, ok := r.(image.GroupRecord)
	if !ok {
		return showRecord(r)
	}
	text := fmt.Sprintf("record: generation=%d protocol=%s leader=%s", is.Group.Generation, is.Group.Protocol, is.Group.Leader)
	for _, m := range is.Group.Members {
		p, _ := heldIn(s.img, m.Assignment)
		text += fmt.Sprintf(" %s=%s", m.ID, s.names(p))
	}
	return text
}

func (s *consumerScript) group() {
	g := kmsg.NewConsumerGroupDescribeResponseGroup()
	s.m.describeConsumers(&g)
	fmt.Fprintf(&s.out, "%s epoch=%d assignment=%d assignor=%s", g.State, g.Epoch, g.AssignmentEpoch, g.AssignorName)
	if g.ErrorCode != 0 {
		fmt.Fprintf(&s.out, " %s %s", kerr.Code(g.ErrorCode), *g.ErrorMessage)
	}
	fmt.Fprintln(&s.out)
	for _, m := range g.Members {
		fmt.Fprintf(&s.out, "  %s(%s) epoch=%d type=%d topics=%v%s has=%s target=%s\n", m.MemberID, value(m.InstanceID), m.MemberEpoch, m.MemberType,
			m.SubscribedTopics, value(m.SubscribedTopicRegex), showAssignment(m.Assignment), showAssignment(m.TargetAssignment))
	}
}

func showAssignment(a kmsg.Assignment) string {
	var list []string
	for _, t := range a.TopicPartitions {
		for _, n := range t.Partitions {
			list = append(list, fmt.Sprintf("%s/%d", t.Topic, n))
		}
	}
	return strings.Join(list, ",")
}
