package group

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

var rewrite = flag.Bool("rewrite", false, "write the expected output of the scripts anew")

// TestScripts runs testdata/*.txt. A script is blocks that a blank line parts: comments, commands, "----" and what came
// of them: answers by the label of their request, records, and the group's state when it changed.
//
//	join <label> [id=] [instance=] [v=9] [session=10s] [rebalance=30s] [protocols=range,roundrobin] [type=consumer] [topics=t]
//	sync <label> id= generation= [instance=] [type=] [protocol=] [<member>=<assignment>...]
//	heartbeat id= generation= [instance=]       leave <label> <member>|(<instance>)...
//	commit <label> [id=] [instance=] [generation=-1] [v=] [t/0=<offset>...]
//	delete-offsets <label> t/0...               delete <label>
//	expire | wait <duration> | restart | set max-size=|delay= | hold | apply | fail <code> | describe
//
// A new member's id is its label in lower case. Every label stands for one open request.
func TestScripts(t *testing.T) {
	testScripts(t, "testdata/*.txt", func(t *testing.T, text string) string { return newScript(t).run(text) })
}

func testScripts(t *testing.T, pattern string, run func(*testing.T, string) string) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := run(t, string(text))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(text) {
				t.Errorf("go test -rewrite writes it anew; got:\n%s", got)
			}
		})
	}
}

type script struct {
	*world
	out   strings.Builder
	state string
}

func newScript(t rapid.TB) *script {
	s := &script{world: newWorld(t)}
	s.answered = func(label string, body any) { fmt.Fprintf(&s.out, "%s: %s\n", label, show(body)) }
	s.recorded = func(r image.Record) { fmt.Fprintln(&s.out, showRecord(r)) }
	s.state = s.describe()
	return s
}

func (s *script) run(text string) string { return perform(text, &s.out, s.command) }

// perform is the script text with what its commands write to out.
func perform(text string, out *strings.Builder, command func(words []string)) string {
	var done []string
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		commands, _, _ := strings.Cut(block, "\n----")
		out.Reset()
		for line := range strings.SplitSeq(commands, "\n") {
			if !strings.HasPrefix(line, "#") {
				command(strings.Fields(line))
			}
		}
		if onlyComments(commands) {
			done = append(done, commands)
		} else {
			done = append(done, strings.TrimRight(commands+"\n----\n"+out.String(), "\n"))
		}
	}
	return strings.Join(done, "\n\n") + "\n"
}

func onlyComments(text string) bool {
	for line := range strings.SplitSeq(text, "\n") {
		if !strings.HasPrefix(line, "#") {
			return false
		}
	}
	return true
}

func (s *script) describe() string {
	state, _ := s.m.kind.summary()
	if s.m.dead {
		state = "Dead"
	}
	switch g := s.m.kind.(type) {
	case *classicGroup:
		return fmt.Sprintf("%s generation=%d", state, g.generation)
	case *consumerGroup:
		return fmt.Sprintf("%s epoch=%d assignment=%d", state, g.at.group, g.at.assignment)
	}
	return state
}

func (s *script) command(words []string) {
	a := parse(s.t, words[1:])
	switch words[0] {
	case "join":
		s.do(func(fx *coordinator.Effects) { s.m.join(s.now, s.join(a), fx) })
	case "sync":
		s.do(func(fx *coordinator.Effects) { s.m.sync(s.now, s.sync(a), fx) })
	case "heartbeat":
		s.do(func(*coordinator.Effects) {
			fmt.Fprintln(&s.out, s.m.heartbeat(s.now, a.value("id", ""), a.value("instance", ""), a.number("generation", 0)))
		})
	case "leave":
		s.do(func(fx *coordinator.Effects) { s.m.leave(s.now, s.ticket(a.label), a.leavers(), fx) })
	case "commit":
		s.do(func(fx *coordinator.Effects) { s.m.commit(s.now, s.commit(a), fx) })
	case "delete-offsets":
		d := offsetDeletion{s.ticket(a.label), map[string][]image.TopicPartition{"t": a.partitions()}}
		s.do(func(fx *coordinator.Effects) { s.m.deleteOffsets(s.now, d, fx) })
	case "set":
		s.config.MaxSize = int(a.number("max-size", int32(s.config.MaxSize)))
		s.config.InitialRebalanceDelay = a.duration(a.value("delay", s.config.InitialRebalanceDelay.String()))
	case "describe":
		s.show()
	case "same": // nothing but to say what has changed
	default:
		s.control(words[0], a)
	}
	if is := s.describe(); is != s.state {
		fmt.Fprintln(&s.out, is)
		s.state = is
	}
}

// control is what scripts of every kind can have happen.
func (w *world) control(word string, a arguments) {
	switch word {
	case "wait":
		w.wait(a.duration(a.label))
	case "expire":
		w.do(func(fx *coordinator.Effects) { w.m.expireOffsets(w.now, fx) })
	case "delete":
		w.do(func(fx *coordinator.Effects) { w.m.deleteGroup(w.now, w.ticket(a.label), fx) })
	case "restart":
		w.restart()
	case "hold":
		w.hold = true
	case "apply":
		w.hold = false
		w.do(func(*coordinator.Effects) {})
	case "fail":
		w.hold = false
		for len(w.inFlight) > 0 {
			w.fail(map[string]error{"NOT_CONTROLLER": kerr.NotController, "timeout": os.ErrDeadlineExceeded}[a.label])
		}
	default:
		w.t.Fatalf("no command %q", word)
	}
}

func (s *script) show() {
	g := kmsg.NewDescribeGroupsResponseGroup()
	s.m.describe(&g, describeNotFoundVersion)
	fmt.Fprintf(&s.out, "state=%s type=%s protocol=%s code=%s\n", g.State, g.ProtocolType, g.Protocol, kerr.Code(g.ErrorCode))
	for _, m := range g.Members {
		fmt.Fprintf(&s.out, "  %s client=%s metadata=%d assignment=%q\n", m.MemberID, m.ClientID, len(m.ProtocolMetadata), m.MemberAssignment)
	}
}

func (s *script) join(a arguments) joinRequest {
	j := joinRequest{
		ticket: s.ticket(a.label), version: int16(a.number("v", 9)), from: Client{"client-" + a.label, "/127.0.0.1"},
		memberID: a.value("id", ""), newMemberID: strings.ToLower(a.label), instance: a.value("instance", ""),
		protocolType: a.value("type", consumerProtocol),
		session:      a.duration(a.value("session", "10s")), rebalance: a.duration(a.value("rebalance", "30s")),
	}
	metadata := subscribing(strings.Split(a.value("topics", "t"), ",")...)
	for name := range strings.SplitSeq(a.value("protocols", "range"), ",") {
		j.protocols = append(j.protocols, protocol{name, metadata})
	}
	return j
}

func (s *script) sync(a arguments) syncRequest {
	rq := syncRequest{
		ticket: s.ticket(a.label), memberID: a.value("id", ""), instance: a.value("instance", ""),
		generation: a.number("generation", 0), assignments: map[string][]byte{},
	}
	if _, ok := a.values["type"]; ok {
		rq.protocolType = text(a.value("type", ""))
	}
	if _, ok := a.values["protocol"]; ok {
		rq.protocol = text(a.value("protocol", ""))
	}
	for member, assignment := range a.values {
		rq.assignments[member] = []byte(assignment)
	}
	return rq
}

func (s *script) commit(a arguments) commitRequest {
	c := commitRequest{
		ticket: s.ticket(a.label), version: int16(a.number("v", 8)), memberID: a.value("id", ""),
		instance: a.value("instance", ""), generation: a.number("generation", -1),
	}
	for i := range int32(2) {
		if _, ok := a.values[fmt.Sprintf("t/%d", i)]; ok {
			c.offsets = append(c.offsets, image.PartitionOffset{
				TopicPartition: image.TopicPartition{Topic: topicT, Partition: i},
				Offset:         image.Offset{Offset: int64(a.number(fmt.Sprintf("t/%d", i), 0)), LeaderEpoch: -1},
			})
		}
	}
	return c
}

// arguments are a label, words and key=value pairs.
type arguments struct {
	t      rapid.TB
	label  string
	words  []string
	values map[string]string
}

func parse(t rapid.TB, words []string) arguments {
	a := arguments{t: t, values: map[string]string{}}
	for _, w := range words {
		if k, v, ok := strings.Cut(w, "="); ok {
			a.values[k] = v
		} else if a.label == "" {
			a.label = w
		} else {
			a.words = append(a.words, w)
		}
	}
	return a
}

func (a arguments) value(key, otherwise string) string {
	if v, ok := a.values[key]; ok {
		return v
	}
	return otherwise
}

func (a arguments) number(key string, otherwise int32) int32 {
	n, err := strconv.ParseInt(a.value(key, strconv.Itoa(int(otherwise))), 10, 32)
	if err != nil {
		a.t.Fatal(err)
	}
	return int32(n)
}

func (a arguments) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		a.t.Fatal(err)
	}
	return d
}

func (a arguments) leavers() (list []leaver) {
	for _, w := range a.words {
		id, instance, _ := strings.Cut(strings.TrimSuffix(w, ")"), "(")
		list = append(list, leaver{id, instance})
	}
	return list
}

func (a arguments) partitions() (list []image.TopicPartition) {
	for _, w := range a.words {
		n, err := strconv.Atoi(strings.TrimPrefix(w, "t/"))
		if err != nil {
			a.t.Fatal(err)
		}
		list = append(list, image.TopicPartition{Topic: topicT, Partition: int32(n)})
	}
	return list
}
