package group

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"chronik/cluster/coordinator"
	"chronik/kafka/config"
	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// TestRandomConsumers has members of both protocols come, go, be slow, lose answers and change their subscriptions, while
// topics change, records fail and the coordinator restarts. At no time may two of them have the same partition and
// both be able to commit for it, and when all behave for a while everything is divided.
func TestRandomConsumers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newMixed(t)
		for range rapid.IntRange(20, 120).Draw(t, "steps") {
			c.step()
			c.check()
		}
		c.calmDown()
	})
}

// mixed is a world with clients of both protocols.
type mixed struct {
	*world
	rapid   *rapid.T
	clients []*mixedClient
	sizes   map[string]int
}

// mixedClient is a client: what it was told last, and what it has.
type mixedClient struct {
	name     string
	classic  bool
	instance *string
	id       string
	joins    int
	life     int
	epoch    int32
	has      partitions
	asked    partitions // the assignment that it was told; it has let go of what is not in it when it says so
	topics   []string
	pattern  string
	waiting  bool
	lose     bool // the answer
	full     bool // say everything
	leads    []string
	joined   bool // classic: has a generation, and is to sync
}

func newMixed(t *rapid.T) *mixed {
	c := &mixed{world: newWorld(t), rapid: t, sizes: map[string]int{"t": 2}}
	c.config.InitialRebalanceDelay = 0
	c.config.Upgrade, c.config.Downgrade = true, true
	c.config.ConsumerMaxSize = 100
	c.config.ConsumerAssignors = pick(t, "assignors", [][]string{{uniformName, rangeName}, {rangeName}})
	c.groupConfig = config.Group{Consumer: config.ConsumerGroup{
		SessionTimeoutMs: 20_000, HeartbeatIntervalMs: 3000, AssignmentIntervalMs: pick(t, "interval", []int32{0, 1000}),
	}}
	classics := rapid.IntRange(0, 3).Draw(t, "classic clients")
	for i := range 5 {
		m := &mixedClient{name: string(rune('a' + i)), classic: i < classics, topics: []string{"t"}, has: partitions{}}
		if pick(t, "static", []bool{false, false, true}) {
			m.instance = text("i" + m.name)
		}
		c.clients = append(c.clients, m)
	}
	c.answered = c.hear
	return c
}

var mixedSteps = []string{
	"turn", "turn", "turn", "turn", "all", "all", "all", "all", "all", "lose", "leave", "leave for a while", "crash", "subscribe",
	"topic", "wait", "wait", "hold", "apply", "apply", "fail", "restart", "restart", "expire",
}

func (c *mixed) step() {
	m := pick(c.rapid, "client", c.clients)
	switch pick(c.rapid, "step", mixedSteps) {
	case "turn":
		c.turn(m)
	case "all":
		for _, m := range c.clients {
			c.turn(m)
		}
		c.wait(pick(c.rapid, "pause", []time.Duration{0, time.Second, 3 * time.Second}))
	case "lose":
		m.lose = true
		c.turn(m)
	case "leave", "leave for a while":
		c.leave(m, leaving)
	case "crash": // and comes back as a new one, which answers to the one before don't reach
		m.reset()
		m.life++
		m.id = ""
	case "subscribe":
		m.topics, m.pattern = pick(c.rapid, "topics", [][]string{{"t"}, {"t", "u"}, {"u"}, {}}), pick(c.rapid, "pattern", []string{"", "[tu]", "u|v"})
		if m.classic {
			m.pattern, m.topics = "", []string{"t", "u"}
		}
		m.full = true
	case "topic":
		c.topicStep()
	case "wait":
		c.wait(pick(c.rapid, "seconds", []time.Duration{1, 5, 12, 25}) * time.Second)
	case "hold":
		c.hold = true
	case "apply":
		c.hold = false
		c.do(func(*coordinator.Effects) {})
	case "fail":
		if len(c.inFlight) > 0 {
			c.fail(kerr.NotController)
		}
	case "restart":
		c.restart()
		for _, m := range c.clients {
			m.waiting, m.full = false, true
			if m.classic && m.joined {
				m.joined = false
			}
		}
	case "expire":
		c.do(func(fx *coordinator.Effects) { c.m.expireOffsets(c.now, fx) })
	}
}

func (c *mixed) topicStep() {
	name := pick(c.rapid, "which", []string{"t", "u", "v"})
	if c.sizes[name] < 6 {
		c.sizes[name] += rapid.IntRange(1, 2).Draw(c.rapid, "more")
		c.topic(name, c.sizes[name])
		c.do(func(fx *coordinator.Effects) { c.m.topicsChanged(c.now, fx) })
	}
}

func (m *mixedClient) reset() {
	m.epoch, m.has, m.asked, m.waiting, m.joined, m.full, m.leads = 0, partitions{}, nil, false, false, true, nil
}

func (c *mixed) label(m *mixedClient, request string) coordinator.Ticket {
	return c.ticket(fmt.Sprint(m.name, " ", request, " ", m.life))
}

// turn is what a well-behaved client does next.
func (c *mixed) turn(m *mixedClient) {
	switch {
	case m.waiting:
	case !m.classic:
		c.beat(m)
	case m.epoch == 0:
		c.joinAs(m)
	case m.joined:
		c.syncAs(m)
	default:
		var code kerr.Code
		c.do(func(*coordinator.Effects) { code = c.m.heartbeat(c.now, m.id, value(m.instance), m.epoch) })
		switch code {
		case kerr.RebalanceInProgress:
			c.joinAs(m)
		case kerr.None, kerr.CoordinatorNotAvailable:
		default:
			m.reset()
			if code == kerr.UnknownMemberID || code == kerr.FencedInstanceID {
				m.id = ""
			}
		}
	}
}

func (c *mixed) beat(m *mixedClient) {
	if m.id == "" {
		m.joins++
		m.id = fmt.Sprintf("%s%d", m.name, m.joins)
	}
	h := consumerHeartbeat{ticket: c.label(m, "beat"), from: Client{m.name, "h"}, memberID: m.id, epoch: m.epoch, instance: m.instance}
	if m.asked != nil { // it has let go
		m.has = m.has.and(m.asked).plus(m.asked)
		h.owned, m.asked = m.has, nil
	}
	if m.epoch == 0 || m.full {
		rebalance := 10 * time.Second
		h.rebalance, h.topics, h.pattern, h.owned = &rebalance, append([]string{}, m.topics...), &m.pattern, m.has
	}
	m.full = false
	m.waiting = true
	c.do(func(fx *coordinator.Effects) { c.m.consumerHeartbeat(c.now, h, fx) })
}

func (c *mixed) joinAs(m *mixedClient) {
	m.has, m.joined, m.leads = partitions{}, false, nil // eager: it lets go of everything
	m.joins++
	j := joinRequest{
		ticket: c.label(m, "join"), version: 9, from: Client{m.name, "h"}, memberID: m.id, newMemberID: fmt.Sprintf("%s%d", m.name, m.joins),
		instance: value(m.instance), protocolType: consumerProtocol, session: 15 * time.Second, rebalance: 10 * time.Second,
		protocols: []protocol{{"range", subscribing(m.topics...)}},
	}
	m.waiting = true
	c.do(func(fx *coordinator.Effects) { c.m.join(c.now, j, fx) })
}

func (c *mixed) syncAs(m *mixedClient) {
	s := syncRequest{ticket: c.label(m, "sync"), memberID: m.id, instance: value(m.instance), generation: m.epoch, assignments: map[string][]byte{}}
	if len(m.leads) > 0 {
		a := assignable{sizes: map[image.TopicID]int32{}}
		for _, id := range slices.Sorted(slices.Values(m.leads)) {
			a.members = append(a.members, subscriber{id: id})
			for name, n := range c.sizes {
				if t, ok := c.img.TopicNamed(name); ok && name != "v" {
					a.members[len(a.members)-1].topics = append(a.members[len(a.members)-1].topics, t.ID)
					a.sizes[t.ID] = int32(n)
				}
			}
			slices.SortFunc(a.members[len(a.members)-1].topics, compareTopics)
		}
		for id, p := range byRange(a) {
			s.assignments[id] = assignmentFor(c.img, subscribing("t"), p)
		}
	}
	m.waiting = true
	c.do(func(fx *coordinator.Effects) { c.m.sync(c.now, s, fx) })
}

func (c *mixed) leave(m *mixedClient, how int32) {
	if m.waiting || m.id == "" {
		return
	}
	if m.classic {
		c.do(func(fx *coordinator.Effects) {
			c.m.leave(c.now, c.label(m, "leave"), []leaver{{m.id, value(m.instance)}}, fx)
		})
	} else {
		if m.instance != nil && rapid.Bool().Draw(c.rapid, "for a while") {
			how = leavingForAWhile
		}
		h := consumerHeartbeat{ticket: c.label(m, "leave"), memberID: m.id, epoch: how, instance: m.instance}
		c.do(func(fx *coordinator.Effects) { c.m.consumerHeartbeat(c.now, h, fx) })
	}
	m.reset()
	m.id = ""
}

// hear is a client that gets an answer, or does not.
func (c *mixed) hear(label string, body any) {
	var name, request string
	var life int
	_, _ = fmt.Sscan(label, &name, &request, &life)
	m := c.clients[name[0]-'a']
	if life != m.life {
		return
	}
	m.waiting = false
	if m.lose || request == "leave" {
		m.lose, m.full = false, true
		return
	}
	switch r := body.(type) {
	case *kmsg.ConsumerGroupHeartbeatResponse:
		m.epoch = r.MemberEpoch
		if r.Assignment != nil {
			m.asked = partitions{}
			for _, t := range r.Assignment.Topics {
				m.asked[t.TopicID] = t.Partitions
			}
			m.has = m.has.plus(m.asked)
		}
	case error:
		m.full = true
		switch code := kerr.Of(r); code {
		case kerr.FencedMemberEpoch, kerr.UnknownMemberID:
			m.reset()
		case kerr.FencedInstanceID, kerr.UnreleasedInstanceID:
			m.reset()
			m.id = ""
		case kerr.CoordinatorNotAvailable, kerr.NotCoordinator:
		case kerr.GroupIDNotFound:
			m.reset()
		default:
			c.t.Fatalf("%s: %v", label, r)
		}
	case *kmsg.JoinGroupResponse:
		switch kerr.Code(r.ErrorCode) {
		case kerr.None:
			m.id, m.epoch, m.joined = r.MemberID, r.Generation, true
			for _, other := range r.Members {
				m.leads = append(m.leads, other.MemberID)
			}
			if r.SkipAssignment {
				m.leads = nil
			}
		case kerr.MemberIDRequired:
			m.id = r.MemberID
		case kerr.RebalanceInProgress:
			m.epoch = 0
		default:
			m.reset()
			m.id = ""
		}
	case *kmsg.SyncGroupResponse:
		m.joined = false
		switch kerr.Code(r.ErrorCode) {
		case kerr.None:
			m.has, _ = heldIn(c.img, r.MemberAssignment)
			if m.has == nil {
				m.has = partitions{}
			}
		case kerr.RebalanceInProgress:
			m.epoch = 0
		default:
			m.reset()
			m.id = ""
		}
	}
}

// check looks for two that have the same partition, and may both commit.
func (c *mixed) check() {
	owner := map[image.TopicPartition]string{}
	for _, m := range c.clients {
		if m.id == "" || m.epoch <= 0 {
			continue
		}
		m.has.each(func(t image.TopicID, n int32) {
			at := image.TopicPartition{Topic: t, Partition: n}
			commit := commitRequest{version: 9, memberID: m.id, instance: value(m.instance), generation: m.epoch, offsets: []image.PartitionOffset{{TopicPartition: at}}}
			if c.m.kind.checkCommit(commit) != kerr.None {
				return
			}
			if other := owner[at]; other != "" {
				c.t.Fatalf("%s and %s both have %v/%d in %s", other, m.name, t, n, c.describe())
			}
			owner[at] = m.name
		})
	}
	if g, ok := c.m.kind.(*consumerGroup); ok {
		c.checkGroup(g)
	}
}

func (c *mixed) describe() string {
	s, _ := c.m.kind.summary()
	return c.m.kind.is().String() + " " + s
}

func (c *mixed) checkGroup(g *consumerGroup) {
	owned := 0
	for _, list := range g.owners {
		owned += len(list)
	}
	for _, mem := range g.members {
		owned -= mem.held.count() + mem.revoking.count()
		if mem.epoch > g.at.assignment || g.at.assignment > g.at.group {
			c.t.Fatalf("%s is at %d, the assignment at %d, the group at %d", mem.id, mem.epoch, g.at.assignment, g.at.group)
		}
		if mem.instance != "" && g.static[mem.instance] != mem {
			c.t.Fatalf("%s has the place of instance %s no more", mem.id, mem.instance)
		}
	}
	if owned != 0 {
		c.t.Fatal("the index of owners differs from what members hold")
	}
	if g.ledger.settled() && !c.m.dead {
		again := newMachine(c.m.env, c.m.id, 0, c.now)
		if is, ok := again.kind.(*consumerGroup); g.occupied() && (!ok || is.dump() != g.dump()) {
			c.t.Fatalf("the image has another group than the machine:\n%v\n%v", is.dump(), g.dump())
		}
	}
}

// dump is all that lasts of a group.
func (g *consumerGroup) dump() string {
	s := fmt.Sprintf("%x\n", g.encode(epochsKey))
	for _, mem := range g.sorted() {
		for _, key := range []string{memberEntry, currentEntry, targetEntry} {
			s += fmt.Sprintf("%s%s %x\n", key, mem.id, g.encode(key+mem.id))
		}
	}
	return s
}

// calmDown lets everybody behave: before long what there is to read is divided among those that read it.
func (c *mixed) calmDown() {
	c.hold = false
	c.do(func(*coordinator.Effects) {})
	for _, m := range c.clients {
		m.lose, m.full = false, true
		m.topics, m.pattern = []string{"t", "u"}, ""
		if m.classic && m.epoch != 0 && !m.waiting {
			c.leave(m, leaving) // with what it subscribed to before
		}
	}
	for range 60 {
		for _, m := range c.clients {
			c.turn(m)
			c.check()
		}
		c.wait(time.Second)
	}
	total := 0
	for _, m := range c.clients {
		total += m.has.count()
		if m.waiting {
			c.t.Fatalf("%s is never answered", m.name)
		}
	}
	if state, _ := c.m.kind.summary(); state != "Stable" || total != c.sizes["t"]+c.sizes["u"] {
		c.t.Fatalf("%s: %d of %d partitions are read", c.describe(), total, c.sizes["t"]+c.sizes["u"])
	}
}
