package group

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"chronik/cluster/coordinator"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// TestStreamsModel has members come, go, fall silent and miss answers while topics grow, configs change, records fail and the
// coordinator begins anew. At no time may two members be active on one task and both commit, or one process have a task twice
// by what its members were told last; and when nothing happens any more every task has its member, and as many copies as were asked for.
func TestStreamsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newStreamsModel(t)
		t.Repeat(map[string]func(*rapid.T){
			"":        func(*rapid.T) { m.check() },
			"join":    m.join,
			"beat":    m.beatSome,
			"work":    m.workSome,
			"leave":   m.leave,
			"vanish":  m.vanish,
			"grow":    m.grow,
			"standby": m.standbys,
			"wait":    func(t *rapid.T) { m.wait(time.Duration(rapid.IntRange(1, 20_000).Draw(t, "ms")) * time.Millisecond) },
			"hold":    func(*rapid.T) { m.hold = true },
			"apply":   func(*rapid.T) { m.release() },
			"fail":    m.failSome,
			"restart": func(*rapid.T) { m.release(); m.restart() },
			"crash":   func(*rapid.T) { m.hold = false; m.restart() },
		})
		m.settleDown()
	})
}

// A member that had not begun with a task said that it had not, and was taken to have let go of it; the answer that asked it to was
// lost. It began with the task then, at an epoch at which it may commit, beside the member that had it next.
func TestATaskMustNotBeBegunThatWasAskedBackInALostAnswer(t *testing.T) {
	m := newStreamsModel(t)
	a, b := &streamsClient{id: "a", process: "p"}, &streamsClient{id: "b", process: "q"}
	m.clients = []*streamsClient{a, b}
	m.beat(a, false, false)
	m.beat(b, false, false)
	m.beat(a, true, false)
	a.owned = m.m.kind.(*streamsGroup).members["a"].assigned // it has begun with these
	m.beat(a, false, false)
	m.beat(b, false, false)
	for range 2 {
		a.work()
		b.work()
		m.check()
	}
}

type streamsModel struct {
	*world
	clients []*streamsClient
	last    streamsBeaten
	made    int // clients so far
	size    int // partitions of what they read
}

// streamsClient is a thread of an application as Kafka's client is: it closes what it is not to have, then opens the rest, and
// tells what it has when that has changed.
type streamsClient struct {
	id, process  string
	epoch        int32
	owned, given roles // what it works on, and what it was told to
	told         *roles
}

func newStreamsModel(t rapid.TB) *streamsModel {
	m := &streamsModel{world: newWorld(t), size: 2}
	m.groupConfig, m.config.StreamsMaxSize = streamsConfig(), 1000
	m.answered = func(_ string, body any) { m.last, _ = body.(streamsBeaten) }
	for _, name := range []string{"in", "app-rep", "app-log"} {
		m.topic(name, m.size)
	}
	return m
}

func (m *streamsModel) join(t *rapid.T) {
	if len(m.clients) < 6 {
		m.made++
		c := &streamsClient{id: fmt.Sprint("m", m.made), process: rapid.SampledFrom([]string{"p", "q", "r"}).Draw(t, "process")}
		m.clients = append(m.clients, c)
		m.beat(c, false, false)
	}
}

func (m *streamsModel) beatSome(t *rapid.T) {
	if len(m.clients) > 0 {
		c := rapid.SampledFrom(m.clients).Draw(t, "client")
		m.beat(c, rapid.IntRange(0, 4).Draw(t, "lost") == 0, rapid.Bool().Draw(t, "tell"))
	}
}

// beat sends a heartbeat. Its answer may be lost.
func (m *streamsModel) beat(c *streamsClient, lost, tell bool) {
	rq := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	rq.Group, rq.MemberID, rq.MemberEpoch = "g", c.id, c.epoch
	if c.epoch == joining {
		rq.RebalanceTimeoutMillis, rq.ProcessID = 60_000, &c.process
		rq.Topology = &kmsg.StreamsGroupHeartbeatRequestTopology{Subtopologies: topologies["count"]}
	} else if tell || c.told == nil || !c.told.equal(c.owned) {
		rq.ActiveTasks, rq.StandbyTasks, rq.WarmupTasks = taskIDs(c.owned[active]), taskIDs(c.owned[standby]), taskIDs(c.owned[warmup])
	}
	told := c.owned
	m.last, c.told = streamsBeaten{}, nil
	h := streamsBeat{version: 1, rq: rq}
	if err := h.check(); err != nil {
		m.t.Fatal(err)
	}
	h.ticket = m.ticket(c.id)
	m.do(func(fx *coordinator.Effects) { m.m.streamsHeartbeat(m.now, h, fx) })
	resp := m.last.resp
	if resp == nil || lost {
		return
	}
	switch code := kerr.Code(resp.ErrorCode); code {
	case kerr.None:
		c.told, c.epoch = &told, resp.MemberEpoch
		if resp.ActiveTasks != nil {
			c.given = roles{readTasks(resp.ActiveTasks), readTasks(resp.StandbyTasks), readTasks(resp.WarmupTasks)}
		}
	case kerr.UnknownMemberID, kerr.FencedMemberEpoch, kerr.GroupIDNotFound:
		c.epoch, c.owned, c.given = joining, roles{}, roles{}
	case kerr.NotCoordinator, kerr.CoordinatorNotAvailable:
	default:
		m.t.Fatalf("%s: %s %s", c.id, code, value(resp.ErrorMessage))
	}
}

func (m *streamsModel) workSome(t *rapid.T) {
	if len(m.clients) > 0 {
		rapid.SampledFrom(m.clients).Draw(t, "client").work()
	}
}

func (c *streamsClient) work() {
	if left := c.owned.and(c.given); !left.equal(c.owned) {
		c.owned = left
	} else {
		c.owned = c.given
	}
}

func (m *streamsModel) leave(t *rapid.T) {
	if len(m.clients) > 0 {
		c := rapid.SampledFrom(m.clients).Draw(t, "client")
		c.owned, c.given, c.epoch = roles{}, roles{}, leaving
		m.beat(c, true, false)
		m.forget(c)
	}
}

// vanish is a kill -9.
func (m *streamsModel) vanish(t *rapid.T) {
	if len(m.clients) > 0 {
		m.forget(rapid.SampledFrom(m.clients).Draw(t, "client"))
	}
}

func (m *streamsModel) forget(c *streamsClient) {
	m.clients = slices.DeleteFunc(m.clients, func(o *streamsClient) bool { return o == c })
}

func (m *streamsModel) grow(*rapid.T) {
	if m.size < 4 {
		m.size++
		for _, name := range []string{"in", "app-rep", "app-log"} {
			m.topic(name, m.size)
		}
	}
}

func (m *streamsModel) standbys(t *rapid.T) {
	m.groupConfig.Streams.NumStandbyReplicas = int32(rapid.IntRange(0, 2).Draw(t, "standbys"))
}

func (m *streamsModel) release() {
	m.hold = false
	m.do(func(*coordinator.Effects) {})
}

func (m *streamsModel) failSome(*rapid.T) {
	m.hold = false
	if len(m.inFlight) > 0 {
		m.fail(kerr.NotController)
	}
	m.do(func(*coordinator.Effects) {})
}

// check compares all clients that the group still has. One that has said that it does not work on a task, and does not know yet
// that it is another's now, may begin with it: its commits are refused.
func (m *streamsModel) check() {
	g, ok := m.m.kind.(*streamsGroup)
	if !ok {
		return
	}
	holds := map[task]string{}
	inProcess := map[string]string{}
	for _, c := range m.clients {
		if g.members[c.id] == nil {
			continue
		}
		current := g.members[c.id].epoch == c.epoch
		for role, list := range c.owned.plus(c.given) {
			list.each(func(s string, n int32) {
				at, key := task{s, n}, fmt.Sprint(c.process, " ", s, "_", n)
				if role == active && m.mayCommit(c, at) {
					if other, taken := holds[at]; taken {
						m.t.Fatalf("%v is active with %s and %s", at, other, c.id)
					}
					holds[at] = c.id
				}
				if !current {
					return
				}
				if other, taken := inProcess[key]; taken {
					m.t.Fatalf("process %s has %v twice, with %s and %s", c.process, at, other, c.id)
				}
				inProcess[key] = c.id
			})
		}
	}
}

func (m *streamsModel) mayCommit(c *streamsClient, t task) bool {
	topic, _ := m.img.TopicNamed(map[string]string{"0": "in", "1": "app-rep"}[t.subtopology])
	o := image.PartitionOffset{TopicPartition: image.TopicPartition{Topic: topic.ID, Partition: t.partition}}
	rq := commitRequest{version: 9, memberID: c.id, generation: c.epoch, offsets: []image.PartitionOffset{o}}
	return m.m.kind.checkCommit(rq) == kerr.None
}

// settleDown lets everything come to rest, and looks whether nothing is missing.
func (m *streamsModel) settleDown() {
	m.release()
	m.wait(46 * time.Second) // who has vanished is gone, and all others with it
	for range 60 {
		for _, c := range m.clients {
			m.beat(c, false, false)
			c.work()
			m.check()
		}
		m.wait(time.Second)
	}
	if len(m.clients) == 0 {
		return
	}
	if is := m.m.kind.(*streamsGroup).state(); is != "Stable" {
		m.t.Fatalf("the group is %s", is)
	}
	actives, copies, processes := tasks{}, 0, map[string]bool{}
	for _, c := range m.clients {
		if !c.owned.equal(m.m.kind.(*streamsGroup).members[c.id].assigned) {
			m.t.Fatalf("%s works on %s and is to work on other tasks", c.id, showRoles(c.owned))
		}
		actives, copies, processes[c.process] = actives.plus(c.owned[active]), copies+c.owned[standby].count(), true
	}
	if actives.count() != 2*m.size {
		m.t.Fatalf("active is %s, of %d partitions", showRoles(roles{actives}), m.size)
	}
	if want := m.size * min(int(m.groupConfig.Streams.NumStandbyReplicas), len(processes)-1); copies != want {
		m.t.Fatalf("%d copies, not %d", copies, want)
	}
	before := m.describeAll()
	m.restart()
	if after := m.describeAll(); after != before {
		m.t.Fatalf("after a restart the group is\n%q\nand was\n%q", after, before)
	}
}

func (m *streamsModel) describeAll() string {
	d := kmsg.NewStreamsGroupDescribeResponseGroup()
	m.m.describeStreams(&d, false)
	return string((&kmsg.StreamsGroupDescribeResponse{Version: 1, Groups: []kmsg.StreamsGroupDescribeResponseGroup{d}}).AppendTo(nil))
}
