package group

import (
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

// TestStreamsScripts runs testdata/streams/*.txt, which are made as those of TestScripts, of these commands:
//
//	topic <name> <partitions>                 makes it, or gives it as many
//	beat <label> [id=<label>] [epoch=0] [process=<id>] [instance=] [topology=count] [topology-epoch=0] [v=1] [shutdown]
//	     [owned=<tasks>[/<standby tasks>]] [endpoint=h:1] [endpoint-epoch=] [tags=k:v,...] [offsets=<task>=<n>,...]
//	make                                      makes the topics that the last answer asked for
//	commit <label> id= epoch= <topic>/<partition>...  delete <label>   join <label>
//	set [standbys=] [delay=] [interval=] [tags=] [max-size=]
//	wait <duration> | expire | restart | hold | apply | fail <code> | describe | state
//
// Tasks are written as subtopology:partition,partition;subtopology:...
func TestStreamsScripts(t *testing.T) {
	testScripts(t, "testdata/streams/*.txt", func(t *testing.T, text string) string { return newStreamsScript(t).run(text) })
}

type streamsScript struct {
	*world
	out    strings.Builder
	was    string
	create *kmsg.CreateTopicsRequest
}

// streamsConfig is a group's, whose members are not made to wait.
func streamsConfig() config.Group {
	return config.Group{Streams: config.StreamsGroup{Assignor: "sticky", HeartbeatIntervalMs: 5000, SessionTimeoutMs: 45_000}}
}

func newStreamsScript(t rapid.TB) *streamsScript {
	s := &streamsScript{world: newWorld(t), was: "Empty"}
	s.groupConfig = streamsConfig()
	s.config.StreamsMaxSize = 1000
	s.answered = func(label string, body any) {
		if b, ok := body.(streamsBeaten); ok {
			s.create = b.create
			body = showBeaten(b)
		}
		fmt.Fprintf(&s.out, "%s: %s\n", label, show(body))
	}
	return s
}

func (s *streamsScript) run(text string) string { return perform(text, &s.out, s.command) }

func (s *streamsScript) command(words []string) {
	a := parse(s.t, words[1:])
	switch words[0] {
	case "topic":
		n, _ := strconv.Atoi(a.words[0])
		s.topic(a.label, n)
	case "make":
		for _, t := range s.create.Topics {
			s.topic(t.Topic, int(t.NumPartitions))
		}
	case "beat":
		h := s.beat(a)
		if err := h.check(); err != nil {
			s.answered(a.label, streamsRefused(err))
		} else {
			h.ticket = s.ticket(a.label)
			s.do(func(fx *coordinator.Effects) { s.m.streamsHeartbeat(s.now, h, fx) })
		}
	case "commit":
		c := commitRequest{ticket: s.ticket(a.label), version: int16(a.number("v", 9)), memberID: a.value("id", ""), generation: a.number("epoch", -1)}
		for _, w := range a.words {
			name, n, _ := strings.Cut(w, "/")
			partition, _ := strconv.Atoi(n)
			t, _ := s.img.TopicNamed(name)
			c.offsets = append(c.offsets, image.PartitionOffset{TopicPartition: image.TopicPartition{Topic: t.ID, Partition: int32(partition)}})
		}
		s.do(func(fx *coordinator.Effects) { s.m.commit(s.now, c, fx) })
	case "join":
		j := joinRequest{ticket: s.ticket(a.label), version: 3, newMemberID: a.label, protocolType: consumerProtocol, session: 10 * time.Second, protocols: []protocol{{name: "range"}}}
		s.do(func(fx *coordinator.Effects) { s.m.join(s.now, j, fx) })
	case "set":
		s.set(a)
	case "describe":
		s.describe()
	default:
		s.control(words[0], a)
	}
	if state, _ := s.m.kind.summary(); state != s.was {
		s.was = state
		fmt.Fprintln(&s.out, state)
	}
}

func (s *streamsScript) set(a arguments) {
	c := &s.groupConfig.Streams
	c.NumStandbyReplicas = a.number("standbys", c.NumStandbyReplicas)
	c.InitialRebalanceDelayMs = a.number("delay", c.InitialRebalanceDelayMs)
	c.AssignmentIntervalMs = a.number("interval", c.AssignmentIntervalMs)
	s.config.StreamsMaxSize = int(a.number("max-size", int32(s.config.StreamsMaxSize)))
	if tags, ok := a.values["tags"]; ok {
		c.RackAwareTags = strings.Split(tags, ",")
	}
}

// topic makes a topic, or gives it as many partitions.
func (w *world) topic(name string, partitions int) {
	var recs []image.Record
	t, ok := w.img.TopicNamed(name)
	if !ok {
		t = &image.Topic{ID: image.TopicID{0: 9, 14: byte(w.img.Index() >> 8), 15: byte(w.img.Index())}}
		recs = append(recs, image.TopicRecord{ID: t.ID, Name: name})
	}
	for n := len(t.Partitions); n < partitions; n++ {
		recs = append(recs, image.PartitionRecord{Topic: t.ID, Partition: image.Partition{Number: int32(n), Stream: uint64(w.img.Index())<<8 + uint64(n)}})
	}
	img, _, err := w.img.Apply(w.img.Index()+1, recs)
	if err != nil {
		w.t.Fatal(err)
	}
	w.img = img
}

// topologies are those of the scripts. count is that of a count by key over a repartition.
var topologies = map[string][]kmsg.StreamsGroupHeartbeatRequestTopologySubtopology{
	"plain": {{SubtopologyID: "0", SourceTopics: []string{"in"}}},
	"state": {{SubtopologyID: "0", SourceTopics: []string{"in"}, StateChangelogTopics: []kmsg.TopicInfo{{Topic: "app-log"}}}},
	"count": {
		{SubtopologyID: "0", SourceTopics: []string{"in"}, RepartitionSinkTopics: []string{"app-rep"}},
		{
			SubtopologyID: "1", RepartitionSourceTopics: []kmsg.TopicInfo{{Topic: "app-rep"}},
			StateChangelogTopics: []kmsg.TopicInfo{{Topic: "app-log", Configs: []kmsg.TopicInfoConfig{{Key: "cleanup.policy", Value: "compact"}}}},
		},
	},
	"join": {{
		SubtopologyID: "0", SourceTopics: []string{"in", "other"},
		CopartitionGroups: []kmsg.StreamsGroupHeartbeatRequestTopologySubtopologyCopartitionGroup{{SourceTopics: []int16{0, 1}}},
	}},
	"circle": {{SubtopologyID: "0", RepartitionSinkTopics: []string{"r"}, RepartitionSourceTopics: []kmsg.TopicInfo{{Topic: "r"}}}},
	"sized":  {{SubtopologyID: "0", SourceTopics: []string{"in"}, StateChangelogTopics: []kmsg.TopicInfo{{Topic: "l", NumPartitions: 3}}}},
	"regex":  {{SubtopologyID: "0", SourceTopicRegex: []string{"in.*"}}},
}

func (s *streamsScript) beat(a arguments) streamsBeat {
	rq := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	rq.Group, rq.MemberID, rq.MemberEpoch = "g", a.value("id", a.label), a.number("epoch", 0)
	rq.InstanceID = optional(a.value("instance", ""))
	rq.EndpointInformationEpoch = a.number("endpoint-epoch", -1)
	rq.ShutdownApplication = slices.Contains(a.words, "shutdown")
	if rq.MemberEpoch == joining {
		rq.RebalanceTimeoutMillis, rq.ProcessID = 60_000, text(a.value("process", rq.MemberID))
		rq.Topology = &kmsg.StreamsGroupHeartbeatRequestTopology{Epoch: a.number("topology-epoch", 0), Subtopologies: topologies[a.value("topology", "count")]}
		rq.ActiveTasks, rq.StandbyTasks, rq.WarmupTasks = []kmsg.TaskIDs{}, []kmsg.TaskIDs{}, []kmsg.TaskIDs{}
	}
	if owned, ok := a.values["owned"]; ok {
		actives, standbys, _ := strings.Cut(owned, "/")
		rq.ActiveTasks, rq.StandbyTasks, rq.WarmupTasks = taskIDs(parseTasks(actives)), taskIDs(parseTasks(standbys)), []kmsg.TaskIDs{}
	}
	if host, port, ok := strings.Cut(a.value("endpoint", ""), ":"); ok {
		n, _ := strconv.Atoi(port)
		rq.UserEndpoint = &kmsg.StreamsGroupHeartbeatRequestUserEndpoint{Host: host, Port: uint16(n)}
	}
	if tags, ok := a.values["tags"]; ok {
		for t := range strings.SplitSeq(tags, ",") {
			k, v, _ := strings.Cut(t, ":")
			rq.ClientTags = append(rq.ClientTags, kmsg.StreamsGroupHeartbeatRequestClientTag{Key: k, Value: v})
		}
	}
	return streamsBeat{version: int16(a.number("v", 1)), from: Client{"client", "/127.0.0.1"}, rq: rq}
}

func parseTasks(text string) tasks {
	is := tasks{}
	for part := range strings.SplitSeq(text, ";") {
		if s, list, ok := strings.Cut(part, ":"); ok {
			for n := range strings.SplitSeq(list, ",") {
				v, _ := strconv.Atoi(n)
				is[s] = append(is[s], int32(v))
			}
		}
	}
	return is
}

func showBeaten(b streamsBeaten) string {
	if b.resp.ErrorCode != 0 {
		return strings.TrimSpace(fmt.Sprint(kerr.Code(b.resp.ErrorCode), " ", value(b.resp.ErrorMessage)))
	}
	s := fmt.Sprintf("epoch=%d", b.resp.MemberEpoch)
	if b.resp.ActiveTasks != nil {
		s += " tasks=" + showRoles(roles{readTasks(b.resp.ActiveTasks), readTasks(b.resp.StandbyTasks), readTasks(b.resp.WarmupTasks)})
	}
	for _, st := range b.resp.Status {
		s += fmt.Sprintf("\n  status %d: %s", st.StatusCode, st.StatusDetail)
	}
	if b.create != nil {
		for _, t := range b.create.Topics {
			s += fmt.Sprintf("\n  make %s with %d partitions, %d replicas", t.Topic, t.NumPartitions, t.ReplicationFactor)
			for _, c := range t.Configs {
				s += " " + c.Name + "=" + *c.Value
			}
		}
	}
	for _, e := range b.resp.PartitionsByUserEndpoint {
		s += fmt.Sprintf("\n  %s:%d", e.UserEndpoint.Host, e.UserEndpoint.Port)
		for _, p := range e.ActivePartitions {
			s += fmt.Sprint(" ", p.Topic, p.Partitions)
		}
		for _, p := range e.StandbyPartitions {
			s += fmt.Sprint(" standby ", p.Topic, p.Partitions)
		}
	}
	return s
}

func showRoles(r roles) string {
	show := func(t tasks) string {
		var list []string
		for _, s := range t.topics() {
			list = append(list, s+":"+strings.ReplaceAll(strings.Trim(fmt.Sprint(t[s]), "[]"), " ", ","))
		}
		return strings.Join(list, ";")
	}
	is := show(r[active]) + "/" + show(r[standby]) + "/" + show(r[warmup])
	return strings.TrimRight(is, "/")
}

func (s *streamsScript) describe() {
	d := kmsg.NewStreamsGroupDescribeResponseGroup()
	s.m.describeStreams(&d, true)
	if d.ErrorCode != 0 {
		fmt.Fprintln(&s.out, kerr.Code(d.ErrorCode), value(d.ErrorMessage))
		return
	}
	fmt.Fprintf(&s.out, "%s epoch=%d assignment=%d topology=%d description=%d assignor=%s\n", d.State, d.Epoch, d.AssignmentEpoch, d.Topology.Epoch, d.TopologyDescriptionStatus, *d.AssignorName)
	for _, sub := range d.Topology.Subtopologies {
		sizes := map[string]int32{}
		for _, t := range append(slices.Clone(sub.RepartitionSourceTopics), sub.StateChangelogTopics...) {
			sizes[t.Topic] = t.NumPartitions
		}
		fmt.Fprintf(&s.out, "  subtopology %s reads %v writes %v, %s\n", sub.SubtopologyID, sub.SourceTopics, sub.RepartitionSinkTopics, showSizes(sizes))
	}
	for _, m := range d.Members {
		fmt.Fprintf(&s.out, "  %s epoch=%d process=%s has %s is to have %s\n", m.MemberID, m.MemberEpoch, m.ProcessID, described(m.Assignment), described(m.TargetAssignment))
	}
}

func described(a kmsg.StreamsAssignment) string {
	return showRoles(roles{readTasks(a.ActiveTasks), readTasks(a.StandbyTasks), readTasks(a.WarmupTasks)})
}
