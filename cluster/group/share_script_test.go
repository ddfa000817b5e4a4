package group

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"chronik/cluster/coordinator"
	sharestate "chronik/cluster/share/state"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// TestShareScripts runs testdata/share/*.txt, which are made as those of TestScripts, of these commands:
//
//	topic <name> <partitions>                 makes it, or gives it as many; "grown" tells the group
//	beat <label> [id=<label>] [epoch=0] [topics=<name>,...] [rack=]
//	alter <label> <topic>/<partition>=<offset>...     remove <label> <topic>...     delete <label>     join <label>
//	set [interval=] [max-size=]
//	wait <duration> | restart | hold | apply | fail <code> | grown | describe | states
func TestShareScripts(t *testing.T) {
	testScripts(t, "testdata/share/*.txt", func(t *testing.T, text string) string { return newShareScript(t).run(text) })
}

type shareScript struct {
	*world
	out strings.Builder
	was string
}

func newShareScript(t rapid.TB) *shareScript {
	s := &shareScript{world: newWorld(t), was: "Empty"}
	s.groupConfig.Share.SessionTimeoutMs, s.groupConfig.Share.HeartbeatIntervalMs = 45_000, 5000
	s.config.ShareMaxSize = 200
	s.answered = func(label string, body any) { fmt.Fprintf(&s.out, "%s: %s\n", label, s.show(body)) }
	return s
}

func (s *shareScript) show(body any) string {
	switch b := body.(type) {
	case *kmsg.ShareGroupHeartbeatResponse:
		text := fmt.Sprintf("epoch=%d", b.MemberEpoch)
		if b.Assignment == nil {
			return text
		}
		return text + " has " + s.partitions(b.Assignment.TopicPartitions)
	case error:
		return strings.TrimSpace(kerr.Of(b).String() + " " + kerr.Message(b))
	case nil:
		return "NONE"
	}
	return show(body)
}

func (s *shareScript) partitions(topics []kmsg.ShareGroupHeartbeatResponseAssignmentTopicPartition) string {
	var list []string
	for _, t := range topics {
		is, _ := s.img.Topic(t.TopicID)
		list = append(list, is.Name+strings.ReplaceAll(fmt.Sprint(t.Partitions), " ", ","))
	}
	return strings.Join(list, " ")
}

func (s *shareScript) run(text string) string { return perform(text, &s.out, s.command) }

func (s *shareScript) command(words []string) {
	a := parse(s.t, words[1:])
	switch words[0] {
	case "topic":
		n, _ := strconv.Atoi(a.words[0])
		s.topic(a.label, n)
	case "grown":
		s.do(func(fx *coordinator.Effects) { s.m.kind.topicsChanged(s.now, fx) })
	case "beat":
		s.beat(a)
	case "alter":
		var starts []shareStart
		for _, w := range strings.Fields(strings.Join(words[2:], " ")) {
			at, offset, _ := strings.Cut(w, "=")
			n, _ := strconv.ParseInt(offset, 10, 64)
			starts = append(starts, shareStart{s.place(at), n})
		}
		s.do(func(fx *coordinator.Effects) { s.m.alterShare(s.now, s.ticket(a.label), starts, fx) })
	case "remove":
		var ids []image.TopicID
		for _, name := range a.words {
			ids = append(ids, s.place(name+"/0").Topic)
		}
		s.do(func(fx *coordinator.Effects) { s.m.deleteShare(s.ticket(a.label), ids, fx) })
	case "set":
		s.groupConfig.Share.AssignmentIntervalMs = a.number("interval", s.groupConfig.Share.AssignmentIntervalMs)
		s.config.ShareMaxSize = int(a.number("max-size", int32(s.config.ShareMaxSize)))
	case "describe":
		s.describe()
	case "states":
		s.states()
	default:
		s.control(words[0], a)
	}
	if state, _ := s.m.kind.summary(); state != s.was {
		s.was = state
		fmt.Fprintln(&s.out, state)
	}
}

func (s *shareScript) beat(a arguments) {
	h := shareRequest{memberID: a.value("id", a.label), epoch: a.number("epoch", 0), from: Client{"c", "/h"}}
	if topics, ok := a.values["topics"]; ok {
		h.topics = strings.Split(topics, ",")
	}
	if rack, ok := a.values["rack"]; ok {
		h.rack = &rack
	}
	h.ticket = s.ticket(a.label)
	s.do(func(fx *coordinator.Effects) { s.m.shareHeartbeat(s.now, h, fx) })
}

func (s *shareScript) states() {
	s.img.ShareStates("g", func(at image.TopicPartition, is *image.ShareState) bool {
		t, _ := s.img.Topic(at.Topic)
		st, err := sharestate.Decode(is.Value)
		fmt.Fprintln(&s.out, " ", t.Name, at.Partition, "begins at", st.Start, err)
		return true
	})
}

func (s *shareScript) place(text string) image.TopicPartition {
	name, n, _ := strings.Cut(text, "/")
	t, ok := s.img.TopicNamed(name)
	if !ok {
		s.t.Fatalf("no topic %q", name)
	}
	partition, _ := strconv.Atoi(n)
	return image.TopicPartition{Topic: t.ID, Partition: int32(partition)}
}

func (s *shareScript) describe() {
	d := kmsg.NewShareGroupDescribeResponseGroup()
	s.m.describeShare(&d)
	if d.ErrorCode != 0 {
		fmt.Fprintln(&s.out, kerr.Code(d.ErrorCode), value(d.ErrorMessage))
		return
	}
	fmt.Fprintf(&s.out, "%s epoch=%d assignment=%d assignor=%s\n", d.GroupState, d.GroupEpoch, d.AssignmentEpoch, d.Assignor)
	for _, m := range d.Members {
		fmt.Fprintf(&s.out, "  %s epoch=%d subscribes to %v and has", m.MemberID, m.MemberEpoch, m.SubscribedTopicNames)
		for _, t := range m.Assignment.TopicPartitions {
			fmt.Fprintf(&s.out, " %s%v", t.Topic, t.Partitions)
		}
		fmt.Fprintln(&s.out)
	}
}

// Whose outcome is not known may be agreed on after all, and then a leader goes on from there: begun once more, all that members
// have acknowledged since would be delivered again.
func TestStatesThatWereBegunAfterAllMustNotBeBegunAnew(t *testing.T) {
	s := newShareScript(t)
	s.hold = true
	s.command(strings.Fields("beat A topics=t"))
	first := s.inFlight[0].Records
	s.fail(kerr.RequestTimedOut)
	s.topic("other", 1) // the log goes on
	s.wait(recordRetry)
	second := s.inFlight[len(s.inFlight)-1].Records
	img, _, err := s.img.Apply(s.img.Index()+1, first)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err = img.Apply(img.Index()+1, second); kerr.Of(err) != kerr.FencedStateEpoch {
		t.Errorf("begun anew: %v", err)
	}
}
